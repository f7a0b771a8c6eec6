r"""Turns several Gaussians of full covariance and their product of experts G into scalar pairs of each N_k and G.

More than two covariances cannot be diagonalised together, but each N_k and G can.  All matrices are computed in twice
the precision of float64 (`twofold.py`) in units in which the precision of G has entries of about one,

    P = sum_j g_j P_j,    P_k - P = sum_j g_j (P_k - P_j),    P (m_k - m_G) = sum_j g_j P_j (m_k - m_j)

so that the last two keep their digits if the Gaussians are close, and are 0 if they are equal.
"""

# pyright: reportConstantRedefinition=false

from collections.abc import Sequence
from functools import reduce
from operator import add
from typing import Any

import numpy as np

from jsgmath.gaussian import Gaussian, inverse_of_tril
from jsgmath.reduction.full import AT_ONCE, NotDiagonalised, diagonalised_pair, flat, joined
from jsgmath.reduction.pairs import Reduced
from jsgmath.reduction.scaling import FlatBatch, GivenCovariance, ScaledPair, given_covariance, own_unit
from jsgmath.reduction.twofold import Twofold
from jsgmath.reduction.wide import Wide

LARGEST = 2**20  # greater than every exponent
Shares = Sequence[Wide]


def pairs_with_product(found: Sequence[Gaussian], weights: Shares) -> list[Reduced]:
    """The scalar pairs of each Gaussian, as N1, and G, as N2; the weights of G broadcast with the batch."""
    batch, parts = _parts(found, weights)
    try:
        pairs = [[diagonalised_pair(part.pair(k)) for part in parts] for k in range(len(found))]
    except np.linalg.LinAlgError:
        raise NotDiagonalised("the Gaussians and their product cannot be diagonalised together in float64") from None
    return [joined(of_one, batch)[0] for of_one in pairs]


def product_of(found: Sequence[Gaussian], weights: Shares) -> tuple[Wide, Wide]:
    """The mean and the precision of G."""
    batch, parts = _parts(found, weights)
    moments = [part.moments() for part in parts]
    highs, lows = (
        [np.concatenate(same)[: int(np.prod(batch))] for same in zip(*halves, strict=True)]
        for halves in ([[x.high for x in pair] for pair in moments], [[x.low for x in pair] for pair in moments])
    )
    mean, precision = (Wide(*pair).reshaped((*batch, *pair[0].shape[1:])) for pair in zip(highs, lows, strict=True))
    return mean, precision


def _parts(found: Sequence[Gaussian], weights: Shares) -> tuple[tuple[int, ...], list["_Product"]]:
    """The batch shape, and a `_Product` for each part of the batch, so that few matrices are processed together."""
    batch = np.broadcast_shapes(*(N.batch_shape for N in found), *(w.shape for w in weights))
    sides = [flat(N, batch) for N in found]
    n, count = found[0].dim, int(np.prod(batch))
    shares = [w.broadcast_to(batch).reshaped((count,)) for w in weights]
    if not count:  # LAPACK refuses an empty batch; one product gives the shapes
        sides = len(found) * [FlatBatch("cov", np.zeros((1, n)), *2 * [np.eye(n)[None]])]
        shares = [Wide.of(np.full(1, 1 / len(found)))] * len(found)
    step = max(1, AT_ONCE // n**2)
    cuts = [slice(i, i + step) for i in range(0, max(1, count), step)]
    return batch, [
        _Product([FlatBatch(s.form, *(x[cut] for x in s[1:])) for s in sides], [w[cut] for w in shares]) for cut in cuts
    ]


class _Product:
    """A flat batch of products of experts."""

    def __init__(self, sides: list[FlatBatch], weights: Shares):
        self.sides, self.weights = sides, weights
        self.halves = [_half_of_precision(side) for side in sides]
        roots = [np.sqrt(w.high)[:, None, None] for w in weights]
        stacked = [np.where(x == 0, 0, x * H.swapaxes(1, 2)) for x, H in zip(roots, self.halves, strict=True)]
        R: Any = np.linalg.qr(np.concatenate(stacked, 1), mode="r")
        self.factor: np.ndarray = R.swapaxes(1, 2)
        self.unit = np.frexp(np.abs(self.factor).max(2))[1]
        self.square = -self.unit[:, :, None] - self.unit[:, None, :]
        self.given = [given_covariance(side, swapped=False) for side in sides]
        self.precisions = [_precision(given).scaled(self.square) for given in self.given]
        self.shares = [_times(P, w) for P, w in zip(self.precisions, weights, strict=True)]
        self.total: Twofold = reduce(add, self.shares)

    def difference(self, k: int, j: int) -> Twofold:
        """``P_k - P_j``, computed so or as ``P_k (S_j - S_k) P_j``: the one with the smaller bound on its error."""
        direct = self.precisions[k] + -self.precisions[j]
        first, second = self.given[k], self.given[j]
        if first.kind != second.kind or first.kind == "inverse":
            return direct
        apart = second.given + -first.given
        if first.kind == "factor":
            apart = apart @ second.given.T + first.given @ apart.T
        back = -self.square
        product = self.precisions[k] @ apart.scaled(back) @ self.precisions[j]
        better = product.error < direct.error
        return Twofold(*(np.where(better, *x) for x in zip(_entries(product), _entries(direct), strict=True)))

    def force(self, origin: np.ndarray) -> tuple[Twofold, np.ndarray]:
        """``P (origin - m_G)``, as a column, and the exponents of the powers of two that it was divided by."""
        # The halves of the means do not overflow when they are subtracted.
        deltas = [Twofold(origin[:, :, None] / 2) + -Twofold(side.mean[:, :, None] / 2) for side in self.sides]
        exponents = [np.max(np.frexp(d.high[:, :, 0])[1] + self.unit, axis=1) for d in deltas]
        counted = [np.where(w.high == 0, -LARGEST, x) for w, x in zip(self.weights, exponents, strict=True)]
        exponent = np.max(counted, axis=0)
        shift = (self.unit - exponent[:, None])[:, :, None]
        terms = [
            P @ _kept(d.scaled(shift), w.high != 0) for P, d, w in zip(self.shares, deltas, self.weights, strict=True)
        ]
        return reduce(add, terms), exponent + 1

    def pair(self, k: int) -> ScaledPair:
        """N_k and G as a `ScaledPair`, with their precisions in place of the covariances."""
        half = np.ldexp(self.halves[k], -self.unit[:, :, None])
        own = own_unit(half, np.zeros_like(self.unit))
        shift = -own[:, None, None]
        parts = [_times(self.difference(k, j), self.weights[j]) for j in range(len(self.sides)) if j != k]
        zero = Twofold(np.zeros_like(half))
        force, exponent = self.force(self.sides[k].mean)
        return ScaledPair(
            half=np.ldexp(half, shift),
            whitening=inverse_of_tril(np.ldexp(self.factor, -self.unit[:, :, None])),
            first=GivenCovariance("square", self.precisions[k].scaled(2 * shift)),
            second=GivenCovariance("square", self.total),
            difference=reduce(add, parts, zero),
            swapped=True,
            displacement=force,
            mapped=True,
            unit=self.unit,
            unit1=own,
            unit_displacement=exponent,
        )

    def moments(self) -> tuple[Wide, Wide]:
        """Mean and precision of G, with the mean of largest weight as origin, so that a far mean costs no digits."""
        means = np.stack([side.mean for side in self.sides])
        origin = np.take_along_axis(means, np.argmax([w.high for w in self.weights], axis=0)[None, :, None], 0)[0]
        force, exponent = self.force(origin)
        shift = (self.total.inverse() @ force).scaled((exponent[:, None] - self.unit)[:, :, None])
        mean = origin - Wide(shift.high[:, :, 0], shift.low[:, :, 0])
        precision = self.total.scaled(-self.square)
        return mean, Wide(precision.high, precision.low)


def _half_of_precision(side: FlatBatch) -> np.ndarray:
    """H with ``H H^T`` the precision, in float64."""
    return side.factor if side.form == "precision" else inverse_of_tril(side.factor).swapaxes(1, 2)


def _precision(given: GivenCovariance) -> Twofold:
    """The inverse of a covariance."""
    if given.kind == "inverse":
        return given.given
    inverse = given.given.inverse()
    return inverse.T @ inverse if given.kind == "factor" else inverse


def _times(matrix: Twofold, weight: Wide) -> Twofold:
    """Matrices times weights, which are zero where the weight is zero."""
    factor = Twofold(weight.high[:, None, None], weight.low[:, None, None])
    return _kept(matrix.times(factor), weight.high != 0)


def _kept(matrix: Twofold, where: np.ndarray) -> Twofold:
    """The matrices, with zeros in place of those for which ``where`` is false."""
    return Twofold(*(np.where(where[:, None, None], x, 0.0) for x in _entries(matrix)))


def _entries(matrix: Twofold) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return matrix.high, matrix.low, matrix.error
