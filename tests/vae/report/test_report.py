"""``python -m vae.report``: the runs that it reads, their plots, and the file that it writes."""

import base64
import csv
import errno
import html
import io
import json
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest
from PIL import Image
from safetensors.torch import save_file

from tests.vae.runs.add_run import add_run
from vae.data import load
from vae.model import VAE
from vae.report.__main__ import main
from vae.report.collect import ShownGroup, ShownRun
from vae.report.plots import by_alpha, reconstruction
from vae.runs.run import Run
from vae.training.settings import Settings

RESULTS = Path(__file__).parents[3] / "results" / "runs"
RUNS = len(list(RESULTS.iterdir()))


@pytest.fixture
def runs(tmp_path):
    return tmp_path / "runs"


def report(tmp_path, *arguments):
    """The exit status, and the page if there is one."""
    path = tmp_path / "report.html"
    status = main([*map(str, arguments), "-o", str(path)])
    return status, path.read_text() if path.exists() else None


def cells(page):
    """The tables: a list of texts for each row."""
    rows = re.findall(r"<tr.*?>(.*?)</tr>", page, re.S)
    return [[html.unescape(re.sub("<.*?>", "", cell)).strip() for cell in re.findall(r"<t[hd].*?</t[hd]>", row)]
            for row in rows]  # fmt: skip


def attachment(page, name):
    """The rows of a CSV file in the page."""
    (found,) = re.findall(rf'download="{name}" href="data:text/csv;charset=utf-8;base64,([^"]*)"', page)
    return list(csv.DictReader(io.StringIO(base64.b64decode(found).decode())))


def images(page, kind):
    return [base64.b64decode(one) for one in re.findall(rf'src="data:image/{re.escape(kind)};base64,([^"]*)"', page)]


def texts(svg):
    """The texts in an SVG file, which must be well-formed XML."""
    return {node.text for node in ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")}


def test_the_committed_runs_are_all_shown(tmp_path, capsys, one_drawing):
    with one_drawing():
        status, page = report(tmp_path, RESULTS)
    said, complaints = capsys.readouterr()
    assert (status, complaints) == (0, "")
    assert re.fullmatch(rf"{tmp_path / 'report.html'}: {RUNS} runs, [\d,]+ kB\n", said)
    assert page.count('<article class="card"') == RUNS
    row = next(row for row in cells(page) if row[:2] == ["JSG", "0.7"])  # of MNIST, where it has one seed
    evaluation = json.loads((RESULTS / "mnist-jsg-0.7" / "evaluation.json").read_text())
    train, test, found = (evaluation[key] for key in ("train", "test", "evidence"))
    low, high = found["interval"]
    assert row[2:] == [
        "1",
        *(f"{split['reconstruction']:.2f}" for split in (train, test)),
        *(f"{split['divergence']:.3f}" for split in (train, test)),
        f"{found['log_evidence']:.2f} ({low:.2f} to {high:.2f})",
    ]
    assert "It is estimated with bernoulli likelihood, 128 draws." in page
    assert "python -m vae.train --dataset mnist --divergence jsg --alpha 0.7 --epochs 10</code>" in page
    (line,) = [row for row in attachment(page, "runs.csv") if row["run"].endswith("mnist-jsg-0.7")]
    assert float(line["test_reconstruction"]) == test["reconstruction"]
    assert [float(line[f"log_evidence{end}"]) for end in ("_low", "", "_high")] == [low, found["log_evidence"], high]
    rows = [json.loads(row) for row in (RESULTS / "mnist-jsg-0.7" / "metrics.jsonl").read_text().splitlines()]
    lines = [row for row in attachment(page, "epochs.csv") if row["run"].endswith("mnist-jsg-0.7")]
    by_epoch = {(row["epoch"], row["split"]): (row["reconstruction"], row["divergence"]) for row in rows}
    assert {
        (int(row["epoch"]), row["split"]): (float(row["reconstruction"]), float(row["divergence"])) for row in lines
    } == by_epoch


def test_several_seeds_have_students_interval_and_learnt_alphas_are_separate(tmp_path, runs):
    for seed, error in ((1, 10.0), (2, 11.0), (3, 12.0)):
        add_run(runs, error, alpha=0.5, seed=seed)
    add_run(runs, 9.0, alpha=0.5, learn_alpha=True, ended=0.25)
    add_run(runs, 9.0, alpha=0.5, weight=2.0)
    add_run(runs, 8.0, alpha=0.5, epochs=4)
    status, page = report(tmp_path, runs)
    assert status == 0
    # 4.303 / sqrt(3): Student's quantile for 2 degrees of freedom.
    assert ["JSG", "0.5", "3", "10.00 ± 2.48", "11.00 ± 2.48", "6.000 ± 0.000", "5.000 ± 0.000"] in cells(page)
    assert ["JSG", "0.250 (learnt)", "1", "8.00", "9.00", "6.000", "5.000"] in cells(page)
    assert ["JSG, weight 2", "0.5", "1", "8.00", "9.00", "6.000", "5.000"] in cells(page)
    assert page.count("<table>") == 2  # runs of 4 epochs are not compared with runs of 3
    assert "± is Student&#x27;s 95 % interval of a mean over seeds. A number without ± comes from one seed" in page


def test_evidence_has_an_interval_over_seeds_and_names_how_it_was_estimated_if_that_differs(tmp_path, runs):
    for seed, value in ((1, -100.0), (2, -102.0)):
        evaluate(add_run(runs, 10.0, alpha=0.5, seed=seed), value)
    evaluate(add_run(runs, 10.0, alpha=0.7), -90.0, samples=16)
    _, page = report(tmp_path, runs)
    # 12.706 / sqrt(2) * sqrt(2), of one degree of freedom.
    assert cells(page)[1][-1] == "-101.00 ± 12.71, bernoulli likelihood, 128 draws"
    assert cells(page)[2][-1] == "-90.00 (-91.00 to -89.00), bernoulli likelihood, 16 draws"


def evaluate(path, value, samples=128):
    way = {"likelihood": "bernoulli", "samples": samples, "batches": 2, "batch_size": 8, "effective_samples": 4.0}
    evidence = {"log_evidence": value, "interval": [value - 1, value + 1], **way}
    (path / "evaluation.json").write_text(json.dumps({"epoch": 3, "evidence": evidence}))


def test_the_pictures_that_a_run_left_are_shown_and_missing_ones_are_named(tmp_path, runs):
    paths = [add_run(runs, 10.0, alpha=alpha) for alpha in (0.1, 0.2)]
    for name in ("curves", "reconstructions", "traversal"):
        Image.new("L", (3, 2)).save(paths[0] / f"{name}.png")
    status, page = report(tmp_path, runs)
    assert status == 0
    left = [(paths[0] / f"{name}.png").read_bytes() for name in ("curves", "reconstructions", "traversal")]
    assert images(page, "png") == left
    assert "No reconstructions.png and traversal.png in this folder. To train the run again: <code>python -m" in page
    by_alpha, curves = images(page, "svg+xml")  # there is no log evidence, and the first run has curves.png
    assert {"alpha", "squared error", "JSG"} <= texts(by_alpha)
    assert {"JSG, alpha 0.2", "train  9.00", "test  10.00"} <= texts(curves)


@pytest.fixture
def trained(runs):
    """A run on the embedded images that left its model, but no pictures."""
    path = add_run(runs, 10.0, dataset="fashion-mini", alpha=0.1)
    facts = json.loads((path / "run.json").read_text())
    facts["data"]["sha256"] = load("fashion-mini").sha256
    (path / "run.json").write_text(json.dumps(facts))
    save_file(VAE().state_dict(), path / "model.safetensors", {"epoch": "3"})
    return path


def test_pictures_that_are_missing_are_drawn_from_the_model(tmp_path, runs, trained):
    status, page = report(tmp_path, runs)
    assert status == 0
    sizes = [Image.open(io.BytesIO(one)).size for one in images(page, "png")]
    assert sizes == [(1280, 512), (1248, 476), (1248, 1072)]  # curves, reconstructions, traversal, at 160 dpi
    assert list(trained.glob("*.png")) == []


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        ("model.safetensors", "nonsense", "model.safetensors is damaged or not a model for these images"),
        ("run.json", None, "was trained on other data: the sha256 in its run.json differ"),
    ],
)
def test_a_damaged_model_or_other_data_is_named_and_the_rest_of_the_run_is_shown(
    tmp_path, runs, trained, capsys, file, content, said
):
    if content is None:
        content = (trained / file).read_text().replace(load("fashion-mini").sha256.popitem()[1], "0")
    (trained / file).write_text(content)
    status, page = report(tmp_path, runs)
    assert status == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"vae.report: {trained}")
    assert said in line
    assert page.count('<article class="card"') == 1
    assert said in page


def test_a_page_made_again_has_the_same_bytes(tmp_path, runs):
    for alpha in (0.1, 0.2):
        evaluate(add_run(runs, 10.0, alpha=alpha), -100.0)
    assert report(tmp_path, runs) == report(tmp_path, runs)


def test_a_damaged_evaluation_is_named_and_the_rest_of_the_run_is_shown(tmp_path, runs, capsys):
    path = add_run(runs, 10.0, alpha=0.1)
    (path / "evaluation.json").write_text("{}")
    status, page = report(tmp_path, runs)
    assert status == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"vae.report: {path / 'evaluation.json'} cannot be read: KeyError")
    assert page.count('<article class="card"') == 1
    assert f"<li>{path / 'evaluation.json'} cannot be read" in page


# Plots


def shown(settings, *values):
    """A group whose runs have these reconstructions of test images."""
    runs = [Run(Path(), settings, {}, None, 3, settings.alpha, {"test_reconstruction": value}) for value in values]
    return ShownGroup(settings, tuple(ShownRun(run, [], None, {}) for run in runs))


def drawn(*groups):
    found = by_alpha(groups, reconstruction, "squared error")
    assert found is not None
    return found


def test_a_level_that_would_flatten_the_curves_is_named_instead_of_drawn():
    curve = [shown(Settings(alpha=alpha), 10 + alpha) for alpha in (0.1, 0.5, 0.9)]
    near, far = (shown(Settings(divergence="kl-qp", weight=weight), 9 + weight) for weight in (1.0, 40.0))
    plot, told = drawn(*curve, near, far)
    assert told == "Outside the plot: KL(q‖p), weight 40: 49.00."
    assert {"JSG", "KL(q‖p)"} <= texts(plot)
    assert "KL(q‖p), weight 40" not in texts(plot)
    assert drawn(near, far)[1] == ""  # without a curve there is nothing to flatten


def test_a_single_value_is_not_plotted():
    assert by_alpha([shown(Settings(), 10.0)], reconstruction, "") is None
    assert by_alpha([shown(Settings(), 10.0), shown(Settings(alpha=0.5), 11.0)], lambda group: None, "") is None


def test_points_have_the_interval_over_seeds_and_learnt_alphas_are_separate():
    assert reconstruction(shown(Settings(), 10.0)) == (10.0, 10.0, 10.0)
    # 12.706, Student's quantile for one degree of freedom, times the standard error 1.
    assert reconstruction(shown(Settings(), 9.0, 11.0)) == pytest.approx((10.0, 10 - 12.706, 10 + 12.706), abs=1e-3)
    set_alphas = [shown(Settings(alpha=alpha), 10.0) for alpha in (0.1, 0.5)]
    learnt = shown(Settings(alpha=0.3, learn_alpha=True), 10.0)
    assert {"JSG", "JSG, learnt"} <= texts(drawn(*set_alphas, learnt)[0])


# Damage


def test_a_damaged_run_is_named_and_left_out(tmp_path, runs, capsys):
    add_run(runs, 10.0, alpha=0.1)
    first, last = add_run(runs, 10.0, alpha=0.2), add_run(runs, 10.0, alpha=0.3)
    (first / "run.json").write_text("{")
    rows = (last / "metrics.jsonl").read_text().splitlines()
    (last / "metrics.jsonl").write_text("\n".join(["{}", *rows[1:]]))
    status, page = report(tmp_path, runs)
    said = capsys.readouterr().err.splitlines()
    assert (status, len(said)) == (2, 2)
    assert [str(one) in line for one, line in zip((first, last), said, strict=True)] == [True, True]
    assert page.count('<article class="card"') == 1
    assert "<h3>Not shown</h3>" in page


def test_an_unfinished_run_is_left_out_without_an_error(tmp_path, runs, capsys):
    add_run(runs, 10.0, alpha=0.1)
    path = add_run(runs, 10.0, alpha=0.2, done=2)
    status, page = report(tmp_path, runs)
    line = f"{path} is left out: it has 2 of 3 epochs."
    assert (status, capsys.readouterr().err) == (0, f"vae.report: {line}\n")
    assert page.count('<article class="card"') == 1
    assert f"<li>{line}</li>" in page


def test_an_epoch_that_was_not_finite_is_a_gap(tmp_path, runs):
    path = add_run(runs, 10.0, alpha=0.1)
    rows = [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()]
    rows[1]["divergence"] = float("nan")
    (path / "metrics.jsonl").write_text("\n".join(map(json.dumps, rows)))
    _, page = report(tmp_path, runs)
    values = [row["divergence"] for row in attachment(page, "epochs.csv") if row["split"] == "test"]
    assert values == ["", "5.0", "5.0"]


def test_names_are_escaped(tmp_path):
    folder = tmp_path / "<script>alert(1)<"
    add_run(folder, 10.0, alpha=0.1)
    status, page = report(tmp_path, folder)
    assert status == 0
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)&lt;" in page


def test_a_run_that_is_named_twice_is_shown_once(tmp_path, runs, capsys):
    one = add_run(runs, 10.0, alpha=0.1)
    add_run(runs, 10.0, alpha=0.2)
    other = add_run(tmp_path / "others", 10.0, alpha=0.3)
    status, page = report(tmp_path, runs, one, other)
    assert (status, capsys.readouterr().err) == (0, "")
    assert page.count('<article class="card"') == 3


# The program


def test_without_runs_the_page_has_the_live_part_only(tmp_path, capsys):
    status, page = report(tmp_path)
    said, complaints = capsys.readouterr()
    assert (status, complaints) == (0, "")
    assert re.fullmatch(rf"{tmp_path / 'report.html'}: 0 runs, \d\d kB\n", said)
    assert 'id="densities"' in page
    assert "<table>" not in page


def test_a_mistake_is_one_line_and_writes_nothing(tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    for arguments, said in (
        ([tmp_path / "empty"], f"{tmp_path / 'empty'}: no finished run can be shown"),
        ([tmp_path / "none"], f"{tmp_path / 'none'} is not a folder; name the folder that holds the runs"),
        (["--nonsense"], "Unrecognized options: --nonsense; see --help"),
    ):
        assert report(tmp_path, *arguments) == (2, None)
        assert capsys.readouterr() == ("", f"vae.report: {said}\n")
    assert main(["-o", str(tmp_path / "none" / "report.html")]) == 2
    assert (
        capsys.readouterr().err == f"vae.report: cannot write {tmp_path}/none/report.html: No such file or directory\n"
    )


def test_a_page_that_cannot_be_written_keeps_the_old_one(tmp_path, monkeypatch, capsys):
    (tmp_path / "report.html").write_text("before")

    def full(file, before):
        file.write(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("vae.files.take_over", full)
    assert report(tmp_path) == (2, "before")
    assert capsys.readouterr().err.endswith("report.html: No space left on device\n")
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]
