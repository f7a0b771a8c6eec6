"""The divergences from their definition, in balls of Arb: each ball is proved to contain the true value.

This oracle shares no code with jsgmath.  It takes floats as exact numbers and raises the precision until the ball is
far narrower than the rounding under test.  A Gaussian is a tuple ``(mean, form, scale)``; the form is the name of the
scale in ``jsgmath.Gaussian``.  Mean and scale are floats in one dimension, and arrays in more.
"""

import numpy as np
from flint import arb, arb_mat, ctx, fmpq

BITS = 80  # the radius of a ball is below 2^-80 of its middle, 27 bits below the last bit of a float64


def divergence(N1, N2, alpha, *, dual, convention):
    """JSG [eq. 8] or JSG* [eq. 10] of two one-dimensional Gaussians, as a ball."""
    if N1 == N2 or (convention == "nielsen" and alpha in (0, 1)):
        return arb(0)  # 0 by definition; the ball around a sum that cancels would never become exact
    return _sharpened(lambda: sum(terms(*_scalars(N1, N2), arb(float(alpha)), dual, convention)))


def gradient(N1, N2, alpha, *, dual, convention):
    """Derivatives of the one-dimensional divergence by mean1, log v1, mean2, log v2 and alpha, each with its size.

    Each entry is ``(derivative, size)``.  The size is the sum of the absolute values of the derivatives of all terms: a
    sum of floats can only be accurate relative to it.  The derivatives are central differences in 6000 bits.  The step
    is 2^-2000, so the error is about 2^-4000 of the third derivative, which is negligible even for ratios of e^700.
    """
    with ctx.workprec(6000):
        step = arb(2) ** -2000
        at = [*_scalars(N1, N2), arb(float(alpha))]
        moved = [
            lambda x, k, i=i: [*x[:i], x[i] * (k * step).exp() if i in (1, 3) else x[i] + k * step, *x[i + 1 :]]
            for i in range(5)
        ]
        result = []
        for move in moved:
            up, down = (_weights_and_terms(*move(at, k), dual, convention) for k in (1, -1))
            # The product rule separates the change of a weight from that of a term, so that both count in the size.
            slopes = [(u - d) / (2 * step) for u, d in zip(up, down, strict=True)]
            weights, parts = slopes[:4], slopes[4:]
            here = _weights_and_terms(*at, dual, convention)
            products = [w * p for w, p in zip(weights, here[4:], strict=True)]
            products += [w * p for w, p in zip(here[:4], parts, strict=True)]
            result.append((sum(products), sum(abs(p) for p in products)))
        return result


def several(gaussians, w, g, *, dual):
    """``sum_k w_k KL(N_k||G)`` [eqs. 2, 12, 13], or ``KL(G||N_k)``, of one-dimensional Gaussians, as a ball.

    The weights are rational.
    """

    def compute():
        shares = [arb(fmpq(x.numerator, x.denominator)) for x in g]
        numbers = [(arb(float(m)), _variance(form, arb(float(scale)))) for m, form, scale in gaussians]
        v = 1 / sum(share / own for share, (_, own) in zip(shares, numbers, strict=True))
        m = v * sum(share * mean / own for share, (mean, own) in zip(shares, numbers, strict=True))
        weighted = [(arb(fmpq(x.numerator, x.denominator)), N) for x, N in zip(w, numbers, strict=True) if x]
        return sum(weight * sum(_kl(m, v, *N) if dual else _kl(*N, m, v)) for weight, N in weighted)

    return _sharpened(compute)


def terms(m1, v1, m2, v2, alpha, dual, convention):
    """The four terms of the divergence: for each weighted KL, the contribution of the variances and of the means."""
    numbers = _weights_and_terms(m1, v1, m2, v2, alpha, dual, convention)
    return [w * x for w, x in zip(numbers[:4], numbers[4:], strict=True)]


def _weights_and_terms(m1, v1, m2, v2, alpha, dual, convention):
    weight = alpha if convention == "nielsen" else 1 - alpha  # of N2 in the geometric mean [eqs. 7, 16]
    v = 1 / ((1 - weight) / v1 + weight / v2)  # [eq. 12]
    m = v * ((1 - weight) * m1 / v1 + weight * m2 / v2)  # [eq. 13]
    pairs = [((m, v), (m1, v1)), ((m, v), (m2, v2))] if dual else [((m1, v1), (m, v)), ((m2, v2), (m, v))]
    parts = [part for p, q in pairs for part in _kl(*p, *q)]
    return [1 - alpha, 1 - alpha, alpha, alpha, *parts]


def _kl(m, v, n, w):
    """KL(N(m, v) || N(n, w)) [eq. 2]: the contribution of the variances, and that of the means."""
    return (v / w - 1 - (v / w).log()) / 2, (m - n) * (m - n) / w / 2


def _scalars(N1, N2):
    return [x for mean, form, scale in (N1, N2) for x in (arb(float(mean)), _variance(form, arb(float(scale))))]


def _variance(form, scale):
    return {"var": lambda: scale, "std": lambda: scale * scale, "logvar": lambda: scale.exp()}[form]()


def dense_divergence(N1, N2, alpha, *, dual, convention):
    """JSG [eq. 8] or JSG* [eq. 10] of two Gaussians in n dimensions, as a ball; uses matrices for every form."""

    def compute():
        a, (m1, s1), (m2, s2) = arb(float(alpha)), _moments(*N1), _moments(*N2)
        weight = a if convention == "nielsen" else 1 - a
        p1, p2 = (1 - weight) * s1.inv(), weight * s2.inv()
        s = (p1 + p2).inv()
        m = s * (p1 * m1 + p2 * m2)
        if dual:
            return (1 - a) * _dense_kl(m, s, m1, s1) + a * _dense_kl(m, s, m2, s2)
        return (1 - a) * _dense_kl(m1, s1, m, s) + a * _dense_kl(m2, s2, m, s)

    return _sharpened(compute)


def _dense_kl(m, s, n, t):
    inverse, d = t.inv(), m - n
    return ((inverse * s).trace() - s.nrows() - (s.det() / t.det()).log() + (d.transpose() * inverse * d)[0, 0]) / 2


def _moments(mean, form, scale):
    mean, scale = (np.asarray(x, float) for x in (mean, scale))
    m = arb_mat([[float(x)] for x in mean])
    if scale.ndim == 1:
        variances = [_variance(form, arb(float(x))) for x in scale]
        return m, arb_mat([[v if i == j else arb(0) for j in range(len(variances))] for i, v in enumerate(variances)])
    matrix = arb_mat([[float(x) for x in row] for row in scale])
    return m, {"cov": lambda: matrix, "scale_tril": lambda: matrix * matrix.transpose(), "precision": matrix.inv}[
        form
    ]()


def _sharpened(compute):
    for precision in (2**k for k in range(8, 22)):
        with ctx.workprec(precision):
            try:
                ball = compute()
            except ZeroDivisionError:  # a matrix that may be singular at this precision
                continue
            if ball.is_finite() and ball.rel_accuracy_bits() > BITS:
                return ball
    raise ArithmeticError("the ball does not become narrow; is the true value 0?")


def total(balls):
    """The sum of the balls; its relative radius is not larger than theirs."""
    with ctx.workprec(4000):
        return sum(balls, arb(0))


def ulps(got, ball):
    """Distance of a float from a ball, in units in the last place of the float nearest to the ball."""
    dtype = np.asarray(got).dtype.type
    with np.errstate(over="ignore", under="ignore"):
        nearest = dtype(float(ball.mid()))
    if not np.isfinite(nearest):
        return 0.0 if got == nearest else np.inf
    return distance(got, ball, float(np.spacing(np.abs(nearest))))


def distance(got, ball, unit):
    """Distance of a float from a ball, in the given unit."""
    if not np.isfinite(got):
        return np.inf
    with ctx.workprec(2400):  # the bits of all float64 span 2098 bits, so the difference is exact
        return abs(float(((arb(float(got)) - ball) / unit).mid()))


def is_nearest(got, ball):
    """Whether a float is the one of its type nearest to the number in the ball, as far as the ball can tell."""
    dtype = np.asarray(got).dtype.type
    largest = np.finfo(dtype).max
    with ctx.workprec(2400):
        step = arb(float(largest)) - arb(float(np.nextafter(largest, dtype(0))))

        def number(x):  # infinity stands for the float that would come next
            return arb(float(x)) if np.isfinite(x) else arb(float(largest)) + step

        below, above = np.nextafter(got, dtype(0)), np.nextafter(got, dtype(np.inf))
        too_small = np.isfinite(got) and ball > (number(got) + number(above)) / 2
        too_large = got > 0 and ball < (number(got) + number(below)) / 2
        return not (too_small or too_large)
