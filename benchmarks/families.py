"""The textbook's divergences of exponential families in NumPy, as one would write them without this library."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy.special import digamma, gammaln

from jsgmath import families

COUNT = 1_000_000  # outcomes in total


def _poisson(x, y):
    return y - x + x * np.log(x / y)


def _exponential(x, y):
    return np.log(x / y) + y / x - 1


def _geometric(p, q):
    return np.log(p / q) + (1 - p) / p * np.log((1 - p) / (1 - q))


def _bernoulli(p, q):
    return p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q))


def _bernoulli_mean(p, q, g1, g2):
    odds = (p / (1 - p)) ** g1 * (q / (1 - q)) ** g2
    return odds / (1 + odds)


def _of_logits(x):
    return 1 / (1 + np.exp(-x))


def _probabilities(x):
    return x / x.sum(-1, keepdims=True)


def _softmax(x):
    return _probabilities(np.exp(x - x.max(-1, keepdims=True)))


def _categorical(p, q):
    return (p * np.log(p / q)).sum(-1)


def _power(x, y, g1, g2):
    return x**g1 * y**g2


def _average(x, y, g1, g2):
    return g1 * x + g2 * y


def _gamma(x, y):
    (a1, b1), (a2, b2) = x.T, y.T
    of_shapes = (a1 - a2) * digamma(a1) - gammaln(a1) + gammaln(a2)
    return of_shapes + a2 * np.log(b1 / b2) + a1 * (b2 - b1) / b1


def _dirichlet(x, y):
    total_x, total_y = x.sum(-1), y.sum(-1)
    of_each = gammaln(y) - gammaln(x) + (x - y) * (digamma(x) - digamma(total_x)[:, None])
    return gammaln(total_x) - gammaln(total_y) + of_each.sum(-1)


def _rates(rng):
    return rng.uniform(0.2, 5, COUNT)


def _units(rng):
    return rng.uniform(0.01, 0.99, COUNT)


class Textbook(NamedTuple):
    """A family: its members in this library, and the textbook's KL divergence and mean, after ``prepared``."""

    make: Callable
    parameters: Callable
    kl: Callable
    mean: Callable
    prepared: Callable = np.asarray

    def ours(self, divergence, x, y, *alpha):
        return divergence(self.make(x), self.make(y), *alpha)

    def kl_of(self, x, y):
        return self.kl(self.prepared(x), self.prepared(y))

    def jsg_of(self, x, y, alpha):
        """Eq. 8 with the reversed mean."""
        x, y = self.prepared(x), self.prepared(y)
        mean = self.mean(x, y, alpha, 1 - alpha)
        return (1 - alpha) * self.kl(x, mean) + alpha * self.kl(y, mean)


FAMILIES = {
    "Exponential": Textbook(families.Exponential, _rates, _exponential, _average),
    "Poisson": Textbook(families.Poisson, _rates, _poisson, _power),
    "Geometric": Textbook(
        families.Geometric, _units, _geometric, lambda p, q, g1, g2: 1 - _power(1 - p, 1 - q, g1, g2)
    ),
    "Bernoulli": Textbook(families.Bernoulli, _units, _bernoulli, _bernoulli_mean),
    "Bernoulli, logits": Textbook(
        lambda x: families.Bernoulli(logits=x),
        lambda rng: rng.normal(size=COUNT),
        _bernoulli,
        _bernoulli_mean,
        _of_logits,
    ),
    "Categorical": Textbook(
        families.Categorical,
        lambda rng: rng.uniform(0.2, 5, (COUNT // 10, 10)),
        _categorical,
        lambda p, q, g1, g2: _probabilities(_power(p, q, g1, g2)),
        _probabilities,
    ),
    "Categorical, logits": Textbook(
        lambda x: families.Categorical(logits=x),
        lambda rng: rng.normal(size=(COUNT // 10, 10)),
        _categorical,
        lambda p, q, g1, g2: _probabilities(_power(p, q, g1, g2)),
        _softmax,
    ),
    "Gamma": Textbook(lambda x: families.Gamma(*x.T), lambda rng: rng.uniform(0.2, 5, (COUNT, 2)), _gamma, _average),
    "Beta": Textbook(lambda x: families.Beta(*x.T), lambda rng: rng.uniform(0.2, 5, (COUNT, 2)), _dirichlet, _average),
    "Dirichlet": Textbook(families.Dirichlet, lambda rng: rng.uniform(0.2, 5, (COUNT // 10, 10)), _dirichlet, _average),
}
