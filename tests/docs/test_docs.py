"""The documentation: what it tells to type is understood, and what it shows is what comes out."""

import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from vae import evaluate
from vae.data import __main__ as data
from vae.figures import __main__ as figures
from vae.report import __main__ as report
from vae.sweep import best, grid, status, worker
from vae.training import settings

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "results" / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
SWEEP = ROOT / "docs" / "sweep.md"


# Of each program, and of each command of it, what reads the rest of the line; it raises UserError or SystemExit.
PARSERS = {
    "vae.train": settings.parse,
    "vae.evaluate": evaluate.parse,
    "vae.figures": figures.parse,
    "vae.report": report.parse,
    "vae.data": data.parse,
    "vae.sweep": grid.parse,
    "vae.sweep best": best.parse,
    "vae.sweep status": status.parse,
    "vae.sweep worker": worker.parse,
}


def blocks(page, language):
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(), re.M | re.S)


def commands():
    """Where each ``-m vae.…`` in a block of code or in a --help stands, and what follows its -m."""
    lines = [
        (str(page.relative_to(ROOT)), line)
        for page in PAGES
        for block in blocks(page, "(?:sh|bash)")
        for line in block.replace("\\\n", "").splitlines()
    ]
    lines += [
        (module.__name__, re.split("  +", line.strip())[0])  # what the command does stands behind it
        for module in (settings, evaluate, figures, report, grid, worker)
        for line in module.DESCRIPTION.splitlines()
    ]
    split = [
        (source, shlex.split(line.removesuffix("&"), comments=True)) for source, line in lines if " -m vae." in line
    ]
    return [(source, words[words.index("-m") + 1 :]) for source, words in split]


@pytest.mark.parametrize(("source", "words"), commands())
def test_every_command_in_the_documentation_is_one_that_the_command_line_accepts(source, words):
    program, *arguments = words
    command = f"{program} {arguments[0]}" if arguments else program
    if command in PARSERS:
        program, arguments = command, arguments[1:]
    PARSERS[program](arguments)


def scripts():
    """The blocks of Python that are no doctest: each a program, and where it prints, behind it what."""
    return [
        pytest.param(text, shown, id=f"{page.stem}-{number}")
        for page in PAGES
        for number, (text, shown) in enumerate(
            re.findall(
                r"^```python\n(?!>>>)(.*?)^```\n+(?:It prints\n+```text\n(.*?)^```$)?", page.read_text(), re.M | re.S
            )
        )
    ]


@pytest.mark.slow
@pytest.mark.parametrize(("text", "shown"), scripts())
def test_a_program_on_a_page_runs_and_prints_what_is_shown(text, shown, tmp_path):
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    result = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, cwd=tmp_path, env=environment)
    assert result.returncode == 0, result.stderr
    number = r"\d+\.?\d*"
    assert re.sub(number, "#", result.stdout) == re.sub(number, "#", shown)
    # Another machine rounds otherwise, and training carries that on.
    wanted = [float(x) for x in re.findall(number, shown)]
    assert [float(x) for x in re.findall(number, result.stdout)] == pytest.approx(wanted, rel=0.1)


def test_the_page_on_sweeps_shows_every_program_that_it_is_about():
    shown = " ".join(shlex.join(words) for source, words in commands() if source == "docs/sweep.md")
    for program in ("vae.sweep --dataset", "vae.sweep best", "vae.sweep worker", "vae.sweep status", "vae.train --"):
        assert program in shown


def test_the_output_that_is_shown_is_what_is_printed(capsys, monkeypatch):
    monkeypatch.chdir(ROOT)
    (shown,) = blocks(SWEEP, "text")
    best.show(best.parse(["results/runs"]))
    assert capsys.readouterr().out.startswith(shown)
    assert shown.startswith("mnist")


# Slurm

WORKER = "-m|vae.sweep|worker|--storage|postgresql://host/a b|"


@pytest.fixture
def script(tmp_path):
    """The Slurm script in a folder with a worker and a scontrol that only write down what they are told."""
    (text,) = blocks(SWEEP, "bash")
    (tmp_path / "sweep.slurm").write_text(text)
    worker = """\
trap 'echo stopped >> log; exit 143' TERM
printf '%s|' "$@" >> log; echo >> log
for step in {1..1500}; do [ -e end ] && exit 3; sleep 0.02; done  # half a minute, should nobody stop it
"""
    for name, content in (("python", worker), ("scontrol", 'echo scontrol "$@" >> log\n')):
        (tmp_path / name).write_text(f"#!/bin/bash\n{content}")
        (tmp_path / name).chmod(0o755)
    return tmp_path / "sweep.slurm"


def start(script):
    environment = {
        "PATH": f"{script.parent}:{os.environ['PATH']}",
        "STORAGE": "postgresql://host/a b",
        "SLURM_JOB_ID": "77",
    }
    job = subprocess.Popen(["bash", script], cwd=script.parent, env=environment)
    wait_for(lambda: (script.parent / "log").exists() and (script.parent / "log").read_text().endswith("\n"))
    return job


def log(script):
    return (script.parent / "log").read_text().splitlines()


def wait_for(condition):
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, "the script did not come so far within half a minute"
        time.sleep(0.02)


def test_the_slurm_script_is_bash(script):
    subprocess.run(["bash", "-n", script], check=True)
    lines = script.read_text().splitlines()
    assert lines[0] == "#!/bin/bash"
    options = shlex.split(" ".join(line.removeprefix("#SBATCH") for line in lines if line.startswith("#SBATCH")))
    assert {option.partition("=")[0] for option in options} == {
        "--job-name", "--array", "--gpus", "--cpus-per-task", "--time", "--requeue", "--open-mode", "--signal"
    }  # fmt: skip
    # Slurm reads these up to the first command only.
    assert [line.startswith("#") for line in lines] == sorted((line.startswith("#") for line in lines), reverse=True)


def test_the_slurm_script_stops_its_worker_at_the_end_of_its_time_and_is_queued_again(script):
    job = start(script)
    job.send_signal(signal.SIGTERM)
    job.wait(30)
    assert log(script) == [WORKER, "stopped", "scontrol requeue 77"]


def test_the_slurm_script_ends_with_its_worker_and_with_its_status(script):
    job = start(script)
    (script.parent / "end").touch()
    assert job.wait(30) == 3
    assert log(script) == [WORKER]


# Kubernetes


def test_the_kubernetes_file_is_a_job_of_workers_with_a_gpu_each_and_a_shared_folder():
    (text,) = blocks(SWEEP, "yaml")
    job = yaml.safe_load(text)
    assert (job["apiVersion"], job["kind"]) == ("batch/v1", "Job")
    assert set(job) == {"apiVersion", "kind", "metadata", "spec"}
    assert re.fullmatch(r"[a-z]([-a-z0-9]*[a-z0-9])?", job["metadata"]["name"])
    # Without completions the job has ended when a worker has found the queue empty and the others have ended, too.
    assert set(job["spec"]) == {"parallelism", "backoffLimit", "template"}
    assert job["spec"]["parallelism"] > 1
    pod = job["spec"]["template"]["spec"]
    assert set(pod) == {"restartPolicy", "containers", "volumes"}
    assert pod["restartPolicy"] == "OnFailure"
    (container,), (volume,) = pod["containers"], pod["volumes"]
    assert set(container) == {"name", "image", "command", "env", "resources", "volumeMounts"}
    assert container["command"] == ["python", "-m", "vae.sweep", "worker", "--storage", "$(STORAGE)"]
    assert [variable["name"] for variable in container["env"]] == ["STORAGE"]
    assert set(container["env"][0]["valueFrom"]["secretKeyRef"]) == {"name", "key"}
    assert container["resources"]["limits"] == {"nvidia.com/gpu": 1}
    (mount,) = container["volumeMounts"]
    assert mount["name"] == volume["name"]
    assert set(volume["persistentVolumeClaim"]) == {"claimName"}
    # Where the page's own command puts the results.
    assert f"--out {mount['mountPath']}/mnist" in SWEEP.read_text()
