"""JSG and its dual between Gaussians of low rank in 200 digits, by Woodbury's identity [eqs. 8, 10]."""

from mpmath import mp

DIGITS = 200


class Exact:
    """``D + W S W'`` in mpmath numbers: solutions of linear systems, and the determinant."""

    def __init__(self, D, W, S):
        self.D, self.W, self.S = D, W, S
        k = len(S)
        self.scaled = [[w / d for w, d in zip(column, D, strict=True)] for column in W]
        self.small = mp.matrix(k, k)
        for a in range(k):
            for b in range(k):
                self.small[a, b] = (a == b) / S[a] + dot(W[a], self.scaled[b])

    def solve(self, x):
        start = [y / d for y, d in zip(x, self.D, strict=True)]
        if not self.S:
            return start
        weights = mp.lu_solve(self.small, mp.matrix([dot(w, start) for w in self.W]))
        return [y - sum(u * s[i] for u, s in zip(weights, self.scaled, strict=True)) for i, y in enumerate(start)]

    def times(self, x):
        shares = [s * dot(w, x) for s, w in zip(self.S, self.W, strict=True)]
        return [
            d * y + sum(u * w[i] for u, w in zip(shares, self.W, strict=True))
            for i, (d, y) in enumerate(zip(self.D, x, strict=True))
        ]

    def log_det(self):
        product = mp.mpf(1)
        for x in (*self.D, *self.S):
            product *= x
        return mp.log(product) + (mp.log(mp.det(self.small)) if self.S else 0)

    def trace_of_solved(self, other):
        """``tr (this^-1 other)``"""
        total = mp.fsum(x / d for x, d in zip(other.D, self.D, strict=True))
        if self.S:
            inverse = self.small**-1
            k = len(self.S)
            middle = mp.matrix(k, k)
            for a in range(k):
                for b in range(k):
                    middle[a, b] = mp.fsum(
                        x * y * z for x, y, z in zip(self.scaled[a], self.scaled[b], other.D, strict=True)
                    )
            total -= sum(inverse[a, b] * middle[b, a] for a in range(k) for b in range(k))
        return total + sum(s * dot(w, self.solve(w)) for s, w in zip(other.S, other.W, strict=True))


def dot(x, y):
    return mp.fdot(x, y)


def truth(first, second, alpha, dual, reverse):
    """Eqs. 8 and 10 with their own mean: ``S_G^-1 = g1 S1^-1 + g2 S2^-1``, so ``S_G = S1 (g1 S2 + g2 S1)^-1 S2``."""
    with mp.workdps(DIGITS):
        (m1, W1, D1), (m2, W2, D2) = (
            [[mp.mpf(y) for y in x.T.ravel().tolist()] for x in side] for side in (first, second)
        )
        n = len(D1)
        W1, W2 = ([W[i : i + n] for i in range(0, len(W), n)] for W in (W1, W2))
        w1, w2 = 1 - mp.mpf(alpha), mp.mpf(alpha)
        g1, g2 = (w2, w1) if reverse else (w1, w2)
        S1, S2 = Exact(D1, W1, [mp.mpf(1)] * len(W1)), Exact(D2, W2, [mp.mpf(1)] * len(W2))
        parts = [(g2, W1), (g1, W2)]
        H = Exact(
            [g1 * y + g2 * x for x, y in zip(D1, D2, strict=True)],
            [w for g, W in parts if g for w in W],
            [g for g, W in parts if g for _ in W],
        )
        d = [x - y for x, y in zip(m1, m2, strict=True)]
        log_det_G = S1.log_det() + S2.log_det() - H.log_det()
        z = H.solve(d)
        total = mp.mpf(0)
        # m1 - m_G is g2 S1 H^-1 d, and S_G^-1 (m1 - m_G) is g2 S2^-1 d; the same is true with the indices exchanged.
        for w, g, S, other in ((w1, g2, S1, S2), (w2, g1, S2, S1)):
            if not w:
                continue
            if dual:
                kl_ = H.trace_of_solved(other) - n + S.log_det() - log_det_G + g * g * dot(z, S.times(z))
            else:
                shift = g * g * dot(S.times(z), other.solve(d))
                kl_ = (1 - g) * n + g * other.trace_of_solved(S) - n + log_det_G - S.log_det() + shift
            total += w * kl_ / 2
        return total
