"""The same computation as the Triton kernel in plain torch operations: any device, one operation at a time."""

from functools import partial

import torch

from jsgmath import formula, special


def rows(mean1, logvar1, mean2, logvar2, alpha, *, dual, reverse, grad):
    """Value per row and, if ``grad``, derivatives by mean1, logvar1, logvar2 and alpha (per row).

    Rows ``(rows, n)`` of equal type, ``mean2 = logvar2 = None`` for N(0, I); alpha has one entry or one per row.
    The computation is in float32, for float64 input in float64.
    """
    dtype = mean1.dtype
    work = torch.promote_types(dtype, torch.float32)
    info = torch.finfo(work)
    largest, cut = info.max, 708.0 if work == torch.float64 else 87.0
    mean1, logvar1 = mean1.to(work), logvar1.to(work)
    standard = mean2 is None
    mean2, logvar2 = (mean1.new_zeros(()),) * 2 if standard else (mean2.to(work), logvar2.to(work))
    alpha = alpha.double().reshape(-1, 1)
    w1, w2 = (1 - alpha).to(work), alpha.to(work)
    g1, g2, slope = formula.mean_weights(w1, w2, reverse)

    log_r1, low = special.two_sum(logvar1, -logvar2)
    bounded = log_r1.clamp(-cut, cut)
    r1, r2, e1, e2 = bounded.exp(), (-bounded).exp(), bounded.expm1(), (-bounded).expm1()
    if standard:
        i1, i2 = r2.sqrt(), torch.ones_like(r2)
    else:
        low = torch.where(bounded == log_r1, low, 0 * low)
        r1, r2, e1, e2 = r1 + low * r1, r2 - low * r2, e1 + low * r1, e2 - low * r2
        half1, half2 = ((-logvar / 2).clamp(-cut, cut).exp() for logvar in (logvar1, logvar2))
        i1, i2 = torch.minimum(half1, half2 * r2.sqrt()), torch.minimum(half2, half1 * r1.sqrt())
    d1, d2 = (((mean1 - mean2) * i).clamp(-largest, largest) for i in (i1, i2))
    pair = r1, r2, e1, e2, d1, d2

    terms, derivatives = formula.to_mean, formula.to_mean_grad
    kernel = special.g
    if dual:
        terms, derivatives, kernel = formula.from_mean, formula.from_mean_grad, special.gs
    kernel = partial(
        kernel,
        log=torch.log,
        where=torch.where,
        one=1.0,
        terms=special.series_terms(53 if work == torch.float64 else 24),
        floor=info.tiny**0.75,
    )
    kl1, kl2 = (kl.clamp(max=largest) for kl in terms(g1, g2, log_r1.clamp(-1e30, 1e30), *pair, kernel))
    value = formula.skew(w1, w2, kl1, kl2).sum(-1).to(dtype)
    if not grad:
        return value, None, None, None, None
    gradients = derivatives(w1, w2, g1, g2, slope, kl1, kl2, *pair, i1, i2)
    by_mean1, by_logvar1, by_logvar2, by_alpha = gradients
    return value, by_mean1.to(dtype), by_logvar1.to(dtype), by_logvar2.to(dtype), by_alpha.sum(-1)
