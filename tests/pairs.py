"""One-dimensional pairs that are numerically difficult; a Gaussian is a tuple as in `verification/balls.py`."""

import numpy as np

from jsgmath import Gaussian

ALPHAS = (0.0, 5e-324, 1e-300, 1e-20, 0.1, 0.3, 0.5, 0.9, 1 - 2.0**-53, 1.0)
VARIANTS = [(dual, convention) for dual in (False, True) for convention in ("deasy", "nielsen")]


def near(x, relative):
    return x * (1 + relative)


def random_logvars(scale, count=6):
    """Pairs whose means differ by about one and whose log-variances have the standard deviation ``scale``."""
    rng = np.random.default_rng(1)
    draws = rng.normal(size=(count, 4)) * [1.0, scale, 1.0, scale]
    return [((m1, "logvar", s1), (m2, "logvar", s2)) for m1, s1, m2, s2 in draws.tolist()]


def random_variances(count=40):
    """Pairs near and far: variances and means differ relatively by 10^-k, k in 0..18."""
    rng = np.random.default_rng(2)
    pairs = []
    for _ in range(count):
        mean, v = rng.normal() * 10.0 ** rng.integers(-5, 13), float(np.exp(rng.uniform(-300, 300)))
        other_mean = near(mean, rng.normal() * 10.0 ** -rng.integers(0, 19))
        other_v = near(v, abs(rng.normal()) * 10.0 ** -rng.integers(0, 19))
        pairs.append(((mean, "var", v), (other_mean, "var", other_v)))
    return pairs


PAIRS = {
    "ordinary variances": [((0.3, "var", 0.7), (-1.1, "var", 2.9)), ((5.0, "var", 0.01), (4.0, "var", 0.02))],
    "ordinary standard deviations": [((0.3, "std", 0.7), (-1.1, "std", 2.9)), ((0.0, "std", 1e-3), (0.0, "std", 1.0))],
    "ordinary log-variances": random_logvars(2.0),
    "large log-variances": random_logvars(50.0),
    "variances of every closeness": random_variances(),
    "equal variances": [((0.3, "var", 0.7), (0.4, "var", 0.7)), ((0.0, "logvar", -3.3), (1e-9, "logvar", -3.3))],
    "variances 1e-15 apart": [
        ((mean, "var", v), (mean, "var", near(v, gap)))
        for mean, v in ((0.0, 0.7), (9.0, 1e200))
        for gap in (-1e-15, 1e-15)
    ],
    "standard deviations 1e-15 apart": [((0.0, "std", 0.7), (1e-17, "std", near(0.7, 1e-15)))],
    "log-variances 1e-15 apart": [((0.0, "logvar", -0.7), (0.0, "logvar", near(-0.7, 1e-15)))],
    "log-variances 1e-9 apart": [((0.0, "logvar", 40.0), (0.0, "logvar", near(40.0, 1e-9)))],
    "ratio e^300": [
        ((1.0, "logvar", 150.0), (0.0, "logvar", -150.0)),
        ((0.0, "logvar", -300.1), (0.5, "logvar", 0.3)),
        ((0.0, "logvar", 300.1), (0.5, "logvar", -0.3)),
        ((0.0, "var", float(np.exp(-150.0))), (0.0, "var", float(np.exp(150.0)))),
        ((0.0, "std", float(np.exp(75.0))), (0.0, "std", float(np.exp(-75.0)))),
    ],
    "ratio e^700": [
        ((1.0, "logvar", 350.0), (0.0, "logvar", -350.0)),
        ((0.0, "logvar", -700.3), (0.5, "logvar", 0.1)),
        ((3.0, "var", float(np.exp(-350.0))), (0.0, "var", float(np.exp(350.0)))),
    ],
    "means of 1e100": [((1e100, "var", 1.0), (-2e100, "var", 3.0)), ((1e100, "logvar", 1.0), (0.0, "logvar", -7.0))],
    "common mean of 1e12": [
        ((1e12, "var", 1.0), (1e12 + 1.0, "var", 1.1)),
        ((1e12, "std", 2.0), (1e12 - 3.0, "std", 2.0)),
    ],
}
# Ratios or reciprocals of these variances overflow float64.
BEYOND_DOUBLE = {
    "ratio e^1400": [
        ((1.0, "logvar", 700.0), (0.0, "logvar", -700.0)),
        ((1.0, "logvar", -700.0), (0.0, "logvar", 700.0)),
    ],
    "log-variances of 1e5": [
        ((1.0, "logvar", 1e5), (0.0, "logvar", 0.0)),
        ((0.0, "logvar", -1e5), (0.0, "logvar", 3.0)),
        ((1.0, "logvar", -3e4), (0.0, "logvar", 0.0)),
        ((0.0, "logvar", 0.0), (1.0, "logvar", -3e4)),
    ],
    "variances of 1e-320": [((1e-160, "var", 1e-320), (0.0, "var", 3e-320))],
}


def gaussian(N):
    mean, form, scale = N
    return Gaussian(mean, **{form: scale})


def gaussians(pairs, dtype=float):
    """Pairs of one form as two batches of one-dimensional Gaussians, with an axis for alphas."""
    form = pairs[0][0][1]
    assert all(N[1] == form for pair in pairs for N in pair)
    sides = np.array([[(mean, scale) for mean, _, scale in pair] for pair in pairs], dtype)
    return [Gaussian(sides[:, None, side, :1], **{form: sides[:, None, side, 1:]}) for side in (0, 1)]


def by_form(pairs):
    forms = sorted({pair[0][1] for pair in pairs})
    return [[pair for pair in pairs if pair[0][1] == form] for form in forms]
