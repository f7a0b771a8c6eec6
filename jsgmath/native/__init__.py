"""The compiled core: divergences of Gaussians, computed by `formula.py` as C++ and correctly rounded.

It is optional. Without it, NumPy computes the same bits more slowly. ``python -m jsgmath`` says which of the two runs.

The environment variable ``JSGMATH_NATIVE`` chooses: ``0`` turns the core off; ``plain``, ``avx2`` or ``avx512`` allows
only that instruction set, and raises an error if the machine or the core lacks it.
"""

import ctypes
import math
import os
import struct
import sys
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from jsgmath.native.sources import HERE, LIBRARY, sources

PLACE = os.path.join(HERE, LIBRARY)  # of the compiled library
FORMS = {"var": 0, "logvar": 1, "std": 2}
# The forms that the core accepts if one scale is a matrix; the number of "low_rank" is that of rank 0.
FULL_FORMS = {"var": 0, "std": 2, "cov": 3, "scale_tril": 4, "low_rank": 8}
LARGEST_DIMENSION = 256  # of full covariances; the core's memory grows as its square
LARGEST_OF_MANY = 2**17  # numbers in several covariances
# The struct Shape of diagonal.hpp: strides of five arrays, rows and n, and five numbers.
SHAPE = struct.Struct("@7q5i")
# The struct FamilyShape of families.hpp: strides of six arrays, rows, n and k, and six numbers.
FAMILY_SHAPE = struct.Struct("@9q6i")
# The structs OneOfMany and ManyShape of many.hpp: two addresses, strides and a form; four sizes and two numbers.
ONE_OF_MANY, MANY_SHAPE = struct.Struct("@2P3q"), struct.Struct("@4q2i")
SUMS_SHAPE = struct.Struct("@2q4d")  # the struct SumsShape of sums.hpp: two sizes and two pairs
FAMILIES = {
    name: place
    for place, name in enumerate(
        ("exponential", "poisson", "geometric", "bernoulli", "categorical", "gamma", "dirichlet")
    )
}
LARGEST_FACTORED = 10  # the largest dimension of `factored`; above it NumPy is faster
# The least determinant of a matrix with a unit diagonal. Its eigenvalues are then at least 2^-18 and its pivots at
# least 2^-16, so that NumPy also accepts it in spite of rounding.
LEAST_DETERMINANT = 2.0**-16
FLOAT64, SMALLEST = np.dtype(np.float64), math.ulp(0.0)
SMALL = 2048  # an array of fewer numbers is copied, which takes less time than finding its address
ELEMENTS_PER_THREAD = 50_000  # a thread costs as much as some thousand elements


class ArrayInterface(ctypes.Structure):
    """NumPy's struct PyArrayInterface up to the address of the numbers."""

    _fields_ = (
        *((name, ctypes.c_int) for name in ("two", "dimensions")),
        ("kind", ctypes.c_char),
        *((name, ctypes.c_int) for name in ("item_size", "flags")),
        *((name, ctypes.c_void_p) for name in ("shape", "strides", "data")),
    )


_interface_in = ctypes.PYFUNCTYPE(ctypes.POINTER(ArrayInterface), ctypes.py_object, ctypes.c_char_p)(
    ("PyCapsule_GetPointer", ctypes.pythonapi)
)


def address(array: np.ndarray) -> int:
    """Where the numbers of an array lie; ``array.ctypes.data``, which is the same, takes twice as long."""
    capsule = array.__array_struct__  # held, because the structure is freed with it
    return _interface_in(capsule, None).contents.data


class Core(NamedTuple):
    """The functions of the library, and the index and the name of the instruction set that it uses."""

    diagonal: Any
    full: Any
    tensors: Any
    copy: Any
    families: Any
    many: Any
    gradient: Any
    factor: Any
    sums: Any
    place: int
    instruction_set: str


def open_core(path: str | os.PathLike[str] = PLACE, wanted: str = "") -> tuple[Core | None, str]:
    """The compiled core or None, and a text about it. ``wanted`` names the only instruction set allowed."""
    try:
        library = ctypes.CDLL(os.fspath(path))
    except OSError as error:
        return None, f"the compiled one cannot be loaded ({error}); python -m jsgmath.native compiles it"
    library.jsgmath_sources.restype = library.jsgmath_instruction_set.restype = ctypes.c_char_p
    if library.jsgmath_sources() != sources().encode():
        return None, "the compiled one was made from other sources; run python -m jsgmath.native"
    names: list[str] = []
    while name := library.jsgmath_instruction_set(len(names)):
        names.append(name.decode())
    if wanted and wanted not in names:
        return None, f"the compiled one has no {wanted} here, but {', '.join(names)}"
    arguments = [ctypes.c_char_p, *6 * [ctypes.c_void_p], ctypes.c_int32, ctypes.c_int32]
    library.jsgmath_diagonal.argtypes, library.jsgmath_full.argtypes = arguments, [*arguments, ctypes.c_void_p]
    library.jsgmath_diagonal.restype = library.jsgmath_full.restype = ctypes.c_int64
    library.jsgmath_gradient.argtypes, library.jsgmath_gradient.restype = arguments, ctypes.c_int64
    library.jsgmath_tensors.argtypes = [ctypes.c_char_p, ctypes.c_int32, ctypes.c_int32]
    library.jsgmath_tensors.restype = ctypes.c_int64
    library.jsgmath_copy.restype = ctypes.c_int64
    library.jsgmath_copy.argtypes = [*2 * [ctypes.c_void_p], ctypes.c_int64, ctypes.c_double, ctypes.c_int32]
    library.jsgmath_families.argtypes = [ctypes.c_char_p, *7 * [ctypes.c_void_p], ctypes.c_int32, ctypes.c_int32]
    library.jsgmath_families.restype = ctypes.c_int64
    library.jsgmath_many.argtypes = [*2 * [ctypes.c_char_p], *2 * [ctypes.c_void_p], *3 * [ctypes.c_int32]]
    library.jsgmath_many.restype = ctypes.c_int64
    library.jsgmath_factor.restype = ctypes.c_int64
    library.jsgmath_factor.argtypes = [*2 * [ctypes.c_void_p], *2 * [ctypes.c_int64], ctypes.c_double]
    library.jsgmath_sums.restype = ctypes.c_int64
    library.jsgmath_sums.argtypes = [ctypes.c_char_p, *5 * [ctypes.c_void_p], ctypes.c_int32]
    place = names.index(wanted) if wanted else 0
    functions = (getattr(library, f"jsgmath_{name}") for name in Core._fields[:-2])
    core = Core._make([*functions, place, names[place]])
    return core, f"instruction set {names[place]}, of {', '.join(names)}"


def chosen_core() -> tuple[Core | None, str]:
    """The core that the environment variable JSGMATH_NATIVE allows, or None; and a text: which one, or why none."""
    wanted = os.environ.get("JSGMATH_NATIVE", "")
    if wanted == "0":
        return None, "JSGMATH_NATIVE=0 turns the compiled one off"
    core, reason = open_core(wanted=wanted)
    if wanted and core is None:
        raise ImportError(f"JSGMATH_NATIVE={wanted}: {reason}")
    return core, reason


CORE, REASON = chosen_core()


def cores() -> int:
    """The number of processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def copied(array: np.ndarray, positive: bool) -> tuple[np.ndarray, bool]:
    """A copy of a float64 array in C order, and whether all numbers are finite and, if required, positive."""
    assert CORE is not None
    copy, smallest = np.empty(array.shape), SMALLEST if positive else -sys.float_info.max
    return copy, CORE.copy(address(array), address(copy), array.size, smallest, CORE.place) == 0


def factored(matrix: np.ndarray) -> np.ndarray | None:
    """Lower Cholesky factors of small float64 matrices in C order; None if one is not symmetric or nearly singular."""
    n = matrix.shape[-1]
    if CORE is None or n > LARGEST_FACTORED or matrix.size == 0 or matrix.dtype != FLOAT64:
        return None
    factors = np.empty(matrix.shape)
    left = CORE.factor(address(matrix), address(factors), matrix.size // n**2, n, LEAST_DETERMINANT)
    return None if left else factors


def diagonal(
    divergence: int,
    reverse: bool,
    forms: tuple[str, str],
    arrays: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray],
    alpha: np.ndarray,
    shape: tuple[int, ...],
    n: int,
    single: bool,
    core: Core | None = None,
) -> tuple[np.ndarray, int]:
    """Values of shape ``shape``, and how many of them are NaN.

    A value is the nearest float64, or float32 if ``single``; it is NaN if the core cannot decide which float that is.

    Args:
        divergence, reverse: a `nearest.Divergence`, and the argument of `formula.mean_weights`.
        arrays: mean1, scale1, mean2, scale2, which broadcast to ``(*shape, n)``.
        alpha: broadcasts to ``shape``.
        core: the core to use instead of the loaded one.
    """
    core = core or CORE
    assert core is not None
    rows = math.prod(shape)
    if rows == 0:
        return np.empty(shape), 0
    held = [_rows(array, (*shape, n)) for array in arrays]
    description, pointers = _described(
        held, alpha, shape, [n] * 4, n, (*(FORMS[form] for form in forms), divergence, reverse, single)
    )
    busy = min(rows, rows * n // ELEMENTS_PER_THREAD)
    return _called(core.diagonal, description, pointers, shape, core, busy)


def gradient(
    divergence: int,
    reverse: bool,
    forms: tuple[str, str],
    arrays: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray],
    alpha: np.ndarray,
    shape: tuple[int, ...],
    n: int,
    core: Core | None = None,
) -> tuple[list[np.ndarray], int]:
    """Derivatives by mean1, v1, log v1, v2, log v2, of shape ``(*shape, n)``, and alpha; and the number of open rows.

    The arguments are those of `diagonal`, without the Jeffreys divergence. The last derivative of an open row, which
    the core cannot decide, is NaN.
    """
    core = core or CORE
    assert core is not None
    rows = math.prod(shape)
    found = np.empty(rows * (5 * n + 1))
    left = 0
    if rows:
        held = [_rows(array, (*shape, n)) for array in arrays]
        numbers = (*(FORMS[form] for form in forms), divergence, reverse, False)
        description, pointers = _described(held, alpha, shape, [n] * 4, n, numbers)
        busy = min(cores(), rows, 5 * rows * n // ELEMENTS_PER_THREAD)
        left = core.gradient(description, *pointers, address(found), core.place, max(1, busy))
    columns = found[: 5 * rows * n].reshape(5, *shape, n)
    return [*columns, found[5 * rows * n :].reshape(shape)], left


def takes(forms: tuple[str, str], n: int) -> bool:
    """Whether `full` accepts pairs of these forms and this dimension."""
    return n <= LARGEST_DIMENSION and FULL_FORMS.keys() >= {*forms}


def full(
    divergence: int,
    reverse: bool,
    forms: tuple[str, str],
    arrays: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray],
    alpha: np.ndarray,
    shape: tuple[int, ...],
    n: int,
    single: bool,
    core: Core | None = None,
    errors: np.ndarray | None = None,
) -> tuple[np.ndarray, int]:
    """Computes what `diagonal` computes, if one Gaussian or both have a full covariance, in forms of `FULL_FORMS`.

    ``errors``, of shape ``(*shape, 3)``, receives the values before rounding, as pairs of doubles, and bounds on their
    errors; then nothing is rounded.
    """
    core = core or CORE
    assert core is not None
    rows = math.prod(shape)
    if rows == 0:
        return np.empty(shape), 0
    axes = [(n,) if place in (0, 2) or forms[place // 2] in FORMS else arrays[place].shape[-2:] for place in range(4)]
    held = [_rows(array, (*shape, *axis), len(axis)) for array, axis in zip(arrays, axes, strict=True)]
    sizes = [math.prod(axis) for axis in axes]
    ranks = (axis[-1] - 1 if form == "low_rank" else 0 for form, axis in zip(forms, axes[1::2], strict=True))
    given = (FULL_FORMS[form] + rank for form, rank in zip(forms, ranks, strict=True))
    numbers = (*given, divergence, reverse, single)
    description, pointers = _described(held, alpha, shape, sizes, n, numbers)
    busy = min(rows // 8, rows * n**3 // (10 * ELEMENTS_PER_THREAD))
    to = None if errors is None else address(errors)
    return _called(core.full, description, pointers, shape, core, busy, to)


def families(
    name: str,
    forms: tuple[int, int],
    divergence: int,
    reverse: bool,
    arrays: Sequence[np.ndarray],
    copies: np.ndarray,
    alpha: np.ndarray,
    shape: tuple[int, ...],
    events: tuple[int, ...],
    k: tuple[int, ...],
    single: bool,
    core: Core | None = None,
) -> tuple[np.ndarray, int]:
    """Computes what `diagonal` computes, for exponential families.

    Args:
        name, forms: one of `FAMILIES`, and 0 or 1 for each member, a `FamilyForm`.
        divergence, reverse: a `FamilyDivergence`, and the argument of `formula.mean_weights`.
        arrays: two parameters of N1 and two of N2, which broadcast to ``(*shape, *events, *k)``.
        copies: factors of the divergences, which broadcast to ``(*shape, *events)``.
        alpha: broadcasts to ``shape``.
        events, k: the axes that are summed over; the axis of a vector of parameters, or none.
    """
    core = core or CORE
    assert core is not None
    rows, n, size = math.prod(shape), math.prod(events), math.prod(k)
    if rows * n == 0:
        return np.zeros(shape), 0
    held = [_rows(array, (*shape, *events, *k), len(events) + len(k)) for array in arrays]
    held.append(_rows(copies, (*shape, *events), len(events)))
    sizes = [*4 * [n * size], n]
    strides = [0 if array.size == size < rows * size else size for array, size in zip(held, sizes, strict=True)]
    alpha = alpha if alpha.size == 1 else np.broadcast_to(alpha, shape)
    held.append(np.ascontiguousarray(alpha, np.float64))
    numbers = int(alpha.size > 1), rows, n, size, FAMILIES[name], *forms, divergence, reverse, single
    pointers = [array.tobytes() if array.size <= SMALL else address(array) for array in held]
    busy = min(rows, rows * n * size // ELEMENTS_PER_THREAD)
    return _called(core.families, FAMILY_SHAPE.pack(*strides, *numbers), pointers, shape, core, busy)


def takes_many(forms: Sequence[str], n: int) -> bool:
    """Whether `many` computes Gaussians of these forms and this dimension, one of them or more of full covariance."""
    return len(forms) * n * n <= LARGEST_OF_MANY and FULL_FORMS.keys() - {"low_rank"} >= {*forms}


def many(
    forms: Sequence[str],
    means: Sequence[np.ndarray],
    scales: Sequence[np.ndarray],
    weights: np.ndarray,
    dual: bool,
    shape: tuple[int, ...],
    n: int,
    single: bool,
    core: Core | None = None,
    errors: bool = False,
) -> tuple[np.ndarray, int]:
    """Computes what `diagonal` computes, for several Gaussians and their product.

    Args:
        means, scales: of each Gaussian, which broadcast to ``(*shape, n)``, or ``(*shape, n, n)``.
        weights: shape ``(4, K, rows)``, or 1 for the rows: those in the sum, their low parts, those in the product,
            their low parts.
        errors: whether each value is a pair and a bound on its error, before it is rounded; of full covariances.
    """
    core = core or CORE
    assert core is not None
    rows, count = math.prod(shape), len(forms)
    if rows == 0:
        return np.empty(shape), 0
    full = not FORMS.keys() >= {*forms}
    codes, weights = FULL_FORMS if full else FORMS, np.ascontiguousarray(weights)
    held: list[np.ndarray] = []
    described = b""
    for form, mean, scale in zip(forms, means, scales, strict=True):
        axis = (n,) if form in FORMS else (n, n)
        pair = [_rows(mean, (*shape, n)), _rows(scale, (*shape, *axis), len(axis))]
        strides = (0 if x.size < rows * size else size for x, size in zip(pair, (n, math.prod(axis)), strict=True))
        described += ONE_OF_MANY.pack(*map(address, pair), *strides, codes[form])
        held += pair
    description = MANY_SHAPE.pack(rows, n, count, weights.shape[-1], dual, 2 if errors else single)
    work, shape = rows * count * (n**3 if full else n), (*shape, 3) if errors else shape
    busy = min(rows // 8, work // (10 * ELEMENTS_PER_THREAD)) if full else min(rows, work // ELEMENTS_PER_THREAD)
    return _called(core.many, description, [described, address(weights)], shape, core, busy, int(full))


def sums(
    columns: np.ndarray,
    one: np.ndarray,
    two: np.ndarray | None,
    shares: Sequence[float],
    own: np.ndarray | None,
    core: Core | None = None,
) -> np.ndarray | None:
    """``X' w X``, high and low parts, and five more numbers (sums.hpp); None if a number is beyond the limits.

    Args:
        columns: the columns of X, of shape ``(c, n)``, in C order.
        one, two, shares: positive numbers whose combination is B, or B itself and None; their shares in it, as pairs.
        own: the weights w are ``own/B^2``, or 1/B if it is None.
    """
    core = core or CORE
    assert core is not None
    c, n = columns.shape
    found = np.empty(2 * c * c + 5)
    pointers = [None if x is None else address(x) for x in (columns, one, two, own)]
    left = core.sums(SUMS_SHAPE.pack(n, c, *shares), *pointers, address(found), core.place)
    return None if left else found


def _called(
    function: Any,
    description: bytes,
    pointers: list[Any],
    shape: tuple[int, ...],
    core: Core,
    busy: int,
    *more: int | None,
) -> tuple[np.ndarray, int]:
    """Calls a function of the library and returns its values; a single value needs no NumPy array.

    Args:
        busy: the number of threads for which the batch is large enough; 0 means 1.
    """
    if math.prod(shape) == 1:
        value = ctypes.c_double()
        left = function(description, *pointers, ctypes.byref(value), core.place, 1, *more)
        return np.array(value.value).reshape(shape), left
    values, threads = np.empty(shape), min(cores(), busy) if busy > 1 else 1
    return values, function(description, *pointers, address(values), core.place, threads, *more)


def _described(
    held: list[np.ndarray],
    alpha: np.ndarray,
    shape: tuple[int, ...],
    sizes: list[int],
    n: int,
    numbers: tuple[int, ...],
) -> tuple[bytes, list[Any]]:
    """The struct Shape and the addresses of the arrays; appends alpha to ``held``, which must live until the call."""
    rows = math.prod(shape)
    alpha = alpha if alpha.size == 1 else np.broadcast_to(alpha, shape)
    strides = [0 if array.size == size < rows * size else size for array, size in zip(held, sizes, strict=True)]
    held.append(np.ascontiguousarray(alpha, np.float64))
    description = SHAPE.pack(*strides, int(alpha.size > 1), rows, n, *numbers)
    return description, [array.tobytes() if array.size <= SMALL else address(array) for array in held]


def _rows(array: np.ndarray, shape: tuple[int, ...], axes: int = 1) -> np.ndarray:
    """``array`` in float64, row by row, or a single row if all are the same."""
    if array.shape != shape and array.size != math.prod(shape[len(shape) - axes :]):
        array = np.broadcast_to(array, shape)
    return np.ascontiguousarray(array, np.float64)
