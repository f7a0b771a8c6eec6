"""The divergences for torch tensors, with gradients: by the compiled core, one Triton kernel, or torch operations.

``triton`` is imported when the first kernel runs, not earlier.
"""

from importlib.util import find_spec

if not find_spec("torch"):
    raise ImportError("jsgmath.torch needs torch; pip install torch")

from jsgmath.torch.functions import (
    jsg_diagonal,
    jsg_full,
    jsg_standard_normal,
    kl_diagonal,
    kl_full,
    kl_standard_normal,
)
from jsgmath.torch.loss import JSGLoss
from jsgmath.torch.sampling import sample_and_jsg

__all__ = [
    "JSGLoss",
    "jsg_diagonal",
    "jsg_full",
    "jsg_standard_normal",
    "kl_diagonal",
    "kl_full",
    "kl_standard_normal",
    "sample_and_jsg",
]
