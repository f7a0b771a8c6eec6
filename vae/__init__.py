"""The paper's variational auto-encoder, trained with divergences from ``jsgmath``.

``python -m vae.train`` trains one; ``python -m vae.train --help`` says how.
"""

import os
from importlib.util import find_spec

# torch reads this when it is imported. By default its waiting threads spin, which is slow while other programs run.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

_missing = [
    name
    for name in ("filelock", "matplotlib", "PIL", "pooch", "safetensors", "torch", "tqdm", "tyro")
    if not find_spec(name)
]
if _missing:
    raise ImportError(f"vae needs {', '.join(_missing)}; pip install 'jsgmath[vae]'")
