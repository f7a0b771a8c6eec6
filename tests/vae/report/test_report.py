"""``python -m vae.report``: what is collected of runs, and the file that is written."""

import base64
import csv
import errno
import html
import io
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from tests.vae.runs.add_run import add_run
from vae.data import load
from vae.model import VAE
from vae.report.__main__ import main
from vae.training.pictures import choose

RESULTS = Path(__file__).parents[3] / "results" / "runs"


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


def pictures(page):
    found = re.findall(r'src="data:image/png;base64,([^"]*)"', page)
    return [Image.open(io.BytesIO(base64.b64decode(one))) for one in found]


def test_the_committed_runs_are_all_shown(tmp_path, capsys):
    status, page = report(tmp_path, RESULTS)
    said, complaints = capsys.readouterr()
    assert (status, complaints) == (0, "")
    assert re.fullmatch(rf"{tmp_path / 'report.html'}: 29 runs, \d\d\d kB\n", said)
    assert page.count('<article class="card"') == 29
    row = next(row for row in cells(page) if row[:2] == ["JSG", "0.3"])  # MNIST's
    evaluation = json.loads((RESULTS / "mnist-jsg-0.3" / "evaluation.json").read_text())
    train, test, found = (evaluation[key] for key in ("train", "test", "evidence"))
    low, high = found["interval"]
    assert row[2:] == [
        "1",
        *(f"{split['reconstruction']:.2f}" for split in (train, test)),
        *(f"{split['divergence']:.3f}" for split in (train, test)),
        f"{found['log_evidence']:.2f} ({low:.2f} to {high:.2f})",
    ]
    assert "It is estimated by bernoulli likelihood, 128 draws." in page
    assert "python -m vae.train --dataset mnist --divergence jsg --alpha 0.3 --epochs 10</code>" in page
    (line,) = [row for row in attachment(page, "runs.csv") if row["run"].endswith("mnist-jsg-0.3")]
    assert float(line["test_reconstruction"]) == test["reconstruction"]
    assert [float(line[f"log_evidence{end}"]) for end in ("_low", "", "_high")] == [low, found["log_evidence"], high]
    rows = [json.loads(row) for row in (RESULTS / "mnist-jsg-0.3" / "metrics.jsonl").read_text().splitlines()]
    lines = [row for row in attachment(page, "epochs.csv") if row["run"].endswith("mnist-jsg-0.3")]
    by_epoch = {(row["epoch"], row["split"]): (row["reconstruction"], row["divergence"]) for row in rows}
    assert {
        (int(row["epoch"]), row["split"]): (float(row["reconstruction"]), float(row["divergence"])) for row in lines
    } == by_epoch


def test_several_seeds_have_students_interval_and_learnt_alphas_stand_apart(tmp_path, runs):
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
    assert page.count("<table>") == 2  # what was trained for 4 epochs is compared with none of 3
    assert "± is Student&#x27;s 95 % interval of a mean over seeds. A number without ± is that of one seed" in page


def test_evidence_over_seeds_has_an_interval_of_its_own_and_other_ways_are_told_apart(tmp_path, runs):
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


@pytest.fixture
def trained(runs):
    """Two runs on the embedded images, with models of the same weights."""
    paths = [add_run(runs, 10.0, dataset="fashion-mini", alpha=alpha) for alpha in (0.1, 0.2)]
    model = VAE()
    model.initialise(torch.Generator().manual_seed(0))
    facts = json.loads((paths[0] / "run.json").read_text())
    facts["data"]["sha256"] = load("fashion-mini").sha256
    for path, alpha in zip(paths, (0.1, 0.2), strict=True):
        facts["settings"]["alpha"] = alpha
        (path / "run.json").write_text(json.dumps(facts))
        save_file(model.state_dict(), path / "model.safetensors", {"epoch": "3"})
    return paths


def test_pictures_are_made_of_the_models(tmp_path, runs, trained):
    status, page = report(tmp_path, runs)
    assert status == 0
    found = pictures(page)
    assert [one.size for one in found] == [(347, 137), (347, 347), (347, 172)] * 2
    # Equal models draw equal pictures: the prior's draws and the test images are the same for all runs.
    assert [one.tobytes() for one in found[:3]] == [one.tobytes() for one in found[3:]]
    dataset = load("fashion-mini")
    assert dataset.test_labels is not None
    first = dataset.test_images[choose(dataset.test_labels, 1000)[0, 0]][0]
    corner = torch.tensor(list(found[0].crop((0, 0, 32, 32)).tobytes())).view(32, 32)
    assert ((255 - first.int()) - corner).abs().max() <= 255 / 31 / 2 + 1  # 32 levels of grey, rounded twice
    assert len(re.findall(r"z\d+ \d\.\d\d[,.]", page.split("Traversal: ")[1].split("<")[0])) == 10


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        ("model.safetensors", b"nonsense", "model.safetensors is damaged or no model for these images"),
        ("run.json", None, "was trained on other data: the sha256 in its run.json differ"),
        ("evaluation.json", b"{}", "evaluation.json cannot be read: KeyError"),
    ],
)
def test_a_part_that_is_damaged_is_named_and_the_rest_is_shown(tmp_path, runs, trained, capsys, file, content, said):
    path = trained[1]
    if content is None:
        content = (path / file).read_text().replace(load("fashion-mini").sha256.popitem()[1], "0").encode()
        shutil.rmtree(trained[0])
    (path / file).write_bytes(content)
    status, page = report(tmp_path, runs)
    assert status == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("vae.report: ")
    assert str(path) in line
    assert said in line
    assert f"{path}, seed 1234" in page
    assert said.replace("KeyError", "") in html.unescape(page)


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


def test_a_run_that_has_not_finished_is_no_mistake(tmp_path, runs, capsys):
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
    (data,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', page)
    assert json.loads(data)[0][0]["histories"]["1234"]["test"][0] == [1, 12.0, None]


def test_names_are_no_markup(tmp_path):
    folder = tmp_path / "<script>alert(1)<"
    add_run(folder, 10.0, alpha=0.1)
    status, page = report(tmp_path, folder)
    assert status == 0
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)&lt;" in page


def test_runs_and_folders_of_runs_may_be_named_twice(tmp_path, runs, capsys):
    one = add_run(runs, 10.0, alpha=0.1)
    add_run(runs, 10.0, alpha=0.2)
    other = add_run(tmp_path / "others", 10.0, alpha=0.3)
    status, page = report(tmp_path, runs, one, other)
    assert (status, capsys.readouterr().err) == (0, "")
    assert page.count('<article class="card"') == 3


# The program


def test_without_runs_the_page_has_the_live_part_alone(tmp_path, capsys):
    status, page = report(tmp_path)
    said, complaints = capsys.readouterr()
    assert (status, complaints) == (0, "")
    assert re.fullmatch(rf"{tmp_path / 'report.html'}: 0 runs, \d\d kB\n", said)
    assert 'id="densities"' in page
    assert "<table>" not in page


def test_a_mistake_is_one_line_and_writes_nothing(tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    for arguments, said in (
        ([tmp_path / "empty"], f"{tmp_path / 'empty'}: no run that has finished"),
        ([tmp_path / "none"], f"{tmp_path / 'none'} is no folder; name the one that holds the runs"),
        (["--nonsense"], "Unrecognized options: --nonsense; see --help"),
    ):
        assert report(tmp_path, *arguments) == (2, None)
        assert capsys.readouterr() == ("", f"vae.report: {said}\n")
    assert main(["-o", str(tmp_path / "none" / "report.html")]) == 2
    assert (
        capsys.readouterr().err == f"vae.report: cannot write {tmp_path}/none/report.html: No such file or directory\n"
    )


def test_a_page_is_never_half_there(tmp_path, monkeypatch, capsys):
    (tmp_path / "report.html").write_text("before")
    write_text = Path.write_text

    def full(path, text, **options):
        write_text(path, text[:1000], **options)
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    assert report(tmp_path) == (2, "before")
    assert capsys.readouterr().err.endswith("report.html: No space left on device\n")
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


def test_the_report_needs_nothing_of_what_sweeps_need():
    needed = "import sys, vae.report.__main__; print({'optuna', 'sqlalchemy', 'psycopg'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", needed], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
