r"""The divergences as pairs ``(lower, upper)`` of float64 that are proved to enclose the true value.

What is proved: the Gaussians are exactly those of the floats in ``mean`` and ``scale``, alpha is exactly its float, and
every step, including the rounding to float64, is ball arithmetic with outward rounding on the definition [1, eqs. 2, 8,
10, 12, 13].  The proof relies on Arb (part of FLINT) and on the lines below; no NumPy arithmetic takes part.

The precision doubles until ``upper <= nextafter(lower, inf)``.  If the true value is itself a float64, no ball with a
positive radius satisfies this, so such a value must be recognised.  If the scales are rational (every form but logvar),
twice the value is ``R + log q`` with R rational and q algebraic.  If q is not 1, its logarithm is transcendental
(Lindemann), so some precision separates the value from every float64.  If q is 1, which is decided exactly, the value
is computed in rational arithmetic.  Hence the doubling ends, and equal Gaussians give (0, 0), also in different forms.

For log-variances other than 0, no case is known in which the value is rational, but only special cases are proved (kl
of two such Gaussians, by Lindemann-Weierstrass).  In the other cases, and if the last place depends on an
``exp(-1e7)``, the doubling may reach its limit, which raises an error.

[1] Deasy, Simidjievski, Lio 2020, https://arxiv.org/abs/2006.10599
"""

# pyright: reportConstantRedefinition=false

import math
import threading
from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from jsgmath.gaussian import DIAGONAL, GaussianLike
from jsgmath.hints import Convention, Values
from jsgmath.interop import gaussian_pair
from jsgmath.reduction.pairs import pair_weights

try:
    from flint import acb, arb, arb_mat, ctx, fmpq, fmpq_mat
    from flint.utils.flint_exceptions import DomainError
except ImportError as error:
    raise ImportError("jsgmath.certified needs python-flint; pip install python-flint") from error

PRECISIONS = [2**k for k in range(7, 21)]  # in bits
EXACT_FROM = 1024  # bits; if fewer do not separate the true value from a float64, it may be one
INTEGRAL_PRECISIONS = [2**k for k in range(7, 11)]
INTEGRAL_WIDTH = 2.0**-40
LOCK = threading.Lock()  # FLINT has one precision for all threads

Given = tuple[np.ndarray, str, np.ndarray]  # a Gaussian: mean, form and scale, float64
Number = Any  # fmpq or arb
Matrix = Any  # fmpq_mat or arb_mat
VARIANCE: dict[str, Callable[[Number], Number]] = {
    "var": lambda x: x,
    "std": lambda x: x * x,
    "logvar": lambda x: x.exp() if x != 0 else x + 1,
}


def jsg(
    N1: GaussianLike, N2: GaussianLike, alpha: ArrayLike, *, convention: Convention = "deasy"
) -> tuple[Values, Values]:
    r"""Enclosure of `jsgmath.jsg` [1, eq. 8], with the same arguments, in nats.

    Returns:
        ``(lower, upper)``, float64 of the broadcast batch shape, with ``0 <= lower <= true value <= upper``.  The two
        are equal if the true value is a float64, otherwise neighbours; ``upper`` is inf if the true value exceeds the
        largest float64.

    Raises:
        TypeError, ValueError: as `jsgmath.jsg`, and for a matrix that is not positive definite in exact arithmetic.
        ArithmeticError: 2^20 bits do not separate the true value from a float64.

    Accuracy: proved: the true value lies between the two floats, which are neighbours or equal.

    >>> from jsgmath import Gaussian
    >>> N1, N2 = Gaussian(mean=[0.0], var=[1.0]), Gaussian(mean=[1.0], logvar=[0.5])
    >>> print(*jsg(N1, N2, 0.5))
    0.12287275475605733 0.12287275475605734
    """
    return _batch(partial(_divergence, convention=convention, dual=False), N1, N2, alpha, convention)


def jsg_dual(
    N1: GaussianLike, N2: GaussianLike, alpha: ArrayLike, *, convention: Convention = "deasy"
) -> tuple[Values, Values]:
    r"""Enclosure of `jsgmath.jsg_dual` [1, eq. 10], in nats, with results, errors and accuracy as in `jsg`.

    >>> from jsgmath import Gaussian
    >>> print(*jsg_dual(Gaussian(mean=[0.0], var=[4.0]), Gaussian(mean=[0.0], std=[2.0]), 0.3))
    0.0 0.0
    """
    return _batch(partial(_divergence, convention=convention, dual=True), N1, N2, alpha, convention)


def kl(N1: GaussianLike, N2: GaussianLike) -> tuple[Values, Values]:
    r"""Enclosure of :math:`KL(N_1 \| N_2)` [1, eq. 2], in nats, with results, errors and accuracy as in `jsg`.

    >>> from jsgmath import Gaussian
    >>> print(*kl(Gaussian(mean=[0.0, 0.0], var=[2.0, 0.5]), Gaussian(mean=0.0, cov=[[1.0, 0.0], [0.0, 1.0]])))
    0.25 0.25
    """
    return jsg(N1, N2, 0.0)


def js(N1: GaussianLike, N2: GaussianLike, lam: ArrayLike = 0.5) -> tuple[Values, Values]:
    r"""Enclosure of the Jensen-Shannon divergence of one-dimensional Gaussians, by rigorous integration, in nats.

    .. math:: \lambda\,KL(N_1 \| M) + (1-\lambda)\,KL(N_2 \| M), \quad M = (1-\lambda) N_1 + \lambda N_2   [1, eq. 6]

    Args:
        N1, N2: as in `jsg`, of dimension 1.
        lam: weight of ``N2`` in the mixture, in [0, 1]; 1/2 is eq. 5.  A float or an array that broadcasts with the
            batch.

    Returns:
        As in `jsg`, but ``upper - lower`` may be ``2^-40 lower``.  At lam 0 and 1 they enclose KL(N2||N1) and
        KL(N1||N2) as `kl` does.

    Raises:
        TypeError, ValueError: as in `jsg`, and for Gaussians of more than one dimension.
        ArithmeticError: 1024 bits do not suffice, as for divergences below 1e-290.

    Accuracy: proved: the true value lies between the two floats.

    >>> from jsgmath import Gaussian
    >>> lower, upper = js(Gaussian(mean=[0.0], var=[1.0]), Gaussian(mean=[1.0], var=[1.0]))
    >>> print(f"{lower:.12f} {upper:.12f}")
    0.111421482185 0.111421482185
    """
    return _batch(_jensen_shannon, N1, N2, lam, "deasy", "lam")


def _batch(
    enclosure: Callable[[Given, Given, float], tuple[float, float]],
    N1: GaussianLike,
    N2: GaussianLike,
    alpha: ArrayLike,
    convention: Convention,
    name: str = "alpha",
) -> tuple[Values, Values]:
    """``enclosure(first, second, alpha)`` for every pair of the batch."""
    N1, N2 = gaussian_pair(N1, N2)
    _, alpha, *_ = pair_weights(N1, N2, alpha, convention, name)
    if enclosure is _jensen_shannon and N1.dim != 1:
        raise ValueError(f"certified.js takes Gaussians of dimension 1, got {N1.dim}; jsgmath.js takes any, unproved")
    alpha = alpha[..., 0].astype(float)  # exact, because the working precision holds every float64
    shape = np.broadcast_shapes(N1.batch_shape, N2.batch_shape, alpha.shape)
    sides: list[Given] = []
    for N in (N1, N2):
        mean, scale = N.mean.astype(float), N.scale.astype(float)
        axes = scale.shape[-1:] if N.is_diagonal else scale.shape[-2:]
        sides.append((np.broadcast_to(mean, (*shape, N.dim)), N.form, np.broadcast_to(scale, (*shape, *axes))))
    alpha, result = np.broadcast_to(alpha, shape), np.empty((2, *shape))
    for i in np.ndindex(shape):
        first, second = ((mean[i], form, scale[i]) for mean, form, scale in sides)
        result[:, *i] = enclosure(first, second, float(alpha[i]))
    return result[0][()], result[1][()]


def _divergence(first: Given, second: Given, alpha: float, convention: Convention, dual: bool) -> tuple[float, float]:
    if convention == "nielsen" and alpha in (0, 1):
        return 0.0, 0.0  # [1, eqs. 14, 15]
    pairs = _independent(first, second)
    exact = cache(lambda: _exact(pairs, alpha, convention, dual))

    def ball():
        if ctx.prec >= EXACT_FROM and exact() is not None:
            return arb(exact())
        rational, det, ratio = _parts(pairs, arb(alpha), convention, dual, arb, arb_mat)
        logarithm = det.log() + arb(alpha) * ratio.log()
        return (rational + logarithm if dual else rational - logarithm) / 2

    return _enclosure(ball, PRECISIONS)


def _independent(first: Given, second: Given) -> Sequence[Sequence[Given]]:
    """One pair for each coordinate if both are diagonal, otherwise one pair; pairs given as equal are left out."""
    pairs = [(first, second)]
    if first[1] in DIAGONAL and second[1] in DIAGONAL:
        coordinates = [slice(i, i + 1) for i in range(len(first[0]))]
        pairs = [[(mean[i], form, scale[i]) for mean, form, scale in (first, second)] for i in coordinates]
    return [pair for pair in pairs if not all(np.array_equal(x, y) for x, y in zip(*pair, strict=True))]


def _parts(
    pairs: Sequence[Sequence[Given]],
    alpha: Number,
    convention: Convention,
    dual: bool,
    number: Callable[[Any], Number],
    matrix: Callable[[Any], Matrix],
) -> tuple[Number, Number, Number]:
    """``rational, det, ratio``: 2 JSG = rational - log(det ratio^alpha), 2 JSG* = rational + log(det ratio^alpha)."""
    weights = 1 - alpha, alpha
    g1, g2 = weights if convention == "nielsen" else weights[::-1]  # [1, eqs. 7, 16]
    rational, det, ratio = number(0), number(1), number(1)
    for pair in pairs:
        (m1, S1, P1), (m2, S2, P2) = moments = [_moments(N, number, matrix) for N in pair]
        P = P1 * g1 + P2 * g2  # [1, eq. 12]
        m = P.solve(P1 * m1 * g1 + P2 * m2 * g2)  # [1, eq. 13]
        S = P.inv() if dual else None
        for weight, (mean, covariance, precision) in zip(weights, moments, strict=True):
            A, B, d = (precision, S, m - mean) if dual else (P, covariance, m - mean)
            product, n = A * B, m.nrows()
            trace = sum(product[i, i] for i in range(n))
            rational += weight * (trace - n + (d.transpose() * A * d)[0, 0])  # [1, eq. 2]
        det1 = S1.det()
        det, ratio = det * P.det() * det1, ratio * S2.det() / det1
    return rational, det, ratio


def _moments(
    N: Given, number: Callable[[Any], Number], matrix: Callable[[Any], Matrix]
) -> tuple[Matrix, Matrix, Matrix]:
    """Mean, covariance and precision as matrices of rational numbers or balls; log-variances need balls."""
    mean, form, scale = N[0].tolist(), N[1], N[2].tolist()
    column = matrix([[number(x)] for x in mean])
    if form in DIAGONAL:
        variance = VARIANCE[form]
        given = [[variance(number(x)) if i == j else number(0) for j in range(len(scale))] for i, x in enumerate(scale)]
    else:
        given = [[number(x) for x in row] for row in scale]
    S = matrix(given)
    if form == "scale_tril":
        S = S * S.transpose()
    if form in ("cov", "precision"):
        _check_definite(form, given)
    return (column, S.inv(), S) if form == "precision" else (column, S, S.inv())


def _check_definite(form: str, rows: list[list[Number]]) -> None:
    """Proves that all pivots are positive, which `Gaussian` has checked only in floating point."""
    for k, row in enumerate(rows):
        if row[k] <= 0:
            raise ValueError(
                f"{form} is not positive definite in exact arithmetic; pass {form} + jitter * I if that is intended"
            )
        if not row[k] > 0:
            raise ZeroDivisionError  # a ball that contains 0; more precision decides
        for i in range(k + 1, len(rows)):
            factor = row[i] / row[k]
            rows[i][i:] = [x - factor * y for x, y in zip(rows[i][i:], row[i:], strict=True)]


def _exact(pairs: Sequence[Sequence[Given]], alpha: float, convention: Convention, dual: bool) -> fmpq | None:
    """The divergence, if the scales are rational and it is proved to be rational; otherwise None."""
    if any(form == "logvar" and scale.any() for pair in pairs for _, form, scale in pair):
        return None
    rational, det, ratio = _parts(pairs, _fraction(alpha), convention, dual, _fraction, fmpq_mat)
    # With alpha = p/q in lowest terms, is det^q ratio^p = 1?  If so, ratio is the q-th power of a rational number.
    p, q = alpha.as_integer_ratio()
    try:
        for _ in range(q.bit_length() - 1):  # q is a power of 2
            ratio = ratio.sqrt()
    except DomainError:
        return None
    return rational / 2 if det * ratio**p == 1 else None


def _fraction(x: float) -> fmpq:
    return fmpq(*x.as_integer_ratio())


def _enclosure(ball: Callable[[], arb], precisions: Sequence[int], width: float = 0.0) -> tuple[float, float]:
    """Both ends, with enough bits that they are neighbours or differ by at most the relative ``width``."""
    for bits in precisions:
        with LOCK, ctx.workprec(bits):
            try:
                lower, upper = _outward(ball())
            except ZeroDivisionError:  # with so few bits, a matrix may be singular
                continue
        if upper <= max(math.nextafter(lower, math.inf), lower + lower * width):
            return lower, upper
    raise ArithmeticError(
        f"{precisions[-1]} bits do not enclose the value tightly; make the Gaussians less extreme or less equal"
    )


def _outward(ball: arb) -> tuple[float, float]:
    """The ends, rounded outwards to float64, of a ball around a non-negative number."""
    low, high = ball.lower(), ball.upper()
    lower, upper = float(low), float(high)  # rounded to nearest; the comparisons below are exact
    while arb(lower) > low:
        lower = math.nextafter(lower, -math.inf)
    while arb(upper) < high:
        upper = math.nextafter(upper, math.inf)
    return max(0.0, lower), upper


def _jensen_shannon(first: Given, second: Given, lam: float) -> tuple[float, float]:
    if lam in (0, 1):
        return _divergence(first, second, 1 - lam, "deasy", dual=False)  # [1, eqs. 17, 18]
    if _exact(_independent(first, second), 0.0, "deasy", dual=False) == 0:
        return 0.0, 0.0  # KL is 0, so they are equal; an integral cannot prove that

    def ball():
        w1, w2 = arb(lam), 1 - arb(lam)
        return w1 * _kl_to_mixture(first, second, w2, w1) + w2 * _kl_to_mixture(second, first, w1, w2)

    return _enclosure(ball, INTEGRAL_PRECISIONS, INTEGRAL_WIDTH)


def _kl_to_mixture(first: Given, second: Given, own: arb, other: arb) -> arb:
    """KL(N1||M) of the mixture ``M = own N1 + other N2`` in one dimension, as a ball.

    In units of N1 it is the integral of ``p log(p/m)`` over [-k, k] plus a tail.  In the tail N1 has the mass
    ``e = erfc(k/sqrt(2))`` and M at most 1, so the tail is at least ``e log e`` by the log-sum inequality.  It is at
    most ``-e log(own)``, because ``p/m <= 1/own``.
    """
    (m1, S1, _), (m2, S2, _) = (_moments(N, arb, arb_mat) for N in (first, second))
    ratio = (S1[0, 0] / S2[0, 0]).sqrt()
    shift, log_ratio = (m1[0, 0] - m2[0, 0]) / S2[0, 0].sqrt(), ratio.log()

    def integrand(t: acb, analytic: bool) -> acb:  # log_odds is log(q/p), log_mixture log(m/p)
        z = shift + ratio * t
        log_odds = (t * t - z * z) / 2 + log_ratio
        log_mixture = (own + other * log_odds.exp()).log(analytic)
        if not analytic and not log_mixture.is_finite():  # the real interval t is too wide for q/p; use 0 <= z^2
            log_mixture = own.log().union((own + other * (t.real * t.real / 2 + log_ratio).exp()).log())
        return -(-t * t / 2).exp() * log_mixture

    k = math.isqrt(2 * ctx.prec) + 1  # e < exp(-k^2/2) < 2^-prec
    e = (arb(k) / arb(2).sqrt()).erfc()
    body = acb.integral(integrand, -k, k).real / (2 * arb.pi()).sqrt()
    return body + (e * e.log()).union(-e * own.log())
