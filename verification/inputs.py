"""The inputs of `ulps.py`: kinds of pairs of Gaussians, and their conversion for each implementation."""

from typing import NamedTuple

import numpy as np

import jsgmath

ALPHAS = (0.1, 0.5, 0.8)
COUNT = 60  # pairs of each kind in one dimension

CONVERSIONS = {
    ("var", "std"): np.sqrt,
    ("var", "logvar"): np.log,
    ("var", "cov"): lambda v: v[..., None],
    ("logvar", "std"): lambda s: np.exp(s / 2),
    ("logvar", "cov"): lambda s: np.exp(s)[..., None],
}


class Pairs(NamedTuple):
    """Means of shape ``(count, n)`` and scales of shape ``(count, n)``, or ``(count, n, n)`` if the form is ``cov``."""

    form: str
    mean1: np.ndarray
    scale1: np.ndarray
    mean2: np.ndarray
    scale2: np.ndarray

    def gaussians(self):
        return (jsgmath.Gaussian(mean, **{self.form: scale}) for mean, scale in (self[1:3], self[3:]))


def inputs(dtype):
    """Kind of input -> (groups of pairs, alphas), in float64; ``dtype`` float32 gets less extreme numbers."""
    rng, double = np.random.default_rng(1), dtype == np.float64
    m1, m2, s1 = rng.normal(size=(3, COUNT, 1))
    sign = rng.choice([-1.0, 1.0], size=(COUNT, 1))
    s2 = s1 + sign * rng.uniform(0.3, 3, size=(COUNT, 1))
    v1, v2 = np.exp(s1), np.exp(s2)
    one = {
        "ordinary variances": Pairs("var", m1, v1, m2, v2),
        "ordinary log-variances": Pairs("logvar", m1, s1, m2, s2),
    }
    gaps = (3, 6, 9, 12, 15) if double else (3, 5, 7)
    for gap in gaps:
        one[f"variances 1e-{gap} apart"] = Pairs("var", m1, v1, m1, v1 * (1 + sign * 10.0**-gap))
    for gap in gaps:
        one[f"log-variances 1e-{gap} apart"] = Pairs("logvar", m1, 20 * s1, m1, 20 * s1 * (1 + sign * 10.0**-gap))
    far = 8 if double else 4
    one[f"common mean of 1e{far}"] = Pairs("var", 10.0**far + m1, v1, 10.0**far + m2, v2)
    for log_ratio in (300, 700) if double else (36, 84):
        one[f"ratios of e^±{log_ratio}"] = Pairs("logvar", m1, sign * log_ratio + s1 / 9, m2, s2 / 9)
    half = 500 if double else 50  # each variance is a number of the type, but their ratio is not
    one[f"ratios of e^±{2 * half}"] = Pairs("logvar", m1, sign * half, m2, -sign * half)
    result = {name: ([pairs], ALPHAS) for name, pairs in one.items()}
    for alpha in (1e-12, 1e-300 if double else 1e-30):
        result[f"alpha of {alpha}"] = [one["ordinary variances"]], (alpha,)
    for condition in (2, 6, 10) if double else (1, 2, 4):
        for name, distance in (("far", 0), ("near", 1e-6 if double else 1e-3)):
            groups = [dense_pairs(rng, n, 10.0**condition, distance) for n in (5, 20)]
            result[f"covariances of condition 1e{condition}, {name}"] = groups, ALPHAS
    return result


def dense_pairs(rng, n, condition, distance):
    """Three pairs of random covariances; with a ``distance``, nearly equal ones, measured in units of the first."""
    bases, _ = np.linalg.qr(rng.normal(size=(2, 3, n, n)))
    root, other = (q * np.geomspace(1, condition**-0.5, n) @ q.mT for q in bases)  # symmetric square roots
    m1, shift, noise = rng.normal(size=(3, n)), rng.normal(size=(3, n)), rng.normal(size=(3, n, n))
    if distance:
        other, shift = root, distance * (root @ shift[..., None])[..., 0]
    S1, S2 = root @ root, other @ (np.eye(n) + distance / (4 * n**0.5) * (noise + noise.mT)) @ other
    return Pairs("cov", m1, (S1 + S1.mT) / 2, m1 + shift, (S2 + S2.mT) / 2)


def converted(pairs, forms, dtype):
    """Converts the pairs to one of the forms and rounds them; returns None if there is no such conversion."""
    form, m1, s1, m2, s2 = pairs
    if forms == ("to standard",) and form != "cov":  # mapped so that N2 is N(0, I)
        log_ratio = s1 - s2 if form == "logvar" else np.log(s1 / s2)
        scale = np.exp(s2 / 2) if form == "logvar" else np.sqrt(s2)
        form, m1, s1, m2, s2 = "logvar", (m1 - m2) / scale, log_ratio, 0 * m2, 0 * s2
    elif form not in forms:
        if (form, forms[0]) not in CONVERSIONS:
            return None
        s1, s2 = map(CONVERSIONS[form, forms[0]], (s1, s2))
        form = forms[0]
    return Pairs(form, *(x.astype(dtype) for x in (m1, s1, m2, s2)))


def factors(dtype):
    """Kind of input -> (groups of pairs of lower triangular factors, alphas), for KL of full covariances in torch."""
    rng, tiny = np.random.default_rng(3), -15 if dtype == np.float64 else -7
    result = {}
    for n, count in ((2, 1000), (10, 1000)):
        samples = rng.normal(size=(count, 2 * n, n))
        samples -= samples.mean(1, keepdims=True)
        tril = np.linalg.cholesky(samples.mT @ samples / (2 * n - 1))
        mean, eye = rng.normal(size=(count, n)), np.broadcast_to(np.eye(n), tril.shape)
        result[f"sample covariances, to N(0, I), n = {n}"] = Pairs("scale_tril", mean, tril, 0 * mean, eye)
        other = tril * (1 + 10.0 ** rng.uniform(tiny, -1, size=(count, 1, 1)) * rng.normal(size=tril.shape))
        moved = mean + 10.0 ** rng.uniform(tiny, -1, size=(count, 1)) * rng.normal(size=mean.shape)
        result[f"sample covariances, near, n = {n}"] = Pairs("scale_tril", mean, tril, moved, other)
    last = 10.0 ** rng.uniform(tiny, -1, size=1000)
    singular = np.array([[[1, 0], [1, s]] for s in last])
    result["factors ((1, 0), (1, s)), to N(0, I)"] = Pairs(
        "scale_tril", np.zeros((1000, 2)), singular, np.zeros((1000, 2)), np.broadcast_to(np.eye(2), singular.shape)
    )
    return {name: ([pairs], ALPHAS) for name, pairs in result.items()}
