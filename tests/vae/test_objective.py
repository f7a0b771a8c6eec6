"""The loss is the paper's, and the backends that compute its divergence agree."""

import math
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from scipy.integrate import dblquad, quad
from scipy.stats import norm

from jsgmath import native
from vae.errors import UserError
from vae.model import VAE
from vae.objective import Objective, mmd_to_standard_normal, prepare_backend

BACKENDS = ("eager", *["native"] * (native.CORE is not None), "triton", "reference")


def random_posterior(seed: int = 0):
    generator = torch.Generator().manual_seed(seed)
    mean, logvar = torch.randn(2, 64, 10, generator=generator, dtype=torch.float64)
    return mean, logvar


def textbook_kl(mean1, var1, mean2, var2):
    """KL between univariate Gaussians as any textbook prints it, summed over the last axis."""
    return 0.5 * ((var2 / var1).log() + (var1 + (mean1 - mean2) ** 2) / var2 - 1).sum(-1)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("divergence", ["kl-qp", "kl-pq"])
def test_kl_qp_and_kl_pq_are_the_two_kls_that_their_names_say(divergence, backend):
    mean, logvar = random_posterior()
    posterior, prior = (mean, logvar.exp()), (torch.zeros(()), torch.ones(()))
    first, second = (posterior, prior) if divergence == "kl-qp" else (prior, posterior)
    # alpha belongs to jsg only and must not leak in: 0.3 here, and a KL there.
    value = Objective(divergence, 0.3, 1.0, backend).regularise(mean, mean, logvar)
    # The textbook form cancels some digits; values are about 10 and its terms below 1e2.
    torch.testing.assert_close(value, textbook_kl(*first, *second), rtol=1e-12, atol=0)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dual", [False, True])
def test_jsg_is_the_weighted_sum_of_the_kls_to_the_geometric_mean(dual, backend):
    mean, logvar = random_posterior()
    alpha = 0.3
    posterior, prior = (mean, logvar.exp()), (torch.zeros(()), torch.ones(()))
    # Eqs. 12-13 and 16: precision and mean of the geometric mean whose weight on the prior is 1 - alpha.
    precision = alpha / posterior[1] + (1 - alpha)
    middle = (alpha * mean / posterior[1] / precision, 1 / precision)
    kls = [textbook_kl(*middle, *end) if dual else textbook_kl(*end, *middle) for end in (posterior, prior)]
    value = Objective("jsg-dual" if dual else "jsg", alpha, 1.0, backend).regularise(mean, mean, logvar)
    # As above; the two KLs are about as large as their sum.
    torch.testing.assert_close(value, (1 - alpha) * kls[0] + alpha * kls[1], rtol=1e-12, atol=0)


@pytest.mark.parametrize("divergence", ["jsg", "jsg-dual", "kl-qp", "kl-pq"])
def test_the_gradients_of_all_backends_are_those_of_the_reference_to_the_last_bit_of_float32(divergence):
    gradients = {}
    for backend in BACKENDS:
        mean, logvar = (tensor.float().requires_grad_() for tensor in random_posterior())
        weights = torch.linspace(
            -1, 2, 64
        )  # a different weight for each row: a gradient of the plain sum hides mix-ups
        (Objective(divergence, 0.4, 1.0, backend).regularise(mean, mean, logvar) * weights).sum().backward()
        gradients[backend] = torch.stack([mean.grad, logvar.grad])  # pyright: ignore
    for backend in BACKENDS[:-1]:
        # One rounding to float32 of doubles that agree to a few ulp: equal, but for ties in rounding.
        torch.testing.assert_close(gradients[backend], gradients["reference"], rtol=1.2e-7, atol=0)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("divergence", ["jsg", "jsg-dual"])
def test_a_learnt_alpha_is_a_parameter_with_the_slope_of_the_divergence(divergence, backend):
    mean, logvar = random_posterior()
    objective = Objective(divergence, 0.3, 1.0, backend, learn_alpha=True)
    (logit,) = objective.parameters()
    assert objective.jsg.alpha.item() == pytest.approx(0.3, rel=1e-6)  # the logit is a float32
    weights = torch.linspace(-1, 2, 64)
    (objective.regularise(mean, mean, logvar) * weights).sum().backward()

    def total(alpha):
        return (Objective(divergence, alpha, 1.0, "eager").regularise(mean, mean, logvar) * weights).sum().item()

    alpha, step = objective.jsg.alpha.item(), 1e-4
    slope = (total(alpha + step) - total(alpha - step)) / (2 * step)
    assert logit.grad is not None
    # d alpha / d logit = alpha (1 - alpha); a central difference of that step is right to about its square.
    assert logit.grad.item() == pytest.approx(slope * alpha * (1 - alpha), rel=1e-5)


def kernel(x, y):
    """InfoVAE's kernel for two numbers."""
    return math.exp(-((x - y) ** 2))


def test_mmd_is_the_squared_distance_in_the_kernel_s_space_by_quadrature():
    points = [-1.3, 0.2, 0.9]
    among = np.mean([[kernel(x, y) for x in points] for y in points])
    to_prior = np.mean([quad(lambda y, x=x: kernel(x, y) * norm.pdf(y), -9, 9)[0] for x in points])
    prior = dblquad(lambda x, y: kernel(x, y) * norm.pdf(x) * norm.pdf(y), -9, 9, -9, 9)[0]
    value = mmd_to_standard_normal(torch.tensor(points, dtype=torch.float64)[:, None])
    # The quadratures promise 1.5e-8 each.
    assert value.item() == pytest.approx(among - 2 * to_prior + prior, abs=6e-8)


@pytest.mark.parametrize(("shift", "sd"), [(0.0, 1.0), (0.5, 1.0), (0.0, 0.4), (-1.0, 2.0)])
def test_the_mean_mmd_of_normal_draws_is_its_closed_form(shift, sd):
    n, batch, batches = 10, 64, 400
    generator = torch.Generator().manual_seed(7)
    draws = shift + sd * torch.randn(batches, batch, n, generator=generator, dtype=torch.float64)
    values = torch.stack([mmd_to_standard_normal(points) for points in draws])

    def expectation(mean, variance):
        """The expectation of k(x, y), where x - y is normal with this mean and variance in each dimension."""
        return (1 + 2 * variance / n**2) ** (-n / 2) * math.exp(-n * mean**2 / (n**2 + 2 * variance))

    # Of the pairs (i, j), one in 64 has i = j, where k is 1.
    among = 1 / batch + (1 - 1 / batch) * expectation(0, 2 * sd**2)
    expected = among - 2 * expectation(shift, sd**2 + 1) + expectation(0, 2)
    assert (values >= 0).all()
    assert abs(values.mean() - expected) < 4 * values.std() / batches**0.5  # four standard errors
    assert values.std() / batches**0.5 < 0.03 * expected  # and these are small enough to tell


def test_mmd_compares_z_or_as_the_paper_s_code_mean_and_logvar():
    mean, logvar = (tensor.requires_grad_() for tensor in random_posterior())
    z = torch.randn(64, 10, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    of_z = Objective("mmd", 0.3, 1.0, "eager").regularise(z, mean, logvar)
    of_parameters = Objective("mmd", 0.3, 1.0, "eager", mmd_of="posterior-parameters").regularise(z, mean, logvar)
    for values, points in ((of_z, z), (of_parameters, torch.cat([mean, logvar], 1))):
        assert values.shape == (64,)
        assert (values == mmd_to_standard_normal(points)).all()
    assert torch.autograd.gradcheck(mmd_to_standard_normal, (mean[:5],))


@pytest.mark.parametrize("likelihood", ["gaussian", "bernoulli", "laplace"])
@torch.no_grad()
def test_the_loss_is_the_error_of_the_reconstruction_plus_weight_times_divergence(likelihood):
    generator = torch.Generator().manual_seed(3)
    model, images = VAE(), torch.rand(4, 1, 32, 32, generator=generator)
    model.initialise(generator)
    noise = torch.randn(4, 10, generator=generator)
    logits, *latents = model(images, noise)
    objective = Objective("jsg", 0.3, 4.0, "eager", likelihood=likelihood)
    reconstruction, divergence, loss = objective(images, logits, *latents)
    x, y = images.double(), logits.double().sigmoid()
    errors = {
        "gaussian": (x - y) ** 2,
        "laplace": (x - y).abs(),
        "bernoulli": -x * y.log() - (1 - x) * (1 - y).log(),
    }[likelihood]
    # Sums of 1024 float32 numbers in two orders.
    torch.testing.assert_close(reconstruction.double(), errors.sum((1, 2, 3)), rtol=1e-5, atol=0)
    torch.testing.assert_close(loss, reconstruction + 4 * divergence)


def test_the_reference_gives_nan_for_a_posterior_that_is_not_finite():
    # The trainer then stops and names the term, where jsgmath itself would refuse such a Gaussian.
    mean = torch.full((2, 10), torch.nan, requires_grad=True)
    value = Objective("jsg", 0.3, 1.0, "reference").regularise(mean, mean, torch.zeros(2, 10))
    value.sum().backward()
    assert value.isnan().all()
    assert mean.grad is not None
    assert mean.grad.isnan().all()


TWENTY_STEPS = """
import sys, torch
from tqdm import tqdm
import vae.model
from vae.data import load
from vae.objective import prepare_backend
from vae.training.settings import Settings
from vae.training.steps import Batches, train_epoch, train_step
from vae.training.training import build

torch.set_num_threads(1)  # on a busy machine two threads mostly wait for each other
vae.model.CHANNELS, vae.model.HIDDEN = 4, 32  # an eighth of the paper's
device = torch.device("cpu")
images = load("fashion-mini").train_images[:640]
prepare_backend("triton", device)
terms = {}
for divergence in ("jsg", "jsg-dual", "kl-qp", "kl-pq"):
    for backend in sys.argv[2:]:
        settings = Settings(divergence=divergence, alpha=0.4, backend=backend, lr=1e-3)
        model, optimizer, objective = build(settings, device)
        batches = Batches(images, 32, model.latent, settings.seed)
        batches.shuffle(1)
        take_step = lambda step: train_step(model, optimizer, objective, batches[step])
        terms[divergence, backend] = train_epoch(take_step, batches, tqdm(disable=True))
torch.save(terms, sys.argv[1])
"""


@pytest.mark.slow
def test_all_backends_take_the_same_first_twenty_steps(tmp_path):
    # In a process of its own, where the trainer itself switches Triton's interpreter on.
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    subprocess.run([sys.executable, "-c", TWENTY_STEPS, tmp_path / "terms.pt", *BACKENDS], env=environment, check=True)
    terms = torch.load(tmp_path / "terms.pt")
    for divergence in ("jsg", "jsg-dual", "kl-qp", "kl-pq"):
        reference = terms[divergence, "reference"]
        assert reference.shape == (20, 3)
        assert reference[-1, 2] < reference[0, 2]
        for backend in BACKENDS[:-1]:
            # Float32 rounding, 6e-8. What is seen is equality: see Objective.regularise.
            torch.testing.assert_close(terms[divergence, backend], reference, rtol=2e-7, atol=0)


def test_on_a_cpu_the_trainer_takes_the_compiled_core_if_it_is_there(monkeypatch):
    cpu = torch.device("cpu")
    assert prepare_backend("auto", cpu) == ("native" if native.CORE else "eager")
    monkeypatch.setattr(native, "CORE", None)
    assert prepare_backend("auto", cpu) == "eager"
    with pytest.raises(UserError, match=r"--backend native needs the compiled core, but .*; use --backend eager"):
        prepare_backend("native", cpu)
    with pytest.raises(UserError, match="--backend native computes on a CPU, and this machine has a GPU"):
        prepare_backend("native", torch.device("cuda"))
