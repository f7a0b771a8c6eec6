r"""Bounds on JSG and B in terms of the two KLs, and JSG with the unnormalised mean, for any exponential family.

Let ``w1, w2`` be the weights of the divergence, ``g1, g2`` those of the geometric mean G, and ``B = -log Z`` the skew
Bhattacharyya distance, where ``Z`` is the integral of ``p1^g1 p2^g2``.  The definition alone gives

    JSG = U - B,     U = w1 g2 KL(N1||N2) + w2 g1 KL(N2||N1),     0 <= B <= min(g2 KL(N1||N2), g1 KL(N2||N1))
"""

# pyright: reportConstantRedefinition=false

from typing import Any

from jsgmath import formula
from jsgmath.checks import check_convention
from jsgmath.divergences import bhattacharyya, jsg, jsg_dual, kl
from jsgmath.families.libraries import arithmetic
from jsgmath.families.libraries.arithmetic import Arithmetic, Array, library_of
from jsgmath.gaussian import GaussianLike
from jsgmath.hints import Convention, Weight
from jsgmath.interop import pair_of


def jsg_extended(
    N1: GaussianLike, N2: GaussianLike, alpha: Weight, *, convention: Convention = "deasy", dual: bool = False
) -> Any:
    r"""Skew-geometric Jensen-Shannon divergence to the unnormalised geometric mean, in nats [2].

    .. math:: (1-\alpha)\,KL^+(p_1 \| u) + \alpha\,KL^+(p_2 \| u), \quad u = p_1^{g_1} p_2^{g_2}

    where :math:`KL^+(p \| q) = \int p \log(p/q) + q - p`.  It equals :math:`JSG + g(Z - 1)` with :math:`g(x) = x -
    \log(1+x)` and :math:`Z = \int u`, so it is not smaller than `jsg`.  With ``convention="nielsen"`` it equals
    :math:`\alpha (1-\alpha) J + Z - 1`, where J is the `jeffreys` divergence.

    Args:
        N1, N2, alpha, convention: as in `jsg`.
        dual: whether u is the first argument, as in `jsg_dual`; with ``convention="nielsen"`` it is :math:`1 - Z`.

    Returns:
        One value per batch element, never negative.

    Raises:
        TypeError, ValueError: as in `jsg`.

    Accuracy: that of `jsg` plus a few rounding errors of the result's type; no terms cancel
    (``tests/test_bounds.py``).

    References: [2] Nielsen 2019, https://arxiv.org/abs/1904.04017

    >>> from jsgmath import Gaussian
    >>> N1, N2 = Gaussian(mean=[0.0], var=[1.0]), Gaussian(mean=[1.0], var=[1.0])
    >>> print(round(jsg_extended(N1, N2, 0.5), 15), round(jsg_extended(N1, N2, 0.5, dual=True), 15))
    0.132496902584595 0.117503097415405
    """
    N1, N2 = pair_of(N1, N2)
    value = (jsg_dual if dual else jsg)(N1, N2, alpha, convention=convention)
    # alpha stays the weight as it was given, because 1 - alpha may be rounded.
    B = bhattacharyya(N2, N1, alpha) if convention == "deasy" else bhattacharyya(N1, N2, alpha)
    m = arithmetic(library_of(B) or "NumPy")
    dtype = m.result_type(value, B)
    value, B = m.work(value), m.work(B)
    with m.quiet():
        excess, Z = m.expm1(-B), m.exp(-B)
        if not dual:
            return m.rounded(value + m.g(excess, Z, 1 + 0 * Z, -B), dtype)
        far = B > 1
        rest = m.where(far, 1 - Z * (1 + B), Z * m.gs_of(m.where(far, 0.0, excess), m.where(far, 1.0, Z)))
        return m.rounded(m.where(Z == 0, 1.0, Z * value + rest), dtype)


def jsg_bounds(
    N1: GaussianLike, N2: GaussianLike, alpha: Weight, *, convention: Convention = "deasy"
) -> tuple[Any, Any]:
    r"""Bounds ``(lower, upper)`` on `jsg` in terms of the two KL divergences, in nats.

    .. math:: U = w_1 g_2\,KL(p_1 \| p_2) + w_2 g_1\,KL(p_2 \| p_1), \qquad
        U - \min(g_2\,KL(p_1 \| p_2),\, g_1\,KL(p_2 \| p_1)) \le JSG \le U

    The lower bound is never negative.  With ``"deasy"`` both bounds equal the divergence at alpha 0 and 1.

    Args:
        N1, N2, alpha, convention: as in `jsg`.

    Raises:
        TypeError, ValueError: as in `jsg`.

    Accuracy: within 1e-15 of the upper bound in NumPy, since both KLs are rounded (``tests/test_bounds.py``).

    >>> from jsgmath import Gaussian
    >>> lower, upper = jsg_bounds(Gaussian(mean=[0.0], var=[1.0]), Gaussian(mean=[1.0], var=[1.0]), 0.75)
    >>> print(lower, jsg(Gaussian(mean=[0.0], var=[1.0]), Gaussian(mean=[1.0], var=[1.0]), 0.75), upper)
    0.1875 0.21875 0.3125
    """
    m, forward, backward, w1, w2 = _kls(N1, N2, alpha)
    check_convention(convention)
    g1, g2, _ = formula.mean_weights(w1, w2, convention == "deasy")
    with m.quiet():
        s, t = _times(m, g2, forward), _times(m, g1, backward)
        dtype = m.result_type(forward, backward)
        upper = _times(m, w1, s) + _times(m, w2, t)
        # U - t = w1 (s - t), and U - s = w2 (t - s).  If both are infinite, the only lower bound is 0.
        lower = m.where(s > t, _times(m, w1, s - t), m.where(s < t, _times(m, w2, t - s), 0.0 * w1))
        return m.rounded(lower, dtype), m.rounded(upper, dtype)


def bhattacharyya_bound(N1: GaussianLike, N2: GaussianLike, alpha: Weight) -> Any:
    r"""Upper bound on `bhattacharyya`: :math:`\min(\alpha\,KL(p_1 \| p_2),\, (1-\alpha)\,KL(p_2 \| p_1))`, in nats.

    Args:
        N1, N2, alpha: as in `jsg`.

    Raises:
        TypeError, ValueError: as in `jsg`.

    Accuracy: within 1e-15 of its size in NumPy, since the KLs are rounded (``tests/test_bounds.py``).

    >>> from jsgmath import Gaussian
    >>> print(bhattacharyya_bound(Gaussian(mean=[0.0], var=[1.0]), Gaussian(mean=[1.0], var=[1.0]), 0.25))
    0.125
    """
    m, forward, backward, w1, w2 = _kls(N1, N2, alpha)
    with m.quiet():
        s, t = _times(m, w2, forward), _times(m, w1, backward)
        return m.rounded(m.where(s < t, s, t), m.result_type(forward, backward))


def _kls(N1: GaussianLike, N2: GaussianLike, alpha: Any) -> tuple[Arithmetic, Array, Array, Array, Array]:
    """The functions of the library, ``KL(N1||N2)``, ``KL(N2||N1)``, and the weights ``1 - alpha`` and alpha."""
    N1, N2 = pair_of(N1, N2)
    forward, backward = kl(N1, N2), kl(N2, N1)
    m = arithmetic(library_of(forward) or "NumPy")
    alpha = m.weight("alpha", alpha, forward)
    w1, w2 = (m.work(m.array(w, forward)) for w in (1 - alpha, alpha))
    return m, forward, backward, w1, w2


def _times(m: Arithmetic, weight: Array, value: Array) -> Array:
    """The product, which is 0 where the weight is 0, even if the value is infinite."""
    return m.where(weight == 0, 0.0 * weight, weight * m.work(value))
