"""The paper's variational auto-encoder, trained with divergences from ``jsgmath``.

``python -m vae.train`` trains one; ``python -m vae.train --help`` says how.
"""
