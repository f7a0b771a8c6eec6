"""`formula.py` and `special.py` as Triton functions for tiles of scalar pairs, with their exponential and logarithm.

In float32 the kernels are to be as fast as the memory of the device, which allows about a hundred instructions for each
element.
"""

import types
from typing import Any

import triton
import triton.language as tl
from triton import knobs
from triton.language.extra import libdevice

from jsgmath import formula, series, special

INTERPRETED: bool = knobs.runtime.interpret


def device(function: Any) -> Any:
    """Marks a function that kernels call, unless the interpreter runs: it runs unmarked functions ten times faster."""
    return function if INTERPRETED else triton.jit(function)


def constant(number: Any) -> Any:
    """A global that kernels read: a constexpr for compiled functions, a plain number for the interpreter."""
    return number if INTERPRETED else tl.constexpr(number)


def shared(function: Any, **names: Any) -> Any:
    """Turns a generic function into a Triton function; ``names`` replace the functions that it calls."""
    if not INTERPRETED:
        names["range"] = tl.static_range
    bound = types.FunctionType(function.__code__, {"tl": tl, "len": len, **names}, function.__name__)
    bound.__module__, bound.__qualname__ = function.__module__, function.__qualname__
    return device(bound)


if INTERPRETED:
    ratio = special.ratio
else:

    @triton.jit
    def ratio(x, y):
        """``x / y`` for ``2^-126 <= |y| <= 2^126``: in float32 within 2 ulp, at a third of the cost of a division."""
        if y.dtype == tl.float64:
            quotient = x / y
        else:
            quotient = libdevice.fast_dividef(x, y)
        return quotient


@device
def shares(g1, g2, r1, r2):
    """`formula.shares` with faster divisions."""
    k1 = g1 + g2 * r1
    k2 = g2 + g1 * r2
    return k1, k2, ratio(g1, k1), ratio(g2, k2)


mean_weights: Any = shared(formula.mean_weights)
to_mean: Any = shared(formula.to_mean, shares=shares)
from_mean: Any = shared(formula.from_mean, shares=shares)
skew: Any = shared(formula.skew)
to_mean_grad: Any = shared(formula.to_mean_grad, shares=shares)
from_mean_grad: Any = shared(formula.from_mean_grad, shares=shares)
to_mean_by_alpha: Any = shared(formula.to_mean_by_alpha, shares=shares)
from_mean_by_alpha: Any = shared(formula.from_mean_by_alpha, shares=shares)
polynomial: Any = shared(special.polynomial)
log_variance_pair: Any = shared(special.log_variance_pair, two_sum=shared(special.two_sum), ratio=ratio)
split_g: Any = shared(special.split_g, ratio=ratio)
split_gs: Any = shared(special.split_gs, ratio=ratio)

TAIL64, TAIL32 = (constant(series.TAIL[bits]) for bits in (53, 24))
EXPM1_64, EXPM1_32 = (constant(series.EXPM1[bits]) for bits in (53, 24))


@device
def tail(w):
    if w.dtype == tl.float64:
        p = polynomial(w, TAIL64)
    else:
        p = polynomial(w, TAIL32)
    return p


@device
def split(x, k):
    """`special.split`, where k_rest is 1 for k from 3/8 to 2, and otherwise the power of two nearest to k.

    Subtracting the bits of 2/3 from those of k leaves this power in the bits of the exponent.
    """
    if k.dtype == tl.float64:
        bits = k.to(tl.int64, bitcast=True)
        near = (bits - 0x3FD8000000000000).to(tl.uint64, bitcast=True) < 0x28000000000000
        power = (bits - 0x3FE5555555555555) >> 52
        m = (bits - (power << 52)).to(tl.float64, bitcast=True)
    else:
        bits = k.to(tl.int32, bitcast=True)
        near = (bits - 0x3EC00000).to(tl.uint32, bitcast=True) < 0x1400000
        power = (bits - 0x3F2AAAAB) >> 23
        m = (bits - (power << 23)).to(tl.float32, bitcast=True)
    log_rest = tl.where(near, 0.0, power.to(k.dtype) * 0.6931471805599453)
    return tl.where(near, x, m - 1.0), tl.where(near, k, m), log_rest


@device
def g(x, k, other_k, beyond):
    """`special.g`; ``beyond`` is what `special.log_variance_pair` cut off log(k)."""
    return split_g(x, k, other_k, beyond, split, tail)


@device
def gs(x, k, other_k, beyond):
    """`special.gs`; ``beyond`` is what `special.log_variance_pair` cut off log(k)."""
    return split_gs(x, k, other_k, beyond, split, tail)


@device
def where(condition, x, y):
    """`tl.where`, which compiled functions do not take as an argument."""
    return tl.where(condition, x, y)


@device
def within(x, limit):
    """``x`` within ``[-limit, limit]``; NaN stays NaN."""
    if x.dtype == tl.float64:  # float64 has no instruction for Triton's symmetric clamp or for a maximum
        held = tl.where(x > limit, limit, tl.where(x < -limit, -limit, x))
    else:
        held = tl.clamp(x, -limit, limit, propagate_nan=tl.PropagateNan.ALL)
    return held


@device
def below(x, limit):
    """``min(x, limit)``; NaN stays NaN."""
    return tl.minimum(x, limit, propagate_nan=tl.PropagateNan.ALL)


@device
def exp_and_expm1(x):
    """``exp(x)`` and ``expm1(x)`` for ``|x| <= 87`` (708).

    ``x = k log(2) + f``, with log(2) in two parts, the first so short that its product with k is exact.  Adding
    3 * 2^22 (3 * 2^51) rounds to an integer k and leaves it in the last bits.
    """
    if x.dtype == tl.float64:
        shifted = x * 1.4426950408889634 + 6755399441055744.0
        k = shifted - 6755399441055744.0
        f = (x - k * 0.6931471803691238) - k * 1.9082149292705877e-10
        power = ((shifted.to(tl.int64, bitcast=True) << 52) + 0x3FF0000000000000).to(tl.float64, bitcast=True)
        fraction = f * polynomial(f, EXPM1_64) * power
    else:
        shifted = x * 1.4426950408889634 + 12582912.0
        k = shifted - 12582912.0
        f = (x - k * 0.693145751953125) - k * 1.428606765330187e-06
        power = ((shifted.to(tl.int32, bitcast=True) << 23) + 0x3F800000).to(tl.float32, bitcast=True)
        fraction = f * polynomial(f, EXPM1_32) * power
    return power + fraction, (power - 1.0) + fraction


@device
def unstretched(x, _):
    """The `stretching` of `log_variance_pair`: beyond ``WIDEST`` results are inexact, which saves two exponentials."""
    return x


@device
def exp(x):
    """``exp(x)`` for ``|x| <= 87`` (708)."""
    return exp_and_expm1(x)[0]


# fmt: off
@device
def element(mean1, logvar1, mean2, logvar2, w1, w2, factor, DUAL, REVERSE, GRAD, BY_ALPHA):
    """Values, and ``factor`` times their gradients, of one tile of scalar pairs; N2 is N(0, 1) if ``mean2`` is None.

    In place of results that are not needed, the value is returned.
    """
    if mean1.dtype == tl.float64:
        LARGEST: tl.constexpr = 1.7976931348623157e308
        ROOT: tl.constexpr = 2.0**511
        WIDEST: tl.constexpr = 708.0
    else:
        LARGEST: tl.constexpr = 3.4028234663852886e38
        ROOT: tl.constexpr = 2.0**63
        WIDEST: tl.constexpr = 87.0
    g1, g2, slope = mean_weights(w1, w2, REVERSE)
    beyond, r1, r2, e1, e2, d1, d2, i1, i2 = log_variance_pair(
        mean1, logvar1, mean2, logvar2, WIDEST, LARGEST, unstretched, exp, exp_and_expm1, within, where)
    # k can be the ratio itself only if JSG is a KL divergence at alpha 0 and 1.
    if REVERSE:
        beyond = tl.where(w1 * w2 == 0, beyond, 0.0)
    else:
        beyond = 0.0
    if DUAL:
        kl1, kl2 = from_mean(g1, g2, beyond, r1, r2, e1, e2, d1, d2, gs)
    else:
        kl1, kl2 = to_mean(g1, g2, beyond, r1, r2, e1, e2, d1, d2, g)
    # An infinite divergence of weight 0 must not make the sum NaN.
    value = skew(w1, w2, tl.where(w1 == 0, 0.0, kl1), tl.where(w2 == 0, 0.0, kl2))
    # Derivatives are linear in the weights and the two divergences.
    w1 = factor * w1
    w2 = factor * w2
    by_mean1, by_logvar1, by_logvar2, by_alpha = value, value, value, value
    # The derivatives by the means are linear in the displacements.  The others have their squares, which must stay
    # finite, so that no infinity is subtracted from another.
    held1 = within(d1, ROOT)
    held2 = within(d2, ROOT)
    if GRAD:
        if DUAL:
            by_mean1, _ = from_mean_grad(w1, w2, g1, g2, r1, r2, e1, e2, d1, d2, i1, i2)
            _, by_logvar1 = from_mean_grad(w1, w2, g1, g2, r1, r2, e1, e2, held1, held2, i1, i2)
            if mean2 is not None:
                _, by_logvar2 = from_mean_grad(w2, w1, g2, g1, r2, r1, e2, e1, held2, held1, i2, i1)
        else:
            by_mean1, _ = to_mean_grad(w1, w2, g1, g2, r1, r2, e1, e2, d1, d2, i1, i2)
            _, by_logvar1 = to_mean_grad(w1, w2, g1, g2, r1, r2, e1, e2, held1, held2, i1, i2)
            if mean2 is not None:
                _, by_logvar2 = to_mean_grad(w2, w1, g2, g1, r2, r1, e2, e1, held2, held1, i2, i1)
    if BY_ALPHA:
        kl1 = factor * below(kl1, LARGEST)
        kl2 = factor * below(kl2, LARGEST)
        held1 = within(held1, ROOT / 8)
        held2 = within(held2, ROOT / 8)
        if DUAL:
            by_alpha = from_mean_by_alpha(w1, w2, g1, g2, slope, kl1, kl2, r1, r2, e1, e2, held1, held2)
        else:
            by_alpha = to_mean_by_alpha(w1, w2, g1, g2, slope, kl1, kl2, r1, r2, e1, e2, held1, held2)
    return value, by_mean1, by_logvar1, by_logvar2, by_alpha
# fmt: on
