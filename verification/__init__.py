"""Proofs that jsgmath computes what it claims; `README.md` has the table of claims."""
