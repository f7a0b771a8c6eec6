"""Names for what public functions take and return, where a class would say too little."""

from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import ArrayLike

if TYPE_CHECKING:
    from jsgmath.gaussian import Gaussian

GaussianLike: TypeAlias = "Gaussian | Any"  # or what stands for one elsewhere, such as a frozen scipy.stats normal
Weight: TypeAlias = ArrayLike | Any  # a number, or an array of the library of the Gaussians
Values = np.ndarray | np.floating[Any]  # one per batch element; without a batch, a scalar
Convention = Literal["deasy", "nielsen"]
CONVENTIONS = get_args(Convention)
