"""Members of exponential families for the tests, as jsgmath and as `family_oracles.py` represent them."""

from itertools import product

import numpy as np
from mpmath import mp

from jsgmath import families

PRECISION = 1000  # digits; with fewer than 300, 1 - 1e-300 would be 1


def _number(x):
    return mp.mpf(float(x))


def _vector(x):
    return tuple(map(_number, x))


def _bernoulli(p):
    return _number(p), 1 - _number(p)


def _odds(logit):
    return mp.exp(_number(logit)), mp.mpf(1)


def _softmax(logits):
    return tuple(mp.exp(_number(x)) for x in logits)


# Form -> (how jsgmath makes a member of its parameters, the oracle's family, how the oracle makes its member).
FORMS = {
    "Poisson": (families.Poisson, "Poisson", _number),
    "Geometric": (families.Geometric, "Geometric", _number),
    "Exponential": (families.Exponential, "Exponential", _number),
    "Exponential, scale": (lambda s: families.Exponential(scale=s), "Exponential", lambda s: 1 / _number(s)),
    "Gamma": (families.Gamma, "Gamma", lambda *p: _vector(p)),
    "Gamma, scale": (
        lambda a, s: families.Gamma(a, scale=s),
        "Gamma",
        lambda a, s: (_number(a), 1 / _number(s)),
    ),
    "Beta": (families.Beta, "Dirichlet", lambda *p: _vector(p)),
    "Dirichlet": (lambda *a: families.Dirichlet(a), "Dirichlet", lambda *a: _vector(a)),
    "Categorical": (lambda *p: families.Categorical(p), "Categorical", lambda *p: _vector(p)),
    "Categorical, logits": (lambda *x: families.Categorical(logits=x), "Categorical", lambda *x: _softmax(x)),
    "Bernoulli": (families.Bernoulli, "Categorical", _bernoulli),
    "Bernoulli, logits": (lambda x: families.Bernoulli(logits=x), "Categorical", _odds),
}
NEAR = (1e-15, -1e-12, 1e-8, -1e-4, 0.3)
POSITIVE = (1e-300, 1e-8, 0.3, 1.0, 11.9, 12.3, 1e4, 1e8)
PROBS = (1e-300, 1e-8, 0.3, 0.5, 0.9, 1 - 2**-53)
LOGITS = (0.0, 1e-300, -0.3, 5.0, -40.0, 700.0)


def ordinary(form, seed, distance=1.0):
    """Parameters of two members whose sums and integrals converge fast; a small distance makes them nearly equal."""
    rng = np.random.default_rng(seed)
    count = {"Gamma": 2, "Gamma, scale": 2, "Beta": 2}.get(form, 4 if form.startswith(("Cat", "Dir")) else 1)
    if "logits" in form:
        first = rng.normal(size=count)
        return tuple(first), tuple(first + distance * rng.normal(size=count))
    unit = form in ("Geometric", "Bernoulli")
    first = rng.uniform(0.2, 0.8, count) if unit else rng.uniform(0.7, 4, count)
    other = rng.uniform(0.2, 0.8, count) if unit else rng.uniform(0.7, 4, count)
    return tuple(first), tuple(first + distance * (other - first))


def hard(form):
    """Pairs of parameters over the whole range, near and far."""
    rng = np.random.default_rng(0)
    if form in ("Gamma", "Gamma, scale", "Beta"):
        shapes = [x for x in POSITIVE if x > 1e-300]
        far = [((a, b), (c, d)) for a, c in product(shapes, repeat=2) for b, d in ((0.3, 0.3 * c / a), (1e-3, 7.0))]
        near = [((a, b), (a * (1 + e), b * (1 + f))) for a, b, e, f in product(shapes, (1e-8, 3.0), NEAR, (0, 1e-12))]
        dominated = [((a, 1e-8), (a * (1 + e), 1e-8)) for a in shapes for e in (*NEAR, 1e3)]
        both = [((a, a / 5), (b, b / 10)) for a, b in product((1e-8, 5.0, 1e8), repeat=2) if a != b]
        return both + [pairs[i] for pairs in (far, near, dominated) for i in rng.choice(len(pairs), 24)]
    if form == "Dirichlet":
        found = []
        for size, n, e in product(((0, 0), (-8, 8)), (2, 3, 5), (1e-14, 1e-8, 0.1)):
            a = 10 ** rng.uniform(*size, n) * 10 ** rng.choice([-6.0, 0.0, 7.0]) * rng.uniform(0.5, 2, n)
            # Dirichlet distributions of large total are much nearer if their proportions are nearly the same.
            large = 1e10 * rng.uniform(0.5, 2, n)
            found += [(large, large * (1 + e * (1 + 1e-5 * rng.uniform(-1, 1, n))))]
            found += [(a, a * (1 + e)), (a, a * (1 + e * rng.uniform(-1, 1, n))), (a, 10 ** rng.uniform(-8, 8, n))]
        return [tuple(map(tuple, pair)) for pair in found]
    if form.startswith("Categorical"):
        found = []
        for n, e, spread in product((2, 3, 7), (1e-15, 1e-8, 0.1), (1, 8, 150)):
            p = rng.uniform(-spread, 0, n)
            near, far = p * (1 + e * rng.normal(size=n)), rng.uniform(-spread, 0, n)
            found += [(p, near), (p, far)] if "logits" in form else [(10**p, 3.7 * 10**near), (10**p, 10**far)]
        return [tuple(map(tuple, pair)) for pair in found]
    scalars = {"Geometric": PROBS, "Bernoulli": PROBS, "Bernoulli, logits": LOGITS}.get(form, (*POSITIVE, 1e300))
    top = 1.0 if scalars is PROBS else np.inf
    near = [((x,), (x * (1 + e),)) for x in scalars for e in NEAR if x * (1 + e) < top]
    return near + [((x,), (y,)) for x, y in product(scalars, repeat=2) if x != y]


def made(form, pair):
    """The two members of jsgmath, and a tuple of the oracle's family and its two members."""
    make, family, exact = FORMS[form]
    with mp.workdps(PRECISION):
        return [make(*p) for p in pair], (family, *(exact(*p) for p in pair))
