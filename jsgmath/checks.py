"""Checks of arguments: weights, conventions, shapes, and whether two distributions make a pair.

Each check exists once, and its message says what was got, what was wanted and what to do.
"""

from collections.abc import Mapping, Sequence
from numbers import Integral, Rational, Real
from typing import Any, cast

import numpy as np
from numpy.typing import ArrayLike

from jsgmath import special
from jsgmath.hints import CONVENTIONS

FLOAT32, FLOAT64 = np.dtype(np.float32), np.dtype(np.float64)


def real_array(name: str, value: ArrayLike) -> np.ndarray:
    """Converts ``value`` to an array of float32 or float64, which is also the type of the results.

    float16 becomes float32, because few divergences fit into it, and integers become float64.
    """
    if type(value) is np.ndarray and value.dtype == FLOAT64:
        return value
    _refuse_what_numpy_drops(name, value)
    try:
        array = np.asarray(value)
    except Exception as error:
        if isinstance(error, ValueError) and isinstance(value, list | tuple):
            raise ValueError(f"{name} must be an array of real numbers, got rows of unequal length") from None
        what, hint = type(value).__name__, "convert it first"
        if not readable(value):
            hint = "for derivatives in JAX, pass distributions of NumPyro, distrax or TFP"
        raise TypeError(
            f"{name} must be an array of real numbers, got {what}, which NumPy cannot convert "
            f"({type(error).__name__}); {hint}"
        ) from None
    if array.dtype.kind in "iu":
        array = _exact(name, array)
    dtype = array.dtype.newbyteorder("=")
    if dtype == np.float16:
        dtype = np.dtype(np.float32)
    if dtype not in (FLOAT32, FLOAT64):
        what = array.dtype if array.ndim or array.dtype != object else f"object ({type(value).__name__})"
        raise TypeError(f"{name} must be real numbers up to float64, got dtype {what}; convert it first")
    return array.astype(dtype, copy=False)


def _refuse_what_numpy_drops(name: str, value: Any) -> None:
    """Refuses what NumPy converts by dropping its gradients, its mask or its unit; also as an entry of a list."""
    if isinstance(value, list | tuple):
        for x in cast(Sequence[Any], value):
            _refuse_what_numpy_drops(name, x)
        return
    kind = type(cast(object, value))
    if kind in (float, int, np.ndarray):
        return
    if any(base.__module__.partition(".")[0] == "torch" for base in kind.__mro__):
        raise TypeError(f"{name} must be NumPy or plain numbers, got a torch tensor; tensors go to jsgmath.torch")
    if np.ma.is_masked(value):
        raise ValueError(f"{name} must not have masked entries; leave them out, or fill them with numbers")
    for attribute in ("unit", "units"):  # of Astropy, of Pint and unyt
        unit = getattr(value, attribute, None) if hasattr(kind, attribute) else None
        if unit is not None and str(unit) not in ("", "dimensionless"):
            raise TypeError(
                f"{name} must be plain numbers, got the unit {unit}; convert all to one unit, and pass the numbers"
            )


def _exact(name: str, array: np.ndarray) -> np.ndarray:
    """Integers as float64, which must hold each of them exactly."""
    largest = 2**53
    if ((array > largest) | (array < -largest)).any():
        for number in array.ravel().tolist():
            if int(float(number)) != number:
                raise ValueError(
                    f"{name} must fit into float64, got {number}, which would become {int(float(number))}; "
                    "subtract a common offset first, or convert it to float64 to accept the rounding"
                )
    return array.astype(np.float64)


def as_weight(name: str, alpha: ArrayLike) -> np.ndarray:
    """Converts a weight in [0, 1], or an array of weights, to the working precision."""
    return weight_array(name, alpha).astype(special.WORK)


def weight_array(name: str, alpha: ArrayLike) -> np.ndarray:
    """Converts a weight in [0, 1], or an array of weights, to an array without rounding."""
    if isinstance(alpha, float) and 0 <= alpha <= 1:  # faster than NumPy's comparisons
        return np.array(alpha)
    if isinstance(alpha, Rational) and not isinstance(alpha, Integral):  # a Fraction
        alpha = number_between_0_and_1(name, alpha)
    weight = real_array(name, alpha)
    if np.count_nonzero((weight >= 0) & (weight <= 1)) != weight.size:
        raise ValueError(f"{name} must lie in [0, 1], got {weight[~((weight >= 0) & (weight <= 1))].flat[0]}")
    return weight


def number_between_0_and_1(name: str, alpha: object) -> float:
    """Converts a plain number in [0, 1] to a float; torch.compile can trace this function."""
    if isinstance(alpha, bool) or not isinstance(alpha, Real):
        raise TypeError(f"{name} must be a float or an array of the Gaussians' library, got {type(alpha).__name__}")
    if not 0 <= alpha <= 1:  # pyright: ignore[reportOperatorIssue]  # Real has no type hints for comparisons
        raise ValueError(f"{name} must lie in [0, 1], got {alpha}")
    return float(alpha)


def check_convention(convention: object) -> None:
    if not isinstance(convention, str) or convention not in CONVENTIONS:
        raise ValueError(f"convention must be 'deasy' or 'nielsen', got {convention!r}")


def check_dimensions(n1: int, n2: int) -> None:
    """Checks that N1 and N2 have equal dimensions."""
    if n1 != n2:
        raise ValueError(f"N1 has dimension {n1} but N2 has {n2}; divergences need equal dimensions")


def common_shape(what: str, shapes: Mapping[str, tuple[int, ...]]) -> tuple[int, ...]:
    """Returns the shape to which all ``shapes`` broadcast; the keys name their owners in the message."""
    different: list[tuple[int, ...]] = []  # no set: torch's symbolic sizes cannot be hashed
    for shape in shapes.values():
        if shape and shape not in different:  # () broadcasts with every shape
            different.append(shape)
    if len(different) < 2:
        return different[0] if different else ()
    try:
        return np.broadcast_shapes(*different)
    except ValueError:
        found = [f"{shape} of {name}" for name, shape in shapes.items() if shape]
        listed = f"{', '.join(found[:-1])} and {found[-1]}"
        raise ValueError(f"{what} {listed} do not broadcast; make them equal or 1") from None


def differ(x: Any, y: Any) -> bool:
    """Whether two parameters are known to differ.

    The numbers in tensors and JAX arrays are not known while torch or JAX traces or transforms a function.
    """
    return x is not y and readable(x) and readable(y) and bool(np.any(plain(x) != plain(y)))


def plain(x: Any) -> Any:
    """Converts a torch tensor to a NumPy array of float64; returns anything else unchanged."""
    return x.detach().cpu().double().numpy() if hasattr(x, "detach") else x


def readable(x: object) -> bool:
    """Whether the numbers of a parameter can be read now, which they cannot while a function is traced."""
    kind = type(x)
    if kind.__module__.partition(".")[0] != "torch" or not hasattr(x, "is_meta"):
        return "Tracer" not in {base.__name__ for base in kind.__mro__}
    import torch
    from torch._C import _are_functorch_transforms_active  # pyright: ignore[reportPrivateUsage]

    traced = torch.compiler.is_compiling() or _are_functorch_transforms_active() or cast(Any, x).is_meta
    return not traced and kind in (torch.Tensor, torch.nn.Parameter)


def described(distribution: Any) -> str:
    """The name of a distribution for messages: that of its class, if it has no other."""
    return getattr(distribution, "described", type(distribution).__name__)


def check_pair(first: Any, second: Any, name1: str = "N1", name2: str = "N2") -> None:
    """Checks that two distributions have the same class, library and number of event dimensions."""
    if first.library != second.library:
        raise TypeError(f"{name1} is of {first.library} but {name2} of {second.library}; convert one of them")
    if type(first) is not type(second):
        kinds = f"{name1} is a {described(first)} but {name2} a {described(second)}"
        raise TypeError(f"{kinds}; a divergence compares members of one family")
    if first.event_dim != second.event_dim:
        events = f"{name1} has {first.event_dim} event dimensions but {name2} has {second.event_dim}"
        raise ValueError(f"{events}; wrap the other in Independent")
