"""Gradients of gamma, beta and Dirichlet distributions in torch and JAX, against differences in 200 digits.

The error of a gradient may be 16 ulp of the sum of the sizes of its terms.  The terms are those in the closed form of
each KL divergence, such as ``(a1 - a2) psi'(a1)``.
"""

import numpy as np
import pytest
import torch
from mpmath import mp

from jsgmath import families, jsg, jsg_dual
from tests.interop.jax_gradients import DIVERGENCES, PAIRS, member
from verification import family_oracles
from verification.oracles import mean_weights

pytestmark = pytest.mark.slow  # JAX compiles 13 gradients


@pytest.fixture(scope="module")
def of_jax(printed):
    return printed("tests.interop.jax_gradients")


def gamma_terms(first, second):
    """The terms of the derivatives of ``KL(first||second)`` by the parameters of first, and by those of second."""
    (a1, b1), (a2, b2) = first, second
    by_first = [(a1 - a2) * mp.psi(1, a1), b2 / b1 - 1], [a2 / b1, -a1 * b2 / b1**2]
    return by_first, ([mp.psi(0, a2) - mp.psi(0, a1), mp.log(b1 / b2)], [a1 / b1, -a2 / b2])


def dirichlet_terms(first, second):
    """The terms, for which the total of the differences is a sum of terms as well."""
    total1, total2 = mp.fsum(first), mp.fsum(second)
    d = [y - x for x, y in zip(first, second, strict=True)]
    slope = (mp.psi(0, total2) - mp.psi(0, total1)) / (total2 - total1) if total1 != total2 else mp.psi(1, total1)
    by_first = [[-z * mp.psi(1, x), *(y * mp.psi(1, total1) for y in d)] for x, z in zip(first, d, strict=True)]
    by_second = [[mp.psi(0, y) - mp.psi(0, x), *(z * slope for z in d)] for x, y in zip(first, second, strict=True)]
    return by_first, by_second


def sizes(terms, N, alpha, convention, dual):
    """The sum of the sizes of the terms of each derivative of a divergence."""
    weights, g = (1 - alpha, alpha), mean_weights(alpha, convention)
    G = [g[0] * x + g[1] * y for x, y in zip(*N, strict=True)]
    found = [[mp.zero] * len(G), [mp.zero] * len(G)]
    for k, w in enumerate(weights):
        by_mean, by_member = reversed(terms(N[k], G)) if not dual else terms(G, N[k])
        for place in range(len(G)):
            found[k][place] += w * mp.fsum(map(abs, by_member[place]))
            for i in (0, 1):
                found[i][place] += g[i] * w * mp.fsum(map(abs, by_mean[place]))
    return [*found[0], *found[1]]


def references(name, pair, alpha, convention, dual):
    """Each derivative by differences, and the sum of the sizes of its terms."""
    n, alpha = len(pair) // 2, mp.mpf(alpha)
    family = "Gamma" if name == "Gamma" else "Dirichlet"
    with mp.workdps(200):
        exact = [mp.mpf(x) for x in pair]

        def value(place, step):
            moved = [x + step * (i == place) for i, x in enumerate(exact)]
            return family_oracles.skew(family, tuple(moved[:n]), tuple(moved[n:]), alpha, convention, dual, 200)

        steps = [x * mp.mpf(10) ** -50 for x in exact]
        slopes = [(value(i, step) - value(i, -step)) / (2 * step) for i, step in enumerate(steps)]
        terms = gamma_terms if name == "Gamma" else dirichlet_terms
        return slopes, sizes(terms, (exact[:n], exact[n:]), alpha, convention, dual)


def torchs(name, pair, dtype, alpha, convention, dual):
    given = [torch.tensor(x, dtype=getattr(torch, dtype), requires_grad=True) for x in pair]
    n = len(given) // 2
    first, second = (member(name, part, families, torch.stack) for part in (given[:n], given[n:]))
    value = (jsg_dual if dual else jsg)(first, second, alpha, convention=convention)
    return [x.item() for x in torch.autograd.grad(value, given)]


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(("name", "place"), [(name, i) for name, pairs in PAIRS.items() for i in range(len(pairs))])
def test_gradients_are_within_16_ulp_of_the_sizes_of_their_terms(name, place, dtype, of_jax):
    pair = [float(np.asarray(x, dtype)) for x in PAIRS[name][place]]
    for alpha, convention, dual in DIVERGENCES:
        slopes, bounds = references(name, pair, alpha, convention, dual)
        results = {
            "torch": torchs(name, pair, dtype, alpha, convention, dual),
            "JAX": of_jax[f"{name} {dtype} {alpha} {dual}"][place],
        }
        for library, gradient in results.items():
            for i, (x, slope, size) in enumerate(zip(gradient, slopes, bounds, strict=True)):
                if size < np.finfo(dtype).max:
                    limit = 16 * max(np.spacing(np.array(float(size), dtype)), np.finfo(dtype).tiny)
                    assert abs(x - float(slope)) <= limit, (library, alpha, convention, dual, i)
                else:
                    assert not np.isnan(x), (library, alpha, convention, dual, i)
