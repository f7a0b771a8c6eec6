"""Many trainings: on all cores, as one program on a GPU, or by Dask on many machines."""

from importlib.util import find_spec

_missing = [name for name in ("dask", "distributed") if not find_spec(name)]
if _missing:
    raise ImportError(f"vae.sweep needs {', '.join(_missing)}; pip install 'jsgmath[sweep]'")
