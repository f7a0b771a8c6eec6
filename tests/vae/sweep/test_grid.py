"""The command line of a sweep becomes a list of trainings: those that it names, each once."""

import shlex
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vae import command_line
from vae.errors import UserError
from vae.sweep.grid import Sweep, cells, numbers, parse_sweep
from vae.training.settings import Settings, parse_settings


def described(*arguments):
    return [
        (cell.divergence, cell.alpha, cell.learn_alpha, cell.weight) for cell in cells(parse_sweep(list(arguments)))
    ]


def test_the_default_is_the_paper_s_figure_3_on_the_embedded_images():
    sweep = parse_sweep([])
    assert (sweep.out, sweep.scheduler, sweep.workers, sweep.seeds) == (None, None, None, 1)
    made = cells(sweep)
    grid = [Settings(divergence=name, alpha=tenths / 10) for name in ("jsg", "jsg-dual") for tenths in range(1, 10)]
    assert made == [*grid, Settings(divergence="kl-qp"), Settings(divergence="kl-pq")]


def test_the_first_seed_of_everything_comes_before_the_second_of_anything():
    made = cells(parse_sweep(["--dataset", "mnist,fashion", "--alphas", ".3", "--baselines", "kl-qp", "--seeds", "3"]))
    assert [cell.name() for cell in made] == [
        f"{dataset}-{objective}{seed}"
        for seed in ("", "-seed-1235", "-seed-1236")
        for dataset in ("mnist", "fashion")
        for objective in ("jsg-0.3", "jsg-dual-0.3", "kl-qp")
    ]


def test_weights_are_those_of_the_skewed_divergences_and_each_has_all_alphas_and_one_that_is_learnt():
    made = described(
        "--divergences", "jsg", "--alphas", ".1,.3", "--weights", "1,4", "--learn-alpha", "--baselines=mmd"
    )
    assert made == [
        ("jsg", 0.1, False, 1.0),
        ("jsg", 0.3, False, 1.0),
        ("jsg", 0.3, True, 1.0),
        ("jsg", 0.1, False, 4.0),
        ("jsg", 0.3, False, 4.0),
        ("jsg", 0.3, True, 4.0),
        ("mmd", 0.3, False, 1.0),
    ]


def test_baselines_have_weights_of_their_own():
    made = described("--divergences", "", "--baselines", "kl-qp:.25, kl-qp,kl-qp:4,mmd:500,kl-pq:0")
    assert [(name, weight) for name, _, _, weight in made] == [
        ("kl-qp", 0.25), ("kl-qp", 1.0), ("kl-qp", 4.0), ("mmd", 500.0), ("kl-pq", 0.0)
    ]  # fmt: skip


def test_alphas_may_be_learnt_without_a_grid():
    made = described("--divergences", "jsg-dual", "--alphas", "", "--learn-alpha", "--baselines", "")
    assert made == [("jsg-dual", Settings.alpha, True, 1.0)]


def test_shared_options_mean_the_same_in_the_sweep_and_the_trainer(tmp_path):
    words = shlex.split("--epochs 7 --backend eager --batch-size 32 --lr .01 --likelihood laplace --deterministic")
    words += ["--data", str(tmp_path)]  # --data alone means own images
    (cell,) = cells(parse_sweep(["--divergences", "", "--baselines", "kl-qp:2", *words]))
    assert cell == parse_settings(["--divergence", "kl-qp", "--weight", "2", *words])
    (cell,) = cells(parse_sweep(["--divergences", "", "--baselines", "kl-qp:2", "--dataset=mnist", *words]))
    assert cell == parse_settings(["--divergence", "kl-qp", "--weight", "2", "--dataset", "mnist", *words])


def test_cells_have_no_out_because_their_folder_is_their_name_in_the_sweep(tmp_path):
    sweep = parse_sweep(["--out", str(tmp_path), "--scheduler", "tcp://host:8786", "--together", "8"])
    assert (sweep.out, sweep.scheduler, sweep.together) == (tmp_path, "tcp://host:8786", 8)
    made = cells(sweep)
    assert {cell.out for cell in made} == {None}
    assert len({cell.name() for cell in made}) == len(made) == 20


@given(
    start=st.integers(0, 1000),
    step=st.integers(1, 500),
    steps=st.integers(0, 200),
    digits=st.integers(0, 6),
)
def test_a_range_is_the_decimals_from_start_to_stop_both_included(start, step, steps, digits):
    def written(count):
        return f"{count // 10**digits}.{count % 10**digits:0{digits}}" if digits else str(count)

    span = f"{written(start)}:{written(start + step * steps)}:{written(step)}"
    # Python's reading of a quotient of integers is the double nearest to it, as is its reading of a decimal.
    wanted = [float(Fraction(start + step * index, 10**digits)) for index in range(steps + 1)]
    assert numbers("--alphas", span) == wanted


def test_ranges_of_tenths_give_the_nearest_doubles():
    # 0.1 + 0.1 + 0.1 and 3 * 0.1 are not 0.3.
    assert numbers("--alphas", ".1:.9:.1") == [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]
    assert numbers("--alphas", "0,.05:.15:5e-2,1") == [0.0, 0.05, 0.1, 0.15, 1.0]


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        (["--divergences", "jsg,kl-qp"], "--divergences: unknown 'kl-qp'; choose from jsg, jsg-dual"),
        (["--divergences", "jsg,"], "--divergences: unknown ''; choose from"),
        (
            ["--scheduler", "tls://me:s@host:1"],
            "--scheduler must be tcp://HOST:PORT or the like, got a user or a password",
        ),
        (["--baselines", "kl"], "--baselines: unknown 'kl'; choose from kl-qp, kl-pq, mmd"),
        (["--baselines", "kl-qp,jsg:2"], "--baselines: unknown 'jsg'; choose from kl-qp, kl-pq, mmd"),
        (["--baselines", ":4"], "--baselines: unknown ''"),
        (["--baselines", "kl-qp:"], "--baselines: '' is not a number"),
        (["--baselines", "kl-qp:1:4:1"], "--baselines: '1:4:1' is not a number"),
        (["--baselines", "kl-qp:-1"], "--baselines: numbers must be finite and not negative, got -1"),
        (["--baselines", "kl-qp,kl-qp:1"], "fashion-mini-kl-qp is named 2 times; name each value once"),
        (["--dataset", "mnist,imagenet"], "--dataset: unknown 'imagenet'; choose from fashion-mini, fashion, mnist"),
        (["--dataset", ""], "--dataset must name at least one"),
        (["--dataset", "mnist,mnist"], "mnist-jsg-0.1 is named 2 times"),
        (["--alphas", "1.2"], "--alphas must lie in [0, 1], got 1.2"),
        (["--alphas", "0:2:.5"], "--alphas must lie in [0, 1], got 1.5"),
        (["--alphas", "-.1:.9:.1"], "--alphas: numbers must be finite and not negative, got -.1"),
        (["--alphas", "nan"], "--alphas: numbers must be finite and not negative, got nan"),
        (["--alphas", "1e400"], "--alphas: numbers must be finite and not negative, got 1e400"),
        (["--alphas", "much"], "--alphas: 'much' is not a number"),
        (["--alphas", ".1,,.2"], "--alphas: '' is not a number"),
        (["--alphas", ".1:.9"], "--alphas: a range is start:stop:step, got .1:.9"),
        (["--alphas", ".9:.1:.1"], "--alphas: a range goes up from its start to its stop by a positive step"),
        (["--alphas", ".1:.9:0"], "--alphas: a range goes up from its start to its stop by a positive step"),
        (["--alphas", ".1:.9:.3"], "--alphas: the steps of .1:.9:.3 go past its stop, from 0.7 on"),
        (["--alphas", "0:1:.001"], "--alphas: a range has at most 1,000 values, 0:1:.001 has more"),
        (["--alphas", "0:1:1e-999999"], "--alphas: a range has at most 1,000 values"),
        (["--alphas", ".3,.2:.4:.1"], "fashion-mini-jsg-0.3 is named 2 times; name each value once"),
        (["--alphas", ".1234567,.1234568"], "fashion-mini-jsg-0.123457 is named 2 times"),
        (["--alphas", ""], "--divergences need --alphas or --learn-alpha"),
        (["--weights", ""], "--divergences need --weights"),
        (["--weights", "1,inf"], "--weights: numbers must be finite and not negative, got inf"),
        (["--divergences", "", "--learn-alpha"], "--learn-alpha needs --divergences"),
        (["--divergences", "", "--baselines", ""], "--divergences or --baselines must name at least one"),
        (["--seeds", "0"], "--seeds must be at least 1, got 0"),
        (["--seeds", "1000000"], "--seeds must be at most 1,000, got 1000000"),
        (["--workers", "0"], "--workers must be at least 1, got 0"),
        (["--together", "0"], "--together must be at least 1, got 0"),
        (["--workers", "2", "--scheduler", "tcp://a:1"], "--workers cannot be used with --scheduler, got 2"),
        (["--epochs", "0"], "--epochs must be at least 1, got 0"),
        (["--lr", "0"], "--lr must be finite and positive, got 0.0"),
        (["--batch-size", "0"], "--batch-size must be at least 1, got 0"),
        (["--likelihood", "normal"], "Expected one of ('gaussian', 'bernoulli', 'laplace')"),
        (["--alpha", ".3"], "Unrecognized options: --alpha"),
    ],
)
def test_a_mistake_is_reported_in_one_line(options, wanted, capsys):
    assert command_line.run_program("vae.sweep", lambda arguments: print(parse_sweep(arguments)), options) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.count("\n") == 1
    assert wanted in output.err


def test_a_sweep_made_in_a_program_is_checked_like_one_of_the_command_line():
    with pytest.raises(UserError, match="--alphas must lie"):
        cells(Sweep(alphas="2"))
