"""Figures 1 and 2, which need no runs, and the command that makes all figures."""

import csv
import math
import os
import subprocess
import sys
from pathlib import Path

import matplotlib
import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from scipy.integrate import cubature, quad
from scipy.stats import chi2, multivariate_normal, norm
from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal

import jsgmath
from jsgmath import Gaussian
from vae.errors import UserError
from vae.figures import __main__ as command
from vae.figures import fig1, fig2
from vae.figures.output import Result, write_result
from vae.style import style

NOWHERE = Path("nowhere")
ENDINGS = ("png", "pdf", "csv", "txt")


@pytest.fixture(scope="module")
def figure1() -> Result:
    with style():
        return fig1.fig1(NOWHERE)


@pytest.fixture(scope="module")
def figure2() -> Result:
    with style():
        return fig2.fig2(NOWHERE)


# Figure 1


def scipy_pair(parameters):
    return (norm(mean, math.sqrt(var)) for mean, var in parameters)


def rows_of(result: Result, parameters):
    """The rows of one of Figure 1's pairs, by column."""
    (p_mean, p_var), (q_mean, q_var) = parameters
    wanted = {"p_mean": p_mean, "p_var": p_var, "q_mean": q_mean, "q_var": q_var}
    rows = [row for row in result.rows if wanted.items() <= row.items()]
    return {column: np.array([row[column] for row in rows]) for column in rows[0]}


def test_figure_1_has_the_papers_pairs_at_500_points():
    assert fig1.PAIRS == [((-2, 1), (2, 2)), ((0, 0.5), (0, 3))]
    assert fig1.ALPHA == 0.5
    assert fig1.X.tolist() == pytest.approx([-5 + 10 * step / 499 for step in range(500)], abs=1e-14)


@pytest.mark.parametrize("parameters", fig1.PAIRS)
def test_the_plotted_means_are_the_mixture_and_the_normalised_product_of_the_densities(figure1, parameters):
    values = rows_of(figure1, parameters)
    p, q = scipy_pair(parameters)
    product = quad(lambda x: math.sqrt(p.pdf(x) * q.pdf(x)), -math.inf, math.inf, epsabs=1e-13)[0]
    assert values["x"].tolist() == fig1.X.tolist()
    # Some roundings of values below 1; the quadrature's tolerance is 1e-13.
    np.testing.assert_allclose(values["geometric_mean"], np.sqrt(p.pdf(fig1.X) * q.pdf(fig1.X)) / product, atol=1e-12)
    np.testing.assert_allclose(values["arithmetic_mean"], (p.pdf(fig1.X) + q.pdf(fig1.X)) / 2, atol=1e-15)


@pytest.mark.parametrize("parameters", fig1.PAIRS)
def test_the_plotted_integrands_are_the_definitions_and_integrate_to_the_divergences(figure1, parameters):
    values = rows_of(figure1, parameters)
    p, q = scipy_pair(parameters)
    N1, N2 = (Gaussian(mean=[mean], var=[var]) for mean, var in parameters)
    # Eqs. 5, 8 and 10 at 1/2.
    wanted = {"js": jsgmath.js(N1, N2)[0], "jsg": jsgmath.jsg(N1, N2, 0.5), "jsg-dual": jsgmath.jsg_dual(N1, N2, 0.5)}
    for name, divergence in wanted.items():
        # 12 standard deviations of the widest, where the integrands are below 1e-28.
        total = quad(lambda x, name=name: fig1.densities(N1, N2, [x])[name][0], -22, 22, epsabs=1e-12, limit=200)[0]
        assert total == pytest.approx(divergence, abs=1e-11)  # ten times the quadrature's tolerance
        np.testing.assert_array_equal(values[name], fig1.densities(N1, N2, fig1.X)[name])
    # JS is not negative at any point, nor is JSG* where the mean is geometric: log(g/sqrt(p q)) is constant.
    np.testing.assert_allclose(values["jsg-dual"], jsgmath.bhattacharyya(N1, N2, 0.5) * values["geometric_mean"], 1e-12)
    ratio = p.pdf(fig1.X) / values["arithmetic_mean"], q.pdf(fig1.X) / values["arithmetic_mean"]
    mixture = (p.pdf(fig1.X) * np.log(ratio[0]) + q.pdf(fig1.X) * np.log(ratio[1])) / 2
    np.testing.assert_allclose(values["js"], mixture, atol=1e-14)  # roundings of densities below 1, logs below 40


def test_figure_1_draws_the_columns_of_its_table(figure1):
    assert figure1.figure is not None
    for row, parameters in enumerate(fig1.PAIRS):
        values = rows_of(figure1, parameters)
        means, integrands = figure1.figure.axes[2 * row : 2 * row + 2]
        drawn = {
            "p": "$p$", "q": "$q$", "arithmetic_mean": "arithmetic mean", "geometric_mean": "geometric mean",
            "js": fig1.LABELS["js"], "jsg": fig1.LABELS["jsg"], "jsg-dual": fig1.LABELS["jsg-dual"],
        }  # fmt: skip
        lines = {line.get_label(): line for line in (*means.get_lines(), *integrands.get_lines())}
        for column, label in drawn.items():
            assert lines[label].get_xdata().tolist() == fig1.X.tolist()
            assert lines[label].get_ydata().tolist() == values[column].tolist()
        N1, N2 = (Gaussian(mean=[mean], var=[var]) for mean, var in parameters)
        assert f"{jsgmath.js(N1, N2)[0]:.3f}," in integrands.get_title()
        assert f"{jsgmath.jsg(N1, N2, 0.5):.3f}," in integrands.get_title()
        assert integrands.get_title().endswith(f"{jsgmath.jsg_dual(N1, N2, 0.5):.3f}")


# Figure 2


def random_theta(seed: int) -> torch.Tensor:
    """A Gaussian near the mixture, correlated and of unequal variances."""
    return torch.from_numpy(np.random.default_rng(seed).uniform(-0.6, 0.6, 5))


def parameters_of(row) -> tuple[list[float], list[list[float]]]:
    cov = row["cov"]
    return [row["mean_1"], row["mean_2"]], [[row["var_1"], cov], [cov, row["var_2"]]]


def theta_of(row) -> torch.Tensor:
    mean, cov = parameters_of(row)
    (first, _), (below, second) = np.linalg.cholesky(cov)
    return torch.tensor([*mean, math.log(first), below, math.log(second)], dtype=torch.float64)


def optima(result: Result):
    return {row["gaussian"]: row for row in result.rows if row["gaussian"] != "component"}


def test_the_target_is_the_mixture_that_the_released_code_draws(figure2):
    # Its order: weights, variances, then means, of whose hundred dimensions it keeps two.
    random = np.random.RandomState(22)
    weights, uniform, normal = random.dirichlet([0.5] * 10), random.rand(10), random.randn(100, 10)
    components = [row for row in figure2.rows if row["gaussian"] == "component"]
    assert len(components) == 10
    for k, row in enumerate(components):
        mean, cov = parameters_of(row)
        # The table is rounded to ten decimals.
        assert mean == pytest.approx((1.5 * normal[:2, k]).tolist(), abs=1e-10)
        assert np.diag(cov) == pytest.approx(1 / np.square(uniform[k] + 1), abs=1e-10)
        assert cov[0][1] == 0
        assert row["weight"] == pytest.approx(weights[k], abs=1e-10)


def test_the_integrals_agree_with_an_adaptive_quadrature_of_the_definitions(figure2):
    components = [row for row in figure2.rows if row["gaussian"] == "component"]
    parts = [(row["weight"], multivariate_normal(*parameters_of(row))) for row in components]
    theta = random_theta(seed=1)
    scale_tril = np.array([[math.exp(theta[2]), 0], [theta[3], math.exp(theta[4])]])
    gaussian = multivariate_normal(theta[:2].numpy(), scale_tril @ scale_tril.T)

    def integral(function):
        def integrand(points):
            return function(sum(weight * part.pdf(points) for weight, part in parts), gaussian.pdf(points))

        # Densities are below 1e-30 outside; there p or q may be 0 in floating point, which `plogp` allows for.
        return cubature(integrand, [-9, -9], [9, 9], atol=1e-8, rtol=0).estimate

    def plogp(p, q):
        return np.where(p > 0, p * (np.log(np.maximum(p, 1e-300)) - np.log(np.maximum(q, 1e-300))), 0)

    Z = integral(lambda p, q: np.sqrt(p * q))
    wanted = {
        "kl-pq": integral(plogp),
        "kl-qp": integral(lambda p, q: plogp(q, p)),
        "js": integral(lambda p, q: plogp(p, (p + q) / 2) + plogp(q, (p + q) / 2)) / 2,
        "jsg": integral(lambda p, q: plogp(p, np.sqrt(p * q) / Z) + plogp(q, np.sqrt(p * q) / Z)) / 2,
        "jsg-dual": integral(lambda p, q: plogp(np.sqrt(p * q), p * Z) + plogp(np.sqrt(p * q), q * Z)) / 2 / Z,
    }
    values = fig2.divergences(fig2.IntegrationGrid.around(fig2.mixture(), fig2.STEP), theta)
    assert list(values) == list(wanted)
    for name, value in wanted.items():
        assert values[name].item() == pytest.approx(value, abs=1e-7), name  # a few times the quadrature's tolerance


@pytest.mark.parametrize("seed", [2, 3])
def test_for_a_single_gaussian_the_integrals_are_the_closed_forms(seed):
    # The target is wider than the others, as the grid covers Gaussians as wide as its target.
    mean, std = torch.tensor([[0.3, -0.5]]).double(), torch.tensor([[2.0, 2.5]]).double()
    target = MixtureSameFamily(Categorical(torch.ones(1).double()), Independent(Normal(mean, std), 1))
    theta = random_theta(seed)
    q = fig2.gaussian(theta)
    N1, N2 = Gaussian(mean[0].numpy(), std=std[0].numpy()), Gaussian(q.mean.numpy(), scale_tril=q.scale_tril.numpy())
    wanted = {
        "kl-pq": jsgmath.kl(N1, N2),
        "kl-qp": jsgmath.kl(N2, N1),
        "js": jsgmath.js(N1, N2)[0],
        "jsg": jsgmath.jsg(N1, N2, 0.5),
        "jsg-dual": jsgmath.jsg_dual(N1, N2, 0.5),
    }
    values = fig2.divergences(fig2.IntegrationGrid.around(target, fig2.STEP), theta)
    for name, value in wanted.items():
        # The rule's own error is far below 1e-15 here; what remains is rounding in 1e5 terms of up to a few nats.
        assert values[name].item() == pytest.approx(value, abs=1e-12), name


def test_every_optimum_is_best_in_its_own_divergence(figure2):
    rows = optima(figure2)
    assert tuple(rows) == fig2.NAMES
    for name in fig2.NAMES:
        others = [row[name] for other, row in rows.items() if other != name]
        assert rows[name][name] < min(others)


def test_changing_any_parameter_of_an_optimum_makes_it_worse(figure2):
    grid = fig2.IntegrationGrid.around(fig2.mixture(), fig2.STEP)
    # A gradient of 1e-5 would make one of the two directions better; with curvatures of 0.1 to 10 the divergence grows
    # by at least 1e-11, a hundred times its rounding.
    move = 2e-5
    for name, row in optima(figure2).items():
        theta = theta_of(row)
        here = fig2.divergences(grid, theta)
        assert row[name] == pytest.approx(here[name].item(), abs=1e-9)  # ten decimals are printed, parameters too
        for direction in torch.cat([torch.eye(5), -torch.eye(5)]).double():
            assert fig2.divergences(grid, theta + move * direction)[name] > here[name], (name, direction)


def test_the_minimum_of_kl_pq_is_at_the_moments_and_the_minimisation_finds_it(figure2):
    target = fig2.mixture()
    moments, *components = fig2.starts(target)
    # Of the mixture, from its table.
    rows = [row for row in figure2.rows if row["gaussian"] == "component"]
    weights = np.array([row["weight"] for row in rows])
    means, covs = (np.array(part) for part in zip(*map(parameters_of, rows), strict=True))
    mean = weights @ means
    cov = np.einsum("k,kij->ij", weights, covs + np.einsum("ki,kj->kij", means - mean, means - mean))
    row = optima(figure2)["kl-pq"]
    assert parameters_of(row)[0] == pytest.approx(mean.tolist(), abs=1e-9)  # the table's ten decimals
    np.testing.assert_allclose(parameters_of(row)[1], cov, atol=1e-9)
    # Newton ends within rounding, and the curvature is of order 1.
    np.testing.assert_allclose(fig2.fit(target, "kl-pq", components[:1]), moments, atol=1e-10)
    assert len(components) == fig2.STARTS


@pytest.mark.parametrize("name", fig2.NAMES)
def test_second_derivatives_are_finite_where_the_densities_are_many_orders_apart(name):
    target = fig2.mixture(seed=0)
    grid = fig2.IntegrationGrid.around(target, fig2.ROUGH)
    theta = fig2.starts(target)[1]
    assert (grid.log_p - fig2.gaussian(theta).log_prob(grid.points)).max() > 800  # exp of it overflows
    hessian = torch.autograd.functional.hessian(lambda theta: fig2.divergences(grid, theta)[name], theta)
    assert torch.as_tensor(hessian).isfinite().all()


def test_jsg_lies_between_the_kls_and_js_and_its_dual_seek_the_mode_as_the_caption_says(figure2):
    rows = optima(figure2)
    spread = {name: row["var_2"] for name, row in rows.items()}
    assert 3 * spread["kl-qp"] < spread["jsg"] < spread["kl-pq"] / 1.5
    assert rows["kl-qp"]["mean_2"] < rows["jsg"]["mean_2"] < rows["kl-pq"]["mean_2"]
    for name in ("js", "jsg-dual"):
        assert spread[name] < 1.1 * spread["kl-qp"]


def test_the_caption_bounds_the_error_of_the_integrals(figure2):
    grids = [fig2.IntegrationGrid.around(fig2.mixture(), step) for step in (fig2.STEP, fig2.STEP / 2)]
    bound = float(figure2.caption.split("by more than ")[1].split(". ")[0])
    for row in optima(figure2).values():
        coarse, fine = (fig2.divergences(grid, theta_of(row)) for grid in grids)
        assert max(abs(coarse[name] - fine[name]).item() for name in fig2.NAMES) <= bound
    assert bound < 1e-10


def test_the_level_sets_hold_the_shares_that_the_caption_names(figure2):
    assert figure2.figure is not None
    assert len(figure2.figure.axes) == len(fig2.NAMES)
    assert "25, 50, 75 and 95 %" in figure2.caption
    for axes, (name, row) in zip(figure2.figure.axes, optima(figure2).items(), strict=True):
        assert axes.get_title() == f"{fig2.LABELS[name]}\n{row[name]:.3f}"
        mean, cov = parameters_of(row)
        _, contours = axes.collections
        assert len(contours.get_paths()) == 4
        for path, share in zip(contours.get_paths(), (0.95, 0.75, 0.5, 0.25), strict=True):
            apart = np.asarray(path.vertices) - mean
            distance = np.einsum("ki,ij,kj->k", apart, np.linalg.inv(cov), apart)
            # The grid is 0.03 x 0.05 and lines between its points are straight.
            np.testing.assert_allclose(chi2(2).cdf(distance), share, atol=0.005)


# The command and its files


def test_both_figures_are_made_from_nothing_and_always_the_same(tmp_path, figure1, figure2):
    start = [sys.executable, "-m", "vae.figures", "fig1", "fig2"]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[3])}
    empty = tmp_path / "empty"
    empty.mkdir()
    run = subprocess.run(start, cwd=empty, env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert run.stderr == ""
    names = [f"{name}.{ending}" for name in ("fig1", "fig2") for ending in ENDINGS]
    assert run.stdout.splitlines() == [str(Path("figures") / name) for name in names]
    assert sorted(path.name for path in (empty / "figures").iterdir()) == sorted(names)
    for name, result in (("fig1", figure1), ("fig2", figure2)):
        for path in write_result(result, tmp_path / "again", name):
            assert path.read_bytes() == (empty / "figures" / path.name).read_bytes(), path.name


def test_the_users_style_has_no_effect(tmp_path, figure1):
    with matplotlib.rc_context({"font.size": 30, "savefig.bbox": "tight", "pdf.fonttype": 3, "axes.grid": True}):
        assert command.main(["fig1", "--out", str(tmp_path / "mine")]) == 0
    for path in write_result(figure1, tmp_path, "fig1"):
        assert path.read_bytes() == (tmp_path / "mine" / path.name).read_bytes(), path.name


def complaint(capsys) -> str:
    """The only line on stderr."""
    error = capsys.readouterr().err
    assert error.startswith("vae.figures: ")
    assert error.endswith("\n")
    assert error.count("\n") == 1
    return error


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        ([], "name at least one of fig1, "),
        (["fig0"], "there is no fig0; name one of fig1, "),
        (["fig1", "--alpha", "1"], "Unrecognized options: --alpha"),
        (["fig1", "--out"], "--out"),
        (["fig1", "--out", "file"], "cannot write in file: File exists"),
        (["fig1", "--out", "file/figures"], "cannot write in file/figures: Not a directory"),
    ],
)
def test_a_mistake_ends_with_one_line_and_status_2(options, wanted, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("kept")
    assert command.main(options) == 2
    assert wanted in complaint(capsys)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert (tmp_path / "file").read_text() == "kept"


def test_missing_runs_are_named_and_what_can_be_made_is_made(tmp_path, monkeypatch, capsys):
    figures = {
        "empty": lambda runs: Result(None, [], "nothing", missing=[f"{runs}/jsg", f"{runs}/kl-qp"]),
        "partial": lambda runs: Result(None, [{"x": 1}], "something", missing=[f"{runs}/mmd"]),
    }
    monkeypatch.setattr(command, "FIGURES", figures)
    options = ["--runs", "those", "--out", str(tmp_path)]
    assert command.main(["partial", *options]) == 0
    output = capsys.readouterr().out.splitlines()
    files = [str(tmp_path / "partial.csv"), str(tmp_path / "partial.txt")]
    assert output == [*files, "missing (partial): those/mmd"]
    assert command.main(["empty", "partial", *options]) == 2
    output = capsys.readouterr()
    runs = ["missing (empty): those/jsg", "missing (empty): those/kl-qp", "missing (partial): those/mmd"]
    assert output.out.splitlines() == [*files, *runs]
    assert output.err == "vae.figures: those has no runs for empty\n"
    # With a folder of runs, all means the figures that have runs.
    assert command.main(["all", "--runs", str(tmp_path), "--out", str(tmp_path)]) == 0
    output = capsys.readouterr()
    runs = [run.replace("those", str(tmp_path)) for run in runs]
    assert output.out.splitlines() == [*files, *runs, f"{tmp_path} has no runs for empty"]
    assert output.err == ""


def test_a_table_is_written_with_all_digits_and_empty_where_a_row_has_no_value(tmp_path):
    rows = [{"name": "a, b", "value": 0.1 + 0.2}, {"name": "c", "other": 7}]
    result = Result(None, rows, "one " * 40, tables={"md": "| a |\n", "tex": r"a \\" + "\n"})
    paths = write_result(result, tmp_path / "deep" / "er", "table1")
    assert [path.name for path in paths] == ["table1.csv", "table1.md", "table1.tex", "table1.txt"]
    assert paths[0].read_text() == 'name,value,other\n"a, b",0.30000000000000004,\nc,,7\n'
    with paths[0].open(newline="") as file:
        assert float(next(csv.DictReader(file))["value"]) == 0.1 + 0.2
    assert paths[1].read_text() == "| a |\n"
    assert paths[2].read_text() == "a \\\\\n"
    assert paths[3].read_text().split() == ["one"] * 40
    assert max(map(len, paths[3].read_text().splitlines())) <= 100


def test_a_file_that_cannot_be_finished_keeps_the_old_one(tmp_path):
    class Broken(Figure):
        def savefig(self, fname, **options):
            fname.write(b"half")
            raise OSError(28, "No space left on device")

    (tmp_path / "fig1.png").write_text("old")
    with pytest.raises(UserError, match=r"cannot write in .*: No space left on device"):
        write_result(Result(Broken(), [{"x": 1}], "caption"), tmp_path, "fig1")
    assert [path.name for path in tmp_path.iterdir()] == ["fig1.png"]
    assert (tmp_path / "fig1.png").read_text() == "old"
