"""The functions of each library; a library is imported when the first of its arrays arrives."""

from jsgmath.families.libraries.arithmetic import Arithmetic
from jsgmath.families.libraries.numpy_arithmetic import NumPyArithmetic

MADE: dict[str, Arithmetic] = {}  # not functools.cache: torch.compile ignores it, and warns


def arithmetic(library: str) -> Arithmetic:
    """The `Arithmetic` of ``"NumPy"``, ``"torch"`` or ``"JAX"``."""
    if library not in MADE:
        if library == "NumPy":
            kind = NumPyArithmetic
        elif library == "torch":
            from jsgmath.families.libraries.torch_arithmetic import TorchArithmetic as kind
        else:
            from jsgmath.families.libraries.jax_arithmetic import JaxArithmetic as kind
        MADE[library] = kind()
    return MADE[library]
