"""The textbook's divergences of exponential families, in many digits; nothing here imports jsgmath.

A member is what its functions in `KL_AND_MEAN` take: a number, or a tuple of numbers.
"""

from mpmath import mp

from verification.oracles import mean_weights

# Near-equal members lose twice as many digits as their distance has, and the digits before the point of parameters.
DIGITS = 150


def _poisson(l1, l2):
    return l2 - l1 + (l1 * mp.log(l1 / l2) if l1 else 0) if l2 or not l1 else mp.inf


def _exponential(b1, b2):
    return mp.log(b1 / b2) + b2 / b1 - 1


def _gamma(first, second):
    (a1, b1), (a2, b2) = first, second
    digamma = (a1 - a2) * mp.digamma(a1)
    return digamma - mp.loggamma(a1) + mp.loggamma(a2) + a2 * mp.log(b1 / b2) + a1 * (b2 / b1 - 1)


def _dirichlet(a1, a2):
    A1, A2 = mp.fsum(a1), mp.fsum(a2)
    total = mp.loggamma(A1) - mp.loggamma(A2)
    psi = mp.digamma(A1)
    for x, y in zip(a1, a2, strict=True):
        total += mp.loggamma(y) - mp.loggamma(x) + (x - y) * (mp.digamma(x) - psi)
    return total


def _categorical(p1, p2):
    p1, p2 = (tuple(x / mp.fsum(p) for x in p) for p in (p1, p2))
    if any(x and not y for x, y in zip(p1, p2, strict=True)):
        return mp.inf
    return mp.fsum(x * mp.log(x / y) for x, y in zip(p1, p2, strict=True) if x)


def _geometric(p1, p2):
    if p2 == 1:
        return mp.inf if p1 < 1 else mp.zero
    return mp.log(p1 / p2) + ((1 - p1) / p1 * mp.log((1 - p1) / (1 - p2)) if p1 < 1 else 0)


def _linear(first, second, g1, g2):
    if isinstance(first, tuple):
        return tuple(_linear(x, y, g1, g2) for x, y in zip(first, second, strict=True))
    return g1 * first + g2 * second


def _power(x, y, g1, g2):
    return x**g1 * y**g2  # 0^0 is 1


def _normalised_power(p1, p2, g1, g2):
    product = [_power(x, y, g1, g2) for x, y in zip(p1, p2, strict=True)]
    total = mp.fsum(product)
    return tuple(x / total for x in product)


def _geometric_mean(p1, p2, g1, g2):
    return 1 - _power(1 - p1, 1 - p2, g1, g2)


KL_AND_MEAN = {
    "Poisson": (_poisson, _power),
    "Exponential": (_exponential, _linear),
    "Gamma": (_gamma, _linear),
    "Dirichlet": (_dirichlet, _linear),
    "Categorical": (_categorical, _normalised_power),
    "Geometric": (_geometric, _geometric_mean),
}


def skew(family, first, second, alpha, convention="deasy", dual=False, digits=DIGITS):
    """Eq. 8, or eq. 10 if ``dual``, of two members."""
    kl, mean = KL_AND_MEAN[family]
    with mp.workdps(digits):
        alpha = mp.mpf(alpha)
        G = mean(first, second, *mean_weights(alpha, convention))
        terms = ((w, kl(G, N) if dual else kl(N, G)) for w, N in ((1 - alpha, first), (alpha, second)) if w)
        return mp.fsum(w * x for w, x in terms)


# --- the definition: densities, and the mean as the normalised product of their powers --------------------------

LOG_DENSITY = {
    "Poisson": lambda rate, x: x * mp.log(rate) - rate - mp.loggamma(x + 1),
    "Geometric": lambda p, x: mp.log(p) + x * mp.log(1 - p),
    "Categorical": lambda p, x: mp.log(p[x] / mp.fsum(p)),
    "Exponential": lambda rate, x: mp.log(rate) - rate * x,
    "Gamma": lambda N, x: N[0] * mp.log(N[1]) - mp.loggamma(N[0]) + (N[0] - 1) * mp.log(x) - N[1] * x,
    "Dirichlet": lambda a, x: (
        mp.loggamma(mp.fsum(a)) - sum(map(mp.loggamma, a)) + (a[0] - 1) * mp.log(x) + (a[1] - 1) * mp.log(1 - x)
    ),
}
DISCRETE = ("Poisson", "Geometric", "Categorical")


def _sum(family, first, f):
    return mp.fsum(f(x) for x in range(len(first) if family == "Categorical" else 600))


def _integral(family, f):
    """The integral of f by tanh-sinh quadrature, which works with singular ends."""
    return mp.quad(f, [0, 0.5, 1] if family == "Dirichlet" else [0, 0.5, 2, 8, 30, 120])


def defined(family, first, second, alpha, convention="deasy", dual=False, digits=60):
    """Eqs. 1, 7, 8 and 10 by sums, or by integrals over the unit interval or the half-line; not for extreme members."""
    with mp.workdps(digits):
        alpha = mp.mpf(alpha)
        g1, g2 = mean_weights(alpha, convention)

        def expectation(f):
            return _sum(family, first, f) if family in DISCRETE else _integral(family, f)

        def logs(x):
            return (LOG_DENSITY[family](N, x) for N in (first, second))

        def log_product(p, q):
            return g1 * p + g2 * q

        log_z = mp.log(expectation(lambda x: mp.exp(log_product(*logs(x)))))

        def integrand(x):
            p, q = logs(x)
            g = log_product(p, q) - log_z
            if dual:
                return mp.exp(g) * ((1 - alpha) * (g - p) + alpha * (g - q))
            return (1 - alpha) * mp.exp(p) * (p - g) + alpha * mp.exp(q) * (q - g)

        return expectation(integrand)
