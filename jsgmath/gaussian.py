"""Gaussian distributions: a mean, and a scale in the form in which the user gave it."""

from typing import Any, ClassVar, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from jsgmath import native
from jsgmath.checks import FLOAT64, common_shape, real_array

DIAGONAL = ("var", "logvar", "std")
DENSE = ("cov", "scale_tril", "precision")
MANY = 2000  # the core copies and checks arrays of at least this size faster than NumPy


class Gaussian:
    r"""A Gaussian, or a batch of them, in ``n`` dimensions.

    Give exactly one scale.  It is kept in its form: a log-variance is not rounded to a variance, and a Cholesky factor
    is not multiplied out and factored again.

    Args:
        mean: shape ``(..., n)``, finite; a scalar is the mean of every dimension.
        var: variances of a diagonal covariance, shape ``(..., n)``, positive and finite.  A last axis of length 1
            means equal variances, here and in the next two forms.
        logvar: natural logarithms of the variances, finite.
        std: standard deviations, positive and finite.
        cov: covariance matrix, shape ``(..., n, n)``, symmetric and positive definite; or a `scipy.stats.Covariance`,
            whose factor is used.  In one dimension a scalar is accepted, because `numpy.cov` returns one.
        scale_tril: lower Cholesky factor of the covariance, with a positive diagonal.
        precision: inverse of the covariance, symmetric and positive definite.

    Leading axes are batch axes and broadcast.  float32 and float64 stay as they are; float16 becomes float32, and
    integers become float64.  A ``cov`` or ``precision`` may be as asymmetric as rounding makes a product or the inverse
    of a matrix; it is then replaced by its symmetric part.

    Raises:
        TypeError: the number of scales is not one, or an array is not of real numbers.
        ValueError: the shapes do not match, a value is outside the range given above, or an entry is masked.

    >>> Gaussian(mean=[1.0, 0.0], var=[0.5, 2.0])
    Gaussian(mean=[1.0, 0.0], var=[0.5, 2.0])
    >>> Gaussian(mean=0.0, cov=[[4.0, 2.0], [2.0, 3.0]]).scale_tril.tolist()
    [[2.0, 0.0], [1.0, 1.4142135623730951]]
    """

    __slots__ = ("_factor", "_form", "_mean", "_scale")

    library: ClassVar[str] = "NumPy"
    event_dim: ClassVar[int] = 1  # trailing axes of the mean that belong to one Gaussian, as in torch.distributions

    _factor: np.ndarray | None
    _form: str
    _mean: np.ndarray
    _scale: np.ndarray

    def __init__(
        self,
        mean: ArrayLike,
        *,
        var: ArrayLike | None = None,
        logvar: ArrayLike | None = None,
        std: ArrayLike | None = None,
        cov: ArrayLike | Any | None = None,
        scale_tril: ArrayLike | None = None,
        precision: ArrayLike | None = None,
    ):
        given: dict[str, Any] = dict(
            var=var, logvar=logvar, std=std, cov=cov, scale_tril=scale_tril, precision=precision
        )
        forms = [form for form, scale in given.items() if scale is not None]
        if len(forms) != 1:
            got = " and ".join(forms) if forms else "none"
            raise TypeError(f"Gaussian takes exactly one of {', '.join(given)}; got {got}")
        self._form, scale, factor = forms[0], given[forms[0]], None
        if self._form == "cov" and type(cov).__module__.startswith("scipy.stats."):
            self._form, scale, factor = _of_scipy(cov)
        mean, scale = real_array("mean", mean), real_array(self._form, scale)
        dtype = mean.dtype if mean.dtype == scale.dtype else np.result_type(mean, scale)
        mean = _checked_copy("mean", mean)
        if self._form in DIAGONAL:
            scale, n = _checked_copy(self._form, scale), mean.shape[-1] if mean.ndim else 1
            if scale.ndim == 0 or scale.shape[-1] == 1 != n:  # one number for every dimension
                scale = np.broadcast_to(scale, (*scale.shape[:-1], n)).copy()
        else:
            if scale.ndim == 0 and mean.size == np.prod(mean.shape[:-1]):  # in one dimension
                scale = scale.reshape(1, 1)
            _check_square(self._form, scale)
            scale = _checked_copy(self._form, scale)
            if self._form != "scale_tril":
                factors = native.factored(scale)
                scale = _symmetric(self._form, scale) if factors is None else scale
                factor = factors if factor is None else factor
        self._mean = _freeze(_match_dimension(mean, scale, self._form).astype(dtype, copy=False))
        self._scale = _freeze(scale.astype(dtype, copy=False))
        if factor is not None:
            self._factor = _freeze(factor.astype(np.float64))
        else:
            self._factor = None if self._form in DIAGONAL else _freeze(_factor(self._form, scale))

    @classmethod
    def checked(cls, form: str, mean: np.ndarray, scale: np.ndarray, factor: np.ndarray | None) -> "Gaussian":
        """Makes a Gaussian from arrays that have been checked, without factoring again."""
        other = object.__new__(cls)
        other._form, other._mean, other._scale = form, _freeze(mean), _freeze(scale)
        other._factor = factor if factor is None else _freeze(factor)
        return other

    def __reduce__(self) -> tuple[Any, ...]:
        """Lets a copy, also by way of pickle, keep its arrays read-only."""
        return self.checked, (self._form, self._mean, self._scale, self._factor)

    def astype(self, dtype: DTypeLike) -> "Gaussian":
        """Returns the same Gaussian with its arrays in ``dtype``."""
        return self.checked(self._form, self._mean.astype(dtype), self._scale.astype(dtype), self._factor)

    def indexed(self, index: Any) -> "Gaussian":
        """A part of the batch."""
        axes = 1 if self.is_diagonal else 2
        batch = self.batch_shape

        def part(x: np.ndarray, axes: int) -> np.ndarray:
            shape = (*batch, *x.shape[x.ndim - axes :])
            return (x if x.shape == shape else np.broadcast_to(x, shape))[index]

        factor = self._factor if self._factor is None else part(self._factor, 2)
        return self.checked(self._form, part(self._mean, 1), part(self._scale, axes), factor)

    @property
    def form(self) -> str:
        """The name of the scale that was given: ``"var"``, ``"cov"`` and so on."""
        return self._form

    @property
    def mean(self) -> np.ndarray:
        """Shape ``(..., n)``."""
        return self._mean

    @property
    def scale(self) -> np.ndarray:
        """The scale as it was given."""
        return self._scale

    @property
    def factor(self) -> np.ndarray:
        """Lower Cholesky factor, in float64, of the precision if it was given, otherwise of the covariance."""
        return self._factor if self._factor is not None else _diagonal_matrix(np.sqrt(self.var.astype(float)))

    @property
    def dtype(self) -> np.dtype[Any]:
        return self._mean.dtype

    @property
    def dim(self) -> int:
        """Dimension ``n``."""
        return self._mean.shape[-1]

    @property
    def batch_shape(self) -> tuple[int, ...]:
        scale_batch = self._scale.shape[: -1 if self.is_diagonal else -2]
        mean_batch = self._mean.shape[:-1]
        return mean_batch if mean_batch == scale_batch else np.broadcast_shapes(mean_batch, scale_batch)

    @property
    def is_diagonal(self) -> bool:
        """Whether the scale was given as one number per dimension."""
        return self._form in DIAGONAL

    @property
    def var(self) -> np.ndarray:
        """Marginal variances, shape ``(..., n)``."""
        if self._form == "var":
            return self._scale
        if self._form == "logvar":
            return np.exp(self._scale)
        if self._form == "std":
            return self._scale**2
        return np.diagonal(self.cov, axis1=-2, axis2=-1)

    @property
    def logvar(self) -> np.ndarray:
        """Logarithms of the marginal variances, shape ``(..., n)``."""
        if self._form == "std":
            return 2 * np.log(self._scale)
        return self._scale if self._form == "logvar" else np.log(self.var)

    @property
    def cov(self) -> np.ndarray:
        """Covariance matrix, shape ``(..., n, n)``."""
        if self._form == "cov":
            return self._scale
        if self.is_diagonal:
            return _diagonal_matrix(self.var)
        half = self.factor
        if self._form == "precision":
            half = inverse_of_tril(half).swapaxes(-1, -2)
        return (half @ half.swapaxes(-1, -2)).astype(self.dtype)

    @property
    def scale_tril(self) -> np.ndarray:
        """Lower Cholesky factor of the covariance, shape ``(..., n, n)``."""
        if self._form == "precision":
            return np.linalg.cholesky(self.cov)
        if self._form in ("std", "logvar"):  # the variances may overflow or underflow
            return _diagonal_matrix(self._scale if self._form == "std" else np.exp(self._scale / 2))
        return self.factor.astype(self.dtype)

    @property
    def precision(self) -> np.ndarray:
        """Inverse of the covariance, shape ``(..., n, n)``."""
        if self._form == "precision":
            return self._scale
        if self.is_diagonal:
            return _diagonal_matrix(np.exp(-self._scale) if self._form == "logvar" else 1 / self.var)
        inverse = inverse_of_tril(self.factor)
        return (inverse.swapaxes(-1, -2) @ inverse).astype(self.dtype)

    def __repr__(self) -> str:
        return f"Gaussian(mean={self._mean.tolist()}, {self._form}={self._scale.tolist()})"


def inverse_of_tril(factor: np.ndarray) -> np.ndarray:
    """The inverses of lower triangular matrices."""
    from scipy.linalg import solve_triangular  # imported here, because this takes longer than the import of jsgmath

    return solve_triangular(factor, np.broadcast_to(np.eye(factor.shape[-1]), factor.shape), lower=True)


def _checked_copy(name: str, array: np.ndarray) -> np.ndarray:
    """Copies an array in C order; checks that it is finite, and that variances and standard deviations are positive."""
    positive = name in ("var", "std")
    if array.size >= MANY and native.CORE is not None and array.dtype == FLOAT64 and array.flags.c_contiguous:
        copy, sound = native.copied(array, positive)
    else:
        copy, good = array.copy(), np.isfinite(array) & (array > 0) if positive else np.isfinite(array)
        sound = np.count_nonzero(good) == good.size
    if not sound:
        good = np.isfinite(array) & ((array > 0) | (not positive))
        raise ValueError(f"{name} must be {'positive and ' * positive}finite, got {_first(array, ~good)}")
    return copy


def _check_square(form: str, matrix: np.ndarray) -> None:
    if matrix.ndim < 2 or matrix.shape[-1] != matrix.shape[-2]:
        hint = "; pass a diagonal as var=" if form == "cov" else ""
        raise ValueError(f"{form} must have shape (..., n, n), got {matrix.shape}{hint}")


def _match_dimension(mean: np.ndarray, scale: np.ndarray, form: str) -> np.ndarray:
    n = scale.shape[-1]
    mean = np.broadcast_to(mean, (n,)).copy() if mean.ndim == 0 else mean
    if mean.shape[-1] != n:
        raise ValueError(f"mean has dimension {mean.shape[-1]} but {form} has {n}; they must be equal")
    if n == 0:
        raise ValueError("a Gaussian needs at least one dimension, got 0")
    batch, scale_batch = mean.shape[:-1], scale.shape[: -1 if form in DIAGONAL else -2]
    if batch != scale_batch:
        common_shape("batch shapes", {"mean": batch, form: scale_batch})
    return mean


def _of_scipy(covariance: Any) -> tuple[str, np.ndarray, np.ndarray | None]:
    """Form, scale and factor of a `scipy.stats.Covariance`, read from its private attributes."""
    kind = type(covariance).__name__
    if kind == "CovViaCholesky":
        return "scale_tril", covariance._factor, None
    if kind == "CovViaDiagonal":
        return "var", np.diagonal(covariance.covariance, axis1=-2, axis2=-1), None
    if kind == "CovViaPrecision":
        return "precision", covariance._precision, covariance._chol_P
    if kind == "CovViaEigendecomposition":
        # S = V w V^T = R^T R with R triangular.  The largest rows come first, so that the small ones keep their digits.
        values = covariance._w[..., None]
        if not (values > 0).all():
            raise ValueError(
                f"cov is singular (smallest eigenvalue {values.min():.2g}); make every eigenvalue positive"
            )
        root = np.sqrt(np.maximum(values, 0)) * covariance._v.swapaxes(-1, -2)
        R: Any = np.linalg.qr(np.take_along_axis(root, np.argsort(-values, axis=-2), -2), mode="r")
        signs = np.where(np.diagonal(R, axis1=-2, axis2=-1) < 0, -1.0, 1.0)
        return "scale_tril", (R * signs[..., None]).swapaxes(-1, -2), None
    return "cov", covariance.covariance, None


def _symmetric(form: str, matrix: np.ndarray) -> np.ndarray:
    """Removes asymmetry that comes from rounding in a product or an inversion; raises if there is more."""
    transpose = matrix.swapaxes(-1, -2)
    equal = matrix == transpose
    if np.count_nonzero(equal) == equal.size:
        return matrix
    size = np.sqrt(np.abs(np.diagonal(matrix, axis1=-2, axis2=-1)))
    size = size[..., :, None] * size[..., None, :]
    rounding = matrix.shape[-1] * np.finfo(matrix.dtype).eps
    with np.errstate(all="ignore"):
        difference, unit = np.abs(matrix - transpose), matrix / size
    if (difference > 100 * rounding * size).any() and not _inverted(unit, rounding):
        raise ValueError(
            f"{form} is not symmetric (entries differ by {difference.max():.2g}); "
            f"pass ({form} + {form}.T) / 2 if that is intended"
        )
    return np.where(equal, matrix, matrix / 2 + transpose / 2)  # matrix + transpose might overflow


def _inverted(matrix: np.ndarray, rounding: float) -> bool:
    """Whether a matrix of unit diagonal is at most as asymmetric as rounding makes the inverse of a matrix."""
    transpose = matrix.swapaxes(-1, -2)
    if not np.isfinite(matrix).all():
        return False
    eigenvalues = np.linalg.eigvalsh((matrix + transpose) / 2)
    asymmetry = np.abs(matrix - transpose).max((-2, -1))
    return bool((asymmetry * eigenvalues[..., 0] <= rounding * eigenvalues[..., -1]).all() & (eigenvalues > 0).all())


def _factor(form: str, matrix: np.ndarray) -> np.ndarray:
    """Lower Cholesky factor in float64; raises if the matrix has none."""
    eps = np.finfo(matrix.dtype).eps  # of the original type, so that a matrix that is singular in float32 is refused
    matrix = matrix.astype(np.float64, copy=False)
    diagonal = matrix.diagonal(axis1=-2, axis2=-1)
    if form == "scale_tril":
        upper = np.triu(matrix, 1)
        if upper.any() or not (diagonal > 0).all():
            got = f"{_first(upper, upper != 0)} above" if upper.any() else f"{_first(diagonal, ~(diagonal > 0))} on"
            raise ValueError(
                f"scale_tril must be lower triangular with a positive diagonal, got {got} the diagonal; "
                "pass numpy.linalg.cholesky(cov)"
            )
        return matrix
    try:
        factor = np.linalg.cholesky(matrix)
        definite = factor.diagonal(axis1=-2, axis2=-1) ** 2 > matrix.shape[-1] * eps * diagonal
    except np.linalg.LinAlgError:
        factor = definite = np.zeros(1)
    if np.count_nonzero(definite) != definite.size:
        smallest = np.linalg.eigvalsh(matrix).min()
        raise ValueError(
            f"{form} is not positive definite (smallest eigenvalue {smallest:.2g}); "
            f"pass {form} + jitter * I if that is intended"
        )
    return factor


def _diagonal_matrix(diagonal: np.ndarray) -> np.ndarray:
    matrix = np.zeros((*diagonal.shape, diagonal.shape[-1]), diagonal.dtype)
    np.einsum("...ii->...i", matrix)[...] = diagonal
    return matrix


def _first(array: np.ndarray, where: np.ndarray) -> Any:
    return array[where].flat[0]  # one wrong entry is enough for a message


def _freeze(array: np.ndarray) -> np.ndarray:
    array.setflags(write=False)
    return array


GaussianLike: TypeAlias = Gaussian | Any  # or a normal distribution of another library
