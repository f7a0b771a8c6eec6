"""JSGLoss in a model, with an optimiser, saved and loaded."""

import copy
import io

import pytest
import torch
from torch import nn

from jsgmath.torch import JSGLoss, jsg_diagonal, jsg_standard_normal, kl_standard_normal
from tests.torch.inputs import backends


def posterior(rows=8, n=4, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(rows, n, generator=generator).requires_grad_() for _ in range(2)]


@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
@pytest.mark.parametrize("dual", [False, True])
@pytest.mark.parametrize("convention", ["deasy", "nielsen"])
def test_the_loss_is_the_function_with_its_options(convention, dual, reduction):
    mean, logvar = posterior()
    options = dict(dual=dual, convention=convention, reduction=reduction)
    assert torch.equal(JSGLoss(0.2, **options)(mean, logvar), jsg_standard_normal(mean, logvar, 0.2, **options))
    prior = torch.ones(4), torch.full((4,), -1.0)
    wanted = jsg_diagonal(mean, logvar, *prior, 0.2, **options)
    assert torch.equal(JSGLoss(0.2, prior=prior, **options)(mean, logvar), wanted)


def test_the_usual_term_is_alpha_0():
    mean, logvar = posterior()
    loss = JSGLoss(alpha=0.0)
    assert torch.equal(loss(mean, logvar), kl_standard_normal(mean, logvar, reduction="mean"))
    assert list(loss.parameters()) == []


@pytest.mark.parametrize("dual", [False, True])
def test_a_learnable_alpha_stays_between_0_and_1_and_is_reported(dual):
    loss = JSGLoss(0.3, dual=dual, learnable=True)
    assert loss.alpha.item() == pytest.approx(0.3, rel=1e-6)  # the rounding of a sigmoid in float32
    optimiser = torch.optim.Adam(loss.parameters(), lr=0.5)
    mean, logvar = posterior()
    before = loss(mean, logvar).item()
    for _ in range(50):
        optimiser.zero_grad()
        loss(mean, logvar).backward()
        optimiser.step()
        assert 0 < loss.alpha < 1
    assert loss(mean, logvar).item() < before
    assert f"alpha={loss.alpha.item():.6g}, learnable" in repr(loss)


def test_a_prior_of_parameters_is_trained_and_one_of_tensors_is_constant():
    """When KL(q||p) is minimised over the prior, its mean becomes the mean of the posterior means (moment matching)."""
    mean, logvar = posterior(rows=64)
    fixed = JSGLoss(prior=(torch.zeros(4), torch.zeros(4)))
    assert list(fixed.parameters()) == []
    assert set(fixed.state_dict()) == {"prior_mean", "prior_logvar"}
    loss = JSGLoss(0.0, prior=(nn.Parameter(torch.zeros(4)), nn.Parameter(torch.zeros(4))))
    optimiser = torch.optim.LBFGS(loss.parameters(), max_iter=100, tolerance_change=0)

    def closure():
        optimiser.zero_grad()
        value = loss(mean.detach(), logvar.detach())
        value.backward()
        return value

    optimiser.step(closure)
    second_moment = (logvar.exp() + mean.square()).mean(0)
    # An optimiser in float32 stops within the square root of its last place.
    torch.testing.assert_close(loss.prior_mean, mean.mean(0), rtol=1e-2, atol=1e-2)
    torch.testing.assert_close(loss.prior_logvar.exp(), second_moment - mean.mean(0).square(), rtol=1e-2, atol=1e-2)


def test_it_is_saved_loaded_copied_and_moved_with_its_model():
    prior = nn.Parameter(torch.ones(4)), torch.zeros(4)
    loss, other = (JSGLoss(alpha, learnable=True, prior=copy.deepcopy(prior)) for alpha in (0.2, 0.7))
    file = io.BytesIO()
    torch.save(loss.state_dict(), file)
    file.seek(0)
    other.load_state_dict(torch.load(file, weights_only=True))
    mean, logvar = posterior()
    for same in (other, copy.deepcopy(loss)):
        assert torch.equal(same(mean, logvar), loss(mean, logvar))
    double = copy.deepcopy(loss).double()
    assert double(mean.double(), logvar.double()).dtype == torch.float64


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
@backends
def test_a_whole_training_step_compiles(backend):
    torch._dynamo.reset()
    torch.manual_seed(0)
    model = nn.Linear(6, 8)
    loss = JSGLoss(0.3, learnable=True, backend=backend)

    def step(x):
        return loss(*model(x).chunk(2, -1))

    x = torch.randn(5, 6)
    plain, compiled = step(x), torch.compile(step, fullgraph=True, backend="aot_eager")(x)
    torch.testing.assert_close(compiled, plain)
    wanted = torch.autograd.grad(plain, [*model.parameters(), loss.logit])
    torch.testing.assert_close(torch.autograd.grad(compiled, [*model.parameters(), loss.logit]), wanted)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.parametrize("backend", ["eager", "triton"])
def test_dim_names_the_axes_of_the_latent(backend):
    """A convolutional latent of 4 channels, and a batch between the latent axes; all in torch.compile too."""
    torch._dynamo.reset()
    generator = torch.Generator().manual_seed(1)
    mean, logvar = (torch.randn(2, 4, 3, 3, generator=generator, requires_grad=True) for _ in range(2))
    prior = torch.ones(4, 1, 3), torch.zeros(3, 3)
    for dim, batch in (((1, 2, 3), (2,)), ((-1, -3, -2), (2,)), (1, (2, 3, 3)), (-1, (2, 4, 3)), ((3, 0), (4, 3))):
        for made in (None, prior):
            loss = JSGLoss(0.3, prior=made, dim=dim, backend=backend, reduction="none")
            each = JSGLoss(0.3, prior=made and [x.expand(2, 4, 3, 3)[..., None] for x in made], reduction="none")
            wanted = each(mean[..., None], logvar[..., None]).sum(dim)
            value = loss(mean, logvar)
            assert value.shape == batch
            torch.testing.assert_close(value, wanted)
            gradients = [torch.autograd.grad(x.sum(), (mean, logvar), retain_graph=True) for x in (value, wanted)]
            torch.testing.assert_close(*gradients)
    compiled = torch.compile(JSGLoss(0.3, dim=(1, 2, 3), backend=backend), fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(mean, logvar), JSGLoss(0.3)(mean.flatten(1), logvar.flatten(1)))


@pytest.mark.parametrize("dim", [4, (1, -5), (1, 1), (3, -1)])
def test_axes_that_the_latent_does_not_have_are_named(dim):
    with pytest.raises(ValueError, match=r"dim must name different axes of the latent of shape \(2, 4, 8, 8\), got"):
        JSGLoss(dim=dim)(torch.zeros(2, 4, 8, 8), torch.zeros(2, 4, 8, 8))


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_a_weight_outside_0_and_1_is_refused_in_compiled_programs_and_in_tensors():
    mean, logvar = posterior()
    torch._dynamo.reset()
    compiled = torch.compile(jsg_standard_normal, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(mean, logvar, 0.3), jsg_standard_normal(mean, logvar, 0.3))
    for alpha in (1.5, -0.25, float("nan")):
        rows = torch.full((8,), 0.3).index_fill(0, torch.tensor([2]), alpha).requires_grad_()
        for function in (compiled, jsg_standard_normal):
            for wrong in (alpha, rows):
                with pytest.raises(ValueError, match=rf"alpha must lie in \[0, 1\], got {alpha}"):
                    function(mean, logvar, wrong)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (dict(alpha=1.5), ValueError, r"alpha must lie in \[0, 1\], got 1.5"),
        (dict(alpha=torch.tensor(0.3)), TypeError, "alpha must be a float here; learnable=True makes it a parameter"),
        (dict(alpha=1.0, learnable=True), ValueError, r"alpha must lie inside \(0, 1\) to be learnable, got 1.0"),
        (dict(convention="other"), ValueError, "convention must be one of 'deasy', 'nielsen', got 'other'"),
        (dict(reduction="max"), ValueError, "reduction must be one of 'none', 'mean', 'sum', got 'max'"),
        (dict(backend="cuda"), ValueError, "backend must be one of 'auto', 'eager', 'native', 'triton', got 'cuda'"),
        (dict(dim="last"), TypeError, "dim must be an int or a tuple of ints, got 'last'"),
        (dict(dim=()), TypeError, r"dim must be an int or a tuple of ints, got \(\)"),
        (dict(dim=(1, 2.0)), TypeError, r"dim must be an int or a tuple of ints, got \(1, 2.0\)"),
        (dict(prior=torch.zeros(4)), TypeError, r"prior must be None or \(mean, logvar\), two tensors, got Tensor"),
        (dict(prior=(0.0, 1.0)), TypeError, r"prior must be None or \(mean, logvar\), two tensors, got tuple"),
    ],
)
def test_invalid_arguments_are_named(arguments, error, message):
    with pytest.raises(error, match=message):
        JSGLoss(**arguments)
