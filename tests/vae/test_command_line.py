"""The command line: an error is one line and status 2, and Ctrl-C leaves a run that can continue."""

import functools
import json
import os
import re
import shlex
import signal
import subprocess
import sys

import numpy as np
import pytest
import torch

from vae.data import load
from vae.errors import UserError
from vae.train import main
from vae.training.folder import RunFolder, plain
from vae.training.settings import Settings, parse_settings

COMMAND = [sys.executable, "-m", "vae.train"]
# One thread: on a busy machine two mostly wait for each other.
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"} | {
    "OMP_NUM_THREADS": "1"
}


def complaint(capsys) -> str:
    """The only line on stderr; stdout must be empty."""
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.startswith("vae.train: ")
    assert output.err.endswith("\n")
    assert output.err.count("\n") == 1
    return output.err


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        (["--alpha", "1.2"], "--alpha must lie in [0, 1], got 1.2"),
        (["--alpha", "nan"], "--alpha must lie in [0, 1], got nan"),
        (["--alpha", "much"], "--alpha: could not convert string to float: 'much'"),
        (["--weight", "-1"], "--weight must be finite and not negative, got -1.0"),
        (["--weight", "inf"], "--weight must be finite and not negative, got inf"),
        (["--lr", "0"], "--lr must be finite and positive, got 0.0"),
        (["--epochs", "0"], "--epochs must be at least 1, got 0"),
        (["--epochs", "1.5"], "--epochs: invalid literal for int()"),
        (["--batch-size", "0"], "--batch-size must be at least 1, got 0"),
        (["--seed", "-1"], "--seed must not be negative, got -1"),
        (["--divergence", "kl"], "Expected one of ('jsg', 'jsg-dual', 'kl-qp', 'kl-pq', 'mmd')"),
        (["--dataset", "imagenet"], "Expected one of ('fashion-mini', 'fashion', 'mnist', 'dsprites', "),
        (["--backend", "numpy"], "Expected one of ('auto', 'eager', 'native', 'triton', 'reference')"),
        (["--alhpa", "0.3"], "Unrecognized options: --alhpa"),
        (["--likelihood", "normal"], "Expected one of ('gaussian', 'bernoulli', 'laplace')"),
        (["--mmd-of", "posterior-parameters"], "--mmd-of needs --divergence mmd, got jsg"),
        (["--learn-alpha", "--divergence", "kl-qp"], "--learn-alpha needs --divergence jsg or jsg-dual"),
        (["--learn-alpha", "--alpha", "0"], "an --alpha inside (0, 1), got jsg and 0.0"),
        (["--resume"], "--resume needs --out"),
        (["--out", ""], "a path must not be empty, got ''; the current folder is ."),
        (["--alpha", ".2", "--alpha=.3"], "--alpha is given 2 times; give it once"),
        (["--resume", "--out", "nowhere"], "nowhere holds no run to resume"),
        (["--dataset", "fashion-mini", "--data", "."], "fashion-mini is embedded"),
        (["--data", "."], "holds no pictures"),
        (["--dataset", "own"], "--dataset own needs --data PATH"),
        (["--dataset", "fashion", "--data", "."], "no Fashion-MNIST under ."),
    ],
)
@pytest.mark.parametrize("columns", ["40", "200"])  # tyro wraps its messages to the width of the terminal
def test_a_mistake_ends_with_one_line_and_status_2(options, wanted, columns, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", columns)
    assert main(options) == 2
    assert wanted in complaint(capsys)
    assert list(tmp_path.iterdir()) == []


def start(folder, **settings) -> None:
    """Writes the run.json of a run that has just started."""
    defaults = {
        "dataset": "fashion-mini", "divergence": "jsg", "alpha": 0.3, "weight": 1.0, "epochs": 2, "backend": "auto",
        "batch_size": 64, "lr": 1e-4, "seed": 1234, "learn_alpha": False, "mmd_of": "z", "likelihood": "gaussian",
        "deterministic": False,
    }  # fmt: skip
    facts = {"settings": defaults | settings, "data": {"sha256": {}}, "environment": {"threads": 1}, "resumed": []}
    (folder / "run.json").write_text(json.dumps(facts))


def test_a_folder_that_holds_a_run_is_refused_and_left_alone(tmp_path, capsys):
    start(tmp_path)
    before = (tmp_path / "run.json").read_bytes()
    assert main(["--out", str(tmp_path)]) == 2
    assert f"{tmp_path} already holds a run; continue it with --resume, or choose another --out" in complaint(capsys)
    assert (tmp_path / "run.json").read_bytes() == before
    assert len(list(tmp_path.glob("[!.]*"))) == 1


def test_a_folder_that_cannot_be_written_is_named(tmp_path, capsys):
    (tmp_path / "file").touch()
    assert main(["--out", str(tmp_path / "file" / "run")]) == 2
    assert f"cannot write in {tmp_path / 'file' / 'run'}: Not a directory" in complaint(capsys)


def test_settings_that_changed_are_refused_by_name_on_resumption(tmp_path, capsys):
    start(tmp_path, divergence="jsg-dual", alpha=0.4)
    assert main(["--divergence", "jsg-dual", "--seed", "5", "--resume", "--out", str(tmp_path)]) == 2
    message = complaint(capsys)
    assert "--alpha 0.4 (now 0.3), --seed 1234 (now 5)" in message
    assert "divergence" not in message


def test_a_setting_of_another_version_is_refused_by_name_on_resumption(tmp_path):
    """Without the setting, this version would continue the run as another model."""
    settings = Settings(out=tmp_path, resume=True)
    with RunFolder(tmp_path) as folder:
        facts = {"data": {"sha256": {}}, "environment": {"threads": 1}}
        folder.write_run({"settings": {**plain(settings), "latent": 20}, **facts, "resumed": []})
        with pytest.raises(UserError, match=r"was started with --latent 20 \(now None\)"):
            folder.check_resumption(settings, facts)


def test_fewer_epochs_and_other_data_are_refused_on_resumption(tmp_path, capsys):
    start(tmp_path, epochs=31)
    assert main(["--resume", "--out", str(tmp_path)]) == 2
    assert "was started with --epochs 31; --resume accepts as many or more" in complaint(capsys)
    start(tmp_path)
    assert main(["--resume", "--out", str(tmp_path)]) == 2
    assert "was trained on other data" in complaint(capsys)


def test_a_damaged_run_is_named_on_resumption(tmp_path, capsys):
    (tmp_path / "run.json").write_text("{")
    assert main(["--resume", "--out", str(tmp_path)]) == 2
    assert "run.json is damaged" in complaint(capsys)


def test_help_shows_every_option_and_an_example_and_loads_no_data(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["--help"])
    assert stop.value.code == 0
    text = capsys.readouterr().out
    for option in ("dataset", "divergence", "alpha", "weight", "epochs", "backend", "seed", "data", "out", "resume"):
        assert f"--{option} " in text
    assert "python -m vae.train --divergence kl-qp --weight 4" in text


def few_images(path) -> str:
    """Writes a file of so few images that an epoch is short."""
    np.savez(path, images=load("fashion-mini").train_images[:100, 0].numpy())
    return str(path)


def test_triton_without_a_gpu_prints_one_line_and_trains(tmp_path):
    options = ["--backend", "triton", "--epochs", "1", "--data", few_images(tmp_path / "images.npz")]
    run = subprocess.run([*COMMAND, *options], env=ENVIRONMENT, cwd=tmp_path, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert run.stderr == ""
    assert [line for line in run.stdout.splitlines() if "TRITON_INTERPRET" in line] == [run.stdout.splitlines()[0]]
    facts = json.loads((tmp_path / "runs" / "own-jsg-0.3" / "run.json").read_text())
    assert facts["environment"]["backend"] == "triton, interpreted"
    assert facts["environment"]["command"][1:] == ["-m", "vae.train", *options]


def interrupt(folder, number, disposition):
    """Sends a training process a signal after its first epoch; its options, exit status and what it wrote to stderr.

    ``disposition`` is what the process inherits for the signal: a shell's background jobs inherit that SIGINT is
    ignored.
    """
    options = ["--data", few_images(folder.with_name("images.npz")), "--epochs", "9999", "--out", str(folder)]
    command = [*COMMAND, *options]
    pipes = dict(stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    inherit = functools.partial(signal.signal, number, disposition)
    with subprocess.Popen(command, env=ENVIRONMENT, preexec_fn=inherit, **pipes) as run:
        assert run.stdout is not None
        assert run.stderr is not None
        for line in run.stdout:
            if re.match("epoch +1/", line):
                break
        run.send_signal(number)
        try:
            _, errors = run.communicate(timeout=300)  # a hang; where others run, seconds become a minute
        finally:
            run.kill()
    return options, run.returncode, errors


def test_sigterm_stops_the_trainer_even_if_it_inherits_that_it_is_ignored(tmp_path):
    assert interrupt(tmp_path / "run", signal.SIGTERM, signal.SIG_IGN)[1:] == (-signal.SIGTERM, "")


@pytest.mark.parametrize("disposition", [signal.SIG_DFL, signal.SIG_IGN])
def test_control_c_keeps_the_last_epoch_and_prints_the_command_that_continues(tmp_path, disposition):
    folder = tmp_path / "a run"
    options, status, errors = interrupt(folder, signal.SIGINT, disposition)
    assert status == 130
    assert errors.count("\n") == 1
    assert f"to continue: python -m vae.train {shlex.join(options)} --resume" in errors
    epochs = len((folder / "metrics.jsonl").read_text().splitlines()) // 2
    assert f"stopped after epoch {epochs};" in errors
    # A slow machine draws pictures before the end; the model is written only at the end.
    names = {path.name for path in folder.glob("[!.]*")} - {"reconstructions.png", "traversal.png", "curves.png"}
    assert names == {"run.json", "metrics.jsonl", "checkpoint.pt"}


def test_a_closed_pipe_ends_the_program_without_a_traceback():
    status = subprocess.run(
        f"{sys.executable} -m vae.data status | true; exit ${{PIPESTATUS[0]}}",
        shell=True, executable="/bin/bash", env=ENVIRONMENT, capture_output=True, text=True,
    )  # fmt: skip
    assert status.returncode in (0, 2)  # 0: all was written before the reader ended
    assert status.stderr == ""


def test_data_without_dataset_means_own_images(tmp_path):
    assert parse_settings(["--data", str(tmp_path)]).dataset == "own"
    assert parse_settings([f"--data={tmp_path}"]).name() == "own-jsg-0.3"
    assert parse_settings(["--data", str(tmp_path), "--dataset", "mnist"]).dataset == "mnist"
    assert parse_settings([f"--data={tmp_path}", "--dataset=fashion"]).dataset == "fashion"
    assert parse_settings([]).dataset == "fashion-mini"


@pytest.mark.parametrize(
    ("options", "name", "title"),
    [
        ([], "fashion-mini-jsg-0.3", "JSG, alpha 0.3"),
        (["--divergence", "kl-qp", "--weight", "4"], "fashion-mini-kl-qp-weight-4", "KL(q||p), weight 4"),
        (["--divergence", "mmd", "--weight", "500"], "fashion-mini-mmd-weight-500", "MMD, weight 500"),
        (
            ["--divergence", "mmd", "--mmd-of", "posterior-parameters"],
            "fashion-mini-mmd-posterior-parameters",
            "MMD, of posterior parameters",
        ),
        (["--learn-alpha"], "fashion-mini-jsg-learnt", "JSG, alpha learnt from 0.3"),
        (["--likelihood", "laplace", "--seed", "7"], "fashion-mini-jsg-0.3-laplace-seed-7", "JSG, alpha 0.3, laplace"),
    ],
)
def test_runs_of_different_kinds_have_different_names_and_titles(options, name, title):
    settings = parse_settings(options)
    assert settings.name() == name
    assert settings.title().startswith(title)


def test_only_deterministic_makes_torch_deterministic(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(torch, "use_deterministic_algorithms", asked.append)
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    for options in ([], ["--deterministic"]):
        # Missing data ends the program right afterwards.
        assert main(["--dataset", "mnist", "--data", str(tmp_path), *options]) == 2
        assert asked == [True] * len(options)
    assert os.environ.pop("CUBLAS_WORKSPACE_CONFIG") == ":4096:8"
