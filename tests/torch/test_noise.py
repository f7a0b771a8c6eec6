"""The noise of `sample_and_jsg` compared with its definition in 40 digits and with the normal law."""

import math

import mpmath
import numpy as np
import pytest
import scipy.stats
import torch

from jsgmath.torch import noise
from jsgmath.torch.sampling import sample_and_jsg
from tests.torch.inputs import backends

COMPUTED = (torch.float32, torch.float64)

# In units of the last place.  There are a dozen roundings; 3.5 was measured over every kind of word, in both types.
NOISE = 4


def drawn(rows, n, seed, *, dtype=torch.float64, backend="triton", **keywords):
    """The noise eps, as the sample of N(0, I)."""
    zero = torch.zeros(rows, n, dtype=dtype)
    return sample_and_jsg(zero, zero, 0.5, seed, backend=backend, **keywords)[0]


# The noise by its definition: Philox in Python's integers [1, section 3.3], Box-Muller in mpmath.


def philox(counter, key):
    c, k = list(counter), list(key)
    for _ in range(10):
        high0, low0 = divmod(0xD2511F53 * c[0], 2**32)
        high1, low1 = divmod(0xCD9E8D57 * c[2], 2**32)
        c = [high1 ^ c[1] ^ k[0], low1, high0 ^ c[3] ^ k[1], low0]
        k = [(k[0] + 0x9E3779B9) % 2**32, (k[1] + 0xBB67AE85) % 2**32]
    return c


def polar(radius_word, direction_word):
    with mpmath.workdps(40):
        radius = mpmath.sqrt(-2 * mpmath.log(mpmath.mpf(2 * radius_word + 1) / 2**33))
        angle = mpmath.pi / 4 * mpmath.mpf(2 * (direction_word % 2**29) + 1) / 2**30
        x, y = radius * mpmath.cos(angle), radius * mpmath.sin(angle)
    swap, negative_x, negative_y = (direction_word >> bit & 1 for bit in (29, 30, 31))
    x, y = (y, x) if swap else (x, y)
    return -x if negative_x else x, -y if negative_y else y


def exact(e, seed):
    counter, key = e // 4, seed % 2**64
    words = philox([counter % 2**32, counter >> 32, 0, 0], [key % 2**32, key >> 32])
    return (*polar(*words[:2]), *polar(*words[2:]))[e % 4]


def ulps(got, want):
    """The distance of each number from the exact one, in units of the last place of the exact one."""
    info = torch.finfo(got.dtype)
    units = [math.ldexp(info.eps, math.frexp(float(x))[1] - 1) for x in want]
    return max(float(abs(mpmath.mpf(g) - w)) / u for g, w, u in zip(got.tolist(), want, units, strict=True))


KNOWN = [  # kat_vectors of Random123: counter, key, result
    ("00000000 00000000 00000000 00000000", "00000000 00000000", "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff", "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0", "d16cfe09 94fdcceb 5001e420 24126ea1"),
]


@pytest.mark.parametrize(("counter", "key", "result"), KNOWN)
def test_philox_gives_the_published_answers(counter, key, result):
    counter, key, result = ([int(word, 16) for word in words.split()] for words in (counter, key, result))
    assert philox(counter, key) == result
    words = noise.philox(*(torch.tensor([word]) for word in counter + key))
    assert [int(word) for word in words] == result


@backends
@pytest.mark.parametrize("dtype", COMPUTED, ids=str)
@pytest.mark.parametrize(
    ("first_row", "n", "seed"),
    [(0, 50, 0), (3, 7, 1), (2**40 + 1, 5, -1), (2**61, 3, 2**63 - 1), (0, 1, -(2**63)), (2**33, 2, 0x123456789ABC)],
)
def test_each_number_is_what_its_definition_gives(first_row, n, seed, dtype, backend):
    got = drawn(4, n, seed, dtype=dtype, first_row=first_row, backend=backend).flatten()
    want = [exact(first_row * n + i, seed) for i in range(4 * n)]
    assert ulps(got, want) <= NOISE


@pytest.mark.parametrize("dtype", COMPUTED, ids=str)
def test_words_near_the_limits_of_the_logarithm_and_the_angle_are_as_exact(dtype):
    """Words are near 0 and 2^32, near sqrt(1/2) 2^32 where the series changes, and at each of the eight directions."""
    rng = np.random.default_rng(1)
    powers = 2 ** np.arange(32)
    middle = int(2**31.5) + np.arange(-300, 300, 7)
    radius = np.concatenate([[0], powers, powers - 1, 2**32 - powers, middle, rng.integers(0, 2**32, 500)])
    angle = rng.permutation(np.concatenate([powers, 2**32 - powers, rng.integers(0, 2**32, len(radius) - 64)]))
    angle[0] = 0  # with radius 0: the largest number
    words = [torch.tensor(radius), torch.tensor(angle)]
    series = noise.SERIES64 if dtype == torch.float64 else noise.SERIES32
    eager = noise.box_muller(
        *words, lambda word: word.to(dtype), noise.split, torch.sqrt, torch.where, noise.polynomial, series
    )
    want = [polar(*pair) for pair in zip(radius.tolist(), angle.tolist(), strict=True)]
    for got, exact_ones in zip(eager, zip(*want, strict=True), strict=True):
        assert got.dtype == dtype
        assert ulps(got, exact_ones) <= NOISE
    largest = max(abs(x) for pair in want for x in pair)
    assert 6.76 < largest < 6.7638
    assert max(got.abs().max() for got in eager).item() == pytest.approx(float(largest), rel=1e-6)


@pytest.fixture(scope="module")
def sample():
    """Two million numbers; with other seeds the tests below pass as often as their standard deviations say."""
    return drawn(2**15, 64, 1234, dtype=torch.float32, backend="eager").flatten().double().numpy()


def test_moments_are_those_of_the_normal_law(sample):
    """Mean, variance, third and fourth moment, within 4 standard deviations: sqrt(1, 2, 15, 96) / sqrt(count)."""
    got = [(sample**k).mean() for k in (1, 2, 3, 4)]
    deviations = np.sqrt(np.array([1, 2, 15, 96]) / sample.size)
    assert (np.abs(np.array(got) - [0, 1, 0, 3]) <= 4 * deviations).all()


def test_the_law_is_normal_to_the_tails(sample):
    """Kolmogorov-Smirnov, p above a thousandth, and as many numbers beyond 2, 3, 4, 4.5 as binomial counts allow."""
    for word in range(4):
        assert scipy.stats.kstest(sample[word::4], "norm").pvalue > 1e-3
    for bound in (2, 3, 4, 4.5):
        for beyond in ((sample > bound).sum(), (sample < -bound).sum()):
            expected = sample.size * scipy.stats.norm.sf(bound)
            assert abs(beyond - expected) <= 4 * math.sqrt(expected)


def test_numbers_are_independent_of_their_neighbours_and_of_those_of_other_seeds(sample):
    """Correlations of the numbers and of their squares, within 4.5 standard deviations, 1/sqrt(count), of 0."""
    others = [sample[lag:] for lag in (1, 2, 3, 4, 5, 8, 64, 2**16)]
    others += [drawn(2**13, 64, seed, backend="eager").flatten().numpy() for seed in (1235, 1234 + 2**32, -1234)]
    for other in others:
        count = min(sample.size, other.size)
        for power in (1, 2):
            correlation = np.corrcoef(sample[:count] ** power, other[:count] ** power)[0, 1]
            assert abs(correlation) <= 4.5 / math.sqrt(count)


@backends
def test_standard_deviations_of_any_size_are_exact(backend):
    """Log-variances are up to 87; the error is at most 8 ulp, including that of the noise."""
    logvar = torch.linspace(-87, 87, 2048)[:, None]
    z, _ = sample_and_jsg(0 * logvar, logvar, 0.3, 5, backend=backend)
    want = torch.exp(logvar.double() / 2) * drawn(2048, 1, 5, backend="eager")
    assert ((z - want).abs() / want.abs()).max() <= 8 * 2.0**-24
