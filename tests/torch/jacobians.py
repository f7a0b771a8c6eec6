"""The comparison of `torch.autograd.gradcheck` in two calls for all rows, for functions whose rows are independent."""

import torch

from tests.torch.inputs import numbers


def assert_jacobians_are_differences(function, rows, constants=()):
    """Tests derivatives of every output by every number in ``rows``, with step and tolerances of `gradcheck`.

    Rows do not depend on each other. So each number that is moved, and each output that is differentiated, gets a copy
    of its row, and all copies are the rows of one batch. ``constants`` have one row for each row and are not moved.
    """
    flat = torch.cat([x.detach().reshape(len(x), -1) for x in rows], 1)

    def outputs_of(copies):
        """The outputs of each copy of a row, side by side."""
        parts = copies.flatten(0, 1).split([x[0].numel() for x in rows], 1)
        inputs = [part.reshape(-1, *x.shape[1:]) for part, x in zip(parts, rows, strict=True)]
        outputs = function(*inputs, *(x.repeat_interleave(copies.shape[1], 0) for x in constants))
        outputs = outputs if isinstance(outputs, tuple | list) else (outputs,)
        return torch.cat([x.reshape(*copies.shape[:2], -1) for x in outputs], 2)

    step = 1e-6 * torch.eye(flat.shape[1], dtype=flat.dtype)
    with torch.no_grad():
        differences = (outputs_of(flat[:, None] + step) - outputs_of(flat[:, None] - step)) / 2e-6
    copies = flat[:, None].repeat(1, differences.shape[2], 1).requires_grad_()
    each = outputs_of(copies).diagonal(dim1=1, dim2=2)
    (derivatives,) = torch.autograd.grad(each.sum(), copies)
    torch.testing.assert_close(derivatives.mT, differences, rtol=1e-3, atol=1e-5)


def assert_both_jacobians_are_differences(function, rows):
    """Does `torch.autograd.gradcheck` and `gradgradcheck`: tests a function and its gradient."""
    assert_jacobians_are_differences(function, rows)
    count = len(rows)

    def gradient(*inputs):
        with torch.enable_grad():
            moved = [x if x.requires_grad else x.clone().requires_grad_() for x in inputs]
            return torch.autograd.grad(function(*moved[:count]), moved[:count], moved[count:], create_graph=True)

    outputs = function(*rows)
    outputs = outputs if isinstance(outputs, tuple) else (outputs,)
    upstream = [numbers(*x.shape, seed=20 + k) for k, x in enumerate(outputs)]
    assert_jacobians_are_differences(gradient, [*rows, *upstream])
