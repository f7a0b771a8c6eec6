"""Random pairs of Gaussians for the tests: as ``(mean, cov)`` arrays, as jsgmath takes them, and for the oracles."""

from functools import cache
from itertools import product

import numpy as np
from hypothesis import strategies as st

import jsgmath
from verification import oracles

DIVERGENCES = [(dual, convention) for dual in (False, True) for convention in ("deasy", "nielsen")]

interior = st.floats(0.01, 0.99)
seeds = st.integers(0, 2**32 - 1)
distances = st.sampled_from([1.0, 1e-3, 1e-7])


def dense_pair(n, seed, distance=1.0, ridge=0.05):
    """Two ``(mean, cov)``; a small ``distance`` makes them nearly equal, a large ``ridge`` well conditioned."""
    rng = np.random.default_rng(seed)
    half, other = rng.normal(size=(2, n, n))
    S1 = half @ half.T + ridge * np.eye(n)
    S2 = other @ other.T + ridge * np.eye(n) if distance == 1 else S1 + distance * other @ other.T
    m1 = rng.normal(size=n)
    return (m1, S1), (m1 + distance * rng.normal(size=n), S2)


def diagonal_pair(n, seed, distance=1.0):
    """Two ``(mean, cov)`` with diagonal covariances."""
    rng = np.random.default_rng(seed)
    v1 = np.exp(2 * rng.normal(size=n))
    v2 = v1 * np.exp(2 * distance * rng.normal(size=n))
    m1 = rng.normal(size=n)
    return (m1, np.diag(v1)), (m1 + distance * rng.normal(size=n), np.diag(v2))


def gaussian(N, form="cov"):
    """The `jsgmath.Gaussian` of a ``(mean, cov)``, with its scale in the given form."""
    mean, cov = N
    if form in ("var", "logvar", "std"):
        var = np.diag(cov)
        scale = {"var": var, "logvar": np.log(var), "std": np.sqrt(var)}[form]
    else:
        inverse = np.linalg.inv(cov)
        scale = {"cov": cov, "scale_tril": np.linalg.cholesky(cov), "precision": (inverse + inverse.T) / 2}[form]
    return jsgmath.Gaussian(mean, **{form: scale})


def exact(G):
    """What a `jsgmath.Gaussian` stands for, to the last bit of its input."""
    return oracles.exact(G.form, G.mean, G.scale)


def divergence(dual):
    return jsgmath.jsg_dual if dual else jsgmath.jsg


def scalar_pairs(*sizes):
    """One-dimensional pairs for `balls.py`, in every two forms: ``(size, distance)`` of log-variances."""
    rng = np.random.default_rng(0)
    scale = {"var": np.exp, "logvar": float, "std": lambda logvar: np.exp(logvar / 2)}
    pairs = []
    for (form1, form2), (size, distance) in product(product(scale, repeat=2), sizes):
        m, step, logvar, factor = rng.normal(size=4)
        first, second = size * logvar, size * logvar + distance * factor
        pairs.append(((m, form1, float(scale[form1](first))), (m + distance * step, form2, float(scale[form2](second)))))
    return tuple(pairs)


def both_ways(form, *scales):
    """One-dimensional pairs of the given scales, in both orders."""
    return tuple(((0.5, form, first), (0.0, form, second)) for pair in scales for first, second in (pair, pair[::-1]))


ORDINARY = scalar_pairs((1, 1), (1, 1), (100, 100), (1, 1e-9), (40, 1e-9)) + both_ways("logvar", (90.1, -103.7))
# Ratios of variances whose square no float64 holds, then none itself, then none with 15 bits of exponent.
FAR = scalar_pairs((300, 300)) + both_ways("var", (1e-150, 1e130))
EXTREME = FAR + both_ways("logvar", (700.0, -700.0), (1e5, 0.0), (-2e4, 3.0), (-1e5, 1e5))


def batches(pairs):
    """For every two forms: where their pairs stand in the list, and the pairs as two batches with an axis for alpha."""
    for forms in sorted({(N1[1], N2[1]) for N1, N2 in pairs}):
        indices = [i for i, (N1, N2) in enumerate(pairs) if (N1[1], N2[1]) == forms]
        sides = np.array([[(N[0], N[2]) for N in pairs[i]] for i in indices])[:, None, :, :, None]
        yield (
            indices,
            *(jsgmath.Gaussian(sides[:, :, k, 0], **{form: sides[:, :, k, 1]}) for k, form in enumerate(forms)),
        )


@cache
def truths(oracle, pairs, alphas, dual, convention):
    """What an oracle of `balls.py` says of every pair and alpha; kept, since `mutants.py` asks again and again."""
    return [[oracle(*pair, alpha, dual=dual, convention=convention) for alpha in alphas] for pair in pairs]
