r"""The Jensen-Shannon divergence between Gaussians, which has no closed form, as a one-dimensional integral.

Let ``p, q`` be the densities of N1 and N2, ``m = (1-lam) p + lam q``, and ``x = q/p``.  In

    JS = lam KL(p || m) + (1-lam) KL(q || m)          [1, eq. 6]

x occurs only in ``log(1 + c x)`` and ``x log(1 + 1/(c x))`` with ``c = lam/(1-lam)``.  Both are mixtures of powers
``x^s``, because

    log(1 + y) = integral of y^s / (2 s sin(pi s)) over Im s, for any 0 < Re s < 1          (Mellin)

The mean of a power is known: ``Z(s) = E_p[x^s] = exp(-B(s))``, where B is the Bhattacharyya distance at a complex
weight.  `formula.py` computes it as for real weights (it is JSG* with ``convention="nielsen"``).  Since JS is 0 where Z
is 1,

    JS = integral of T(s) (1 - Z(s)) over Im s,          2 sin(pi s) T(s) = c^s (lam/s + (1-lam)/(c (1-s)))

For ``0 <= Re s <= 1`` and all densities, ``|Z| <= 1``, and ``T`` decays as ``exp(-pi |Im s|)``.  For such an integral
the trapezoidal rule converges exponentially, and equally fast for all pairs: its nodes depend only on lam, and its
error is below 2^-60 of JS (`tests/test_mixture.py` tests this for every x).

All sums are in pairs of doubles.  Near-equal Gaussians lose nothing: with ``rho`` the ratio of the smaller variance to
the larger one, ``u`` the weight of the larger one, ``delta = rho - 1`` and D^2 the squared distance of the means in
units of the larger variance, a direction adds to B

    ( log(1 + u delta) - u log(rho) + u (1-u) D^2/(1 + u delta) ) / 2

where ``g(x) = x - log(1+x)`` replaces the logarithms if ``u delta`` is small, and ``1 - Z`` is ``-expm1(-B)``.
"""

# pyright: reportConstantRedefinition=false

import decimal
import math
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike

from jsgmath import special
from jsgmath.checks import check_dimensions, common_shape, weight_array
from jsgmath.gaussian import Gaussian, GaussianLike
from jsgmath.hints import Values
from jsgmath.interop import gaussian_pair
from jsgmath.reduction.directions import LARGEST_DISTANCE, Directions, full_directions
from jsgmath.reduction.exact import context
from jsgmath.reduction.pairs import ScalarPairs, common_dtype
from jsgmath.reduction.wide import DIGITS, LN2, Wide, constant, exp_and_expm1, kernels, where
from jsgmath.reduction.wide_complex import PI, Complex, choose, exp, g_near, lack, product_of
from jsgmath.rounding.nearest import DIGITS as PRECISIONS
from jsgmath.rounding.nearest import Divergence, pair_scalars, rounded
from jsgmath.rounding.nearest_full import same_covariances
from jsgmath.rounding.of_many import Flat, flat, scalars
from jsgmath.rounding.of_pairs import broadcast, rounded_divergence
from jsgmath.working import divergence_of

STEPS = 8  # number of steps from the line to the nearer pole of T; the error is about 100 exp(-2 pi STEPS) = 1.5e-20
HIGHEST = 16  # largest imaginary part; the rest of the integral is some tens of exp(-pi HIGHEST) = 1.5e-22
RULE = 2.0**-60  # relative error of the rule
ROUNDING = 2.0**-72  # bound on the relative errors of the terms and of their sum; a tenth of it was measured
NEAR = 2.0**-12  # `g_near` takes the product of this and a weight
BLOCK = 2**14  # largest number of entries in one array, to bound the memory
UNEQUAL = 2.0**-150  # Gaussians with a larger value certainly differ
LOST = 2.0**-16  # a difference that is a smaller share of its terms has lost too many digits
LEAST = 2.0**-300  # smaller differences of log-variances are scaled
LARGEST_LOG = 3e5  # a larger one counts as infinite: the two Gaussians do not overlap
LARGEST_EXPONENT = 100.0  # exp of its negative is negligible


def js(N1: GaussianLike, N2: GaussianLike, lam: ArrayLike = 0.5) -> tuple[Values, Values]:
    r"""Jensen-Shannon divergence between ``N1`` and ``N2``, and a bound on its error, in nats.

    .. math:: \lambda\,KL(N_1 \| M) + (1-\lambda)\,KL(N_2 \| M), \quad M = (1-\lambda) N_1 + \lambda N_2   [1, eq. 6]

    ``M`` is the mixture of the two densities.  At 1/2 the value is the Jensen-Shannon divergence [1, eq. 5], at 0 it is
    KL(N2||N1), at 1 KL(N1||N2).

    Args:
        N1, N2: Gaussians of NumPy or SciPy, of equal dimension; batch shapes broadcast.
        lam: weight of ``N2`` in the mixture, in [0, 1]; a float or an array that broadcasts with the batch.

    Returns:
        ``(estimate, error)``, one value each per batch element, with ``|estimate - true value| <= error``.  The
        estimate lies between 0 and ``-lam log(1-lam) - (1-lam) log(lam)``, which is log(2) at 1/2.  For equal
        Gaussians of one form both are 0.

    Raises:
        TypeError: an argument is not a Gaussian of NumPy, or lam is not real.
        ValueError: lam is outside [0, 1], the dimensions differ, or the batch shapes do not broadcast.

    Accuracy: within 0.51 ulp on every machine, over the whole range of float64, also between near-equal Gaussians
    (``tests/test_mixture.py``); at lam 0 and 1 correctly rounded.  The error is little more than that of the last
    rounding; it adds 2^-60 of the value, and four times the error of the reduction of full covariances to scalar pairs
    (for this divergence the factor is tested, not derived).  That error is negligible up to a condition of about 1e12.
    The result is deterministic, without sampling.  The time is proportional to n, and to ``|log(lam (1-lam))|`` near 0
    and 1.

    References: [1] Deasy et al. 2020, https://arxiv.org/abs/2006.10599

    >>> from jsgmath import Gaussian
    >>> estimate, error = js(Gaussian(mean=[1.0, 0.0], var=[0.5, 2.0]), Gaussian(mean=[0.0, 0.0], var=[1.0, 1.0]))
    >>> print(estimate.round(12), error < 1e-16)
    0.178887262389 True
    """
    N1, N2 = gaussian_pair(N1, N2)
    lam = weight_array("lam", lam)
    check_dimensions(N1.dim, N2.dim)
    batch = common_shape("batch shapes", {"N1": N1.batch_shape, "N2": N2.batch_shape, "lam": lam.shape})
    weights = np.broadcast_to(lam, batch).ravel().astype(float)
    estimate, error = (np.zeros(len(weights), common_dtype(N1, N2)) for _ in "12")
    inside = (weights > 0) & (weights < 1)
    with np.errstate(all="ignore"):
        if not inside.all():
            ends = rounded_divergence(Divergence.JSG, N1, N2, np.where(lam < 0.5, 1.0, 0.0), "deasy", return_error=True)
            estimate[:], error[:] = (np.broadcast_to(x, batch).ravel() for x in ends)
        if inside.any():
            found = _interior(N1, N2, weights, inside, batch)
            estimate[inside], error[inside] = (x[inside] for x in found)
    error[_identical(N1, N2, batch) & (estimate == 0)] = 0.0
    return estimate.reshape(batch)[()], error.reshape(batch)[()]


def _identical(N1: Gaussian, N2: Gaussian, batch: tuple[int, ...]) -> np.ndarray:
    """Returns for each batch element whether both Gaussians were given by the same numbers."""
    if N1.form != N2.form:
        return np.zeros(math.prod(batch), bool)
    same = (N1.mean == N2.mean).all(-1) & (N1.scale == N2.scale).all((-1,) if N1.is_diagonal else (-1, -2))
    return np.broadcast_to(same, batch).ravel()


def _interior(
    N1: Gaussian, N2: Gaussian, lam: np.ndarray, inside: np.ndarray, batch: tuple[int, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """The rounded divergences of the rows of a batch for ``0 < lam < 1``, and bounds on their errors."""
    dtype, lost, relative = common_dtype(N1, N2), np.zeros(len(lam)), np.zeros(len(lam))
    if N1.is_diagonal and N2.is_diagonal:
        rows = _diagonal_directions(flat([N1, N2], [lam.reshape(batch), lam.reshape(batch)], batch))
    else:
        pairs = np.broadcast_shapes(N1.batch_shape, N2.batch_shape)
        index = np.broadcast_to(np.arange(math.prod(pairs)).reshape(pairs), batch).ravel()
        rows, relative, slack = full_directions(N1, N2)
        rows, relative = rows.rows(index), relative[index].astype(float)
        lost = _bound(ScalarPairs(*(x[index] for x in slack)), lam)
    value, terms = Wide(*np.zeros((2, len(lam)))), np.zeros(len(lam))
    for weight in np.unique(lam[inside]):
        here = np.flatnonzero(lam == weight)
        part, terms[here] = integral(rows.rows(here), float(weight))
        value.high[here], value.low[here] = part.high, part.low
    equal = _equal_rows(N1, N2, value, batch)
    value.high[equal] = value.low[equal] = terms[equal] = lost[equal] = 0.0
    estimate = value.high.astype(dtype)
    rounding = np.abs((value.high - estimate) + value.low)
    unit = np.zeros(len(lam))
    for row in np.flatnonzero(rows.exponent).tolist():
        exact = Fraction(value.high[row]) + Fraction(value.low[row])
        estimate[row] = rounded(exact * Fraction(2) ** int(rows.exponent[row]), dtype == np.float32)
        unit[row] = np.spacing(estimate[row]) * bool(exact)
        rounding[row] = value.high[row] = terms[row] = 0.0
    error = rounding + unit + RULE * value.high + ROUNDING * terms + 4 * (relative * value.high + lost)
    upwards = np.nextafter(error.astype(dtype), np.array(np.inf, dtype))
    return estimate, np.where(error > 0, upwards, np.zeros_like(upwards))


def _bound(pair: ScalarPairs, lam: np.ndarray) -> np.ndarray:
    """A bound on JS of a `ScalarPairs`: KL is convex, so ``KL(p || m) <= lam KL(p || q)``."""
    w2 = lam[:, None].astype(special.WORK)
    one, zero = np.ones_like(w2), np.zeros_like(w2)
    first = divergence_of(pair, w2 * w2, zero, zero, one, dual=False)
    second = divergence_of(pair, zero, (1 - w2) ** 2, one, zero, dual=False)
    return (first + second).astype(float)


def _equal_rows(N1: Gaussian, N2: Gaussian, value: Wide, batch: tuple[int, ...]) -> np.ndarray:
    """Returns for each row whether two Gaussians of different forms, one with a full covariance, are equal."""
    found = np.zeros(len(value.high), bool)
    if N1.form == N2.form or (N1.is_diagonal and N2.is_diagonal):
        return found
    (means1, scales1), (means2, scales2) = (broadcast(N, batch) for N in (N1, N2))
    for row in np.flatnonzero(value.high < UNEQUAL).tolist():
        i = np.unravel_index(row, batch)
        sides = (means1[i], N1.form, scales1[i]), (means2[i], N2.form, scales2[i])
        found[row] = np.array_equal(means1[i], means2[i]) and same_covariances(*sides)
    return found


def _diagonal_directions(whole: Flat) -> Directions:
    """The directions of diagonal Gaussians; rows that leave the range of doubles are computed in decimal numbers."""
    place = np.ones((1, *whole.means.shape[1:]), int)
    s, sound = scalars(whole.forms, whole.means, whole.scales, place, np.ones(whole.w.shape, bool))
    size = np.abs(s.e.high[0])
    sound &= (s.size_e[0] * LOST <= size).all(-1) & ((size == 0) | (size >= LEAST)).all(-1)
    larger1 = s.r.high[0] > 1
    ratio, excess = (where(larger1, x[0], y[0]) for x, y in ((s.inverse_r, s.r), (s.y, s.e)))
    square = s.delta[0] * s.delta[0] / where(larger1, s.variance[0], s.variance[1])
    square = where(square.high < LARGEST_DISTANCE**2, square, LARGEST_DISTANCE**2)
    found = Directions(larger1, ratio, excess, kernels(excess, ratio, None), square, np.zeros(len(sound), int))
    for row in np.flatnonzero(~sound).tolist():
        exact = _in_decimals(whole, row)
        found.larger1[row], found.exponent[row] = exact.larger1[0], exact.exponent[0]
        for to, x in zip(found[1:5], exact[1:5], strict=True):
            to.high[row], to.low[row] = x.high[0], x.low[0]
    return found


def _in_decimals(whole: Flat, row: int) -> Directions:
    """The directions of one row, computed in decimal numbers."""
    form1, form2 = whole.forms
    numbers = [x[side, row].tolist() for side in (0, 1) for x in (whole.means, whole.scales)]
    columns: list[list[Decimal]] = []
    with decimal.localcontext(context(PRECISIONS[0])):
        for _, r1, r2, e1, e2, d1, d2 in pair_scalars((form1, form2), list(zip(*numbers, strict=True))):
            ratio, excess, square = (r2, e2, d1.square) if e1 > 0 else (r1, e1, d2.square)
            logs = max(_log1p(ratio, excess), Decimal(-LARGEST_LOG))
            columns.append([ratio, excess, logs, min(square.sqrt(), Decimal(2 * LARGEST_DISTANCE)), Decimal(e1 > 0)])
        *parts, larger1 = ([_wide(x) for x in column] for column in zip(*columns, strict=True))
    wides = (Wide(*(np.array(x)[None] for x in zip(*column, strict=True))) for column in parts)
    return Directions.of(np.array([x > 0 for x, _ in larger1])[None], *wides)


def _log1p(ratio: Decimal, excess: Decimal) -> Decimal:
    """``log(ratio)``, where ``ratio = 1 + excess``, with extra digits for those that cancel."""
    if excess < Decimal("-0.5"):
        return ratio.ln()
    with decimal.localcontext() as context:
        context.prec += max(0, -excess.adjusted()) if excess else 0
        result = (1 + excess).ln()
    return +result


def _wide(x: Decimal) -> tuple[float, float]:
    pair = constant(x)
    return float(pair.high), float(pair.low)


def integral(rows: Directions, lam: float) -> tuple[Wide, np.ndarray]:
    """JS of the rows for ``0 < lam < 1``, and the sum of the absolute values of the terms of the trapezoidal rule."""
    t, weights, sizes = rule(lam)
    own = rows.larger1 == (lam <= 0.5)  # whether the larger variance belongs to the Gaussian of weight t
    total, terms = Wide(*np.zeros((2, len(own)))), np.zeros(len(own))
    near = np.abs(rows.excess.high).max(-1, initial=0) < NEAR
    for lacking, chosen in ((_lack_of_near, near), (_lack_of_far, ~near)):
        part = rows.rows(chosen)
        blocks = 1 + part.larger1.size * len(sizes) // BLOCK
        for nodes in np.array_split(np.arange(len(sizes)), min(blocks, len(sizes))) if chosen.any() else ():
            missing = lacking(part, own[chosen], t[nodes])
            found = total[chosen] + (weights[nodes] * missing).re.sum(-1)
            total.high[chosen], total.low[chosen] = found.high, found.low
            terms[chosen] += (sizes[nodes] * abs(missing.high)).sum(-1)
    with decimal.localcontext(DIGITS):
        x = Decimal(lam)
        bound = constant(-x * (1 - x).ln() - (1 - x) * x.ln())
    return where(total.high <= 0, 0.0, where((total - bound).high < 0, total, bound)), terms


def _lack_of_near(rows: Directions, own: np.ndarray, t: Complex) -> Complex:
    """``1 - Z`` for rows and nodes, if all variances of a row are nearly equal."""
    other = Complex(1.0 - t.re, -t.im)
    x = choose(own[:, None], t[:, None], other[:, None]) * rows.excess[:, None]
    squares = t * other * (x + 1.0).inverse_times(rows.square[:, None]).sum(-1)
    of_ratios = _shared(kernels(rows.excess, rows.ratio, False), own, t, other) - g_near(x).sum(-1)
    return lack((of_ratios + squares) * 0.5)


def _shared(x: Wide, own: np.ndarray, t: Complex, other: Complex) -> Complex:
    """The sum of ``u x`` over the directions, for rows and nodes."""
    return t * where(own, x, 0.0).sum(-1)[:, None] + other * where(own, 0.0, x).sum(-1)[:, None]


def _lack_of_far(rows: Directions, own: np.ndarray, t: Complex) -> Complex:
    """``1 - Z`` for rows and nodes, from the square root of the product of all ``1 + u delta``, without a logarithm."""
    other = Complex(1.0 - t.re, -t.im)
    # If u is nearly 1 and the ratio is small, 1 + u delta is the ratio plus a number of positive real part.
    slope, start = where(own, rows.excess, -rows.excess), where(own, 1.0, rows.ratio)
    k = t[:, None] * slope[:, None] + start[:, None]
    squares = t * other * k.inverse_times(rows.square[:, None]).sum(-1)
    angle = np.angle(k.high).sum(-1)
    product, exponent = product_of(k)
    power = _shared(rows.log_ratio, own, t, other) - squares
    power = Complex(power.re - exponent.astype(float) * constant(LN2), power.im) * 0.5
    turns = np.rint((angle - np.angle(product.high)) / (2 * np.pi)) % 2  # the root has the other sign if odd
    root = product.root() * np.where(turns == 0, 1.0, -1.0)
    in_range = power.re.high > -LARGEST_EXPONENT
    Z = exp(Complex(where(in_range, power.re, -LARGEST_EXPONENT), where(in_range, power.im, 0.0))) * root.inverse()
    return Complex(1.0 - Z.re, -Z.im)


@lru_cache(8)
def rule(lam: float) -> tuple[Complex, Complex, np.ndarray]:
    """The nodes t, the factors of ``1 - Z``, and the sizes to which their rounding is relative.

    The nodes lie on one half of the line, because the integrand on the other half is the conjugate; t is s if
    lam > 1/2, otherwise ``1 - s``, by exchanging N1 and N2.
    """
    with decimal.localcontext(DIGITS):
        small = Decimal(min(lam, 1 - lam))
        odds = small / (1 - small)
        log_c = odds.ln()
        of_far, of_near = constant(small * odds), constant(1 - small)
        angle = PI * Decimal(distance := float(np.float32(1 / max(2, -log_c))))
        minus_log_c, sine, cosine, pi = (
            constant(-log_c),
            constant(_sine(angle)),
            constant(_sine(PI / 2 - angle)),
            constant(PI),
        )
    step = distance / STEPS  # it has few bits, so that the nodes are exact
    height = step * np.arange(math.ceil(HIGHEST / step))
    t = Complex(Wide.of(np.full_like(height, distance)), Wide.of(height))
    growth, less = exp_and_expm1(pi * height)
    inverse = 1.0 / growth
    sine_of_t = Complex((growth + inverse) * sine, less * (inverse + 1.0) * cosine) * 0.5
    power = exp(Complex(minus_log_c * t.re, minus_log_c * t.im))
    factor = Complex(1.0 - t.re, -t.im).inverse() * of_far + t.inverse() * of_near
    weights = power * factor * sine_of_t.inverse() * step
    weights.re.high[0], weights.re.low[0] = weights.re.high[0] / 2, weights.re.low[0] / 2
    sizes = abs(weights.high) * (1 + height * (np.pi + float(minus_log_c.high)))  # rounding of the exponents
    return t, weights, sizes


def _sine(x: Decimal) -> Decimal:
    """The sine of x, by its series, for ``0 <= x < 2``."""
    term = total = x
    for k in range(2, 80, 2):
        term = -term * x * x / (k * (k + 1))
        total += term
    return total
