"""Checks that everything that will be measured is right on this device, against the NumPy reference.

The reference uses no kernel.  Inputs and shapes are those of the measurements, so that every compiled kernel and every
way to cut the rows into tiles is checked.  Only some rows are compared: the first, the last, and some between.
"""

import numpy as np
import torch

import jsgmath
import jsgmath.torch
from benchmarks import textbook
from benchmarks.cases import ALPHA, DTYPES, SEED, Case, seed_on
from tests.torch.against_numpy import Reference, divergence, errors

# As in tests/torch/test_diagonal.py: a few roundings; half a unit where float32 is rounded once to a 16-bit type.
ULPS = {"fp32": 16, "fp64": 16, "bf16": 0.51, "fp16": 0.51}


class WrongResult(Exception):
    """A kernel is wrong; the message names it in one line."""


def some_rows(rows, count):
    """The numbers of about ``count`` rows, sorted: some at both ends, and evenly spaced ones between."""
    if rows <= count:
        return torch.arange(rows)
    third = count // 3
    between = torch.arange(third) * (rows // third | 1) % rows
    return torch.cat([torch.arange(third), between, torch.arange(rows - third, rows)]).unique()


def within(case, what, error, allowed):
    worst = float(np.max(error))
    if not worst <= allowed:  # NaN is wrong too
        raise WrongResult(f"{case}: {what} is off by {worst:.3g} units in the last place; {allowed} are allowed")


def rows_on_cpu(tensors, rows):
    """The given rows of the tensors, on the CPU."""
    return [t.detach()[rows.to(t.device)].cpu() for t in tensors]


def check_diagonal(case, device, numbers, *, dual=False, convention="deasy", alpha=ALPHA, strided=False):
    """Checks the values, computed with and without gradients, and the gradients."""
    tensors = case.inputs(device)
    if strided:  # the strides that chunk(2, -1) gives
        tensors = [torch.cat([t, t], -1).detach().chunk(2, -1)[0].requires_grad_() for t in tensors]
    rows = some_rows(case.rows, max(numbers // case.n, 6))
    options = dict(dual=dual, convention=convention, backend="triton")
    value = divergence(tensors, alpha, **options)
    by_alpha = [alpha] if isinstance(alpha, torch.Tensor) else []
    gradients = torch.autograd.grad(value.sum(), [*tensors, *by_alpha])
    with torch.no_grad():
        alone = divergence(tensors, alpha, **options)
    reference_alpha = rows_on_cpu(by_alpha, rows)[0] if by_alpha else alpha
    reference = Reference(rows_on_cpu(tensors, rows), reference_alpha, dual, convention)
    case_name = f"{case}{', dual' * dual}{', nielsen' * (convention == 'nielsen')}{', strided' * strided}"
    dtype = DTYPES[case.dtype]
    (value, alone), gradients = rows_on_cpu((value, alone), rows), rows_on_cpu(gradients, rows)
    for what, got in (("value", value), ("value without gradients", alone)):
        within(case_name, what, errors(got, reference.value, reference.value, dtype), ULPS[case.dtype])
        if (got < 0).any():
            raise WrongResult(f"{case_name}: {what} is negative")
    names = ("mean1", "logvar1", "mean2", "logvar2")
    for what, got, want, size in zip(names, gradients, reference.gradients, reference.sizes, strict=False):
        within(case_name, f"gradient by {what}", errors(got, want, size, dtype), ULPS[case.dtype])
    if by_alpha:
        error = errors(gradients[-1], reference.by_alpha, reference.alpha_size, torch.float32)
        within(case_name, "gradient by alpha", error, ULPS["fp32"])


def check_sample(case, device, numbers):
    """Checks the value, the moments of z, that z depends only on the seed, and the gradients through z and value."""
    mean, logvar = tensors = case.inputs(device)
    z, value = jsgmath.torch.sample_and_jsg(mean, logvar, ALPHA, seed_on(device))
    again, _ = jsgmath.torch.sample_and_jsg(mean, logvar, ALPHA, torch.tensor(SEED, device=device))
    other, _ = jsgmath.torch.sample_and_jsg(mean, logvar, ALPHA, torch.tensor(SEED + 1, device=device))
    if not torch.equal(z, again) or torch.equal(z, other):
        raise WrongResult(f"{case}: z must depend on the seed, and on nothing else")
    noise = ((z - mean) * torch.exp(-logvar / 2)).detach().double()
    for what, moment, deviation in (("mean", noise.mean(), 1.0), ("variance", noise.var() - 1, 2**0.5)):
        sigmas = abs(moment.item()) * noise.numel() ** 0.5 / deviation
        if not sigmas <= 6:  # once in 5e8 by chance
            raise WrongResult(f"{case}: the {what} of the noise is {sigmas:.1f} standard errors off")
    by_z = torch.randn_like(z)
    gradients = torch.autograd.grad((z, value), tensors, (by_z, torch.ones_like(value)))
    rows = some_rows(case.rows, max(numbers // case.n, 6))
    mean, logvar, z, value, by_z, by_mean, by_logvar = (
        t.double() for t in rows_on_cpu((*tensors, z, value, by_z, *gradients), rows)
    )
    reference = Reference([mean, logvar], ALPHA, False, "deasy")
    dtype = DTYPES[case.dtype]
    within(case, "value", errors(value, reference.value, reference.value, dtype), ULPS[case.dtype])
    # z = mean + exp(logvar / 2) eps, so the mean gets the gradient by_z, and the log-variance gets by_z (z - mean) / 2.
    # Here z - mean is known to one unit in the last place of z.
    by_z, z, mean = by_z.numpy(), z.numpy(), mean.numpy()
    through = (by_z, by_z * (z - mean) / 2)
    sizes = (np.abs(by_z), np.abs(by_z) * (np.abs(z) + np.abs(mean)))
    for what, got, i in (("mean", by_mean, 0), ("logvar", by_logvar, 1)):
        want, size = through[i] + reference.gradients[i], sizes[i] + reference.sizes[i]
        within(case, f"gradient by {what}", errors(got, want, size, dtype), ULPS[case.dtype])


def check_full(case, device, numbers):
    """Checks the value against the reference, and the gradients against autograd of the textbook in float64.

    The reference has no gradients for full covariances.  Gradients are compared in float32 units of their largest
    entry.  At these distances those of the textbook are right to a tenth of such a unit;
    `tests/benchmarks/test_benchmarks.py` compares them with difference quotients of the reference.  Gradients are
    matrix products, so twice as many units are allowed; 16 were measured.
    """
    tensors = case.inputs(device)
    value = jsgmath.torch.jsg_full(*tensors, ALPHA)
    gradients = torch.autograd.grad(value.sum(), tensors)
    rows = some_rows(case.rows, min(max(numbers // case.n**2, 6), 60))
    dtype, allowed = DTYPES[case.dtype], ULPS[case.dtype]
    point = [t.double().requires_grad_() for t in rows_on_cpu(tensors, rows)]
    want = full_reference(*(t.detach().numpy() for t in point))
    within(case, "value", errors(rows_on_cpu([value], rows)[0], want, want, dtype), allowed)
    wanted = torch.autograd.grad(textbook.full(*point, ALPHA).sum(), point)
    names = ("mean1", "tril1", "mean2", "tril2")
    for what, got, want in zip(names, rows_on_cpu(gradients, rows), wanted, strict=True):
        if got.ndim == 3:
            got, want = got.tril(), want.tril()  # the upper triangles are not used
        size = want.abs().flatten(1).amax(1).reshape(-1, *[1] * (want.ndim - 1)).expand_as(want)
        within(case, f"gradient by {what}", errors(got, want.numpy(), size.numpy(), dtype), 2 * allowed)


def full_reference(mean1, tril1, mean2, tril2):
    N1, N2 = (jsgmath.Gaussian(m, scale_tril=L) for m, L in ((mean1, tril1), (mean2, tril2)))
    return jsgmath.jsg(N1, N2, ALPHA)


def check(case, device, numbers):
    """Checks about ``numbers`` of the numbers of a case; raises `WrongResult` if one is wrong."""
    {"sample": check_sample, "full": check_full}.get(case.kind, check_diagonal)(case, device, numbers)


def check_variants(device, rows, numbers):
    """Checks variants that are not measured but have the same source: dual, convention, strided rows, alpha per row."""
    for kind in ("standard", "diagonal"):
        case = Case(kind, rows, 20)
        for dual in (False, True):
            for convention in ("deasy", "nielsen"):
                check_diagonal(case, device, numbers, dual=dual, convention=convention)
        alphas = torch.tensor([0.0, 1e-6, 0.1, 0.5, 0.9, 1 - 1e-6, 1.0], dtype=torch.float64, device=device)
        alpha = alphas[torch.arange(rows, device=device) % len(alphas)].requires_grad_()
        check_diagonal(case, device, numbers, alpha=alpha)
        check_diagonal(case, device, numbers, strided=True)
