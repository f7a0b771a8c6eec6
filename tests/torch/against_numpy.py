"""Compares torch results with the NumPy reference, which `test_accuracy.py` and `test_gradients.py` hold to Arb."""

import itertools
import math

import numpy as np
import torch

import jsgmath
from jsgmath import Gaussian
from jsgmath.torch import jsg_diagonal, jsg_standard_normal


def divergence(tensors, alpha, **keywords):
    """`jsg_standard_normal` of two tensors, `jsg_diagonal` of four."""
    return (jsg_standard_normal if len(tensors) == 2 else jsg_diagonal)(*tensors, alpha, **keywords)


class Reference:
    """Values and gradients, in float64, for the numbers in ``(rows, n)`` tensors.

    Errors of gradients are measured relative to ``sizes``, the sums of the sizes of their terms.  For a mean, both
    terms have one sign.  For a log-variance, the means contribute at most twice what they contribute to the value.  For
    alpha, the two KL divergences are subtracted, and the Jeffreys divergence is their sum.
    """

    def __init__(self, tensors, alpha, dual, convention):
        numbers = [t.detach().double().numpy() for t in tensors]
        mean1, logvar1, mean2, logvar2 = numbers if len(numbers) == 4 else (*numbers, *np.zeros((2, *numbers[0].shape)))
        alpha = alpha.detach().double().numpy() if isinstance(alpha, torch.Tensor) else np.asarray(alpha, float)
        alpha = np.broadcast_to(alpha, mean1.shape[:-1])
        # Every dimension is a separate Gaussian here, so that the sizes of the terms of the sums over n are known too.
        N1, N2 = (Gaussian(m[..., None], logvar=s[..., None]) for m, s in ((mean1, logvar1), (mean2, logvar2)))
        arguments, keywords = (N1, N2, alpha[..., None]), dict(convention=convention)
        value, gradient = (jsgmath.jsg, jsgmath.jsg_grad) if not dual else (jsgmath.jsg_dual, jsgmath.jsg_dual_grad)
        with np.errstate(over="ignore", invalid="ignore"):
            values = value(*arguments, **keywords)
            by = gradient(*arguments, **keywords)
            # It is only a size, so it need not be rounded correctly; of pairs far apart, that takes decimal numbers.
            spread = 2 * np.sinh((logvar1 - logvar2) / 2) ** 2
            jeffreys = spread + (mean1 - mean2) ** 2 / 2 * (np.exp(-logvar1) + np.exp(-logvar2))
            self.value = exact_sums(values)
            self.gradients = [x[..., 0] for x in (by.mean1, by.logvar1, by.mean2, by.logvar2)[: len(tensors)]]
            extra = itertools.cycle([np.zeros_like(values), 2 * values])
            self.sizes = [np.abs(x) + y for x, y in zip(self.gradients, extra, strict=False)]
            self.by_alpha, self.alpha_size = exact_sums(by.alpha), (np.abs(by.alpha) + jeffreys).sum(-1)


def exact_sums(x):
    """Sums over the last axis, rounded once."""
    if not np.isfinite(x).all():
        return x.sum(-1)
    return np.array([math.fsum(row) for row in x.reshape(-1, x.shape[-1])]).reshape(x.shape[:-1])


def unit(dtype, x):
    """The unit in the last place of ``dtype`` at the numbers x."""
    info = torch.finfo(dtype)
    _, exponent = np.frexp(np.maximum(np.abs(x), info.smallest_normal))
    return np.ldexp(info.eps, exponent - 1)


def errors(got, want, size, dtype):
    """Errors in units of the last place of the size; where the size exceeds ``dtype``, only NaN is an error."""
    got = got.detach().double().numpy()
    within = size < torch.finfo(dtype).max / 4
    with np.errstate(invalid="ignore"):
        distance = np.abs(got - want) / unit(dtype, np.where(within, size, 1.0))
    return np.where(within, distance, np.where(np.isnan(got), np.inf, 0.0))
