"""Figure 2: the Gaussian closest to a mixture of Gaussians in each of five divergences.

The divergences between a mixture and a Gaussian have no closed form, except the optimum of KL(p||q), and the geometric
mean of the two densities is not a Gaussian. They are integrated by the trapezoidal rule over a box that holds all mass;
for smooth densities it converges faster than any power of the step. A Gaussian is five numbers ``theta``: its mean and,
from its Cholesky factor, the logarithm of the first diagonal element, the element below it, and the logarithm of the
second diagonal element.
"""

import math
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy.optimize import minimize
from torch import Tensor
from torch.distributions import Categorical, Independent, MixtureSameFamily, MultivariateNormal, Normal
from torch.nn.functional import logsigmoid

from vae.figures.output import WIDTH, Result
from vae.style import COLOURS, LABELS

ALPHA = 0.5  # at 1/2 both conventions agree, as G weighs p and q equally
SEED, COMPONENTS = 22, 10
STEP = 0.1  # of the integrals; ROUGH suffices to come close to a minimum
ROUGH = 0.2
REACH = 9  # standard deviations from a mean to the edge of the box; less than 1e-18 of the mass lies outside
STARTS = 5  # starts at the components of largest weight; one more has the mixture's moments
POLISH = 2  # Newton steps; from a distance of 1e-6 the first comes within 1e-12
X_RANGE, Y_RANGE = (-3.0, 3.0), (-5.0, 5.0)
SHADES = (0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.65, 0.8, 0.95, 1)  # of the target's highest density
HELD = (0.95, 0.75, 0.5, 0.25)  # fractions of q inside its level sets
NAMES = ("kl-pq", "kl-qp", "js", "jsg", "jsg-dual")

CAPTION = """\
Figure 2. The Gaussian q closest to a mixture p of ten Gaussians (grey) in KL(p||q), KL(q||p), JS, and JSG and JSG* at
alpha = 1/2: level sets that hold 25, 50, 75 and 95 % of q, and above them the minimum, in nats. KL(p||q) covers all of
p; KL(q||p) covers the heavier mode only. JSG lies between: it is close to that mode and extends to the other. JS and
JSG* fit the mode as KL(q||p) does, though in the paper JS lies in between. Each divergence is minimised over the mean
and the full covariance: KL(p||q) by matching moments, the others from six starts by BFGS and Newton steps. They are
integrated on a grid of step {step:g}; half the step changes none of them, at any optimum, by more than {error:.0e}. The
geometric mean of JSG and JSG* is the normalised sqrt(p q), which is not a Gaussian here. The paper does not name its
mixture; this is the one that the released code draws by default (NumPy's legacy generator, seed {seed}). The released
code minimises none of these divergences: it weighs samples of a density by that density once more, in JS and JSG it
compares p and q at unrelated points, and it fits diagonal covariances only."""


def mixture(seed: int = SEED) -> MixtureSameFamily:
    """Weights Dirichlet(1/2), variances 1/(1 + U)^2 and means 1.5 N(0, I), drawn in the order of the released code.

    NumPy never changes the legacy generator, so a seed gives the same mixture as in the released code.
    """
    random = np.random.RandomState(seed)
    weights = random.dirichlet([0.5] * COMPONENTS)
    var = 1 / (1 + random.rand(COMPONENTS)) ** 2
    means = 1.5 * random.randn(2, COMPONENTS).T
    weights, means, std = (torch.from_numpy(array) for array in (weights, means, np.sqrt(var)[:, None]))
    return MixtureSameFamily(Categorical(weights), Independent(Normal(means, std.expand(-1, 2)), 1))


class IntegrationGrid(NamedTuple):
    """Points, ``count x 2``, that cover a target p and Gaussians as wide as it, log p there, and a cell's area."""

    points: Tensor
    log_p: Tensor
    cell: float

    @classmethod
    def around(cls, target: MixtureSameFamily, step: float) -> "IntegrationGrid":
        parts = target.component_distribution
        means = torch.cat([parts.mean, target.mean[None]])
        reach = REACH * torch.cat([parts.variance, target.variance[None]]).sqrt()
        low, high = (means - reach).amin(0).tolist(), (means + reach).amax(0).tolist()
        axes = [torch.arange(a, b + step, step, dtype=torch.float64) for a, b in zip(low, high, strict=True)]
        points = torch.cartesian_prod(*axes)
        return cls(points, target.log_prob(points), step**2)


def gaussian(theta: Tensor) -> MultivariateNormal:
    first, below, second = theta[2:]
    scale_tril = torch.stack([first.exp(), torch.zeros_like(below), below, second.exp()]).unflatten(0, (2, 2))
    return MultivariateNormal(theta[:2], scale_tril=scale_tril)


def divergences(grid: IntegrationGrid, theta: Tensor) -> dict[str, Tensor]:
    """All five divergences between the target p and the Gaussian q of ``theta``, eqs. 5, 8 and 10, in nats."""
    log_p, log_q = grid.log_p, gaussian(theta).log_prob(grid.points)
    # Not logaddexp, whose second derivative is NaN where one density is 1e300 times the other.
    log_m = log_p + math.log(1 - ALPHA) - logsigmoid(log_p - log_q + math.log(1 / ALPHA - 1))
    log_g = ALPHA * log_p + (1 - ALPHA) * log_q  # Proposition 1's weights
    log_g = log_g - torch.logsumexp(log_g, 0) - math.log(grid.cell)
    p, q, g = (log.exp() * grid.cell for log in (log_p, log_q, log_g))

    def skew(to_p: Tensor, to_q: Tensor) -> Tensor:
        return (1 - ALPHA) * to_p + ALPHA * to_q

    return {
        "kl-pq": p @ (log_p - log_q),
        "kl-qp": q @ (log_q - log_p),
        "js": skew(p @ (log_p - log_m), q @ (log_q - log_m)),
        "jsg": skew(p @ (log_p - log_g), q @ (log_q - log_g)),
        "jsg-dual": skew(g @ (log_g - log_p), g @ (log_g - log_q)),
    }


def starts(target: MixtureSameFamily) -> list[Tensor]:
    """The Gaussian with the target's moments, where KL(p||q) has its minimum, and the target's heaviest components."""
    weights, parts = target.mixture_distribution.probs, target.component_distribution
    apart = parts.mean - target.mean
    cov = torch.einsum("k,ki,kj->ij", weights, apart, apart) + torch.diag(weights @ parts.variance)
    chosen = weights.argsort(descending=True)[:STARTS]
    means = torch.cat([target.mean[None], parts.mean[chosen]])
    factors = torch.linalg.cholesky(torch.cat([cov[None], torch.diag_embed(parts.variance[chosen])]))
    (first, _), (below, second) = factors.permute(1, 2, 0)
    return list(torch.cat([means, torch.stack([first.log(), below, second.log()], 1)], 1))


def fit(target: MixtureSameFamily, name: str, starts: list[Tensor]) -> Tensor:
    """The ``theta`` of the smallest minimum of one divergence, among those found from the starts."""
    rough, grid = (IntegrationGrid.around(target, step) for step in (ROUGH, STEP))

    def value_and_gradient(array: NDArray) -> tuple[float, NDArray]:
        theta = torch.tensor(array, requires_grad=True)
        value = divergences(rough, theta)[name]
        return value.item(), torch.autograd.grad(value, theta)[0].numpy()

    minima = [minimize(value_and_gradient, start.numpy(), jac=True, method="BFGS") for start in starts]
    theta = torch.from_numpy(min(minima, key=lambda minimum: minimum.fun).x)
    for _ in range(POLISH):
        theta.requires_grad_()
        gradient = torch.autograd.grad(divergences(grid, theta)[name], theta)[0]
        hessian = torch.autograd.functional.hessian(lambda theta: divergences(grid, theta)[name], theta)
        theta = theta.detach() - torch.linalg.solve(hessian, gradient)
    return theta


def fig2(runs: Path) -> Result:
    """Fig. 2; the CSV has a row for each component of the target, and one for each optimum with all divergences."""
    target = mixture()
    grid, finer = (IntegrationGrid.around(target, step) for step in (STEP, STEP / 2))
    begin = starts(target)
    optima = {name: begin[0] if name == "kl-pq" else fit(target, name, begin) for name in NAMES}
    values, closer = (
        {name: {key: value.item() for key, value in divergences(use, theta).items()} for name, theta in optima.items()}
        for use in (grid, finer)
    )
    error = max(abs(values[name][key] - closer[name][key]) for name in NAMES for key in NAMES)
    weights, parts = target.mixture_distribution.probs, target.component_distribution
    rows = [
        csv_row("component", MultivariateNormal(mean, torch.diag(var)), weight=weight)
        for mean, var, weight in zip(parts.mean, parts.variance, weights.tolist(), strict=True)
    ]
    rows += [csv_row(name, gaussian(theta), **values[name]) for name, theta in optima.items()]

    figure = Figure(figsize=(WIDTH, 2.5), layout="constrained")
    panels = figure.subplots(1, len(NAMES), sharey=True)
    for axes, (name, theta) in zip(panels, optima.items(), strict=True):
        draw_optimum(axes, target, gaussian(theta), COLOURS[name])
        axes.set_title(f"{LABELS[name]}\n{values[name][name]:.3f}")
        axes.set_xlabel("$x_1$")
    panels[0].set_ylabel("$x_2$")
    return Result(figure, rows, CAPTION.format(step=STEP, seed=SEED, error=10 ** math.ceil(math.log10(error))))


def csv_row(name: str, normal: MultivariateNormal, **numbers: float) -> dict[str, str | float]:
    """A row of the CSV, rounded to digits that the errors of integration and minimisation do not reach."""
    (mean_1, mean_2), ((var_1, cov), (_, var_2)) = normal.mean.tolist(), normal.covariance_matrix.tolist()
    numbers = {"mean_1": mean_1, "mean_2": mean_2, "var_1": var_1, "var_2": var_2, "cov": cov, **numbers}
    return {"gaussian": name, **{key: round(value, 10) for key, value in numbers.items()}}


def draw_optimum(axes: Axes, target: MixtureSameFamily, normal: MultivariateNormal, colour: str) -> None:
    """Draws the target's density in grey and level sets of the Gaussian."""
    x, y = torch.linspace(*X_RANGE, 200), torch.linspace(*Y_RANGE, 200)
    points = torch.cartesian_prod(x, y).double()
    log_p, log_q = (density.log_prob(points).unflatten(0, (200, 200)).T for density in (target, normal))
    axes.contourf(x, y, (log_p - log_p.max()).exp(), levels=SHADES, cmap="Greys", vmax=1.3)
    # The level set that holds the fraction c of a bivariate Gaussian is at the fraction 1 - c of its peak.
    peak = normal.log_prob(normal.mean).item()
    axes.contour(x, y, (log_q - peak).exp(), levels=[1 - held for held in HELD], colors=[colour], linewidths=1)
    axes.plot(*normal.mean.tolist(), "+", color=colour)
    axes.set_aspect("equal")
    axes.set_xticks([-2, 0, 2])
    axes.set_yticks([-4, -2, 0, 2, 4])
