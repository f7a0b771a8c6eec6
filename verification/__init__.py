"""Proofs of what jsgmath computes; `README.md` has the table of claims."""
