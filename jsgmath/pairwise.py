r"""Matrices of the divergences between many distributions.

Between diagonal Gaussians each entry is a sum over the coordinates of closed forms, which are cheap for all pairs at
once.  With ``s = g1 v2 + g2 v1``,

    L = sum w1 log v2 + w2 log v1 - log s
    2 JSG  = sum w1 g2 v1/v2 + w2 g1 v2/v1 + (w1 g2^2 v1/v2 + w2 g1^2 v2/v1) (m1 - m2)^2/s + L - n (w1 g2 + w2 g1)
    2 JSG* = sum (w1 v2 + w2 v1)/s + (w1 g2^2 v1 + w2 g1^2 v2) (m1 - m2)^2/s^2 - L - n

These cancel if two Gaussians are close.  Each entry therefore comes with a bound on its rounding error.  If the bound
is too large, the entry is computed again by `formula.py` in float64, or by `jsg` if a ratio of variances leaves the
range of float64.
"""

import os
from functools import cache
from typing import Any, TypeGuard

import numpy as np

from jsgmath import formula, special
from jsgmath.checks import as_weight, check_convention, check_dimensions
from jsgmath.divergences import jsg, jsg_dual
from jsgmath.families.arithmetic import Array, arithmetic, library_of
from jsgmath.families.distribution import Distribution
from jsgmath.gaussian import Gaussian
from jsgmath.hints import Convention
from jsgmath.interop.batches import batch_of, members, stacked
from jsgmath.reduction.diagonal import diagonal_pairs, spread

Batch = Gaussian | Distribution

RELATIVE = 1e-12  # largest error of an entry that is not computed again
BLOCK = 2**15  # entries that are computed together, so that they stay in the cache
AGAIN = 2**16  # coordinates of the pairs that are computed again together
FACTORS = 8  # numbers that are multiplied before a logarithm is taken, fewer if the product may leave float64
RANGE = 700.0  # largest logarithm of a float64
SMALLEST = 1e-50  # smallest weight whose powers stay in float64; for smaller ones `jsg` computes all entries
WIDEST = 300.0  # largest log-ratio of variances that is computed in float64


def pairwise(
    gaussians: Any, alpha: Any, others: Any = None, *, dual: bool = False, convention: Convention = "deasy"
) -> Array:
    r"""Skew-geometric Jensen-Shannon divergences from each of ``gaussians`` to each of ``others``, in nats.

    Args:
        gaussians: a sequence of K Gaussians, each as in `jsg`, or one batch of shape ``(K,)``.
        alpha: weight of the second Gaussian of a pair, a single number in [0, 1].
        others: a sequence or batch of L Gaussians; by default ``gaussians``.
        dual: whether to compute JSG* [1, eq. 10] instead of JSG [1, eq. 8].
        convention: ``"deasy"`` or ``"nielsen"``, as in `jsg`.

    Returns:
        An array of shape ``(K, L)``; entry ``[i, j]`` is the divergence from ``gaussians[i]`` to ``others[j]``.
        Without ``others`` the diagonal is 0, and at alpha 0.5 the matrix is symmetric to the last bit, as scikit-learn
        (``metric="precomputed"``) and `scipy.spatial.distance.squareform` require; at another alpha use
        ``(D + D.T) / 2``.

    Raises:
        TypeError, ValueError: as in `jsg`; or alpha is not a single number.

    Accuracy: a relative error of 1e-12 between diagonal Gaussians of NumPy, otherwise that of `jsg`.  A thousand
    Gaussians of 50 dimensions take less than a second on two cores, or some seconds if all are nearly equal; full
    covariances take 0.3 ms per pair.

    References: [1] Deasy et al. 2020, https://arxiv.org/abs/2006.10599

    >>> print(pairwise(Gaussian(mean=[[0.0], [1.0], [5.0]], var=1.0), 0.5))
    [[0.    0.125 3.125]
     [0.125 0.    2.   ]
     [3.125 2.    0.   ]]
    """
    check_convention(convention)
    if np.ndim(alpha):
        raise ValueError(f"alpha must be a single number for a matrix, got shape {tuple(np.shape(alpha))}")
    first = collected("gaussians", gaussians)
    second = first if others is None else collected("others", others)
    symmetric = others is None and library_of(alpha) is None and alpha == 0.5
    if is_diagonal(first) and is_diagonal(second):
        return DiagonalPairs(first, second, alpha, dual, convention).matrix(symmetric)
    function = jsg_dual if dual else jsg
    columns = second if isinstance(second, list) else [second]
    rows = [[function(N1, N2, alpha, convention=convention) for N2 in columns] for N1 in separate(first)]
    m = arithmetic(library_of(rows[0][0]) or "NumPy")
    matrix = m.stack([row[0] if columns[0] is second else m.stack(row, 0) for row in rows], 0)
    if not symmetric:
        return matrix
    upper = m.array(np.triu(np.ones(matrix.shape[:2], bool)), matrix)
    return m.where(upper, matrix, matrix.swapaxes(0, 1))


def collected(name: str, distributions: Any) -> Batch | list[Any]:
    """Converts the distributions to one batch, or to a list if their classes or shapes differ."""
    if not isinstance(distributions, list | tuple):
        batch = batch_of(name, distributions)
        check_axes(name, batch, 1, "(K,)")
        return batch
    found = members(name, distributions)
    for i, one in enumerate(found):
        check_axes(f"{name}[{i}]", one, 0, "()")
    batch = stacked(found[0], found)
    return found if batch is None else batch


def is_diagonal(collection: Batch | list[Any]) -> TypeGuard[Gaussian]:
    """Whether this is a batch of diagonal Gaussians of NumPy, whose batch has one axis."""
    return isinstance(collection, Gaussian) and collection.is_diagonal and len(collection.batch_shape) == 1


def check_axes(name: str, distribution: Any, axes: int, wanted: str) -> None:
    """Checks the number of batch axes."""
    shape = tuple(distribution.batch_shape)
    if len(shape) != axes:
        raise ValueError(
            f"{name} has batch shape {shape}, wanted {wanted}; wrap components of one distribution in Independent"
        )


def separate(collection: Batch | list[Any]) -> list[Any]:
    """The distributions as a list."""
    if isinstance(collection, list):
        return collection
    return [collection.indexed(i) for i in range(collection.batch_shape[0])]


class DiagonalPairs:
    """All pairs of two batches of diagonal Gaussians."""

    first: Gaussian
    second: Gaussian
    alpha: Any
    dual: bool
    convention: Convention
    weights: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]  # w1, w2, g1, g2
    rows: tuple[np.ndarray, np.ndarray]  # means and variances of the first batch, scaled by powers of two
    columns: tuple[np.ndarray, np.ndarray]  # those of the second batch
    ratios: np.ndarray  # the weighted sums of the ratios of variances

    def __init__(self, first: Gaussian, second: Gaussian, alpha: Any, dual: bool, convention: Convention):
        check_dimensions(first.dim, second.dim)
        first, second = (x.indexed(slice(None)) for x in (first, second))  # gives every array the axis of the batch
        self.first, self.second = first, second
        self.alpha, self.dual, self.convention = alpha, dual, convention
        w2 = as_weight("alpha", alpha)
        self.weights = 1 - w2, w2, *formula.mean_weights(1 - w2, w2, convention == "deasy")[:2]
        self.tiny = bool(0 < w2 < SMALLEST)
        with np.errstate(all="ignore"):
            # Scaling by powers of two makes the logarithms of the variances small.
            scale = np.log(np.concatenate([spread(x)[0] for x in (first, second)])).mean(0)
            unit = np.rint(scale / np.log(4)).astype(int)
            self.rows, self.columns = (
                (np.ldexp(x.mean.astype(float), -unit), np.ldexp(spread(x)[0], -2 * unit).astype(float))
                for x in (first, second)
            )
            for _, v in (self.rows, self.columns):
                # Such variances lose digits; an infinite logarithm makes `block` compute their pairs again.
                v[v < np.exp(-RANGE)] = 0
            logs = np.log(np.concatenate([self.rows[1], self.columns[1]]))
            widest = np.abs(logs[np.isfinite(logs)]).max(initial=1)
            self.factors = int(np.clip(RANGE / widest, 1, FACTORS))
            (_, v1), (_, v2), (w1, w2, g1, g2) = self.rows, self.columns, map(float, self.weights)
            self.ratios = w1 * g2 * (v1 @ (1 / v2).T) + w2 * g1 * ((1 / v1) @ v2.T)

    def matrix(self, symmetric: bool) -> np.ndarray:
        """The divergences of all pairs; if symmetric, the part above the diagonal is computed and mirrored."""
        K, L = len(self.rows[0]), len(self.columns[0])
        matrix = np.zeros((K, L))
        step = max(1, BLOCK // L)

        def fill(start: int) -> None:
            rows, columns = slice(start, start + step), slice(start if symmetric else 0, L)
            with np.errstate(all="ignore"):
                matrix[rows, columns] = self.block(rows, columns)

        from concurrent.futures import ThreadPoolExecutor  # here, because the import takes long

        with ThreadPoolExecutor(os.cpu_count()) as pool:  # NumPy releases the interpreter lock
            list(pool.map(fill, range(0, K, step)))
        if symmetric:
            matrix = np.triu(matrix, 1) + np.triu(matrix, 1).T
        with np.errstate(over="ignore"):
            return matrix.astype(np.result_type(self.first.dtype, self.second.dtype))

    def block(self, rows: slice, columns: slice) -> np.ndarray:
        """The divergences of a block, all accurate."""
        value, error = self.closed_form(rows, columns)
        i, j = np.nonzero(~(error <= RELATIVE * value) | ~np.isfinite(value) | self.tiny)
        step = max(1, AGAIN // self.first.dim)
        for some in range(0, len(i), step):
            part = slice(some, some + step)
            chosen = rows.start + i[part], columns.start + j[part]
            value[i[part], j[part]] = self.again(self.first.indexed(chosen[0]), self.second.indexed(chosen[1]))
        return value

    def closed_form(self, rows: slice, columns: slice) -> tuple[np.ndarray, np.ndarray]:
        """The divergences of a block by the closed form, and bounds on their error."""
        w1, w2, g1, g2 = (float(w) for w in self.weights)
        (m1, v1), (m2, v2) = (x[rows] for x in self.rows), (x[columns] for x in self.columns)
        total, log_s, product, s, part, factor, other = np.zeros((7, len(m1), len(m2)))
        product += 1
        own1 = w1 * g2 * g2 * v1, w2 * g1 * g1 / v1, m1, g2 * v1, w2 * v1
        own2 = w2 * g1 * g1 * v2 if self.dual else 1 / v2, v2, m2, g1 * v2, w1 * v2
        by_column = zip(*(x.T[:, :, None] for x in own1), *(np.ascontiguousarray(x.T) for x in own2), strict=True)
        for d, (a, a_inverse, mean1, s1, sum1, b, b_itself, mean2, s2, sum2) in enumerate(by_column, 1):
            np.add(s1, s2, out=s)
            np.subtract(mean1, mean2, out=part)
            part *= part
            part /= s  # first, because the factor below may be small, too
            if self.dual:
                part *= np.add(a, b, out=factor)
                part += np.add(sum1, sum2, out=factor)
                part /= s
            else:
                np.multiply(a, b, out=factor)
                part *= np.add(factor, np.multiply(a_inverse, b_itself, out=other), out=factor)
            total += part
            product *= s
            if d % self.factors == 0 or d == m1.shape[1]:
                log_s += np.log(product, out=product)
                product[...] = 1
        n, log1, log2 = m1.shape[1], np.log(v1), np.log(v2)
        logs = w2 * log1.sum(1)[:, None] + w1 * log2.sum(1) - log_s
        if self.dual:
            value = total - logs - n
        else:
            total += self.ratios[rows, columns]
            value = total + logs - n * (w1 * g2 + w2 * g1)
        size = total + n + 2 * (np.abs(log1).sum(1)[:, None] + np.abs(log2).sum(1))
        return value / 2, (n + 16) * np.finfo(float).eps / 2 * size

    def again(self, first: Gaussian, second: Gaussian) -> np.ndarray:
        """The divergences of the pairs ``first[i], second[i]``."""
        w1, w2, g1, g2 = (float(w) for w in self.weights)
        pair = diagonal_pairs(first, second, np.float64)
        terms, kernel = (formula.from_mean, gs) if self.dual else (formula.to_mean, g)
        value = formula.skew(w1, w2, *terms(g1, g2, 0.0, *pair[1:], kernel)).sum(-1)
        beyond = (np.abs(pair.log_r1) > WIDEST).any(-1) | ~np.isfinite(value) | self.tiny
        if beyond.any():
            function = jsg_dual if self.dual else jsg
            sides = first.indexed(beyond), second.indexed(beyond)
            value[beyond] = function(*sides, self.alpha, convention=self.convention)
        return value


coefficients = cache(special.split_tail)  # to compute them takes as long as to import half of this package


def tail(w: np.ndarray) -> np.ndarray:
    """``2 P(w)`` of `special.split_g` in float64."""
    return special.polynomial(w, coefficients(13))


g, gs = special.split_kernels(np.clip, np.log, tail)
