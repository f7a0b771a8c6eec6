"""The paper's variational auto-encoder, trained with divergences from ``jsgmath``.

``python -m vae.train`` trains one; ``python -m vae.train --help`` says how.
"""

from importlib.util import find_spec

_missing = [
    name
    for name in ("filelock", "matplotlib", "PIL", "pooch", "safetensors", "torch", "tqdm", "tyro")
    if not find_spec(name)
]
if _missing:
    raise ImportError(f"vae needs {', '.join(_missing)}; pip install 'jsgmath[vae]'")
