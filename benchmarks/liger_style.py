"""A baseline in the style of Liger-Kernel's JSD, which is how a Triton loss is usually written.

Each program computes one row, in one block.  The forward writes the loss of every element to a buffer, which torch sums
up, and saves the gradients.  The backward multiplies them by the incoming gradient.  alpha is a compile-time constant.
The formulas are eq. 9 with the reversed mean (eqs. 12, 13, 16) and its derivatives; nothing is done for accuracy.
"""

import torch
import triton
import triton.language as tl


# fmt: off
@triton.jit
def _kernel(
    mean1, logvar1, mean2, logvar2, loss, d_mean1, d_logvar1, d_mean2, d_logvar2, n,
    ALPHA: tl.constexpr, STANDARD: tl.constexpr, BLOCK: tl.constexpr,
):
    column = tl.arange(0, BLOCK)
    mask = column < n
    at = tl.program_id(0).to(tl.int64) * n + column
    m1 = tl.load(mean1 + at, mask=mask, other=0.0).to(tl.float32)
    l1 = tl.load(logvar1 + at, mask=mask, other=0.0).to(tl.float32)
    if STANDARD:
        m2 = m1 * 0.0
        l2 = m1 * 0.0
    else:
        m2 = tl.load(mean2 + at, mask=mask, other=0.0).to(tl.float32)
        l2 = tl.load(logvar2 + at, mask=mask, other=0.0).to(tl.float32)
    var1, var2 = tl.exp(l1), tl.exp(l2)
    p1, p2 = ALPHA / var1, (1 - ALPHA) / var2
    precision = p1 + p2
    mean = (p1 * m1 + p2 * m2) / precision
    gap1, gap2 = m1 - mean, m2 - mean
    moment = (1 - ALPHA) * (var1 + gap1 * gap1) + ALPHA * (var2 + gap2 * gap2)
    value = precision * moment - tl.log(precision) - (1 - ALPHA) * l1 - ALPHA * l2 - 1
    tl.store(loss + at, 0.5 * value, mask=mask)
    by_precision = moment - 1 / precision
    by_mean = -2 * ((1 - ALPHA) * gap1 + ALPHA * gap2)  # divided by the precision, which cancels below
    tl.store(d_mean1 + at, precision * (1 - ALPHA) * gap1 + 0.5 * by_mean * p1, mask=mask)
    by_logvar1 = (1 - ALPHA) * (precision * var1 - 1) - p1 * (by_precision + by_mean * gap1)
    tl.store(d_logvar1 + at, 0.5 * by_logvar1, mask=mask)
    if not STANDARD:
        tl.store(d_mean2 + at, precision * ALPHA * gap2 + 0.5 * by_mean * p2, mask=mask)
        by_logvar2 = ALPHA * (precision * var2 - 1) - p2 * (by_precision + by_mean * gap2)
        tl.store(d_logvar2 + at, 0.5 * by_logvar2, mask=mask)
# fmt: on


class _Loss(torch.autograd.Function):
    @staticmethod
    def forward(ctx, alpha, *tensors):
        rows, n = tensors[0].shape
        loss = torch.empty(rows, n, dtype=torch.float32, device=tensors[0].device)
        gradients = [torch.empty_like(t) for t in tensors]
        standard = len(tensors) == 2
        block = triton.next_power_of_2(n)
        _kernel[(rows,)](
            *(tensors * 2 if standard else tensors), loss, *(gradients * 2 if standard else gradients), n,
            ALPHA=alpha, STANDARD=standard, BLOCK=block, num_warps=4 if block < 2048 else 8 if block < 8192 else 16,
        )  # fmt: skip
        ctx.save_for_backward(*gradients)
        return loss.sum()

    @staticmethod
    def backward(ctx, by_loss):
        return None, *(by_loss * gradient for gradient in ctx.saved_tensors)


def jsg_sum(*tensors, alpha):
    """The sum of JSG over contiguous rows, from ``(mean, logvar)`` to N(0, I) or to a second ``(mean, logvar)``."""
    return _Loss.apply(alpha, *tensors)
