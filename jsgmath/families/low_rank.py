r"""Gaussians with covariance ``D + W W^T``: D diagonal, W with few columns.  `low_rank_terms.py` has the formulas.

Accuracy: in NumPy, values are correctly rounded in any number of dimensions if both factors together have up to 200
columns, and in up to 200 dimensions for any factors (``tests/rounding/test_nearest_low_rank.py``).  The core computes
them in up to 100 dimensions; the others are computed in whole numbers, from sums over the dimensions that the core
finds.  All other values, and all values in torch, are computed in float64.  Their relative error is the epsilon of
float64 times at most ``max(W^2/D)``, or its square root; with at least as many columns as rows it is a small multiple
of epsilon (`twice_kl_of_wide`).  For covariances that are nearly equal although their factors differ, it is relative to
the difference of the factors (``tests/torch/test_low_rank.py``).
"""

# pyright: reportConstantRedefinition=false

from collections.abc import Sequence
from numbers import Real
from typing import Any, Self

import numpy as np

from jsgmath import formula, special
from jsgmath.checks import check_dimensions, check_pair, common_shape, weight_array
from jsgmath.families.distribution import Distribution
from jsgmath.families.libraries.arithmetic import Array, library_of
from jsgmath.families.low_rank_terms import (
    Parts,
    column,
    concatenate,
    double,
    eye,
    pair_product,
    triangular,
    twice_kl,
    twice_kl_of_wide,
)
from jsgmath.families.normal import Normal
from jsgmath.gaussian import Gaussian
from jsgmath.hints import Convention
from jsgmath.rounding.nearest import Divergence
from jsgmath.rounding.of_pairs import nearest_values

ROUNDED_UP_TO = 200  # columns of both factors, or dimensions if these are fewer; for more, whole numbers take seconds


class LowRankMultivariateNormal(Distribution):
    """Means ``(..., n)``, factors ``W`` of shape ``(..., n, k)`` and diagonals D, ``(..., n)``, of NumPy or torch."""

    event_dim = 1

    def __init__(self, mean: Array, factor: Array, diagonal: Array):
        self.mean, self.factor, self.diagonal = mean, factor, diagonal
        self.library = library_of(mean) or "NumPy"

    @staticmethod
    def spectral(A: Array, gram: Array, Y: Array, dual: bool) -> Array:
        """The sum of g, or gs, over the eigenvalues of ``A gram``, where ``gram = Y^T Y``."""
        # The columns of R are accurate to the last digits; a root of gram would lose half of them.
        R: Any = np.linalg.qr(Y, mode="r")
        x = np.linalg.eigvalsh(R @ A @ R.swapaxes(-1, -2))
        x = np.maximum(x, np.finfo(float).eps - 1)  # 1 + x is positive except for rounding
        return special.numpy_kernel(special.gs if dual else special.g)(x, 1 + x, 1 + x, 0.0).sum(-1)

    @staticmethod
    def certain(condition: Array) -> bool:
        """Whether a condition is known to be true everywhere."""
        return bool(np.all(condition))

    @classmethod
    def from_other(cls, other: Any) -> Any:
        """Converts a diagonal Gaussian to one of rank 0; any other distribution is returned unchanged."""
        if not isinstance(other, Normal) or other.event_dim != 1:
            return other
        return cls(other.mean, 0 * other.std[..., None][..., :0], other.std * other.std)

    def scale_tril(self) -> Array:
        """Lower Cholesky factors of the covariances, ``(..., n, n)``, in float64.

        Computed from ``[W, sqrt(D)]``; the covariance itself would lose twice as many digits.
        """
        m = self.arithmetic
        _, W, D = self.expanded(self.batch_shape, 0)
        return triangular(m, concatenate(m, [W, column(D**0.5) * eye(m, self.dim, D)]))

    @property
    def dim(self) -> int:
        return self.factor.shape[-2]

    @property
    def batch_shape(self) -> tuple[int, ...]:
        return np.broadcast_shapes(self.mean.shape[:-1], self.factor.shape[:-2], self.diagonal.shape[:-1])

    def indexed(self, index: Any) -> Self:
        """A part of the batch."""
        m, batch = self.arithmetic, self.batch_shape
        arrays = zip(self.arrays(), (1, 2, 1), strict=True)
        return type(self)(*(m.broadcast(x, (*batch, *x.shape[-axes:]))[index] for x, axes in arrays))

    def expanded(self, batch: tuple[int, ...], rank: int) -> Parts:
        """Mean, factor and diagonal in float64 and in a batch shape; columns of zeros extend the factor to ``rank``."""
        m = self.arithmetic
        arrays = zip(self.arrays(), (1, 2, 1), strict=True)
        mean, factor, diagonal = (m.broadcast(double(m, x), (*batch, *x.shape[-axes:])) for x, axes in arrays)
        missing = rank - factor.shape[-1]
        if missing <= 0:
            return mean, factor, diagonal
        zeros = m.xp.zeros((*batch, self.dim, missing), dtype=mean.dtype, device=mean.device)
        return mean, concatenate(m, [factor, zeros]), diagonal

    def skew(self, other: Self, alpha: Any, convention: Convention, dual: bool) -> Array:
        """JSG or JSG* between two batches of one library, computed in float64."""
        check_pair(self, other)
        check_dimensions(self.dim, other.dim)
        m = self.arithmetic
        w1, w2, g1, g2 = self.weights("alpha", alpha, convention)
        batch = common_shape(
            "batch shapes", {"N1": self.batch_shape, "N2": other.batch_shape, "alpha": tuple(w1.shape)}
        )
        rank = max(self.factor.shape[-1], other.factor.shape[-1])
        ranks = self.factor.shape[-1] + other.factor.shape[-1]
        if m.library == "NumPy" and min(self.dim, ranks) <= ROUNDED_UP_TO:
            divergence = Divergence.JSG_DUAL if dual else Divergence.JSG
            pair = self._as_gaussian(), other._as_gaussian()
            return nearest_values(divergence, convention == "deasy", *pair, weight_array("alpha", alpha), batch)[()]
        first, second = self.expanded(batch, rank), other.expanded(batch, rank)
        compute = twice_kl if rank < self.dim else twice_kl_of_wide
        with m.quiet():
            # At alpha 0 and 1 one of the two divergences has weight zero.
            twice1 = twice2 = 0.0
            if not isinstance(alpha, Real) or alpha != 1:
                twice1 = compute(m, self, first, second, column(g1), column(g2), dual)
            if not isinstance(alpha, Real) or alpha != 0:
                twice2 = compute(m, self, second, first, column(g2), column(g1), dual)
            value = formula.skew(w1, w2, twice1 / 2, twice2 / 2)
        value = m.where(value < 0, 0.0, value)  # rounding may make the divergence of equal Gaussians negative
        return m.rounded(value, m.result_type(*self.arrays(), *other.arrays()))

    def _as_gaussian(self) -> Gaussian:
        """Converts a batch to a `Gaussian` of the form ``"low_rank"``, whose scale is ``[W, D]``."""
        m, batch = self.arithmetic, self.batch_shape
        dtype = m.result_type(*self.arrays())
        W = m.broadcast(self.factor, (*batch, *self.factor.shape[-2:]))
        D = m.broadcast(self.diagonal, (*batch, self.dim))[..., None]
        return Gaussian.checked("low_rank", self.mean.astype(dtype), np.concatenate([W, D], -1).astype(dtype), None)

    def geometric_mean(self, other: Self, weight: Any) -> Self:
        """The normalised geometric mean; its rank is the sum of the two ranks."""
        _, _, g1, g2 = self.weights("weight", weight, "nielsen")
        return self.product([self, other], [g1, g2])

    @classmethod
    def product(cls, members: Sequence[Self], weights: Sequence[Array]) -> Self:
        """The normalised geometric mean of any number of members; its rank is the sum of their ranks."""
        m = members[0].arithmetic
        shapes = {f"gaussians[{i}]": N.batch_shape for i, N in enumerate(members)}
        shapes |= {f"weights[{i}]": tuple(w.shape) for i, w in enumerate(weights)}
        batch = common_shape("batch shapes", shapes)
        G, so_far = members[0].expanded(batch, 0), double(m, weights[0])
        for N, weight in zip(members[1:], weights[1:], strict=True):
            check_dimensions(members[0].dim, N.dim)
            so_far, share = so_far + double(m, weight), double(m, weight)
            share = share / (so_far + (so_far == 0))
            G = pair_product(m, G, N.expanded(batch, 0), column(1 - share), column(share))
        dtypes = (m.result_type(*same) for same in zip(*(N.arrays() for N in members), strict=True))
        return cls(*(m.rounded(x, dtype) for x, dtype in zip(G, dtypes, strict=True)))

    def arrays(self) -> Parts:
        return self.mean, self.factor, self.diagonal

    def weights(self, name: str, alpha: Any, convention: Convention) -> tuple[Array, Array, Array, Array]:
        """``w1, w2, g1, g2`` in float64, one per member of the batch."""
        m = self.arithmetic
        alpha = m.weight(name, alpha, self.mean)
        w1, w2 = (double(m, m.array(w, self.mean)) for w in (1 - alpha, alpha))
        g1, g2, _ = formula.mean_weights(w1, w2, convention == "deasy")
        return w1, w2, g1, g2
