r"""Standard normal numbers that a seed and an index determine: Philox 4x32-10 [1] and Box-Muller.

Number ``e`` comes from word ``e % 4`` of the Philox block whose counter is ``e // 4`` and whose key is the seed, both
of 64 bits, low word first.  Words 0 and 1 make two numbers, words 2 and 3 the other two.  The first word of such a pair
gives the radius, ``r^2 = -2 log((word + 1/2) / 2^32)``, so that no number exceeds 6.764.  The second gives the angle: 3
bits choose an eighth of the circle, and 29 the angle within it.

Steps that could lose digits use integers: a logarithm near 0 is computed from the distance of the word to 2^32, and
angles are below 45 degrees.  So float32 agrees with float64 to a few units of the last place, for every word.
`box_muller` is generic like `jsgmath.formula`, and the Triton kernels compile its text.

[1] Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
"""

import torch

from jsgmath.special import polynomial

# Minimax polynomials, highest coefficient first: -2 log(1+f)/f in f, and sin(t)/t and cos(t) in t^2, t <= pi/4.
# Their relative errors are 3e-8, 4e-9 and 6e-11 for float32, and below 5e-17 for float64.
# fmt: off
SERIES32 = (
    (-0.174447354, 0.287337044, -0.299045289, 0.331247812, -0.399136673, 0.500041486, -0.666683713,
     0.999999759, -1.99999995),
    (-0.00019501822, 0.00833201645, -0.166666502, 0.999999997),
    (2.437268e-5, -0.00138865292, 0.0416666132, -0.499999996, 1.0),
)
SERIES64 = (
    (0.056600691973190501, -0.12670316243471484, 0.13597228703432329, -0.11947751799677273,
     0.12074317999121428, -0.13241303113687386, 0.1432161016191159, -0.1539580317696693, 0.16665028274646268,
     -0.1818113140850652, 0.20000039129276244, -0.222222458118596, 0.24999999613588925, -0.2857142812412914,
     0.3333333333266231, -0.40000000004233232, 0.50000000000028753, -0.66666666666651198,
     0.99999999999999923, -2.0000000000000001),
    (1.5894136624596e-10, -2.5050705852002427e-8, 2.7557313299061111e-6, -0.00019841269828402299,
     0.0083333333333200027, -0.16666666666666615, 1.0),
    (-1.1352123025416501e-11, 2.0875555142025627e-9, -2.7557312865668051e-7, 2.4801587282899365e-5,
     -0.001388888888885896, 0.04166666666666643, -0.49999999999999999, 1.0),
)
# fmt: on


def box_muller(word1, word2, number, split, sqrt, where, polynomial, series):
    """Two standard normal numbers from two words of 32 bits.

    ``number`` converts integers; ``split(x) = k, f`` with ``x = 2^(32-k) (1+f)``, ``1+f`` in [sqrt(1/2), sqrt(2)).
    """
    k, f = split(number(word1) + 0.5)
    f = where(k == 0, number(0xFFFFFFFF - word1) * -(2.0**-32) - 2.0**-33, f)
    radius = sqrt(k * 1.3862943611198906 + f * polynomial(f, series[0]))

    angle = number(word2 & 0x1FFFFFFF) * 1.4629180792671596e-09 + 7.314590396335798e-10  # in steps of pi/4 / 2^29
    x = radius * polynomial(angle * angle, series[2])
    y = radius * (angle * polynomial(angle * angle, series[1]))
    swap = (word2 & 0x20000000) != 0
    x, y = where(swap, y, x), where(swap, x, y)
    return where((word2 & 0x40000000) != 0, -x, x), where((word2 & 0x80000000) != 0, -y, y)


def philox(c0, c1, c2, c3, key0, key1):
    """Four random words for each counter of four words; words are of 32 bits, in int64 tensors."""
    low = 0xFFFFFFFF
    for _ in range(10):
        a, b = 0xD2511F53 * c0, 0xCD9E8D57 * c2  # modulo 2^64; the sign does not matter
        c0, c1, c2, c3 = (b >> 32 & low) ^ c1 ^ key0, b & low, (a >> 32 & low) ^ c3 ^ key1, a & low
        key0, key1 = key0 + 0x9E3779B9 & low, key1 + 0xBB67AE85 & low
    return c0, c1, c2, c3


def split(x):
    fraction, k = torch.frexp(x)
    small = fraction < 0.5**0.5
    return (32 - k + small.to(k.dtype)).to(x.dtype), torch.where(small, 2 * fraction, fraction) - 1


def normal(seed, first_row, shape, dtype):
    """Random numbers of shape ``(rows, n)``: rows from ``first_row`` on of the matrix whose flat index is ``e``.

    ``seed`` is an int64 tensor of one entry; the numbers are computed in ``dtype``, float32 or float64.
    """
    rows, n = shape
    start = first_row * n
    counter = torch.arange(start // 4, (start + rows * n + 3) // 4, device=seed.device)
    zero = torch.zeros_like(counter)
    low = 0xFFFFFFFF
    words = philox(counter & low, counter >> 32 & low, zero, zero, seed & low, seed >> 32 & low)
    pairs = [
        box_muller(
            word1, word2, lambda word: word.to(dtype), split, torch.sqrt, torch.where, polynomial,
            SERIES64 if dtype == torch.float64 else SERIES32,
        )
        for word1, word2 in (words[:2], words[2:])
    ]  # fmt: skip
    flat = torch.stack([*pairs[0], *pairs[1]], -1).flatten()
    return flat[start % 4 : start % 4 + rows * n].view(rows, n)
