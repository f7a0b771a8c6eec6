"""Names for the types of arguments and results of public functions."""

from typing import Any, Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import ArrayLike

Weight: TypeAlias = ArrayLike | Any  # a number, or an array from the same library as the Gaussians
Values = np.ndarray | np.floating[Any]  # one value per batch element, or a scalar if there is no batch
Convention = Literal["deasy", "nielsen"]
CONVENTIONS = get_args(Convention)
