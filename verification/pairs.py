"""Random pairs of Gaussians for the tests: as ``(mean, cov)`` arrays, for jsgmath, and for the oracles."""

from functools import cache
from itertools import product

import numpy as np
from hypothesis import strategies as st

import jsgmath
from jsgmath.reduction.diagonal import diagonal_pairs
from jsgmath.rounding import of_pairs
from jsgmath.rounding.nearest import Divergence
from verification import oracles

DIVERGENCES = [(dual, convention) for dual in (False, True) for convention in ("deasy", "nielsen")]

interior = st.floats(0.01, 0.99)
seeds = st.integers(0, 2**32 - 1)
distances = st.sampled_from([1.0, 1e-3, 1e-7])


def dense_pair(n, seed, distance=1.0, ridge=0.05):
    """Two ``(mean, cov)``; they are nearly equal if ``distance`` is small, well conditioned if ``ridge`` is large."""
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
    """Mean and covariance of a `jsgmath.Gaussian`, exact to the last bit of its input."""
    return oracles.exact(G.form, G.mean, G.scale)


def divergence(dual):
    return jsgmath.jsg_dual if dual else jsgmath.jsg


def in_working_precision(dual):
    """The divergence of diagonal Gaussians as NumPy computes it, before it is rounded to the nearest float."""

    def function(N1, N2, alpha, *, convention="deasy"):
        kind = Divergence.JSG_DUAL if dual else Divergence.JSG
        with np.errstate(all="ignore"):
            pairs = diagonal_pairs(N1, N2)
            return of_pairs.bounded(kind, convention == "deasy", N1, N2, pairs, np.asarray(alpha))[0]

    return function


def scalar_pairs(*sizes):
    """One-dimensional pairs for `balls.py`, in every two forms; ``sizes`` are ``(size, distance)`` of log-variances."""
    rng = np.random.default_rng(0)
    scale = {"var": np.exp, "logvar": float, "std": lambda logvar: np.exp(logvar / 2)}
    pairs = []
    for (form1, form2), (size, distance) in product(product(scale, repeat=2), sizes):
        m, step, logvar, factor = rng.normal(size=4)
        first, second = size * logvar, size * logvar + distance * factor
        pairs.append(
            ((m, form1, float(scale[form1](first))), (m + distance * step, form2, float(scale[form2](second))))
        )
    return tuple(pairs)


def both_ways(form, *scales):
    """One-dimensional pairs of the given scales, in both orders."""
    return tuple(((0.5, form, first), (0.0, form, second)) for pair in scales for first, second in (pair, pair[::-1]))


ORDINARY = scalar_pairs((1, 1), (1, 1), (100, 100), (1, 1e-9), (40, 1e-9)) + both_ways("logvar", (90.1, -103.7))
# FAR: the squares of the ratios of variances exceed float64.  EXTREME adds ratios that exceed float64 themselves, and
# ratios that exceed every float with 15 bits of exponent.
FAR = scalar_pairs((300, 300)) + both_ways("var", (1e-150, 1e130))
EXTREME = FAR + both_ways("logvar", (700.0, -700.0), (1e5, 0.0), (-2e4, 3.0), (-1e5, 1e5))


def hard_pairs():
    """Dense pairs for `balls.py`, grouped by what makes them hard, as tuples that can be keys."""
    rng = np.random.default_rng(0)

    def covariance(n, condition, unit=1.0):
        q, _ = np.linalg.qr(rng.normal(size=(n, n)))
        matrix = (q * np.geomspace(1, 1 / condition, n)) @ q.T * np.outer(unit, unit)
        return (matrix + matrix.T) / 2

    def in_form(form, matrix):
        if form in ("var", "logvar", "std"):
            var = np.diag(matrix)
            return {"var": var, "logvar": np.log(var), "std": np.sqrt(var)}[form]
        return np.linalg.cholesky(matrix) if form == "scale_tril" else matrix

    def pair(forms, matrices, gap=1.0):
        mean = rng.normal(size=len(matrices[0]))
        means = mean, mean + gap * rng.normal(size=len(mean))
        return tuple(
            (tuple(m.tolist()), form, totuple(in_form(form, S)))
            for m, form, S in zip(means, forms, matrices, strict=True)
        )

    def totuple(scale):
        return tuple(totuple(row) for row in scale) if np.ndim(scale) else float(scale)

    dense, diagonal = ("cov", "scale_tril", "precision"), ("var", "logvar", "std")
    far, near, equal, mixed = [], [], [], []
    for form in dense:
        far += [pair((form, form), (covariance(n, 1e10), covariance(n, 1e6))) for n in (2, 6)]
        for gap in (0.1, 1e-9):
            S = covariance(5, 1e8)
            root, noise = np.linalg.cholesky(S), rng.normal(size=(5, 5))
            T = S + gap / 10 * root @ (noise + noise.T) @ root.T
            near.append(pair((form, form), (S, (T + T.T) / 2), gap))
        S, u = covariance(5, 1e4), rng.normal(size=5)
        equal += [pair((form, form), (S, T)) for T in (1.7 * S, 30 * S, S + np.outer(S @ u, S @ u))]
        mixed += [pair(forms, (covariance(4, 1e6), covariance(4, 1e3))) for forms in product((form,), dense + diagonal)]
        mixed += [pair(forms, (covariance(4, 1e6), covariance(4, 1e3))) for forms in product(diagonal, (form,))]
    logvar = np.log(np.diag(covariance(4, 1e3)))
    mean = tuple(rng.normal(size=4).tolist())
    one = ((mean, "logvar", tuple(logvar.tolist())), (mean, "cov", totuple(np.diag(np.exp(logvar) * (1 + 1e-9)))))
    units = 10.0 ** np.linspace(-100, 100, 5)
    eye, origin, mean = np.eye(2), (0.0, 0.0), (1.6e308, -1.7e308)
    limits = [
        pair(("cov", "cov"), (covariance(5, 1e4, units), covariance(5, 1e6, units))),
        pair(("precision", "precision"), (covariance(5, 1e4, units), covariance(5, 1e6, units)), 1e-120),
        pair(("precision", "cov"), (covariance(5, 1e4, units), covariance(5, 1e6, 1 / units)), 1e-120),
        ((origin, "scale_tril", totuple(1e-160 * eye)), ((1e-9, 0.0), "scale_tril", totuple(1e-2 * eye))),
        ((origin, "cov", totuple(1e-150 * eye)), (origin, "cov", totuple(1e150 * (eye + 0.1)))),
        ((origin, "precision", totuple(1e-150 * eye)), (origin, "precision", totuple(1e150 * (eye + 0.1)))),
        ((origin, "precision", totuple(1e-150 * eye)), (origin, "cov", totuple(1e-150 * (eye + 0.1)))),
        ((mean, "cov", totuple(1.6e308 * (eye + 0.1))), (mean[::-1], "cov", totuple(1.5e308 * eye))),
    ]
    return {
        "far": tuple(far),
        "near": tuple(near),
        "of equal ratios": tuple(equal),
        "of two forms": (*mixed, one),
        "at the limits of float64": tuple(limits),
    }


HARD = hard_pairs()


def batches(pairs):
    """Yields, for every two forms, the indices of their pairs, and the pairs as two batches with an axis for alpha."""
    for forms in sorted({(N1[1], N2[1]) for N1, N2 in pairs}):
        indices = [i for i, (N1, N2) in enumerate(pairs) if (N1[1], N2[1]) == forms]
        sides = np.array([[(N[0], N[2]) for N in pairs[i]] for i in indices])[:, None, :, :, None]
        yield (
            indices,
            *(jsgmath.Gaussian(sides[:, :, k, 0], **{form: sides[:, :, k, 1]}) for k, form in enumerate(forms)),
        )


@cache
def truths(oracle, pairs, alphas, dual, convention):
    """The value of an oracle of `balls.py` for every pair and alpha; cached, since `mutants.py` needs it many times."""
    return [[oracle(*pair, alpha, dual=dual, convention=convention) for alpha in alphas] for pair in pairs]
