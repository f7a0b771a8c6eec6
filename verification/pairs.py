"""Random pairs of Gaussians for the tests: as ``(mean, cov)`` arrays, as jsgmath takes them, and for the oracles."""

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
