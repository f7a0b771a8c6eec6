"""The computations of `triton/sampling.py` by the compiled core, on a CPU."""

import torch
from torch import Tensor

from jsgmath.torch.native.diagonal import call, checked_core, evaluate
from jsgmath.torch.typed import watched, work_type


def sample(
    mean: Tensor, logvar: Tensor, alphas: Tensor | None, seeds: Tensor | None, alpha: float, seed: int, first_row: int,
    dual: bool, reverse: bool,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """Returns what `triton.sampling.sample` returns."""
    if watched():
        return torch.ops.jsgmath.sample(mean, logvar, alphas, seeds, alpha, seed, first_row, dual, reverse, "native")
    core, dtype, work = checked_core(mean), mean.dtype, work_type(mean)
    used = torch.tensor([seed if seeds is None else seeds.item()], device=mean.device)
    mean, logvar = mean.to(work), logvar.to(work)
    number = alpha if alphas is None else alphas
    z, value = mean.new_empty(mean.shape), mean.new_empty(mean.shape[0])
    beyond = call(
        core, (mean, logvar, None, None), number, (dual, reverse),
        (value, None, None, None, None), sample=z, seed=int(used), first_row=first_row,
    )  # fmt: skip
    if beyond:
        (value, *_) = evaluate(mean, logvar, None, None, number, dual=dual, reverse=reverse, grad=False)
    return z.to(dtype), value, used


def sample_gradient(
    mean: Tensor, logvar: Tensor, alphas: Tensor | None, seed: Tensor, by_z: Tensor, by_value: Tensor, alpha: float,
    first_row: int, dual: bool, reverse: bool, by_alpha: bool,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """Returns what `triton.sampling.sample_gradient` returns."""
    if watched():
        return torch.ops.jsgmath.sample_gradient(
            mean, logvar, alphas, seed, by_z, by_value, alpha, first_row, dual, reverse, "native", by_alpha
        )
    core, dtype, work = checked_core(mean), mean.dtype, work_type(mean)
    mean, logvar, by_z = (x.to(work) for x in (mean, logvar, by_z))
    by_z = by_z if by_z.stride(-1) == 1 else by_z.contiguous()
    by_mean, by_logvar = mean.new_empty(2, *mean.shape).unbind()
    d_alpha = mean.new_empty(mean.shape[0] if by_alpha else 0)
    call(
        core, (mean, logvar, None, None), alpha if alphas is None else alphas, (dual, reverse),
        (None, by_mean, by_logvar, None, d_alpha if by_alpha else None),
        upstream=by_value, by_sample=by_z, seed=int(seed), first_row=first_row,
    )  # fmt: skip
    return by_mean.to(dtype), by_logvar.to(dtype), d_alpha
