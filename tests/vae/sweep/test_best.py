"""The best alpha: chosen among what can be compared, with intervals that scipy's tests agree with."""

import csv
import itertools
import json
import re
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import ttest_1samp, ttest_rel

from tests.vae.runs.add_run import add_run
from vae import command_line
from vae.runs.statistics import share
from vae.sweep import best

RESULTS = Path(__file__).parents[3] / "results"


def show(capsys, folder, *options, status=0):
    """What the command prints: stdout if it succeeds, stderr if it fails."""

    def work(arguments):
        best.show_best(best.parse_best(arguments))

    assert command_line.run_program("vae.sweep", work, [str(folder), *options]) == status
    output = capsys.readouterr()
    assert (output.out if status else output.err) == ""
    return output.err if status else output.out


def comparisons(capsys, folder):
    """The comparisons in the output of --json FILE, without the runs that were left out."""
    show(capsys, folder, "--json", str(folder / "best.json"))
    return json.loads((folder / "best.json").read_text())["comparisons"]


def add_alphas(folder, errors, divergence="jsg", **options):
    """Runs of these errors, alpha -> [(train, test) of the seeds 1, 2, ...]."""
    for alpha, pairs in errors.items():
        for seed, (train, test) in enumerate(pairs, start=1):
            add_run(folder, test, train, divergence=divergence, alpha=alpha, seed=seed, **options)


def rows(text):
    """The table's rows as lists, without heading, head and remarks."""
    lines = [line for line in text.split("\n\n")[0].splitlines()[2:] if not re.match(r"JSG[^ ]*.*: ", line)]
    return [re.split(r"  +", line.strip()) for line in lines]


# Numbers


@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_means_intervals_and_the_alphas_as_good_are_those_of_scipy_s_t_tests(seeds, tmp_path, capsys):
    random = np.random.default_rng(seeds)
    alphas = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]
    # Seeds differ by more than neighbouring alphas do, in common and each for itself; axes: alpha, seed, split.
    found = 10 + random.normal(0, 0.3, (1, seeds, 1)) + random.normal(0, 0.1, (len(alphas), seeds, 2))
    found += 8 * (np.array(alphas)[:, None, None] - [0.25, 0.42]) ** 2
    add_alphas(tmp_path, dict(zip(alphas, found.tolist(), strict=True)))
    (grid,) = comparisons(capsys, tmp_path)[0]["grids"]
    chosen = {}
    for number, split in enumerate(("train", "test")):
        errors = found[:, :, number]
        chosen[split] = int(errors.mean(1).argmin())
        for values, facts in zip(errors, grid["alphas"], strict=True):
            assert facts["seeds"] == list(range(1, seeds + 1))
            assert facts[split]["values"] == values.tolist()
            # Both round sums of a few numbers near 10, and scipy's quantile comes by another way.
            assert facts[split]["mean"] == pytest.approx(values.mean(), rel=1e-14)
            interval = ttest_1samp(values, 0).confidence_interval(0.95)
            assert facts[split]["interval"] == pytest.approx(list(interval), rel=1e-11)
        others = [one for one in range(len(alphas)) if one != chosen[split]]
        as_good = [one for one in others if ttest_rel(errors[one], errors[chosen[split]]).pvalue >= 0.05]
        wanted = sorted(alphas[one] for one in [chosen[split], *as_good])
        assert grid["best"][split] == {"alpha": alphas[chosen[split]], "as_good": wanted}
        assert 0 < len(as_good) < len(others), "the example shows nothing"
    assert chosen["train"] != chosen["test"], "the example shows nothing"
    test = ttest_rel(found[chosen["train"], :, 1], found[chosen["test"], :, 1])
    difference = found[chosen["train"], :, 1].mean() - found[chosen["test"], :, 1].mean()
    # A small difference of numbers near 10 has as many digits less.
    assert grid["regret"]["mean"] == pytest.approx(difference, abs=1e-13)
    assert grid["regret"]["interval"] == pytest.approx(list(test.confidence_interval(0.95)), abs=1e-11)


def test_the_table_has_the_numbers_that_a_printed_t_table_gives(tmp_path, capsys):
    add_alphas(
        tmp_path,
        {
            0.2: [(10.0, 11.5), (11.0, 12.6), (12.0, 13.4)],
            0.3: [(10.1, 11.2), (11.2, 12.2), (12.0, 13.2)],
            0.9: [(15.0, 16.0), (16.1, 17.0), (17.0, 18.0)],
        },
    )
    text = show(capsys, tmp_path)
    # t(0.975, 2) = 4.303. Train: 11 and sd 1. Test: 12.5 and sd 0.954; 12.2 and sd 1. On train 0.3 is worse by 0.1 and
    # sd 0.1, which is not beyond 4.303 * 0.1 / sqrt(3) = 0.25; on test 0.2 is worse by 0.3 and sd 0.1, which is.
    assert rows(text) == [
        ["JSG", "train", "0.2", "3", "11.00 ± 2.48", "12.50 ± 2.37", "0.2, 0.3"],
        ["JSG", "test", "0.3", "3", "11.10 ± 2.37", "12.20 ± 2.48", "0.3"],
    ]
    said = "JSG: of 0.2, 0.3, 0.9 train chooses 0.2 and test 0.3; 0.2 is worse on test by 0.30 ± 0.25."
    assert said in text
    assert "One seed" not in text


def test_differences_are_taken_seed_by_seed(tmp_path, capsys):
    # From seed to seed errors differ by 10, between the alphas by 0.1 in each seed, which is then beyond doubt.
    offsets = (0.0, 10.0, 20.0)
    add_alphas(tmp_path, {0.2: [(10 + o, 10 + o) for o in offsets], 0.3: [(10.1 + o, 10.1 + o) for o in offsets]})
    (grid,) = comparisons(capsys, tmp_path)[0]["grids"]
    assert grid["best"]["train"] == grid["best"]["test"] == {"alpha": 0.2, "as_good": [0.2]}


def test_one_seed_has_no_interval_and_the_output_says_so(tmp_path, capsys):
    add_alphas(tmp_path, {0.2: [(10.0, 11.5)], 0.3: [(10.1, 11.2)]})
    text = show(capsys, tmp_path)
    assert "±" not in text
    assert rows(text) == [
        ["JSG", "train", "0.2", "1", "10.00", "11.50", "-"],
        ["JSG", "test", "0.3", "1", "10.10", "11.20", "-"],
    ]
    assert "One seed has no interval" in text
    assert "train chooses 0.2 and test 0.3; 0.2 is worse on test by 0.30." in text
    (grid,) = comparisons(capsys, tmp_path)[0]["grids"]
    assert grid["best"]["train"] == {"alpha": 0.2, "as_good": None}
    assert grid["regret"]["interval"] is grid["alphas"][0]["test"]["interval"] is None


def test_if_two_means_are_equal_the_smaller_alpha_is_named_and_the_other_is_as_good(tmp_path, capsys):
    equal = [(10.0, 11.0), (10.5, 11.0)]
    add_alphas(tmp_path, {0.2: equal, 0.3: equal, 0.4: [(12.0, 13.0), (12.5, 13.0)]})
    (grid,) = comparisons(capsys, tmp_path)[0]["grids"]
    assert grid["best"]["train"] == grid["best"]["test"] == {"alpha": 0.2, "as_good": [0.2, 0.3]}


# What is compared


@pytest.mark.parametrize(
    "options",
    [
        {"epochs": 5},
        {"dataset": "fashion"},
        {"likelihood": "bernoulli"},
        {"lr": 1e-3},
        {"batch_size": 128},
    ],
)
def test_runs_that_must_not_be_mixed_have_separate_tables(options, tmp_path, capsys):
    add_alphas(tmp_path / "a", {0.2: [(10.0, 10.0)], 0.3: [(11.0, 11.0)]})
    add_run(tmp_path / "a", 14.0, divergence="kl-qp")
    add_alphas(tmp_path / "b", {0.2: [(22.0, 22.0)], 0.3: [(21.0, 21.0)]}, **options)
    found = comparisons(capsys, tmp_path)
    assert [one["grids"][0]["best"]["train"]["alpha"] for one in found] == [0.2, 0.3]
    assert [len(one["baselines"]) for one in found] == [1, 0]
    said = {"dataset": "mnist", "epochs": 3, "likelihood": "gaussian", "batch_size": 64, "lr": 1e-4}
    assert [{name: one[name] for name in said} for one in found] == [said, said | options]
    text = show(capsys, tmp_path)
    headings = [line for line in text.splitlines() if line.endswith("per image, z = mean")]
    plain = "mnist, 3 epochs; squared error per image, z = mean"
    other = {
        "epochs": "mnist, 5 epochs; squared error per image, z = mean",
        "dataset": "fashion, 3 epochs; squared error per image, z = mean",
        "likelihood": "mnist, 3 epochs; nats per image, z = mean",
        "lr": "mnist, 3 epochs, lr 0.001; squared error per image, z = mean",
        "batch_size": "mnist, 3 epochs, batch size 128; squared error per image, z = mean",
    }
    assert sorted(headings) == sorted([plain, other[next(iter(options))]])


def test_each_divergence_and_weight_has_its_own_best_alpha_and_baselines_follow(tmp_path, capsys):
    add_alphas(tmp_path, {0.2: [(10.0, 10.0)], 0.3: [(11.0, 11.0)]})
    add_alphas(tmp_path, {0.2: [(13.0, 13.0)], 0.3: [(12.0, 12.0)]}, weight=4.0)
    add_alphas(tmp_path, {0.2: [(14.0, 15.0)], 0.3: [(15.0, 14.0)]}, "jsg-dual")
    for number, one in enumerate([("mmd", 500.0), ("kl-pq", 1.0), ("kl-qp", 4.0), ("kl-qp", 1.0)]):
        add_run(tmp_path, 20.0 + number, divergence=one[0], weight=one[1])
    add_run(tmp_path, 25.0, divergence="mmd", weight=500.0, mmd_of="posterior-parameters")
    assert rows(show(capsys, tmp_path)) == [
        ["JSG", "train", "0.2", "1", "10.00", "10.00", "-"],
        ["JSG", "test", "0.2", "1", "10.00", "10.00", "-"],
        ["JSG, weight 4", "train", "0.3", "1", "12.00", "12.00", "-"],
        ["JSG, weight 4", "test", "0.3", "1", "12.00", "12.00", "-"],
        ["JSG*", "train", "0.2", "1", "14.00", "15.00", "-"],
        ["JSG*", "test", "0.3", "1", "15.00", "14.00", "-"],
        ["KL(q||p)", "1", "22.00", "23.00"],
        ["KL(q||p), weight 4", "1", "21.00", "22.00"],
        ["KL(p||q)", "1", "20.00", "21.00"],
        ["MMD, weight 500", "1", "19.00", "20.00"],
        ["MMD, of posterior parameters, weight 500", "1", "24.00", "25.00"],
    ]
    baselines = comparisons(capsys, tmp_path)[0]["baselines"]
    assert [(one["divergence"], one["weight"], one["mmd_of"], one["test"]["mean"]) for one in baselines] == [
        ("kl-qp", 1.0, "z", 23.0),
        ("kl-qp", 4.0, "z", 22.0),
        ("kl-pq", 1.0, "z", 21.0),
        ("mmd", 500.0, "z", 20.0),
        ("mmd", 500.0, "posterior-parameters", 25.0),
    ]


def test_a_learnt_alpha_is_shown_next_to_its_grid_with_its_final_value(tmp_path, capsys):
    add_alphas(tmp_path, {0.2: [(10.0, 10.0)], 0.3: [(11.0, 11.0)]})
    add_alphas(tmp_path, {0.2: [(10.0, 10.0)], 0.3: [(11.0, 11.0)]}, "jsg-dual")
    assert "A learnt alpha" not in show(capsys, tmp_path)
    for seed, ended in ((7, 0.1), (8, 0.11), (9, 0.15)):
        add_run(tmp_path, 12.0, divergence="jsg", learn_alpha=True, seed=seed, ended=ended)
    add_run(tmp_path / "half", 13.0, divergence="jsg-dual", alpha=0.5, learn_alpha=True, ended=0.9)
    text = show(capsys, tmp_path)
    assert rows(text)[2] == ["JSG", "learnt from 0.3", "0.120 ± 0.066", "3", "11.00 ± 0.00", "12.00 ± 0.00"]
    assert rows(text)[5] == ["JSG*", "learnt from 0.5", "0.900", "1", "12.00", "13.00"]
    assert "A learnt alpha lowers the whole loss" in text
    one, other = comparisons(capsys, tmp_path)[0]["learnt"]
    assert (one["divergence"], one["start"], one["seeds"], one["end"]["values"]) == (
        "jsg", 0.3, [7, 8, 9], [0.1, 0.11, 0.15]
    )  # fmt: skip
    interval = ttest_1samp([0.1, 0.11, 0.15], 0).confidence_interval(0.95)
    assert one["end"]["interval"] == pytest.approx(list(interval), rel=1e-11)
    assert (other["divergence"], other["start"], other["end"]["mean"]) == ("jsg-dual", 0.5, 0.9)


def test_a_learnt_alpha_without_a_grid_is_shown_too(tmp_path, capsys):
    add_run(tmp_path, 12.0, divergence="jsg", learn_alpha=True, ended=0.1)
    assert rows(show(capsys, tmp_path)) == [["JSG", "learnt from 0.3", "0.100", "1", "11.00", "12.00"]]


def test_only_seeds_that_all_alphas_have_are_compared_and_the_others_are_named(tmp_path, capsys):
    # Seed 3 would make 0.2 the best; 0.9 has no seed of the others.
    add_alphas(tmp_path, {0.2: [(10.0, 10.0), (10.0, 10.0), (1.0, 1.0)], 0.3: [(9.0, 9.0), (9.0, 9.0)]})
    add_run(tmp_path, 2.0, divergence="jsg", alpha=0.9, seed=7)
    text = show(capsys, tmp_path)
    assert rows(text)[0] == ["JSG", "train", "0.3", "2", "9.00 ± 0.00", "9.00 ± 0.00", "0.3"]
    assert "JSG: alpha 0.9 is left out, as it lacks seeds that the others share." in text
    assert "JSG: seed 3 is left out, as it has only alpha 0.2." in text
    (grid,) = comparisons(capsys, tmp_path)[0]["grids"]
    assert [(one["alpha"], one["seeds"]) for one in grid["alphas"]] == [(0.2, [1, 2]), (0.3, [1, 2])]
    assert len(grid["left_out"]) == 2


class FakeGroup:
    """A group that has only seeds."""

    def __init__(self, seeds):
        self.seeds = sorted(seeds)
        self.runs = ()


def test_the_largest_set_of_alphas_with_common_seeds_is_compared():
    everything = [set(some) for size in (1, 2, 3) for some in itertools.combinations((1, 2, 3), size)]
    for grid in itertools.product(everything, repeat=3):
        # Every set of seeds, with the alphas that have all of them: most alphas first, then most seeds.
        reach = max((sum(seeds <= one for one in grid), len(seeds)) for seeds in everything)
        kept = share(dict(enumerate(map(FakeGroup, grid))))  # pyright: ignore
        shared = set.intersection(*(grid[int(alpha)] for alpha in kept.groups))
        assert (len(kept.groups), len(shared)) == reach


def test_unfinished_damaged_and_foreign_runs_are_left_out_and_named(tmp_path, capsys):
    add_alphas(tmp_path, {0.2: [(10.0, 10.0)], 0.3: [(11.0, 11.0)]})
    before = show(capsys, tmp_path)
    short = add_run(tmp_path, 1.0, divergence="jsg", alpha=0.4, seed=1, done=2)
    begun = add_run(tmp_path, 1.0, divergence="jsg", alpha=0.5, seed=1)
    (begun / "metrics.jsonl").unlink()
    damaged = add_run(tmp_path, 1.0, divergence="jsg", alpha=0.6, seed=1)
    (damaged / "run.json").write_text("{")
    again = add_run(tmp_path / "z", 1.0, divergence="jsg", alpha=0.2, seed=1)
    foreign = add_run(tmp_path / "z", 1.0, divergence="jsg", alpha=0.7, seed=1, images="b")
    after = show(capsys, tmp_path)
    assert after.startswith(before)
    lines = after.removeprefix(before).strip().splitlines()
    assert len(lines) == 5
    for path, reason in (
        (short, "is left out: it has 2 of 3 epochs."),
        (begun, "has not finished its first epoch (no metrics.jsonl)."),
        (damaged, "'s run.json or metrics.jsonl cannot be read (JSONDecodeError"),
        (again, "is left out: it repeats the settings"),
        (foreign, "is left out: its images differ from those of"),
    ):
        assert len([line for line in lines if line.startswith(str(path)) and reason in line]) == 1, reason
    show(capsys, tmp_path, "--json", str(tmp_path / "best.json"))
    assert json.loads((tmp_path / "best.json").read_text())["left_out"] == lines


@pytest.mark.parametrize(
    ("errors", "said"),
    [
        ({0.2: 10.0, 0.3: 11.0, 0.4: 12.0}, "JSG: 0.2 is the smallest alpha tried, so the best may be smaller."),
        ({0.2: 12.0, 0.3: 11.0, 0.4: 10.0}, "JSG: 0.4 is the largest alpha tried, so the best may be larger."),
        ({0.2: 12.0, 0.3: 11.0, 0.4: 13.0}, None),
        ({0.0: 10.0, 0.3: 11.0, 1.0: 12.0}, None),
        ({0.0: 12.0, 0.3: 11.0, 1.0: 10.0}, None),
    ],
)
def test_a_best_alpha_at_an_end_of_the_grid_is_reported_unless_it_is_0_or_1(errors, said, tmp_path, capsys):
    add_alphas(tmp_path, {alpha: [(error, error)] for alpha, error in errors.items()})
    text = show(capsys, tmp_path)
    assert "train and test choose the same." in text
    assert [line for line in text.splitlines() if "tried" in line] == ([said] if said else [])


def test_with_one_alpha_no_choice_is_reported(tmp_path, capsys):
    add_alphas(tmp_path, {0.2: [(10.0, 10.0)]})
    text = show(capsys, tmp_path)
    assert "JSG: there is only one alpha, so nothing was chosen." in text
    assert "tried" not in text


# The page


def test_no_line_is_wider_than_100_columns_and_what_is_longer_goes_on_below(tmp_path, capsys):
    # Of each three alphas the last is bad, so that the good ones cannot be said as a stretch.
    alphas = [round(0.04 * step, 2) for step in range(1, 25)]
    good, bad = [(10.0, 10.0), (12.0, 9.0)], [(30.0, 30.0), (32.0, 29.0)]
    add_alphas(tmp_path, {a: bad if number % 3 == 2 else good for number, a in enumerate(alphas)}, weight=0.25)
    for one in ("kl-qp", "mmd"):
        add_run(tmp_path, 1234.5, divergence=one, weight=500.0)
    lines = show(capsys, tmp_path).splitlines()
    assert max(map(len, lines)) <= 100
    head, train, test, kl = (
        next(number for number, line in enumerate(lines) if re.match(start, line))
        for start in ("divergence", "JSG, weight 0.25  train", "JSG, weight 0.25  test", "KL")
    )
    edge = lines[head].index("as good")
    wanted = ", ".join(f"{alpha:g}" for number, alpha in enumerate(alphas) if number % 3 != 2)
    for first, last in ((train, test), (test, kl)):
        assert " ".join(line[edge:] for line in lines[first:last]) == wanted
        assert all(not line[:edge].strip() for line in lines[first + 1 : last])
    for column in ("train", "test"):
        # The points of all numbers stand below each other.
        start = lines[head].index(column)
        assert {line.index(".", start) for line in (lines[train], lines[test], lines[kl])} == {start + 2}


def test_the_committed_runs_give_the_table_of_the_results(capsys):
    text = show(capsys, RESULTS / "runs")
    with (RESULTS / "figures" / "table1.csv").open() as file:
        table = {(row["dataset"], row["line"]): row for row in csv.DictReader(file)}
    for block, dataset in zip(text.split("\n\n"), ("mnist", "fashion"), strict=False):
        assert block.startswith(f"{dataset}, 10 epochs; squared error per image")
        for name in ("JSG", "JSG*"):
            chosen = [shown for shown in rows(block) if shown[0] == name]
            alpha = f"{float(table[dataset, f'{name}, best alpha']['alpha']):g}"
            # All alphas were trained with the seed of this run.
            run = RESULTS / "runs" / f"{dataset}-{'jsg-dual' if '*' in name else 'jsg'}-{alpha}"
            found = json.loads((run / "evaluation.json").read_text())
            errors = [f"{found[split]['squared_error']:.2f}" for split in ("train", "test")]
            assert chosen[0] == [name, "train", alpha, "1", *errors, "-"]
        for name, line in (("KL(q||p)", "KL(q‖p)"), ("MMD, weight 500", "MMD, lambda = 500")):
            (shown,) = [shown for shown in rows(block) if shown[0] == name]
            assert shown[-1].startswith(f"{float(table[dataset, line]['test_reconstruction']):.2f}")


def test_a_folder_without_a_run_that_has_finished_is_one_line(tmp_path, capsys):
    assert show(capsys, tmp_path, status=2) == f"vae.sweep: {tmp_path} holds no run that has finished\n"
    add_run(tmp_path, 1.0, divergence="jsg", done=2)
    assert (
        show(capsys, tmp_path, status=2)
        == f"vae.sweep: {tmp_path} holds no run that has finished (1 begun or damaged)\n"
    )
    assert show(capsys, tmp_path / "x", status=2).startswith(f"vae.sweep: {tmp_path / 'x'} is not a folder")
