"""The paper's variational auto-encoder, trained with divergences from ``jsgmath``.

``python -m vae.train`` trains one; ``python -m vae.train --help`` says how.
"""

import os

from vae import startup

# torch reads this when it is imported. By default its waiting threads spin, which is slow while other programs run.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

if startup.PROGRAM:
    startup.prepare()

startup.require_packages(
    "vae",
    {
        "filelock": "filelock",
        "matplotlib": "matplotlib",
        "PIL": "pillow",
        "pooch": "pooch",
        "safetensors": "safetensors",
        "torch": "torch",
        "tqdm": "tqdm",
        "tyro": "tyro",
    },
)
