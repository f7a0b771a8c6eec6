"""The documentation: its commands are accepted, and its programs print what it shows."""

import ast
import os
import re
import shlex
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
import yaml
from distributed.cli import dask_scheduler, dask_worker
from PIL import Image

import jsgmath.command_line
from vae import command_line, evaluate
from vae.data import __main__ as data
from vae.figures import __main__ as figures
from vae.report import __main__ as report
from vae.sweep import best, grid, status
from vae.training import settings

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "results" / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
LINKED = [ROOT / "CONTRIBUTING.md", *ROOT.glob("benchmarks/**/*.md"), *ROOT.glob("verification/*.md")]
MADE = "two-gaussians.html"  # this file is made with the site
SWEEP = ROOT / "docs" / "sweep.md"


@pytest.mark.parametrize("page", [*PAGES, *LINKED], ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_of_a_page_leads_to_a_file_of_the_repository(page):
    text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.M | re.S)
    for link in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text):
        if not link.startswith("https://") and link != MADE:
            assert (page.parent / link).exists(), link


def parser(options):
    return partial(command_line.parse_options, options, "python -m vae", "")


# The function that reads the rest of the line, for each program and command; it raises UserError or SystemExit.
PARSERS = {
    "jsgmath": jsgmath.command_line.parser().parse_args,
    "vae.train": settings.parse_settings,
    "vae.evaluate": parser(evaluate.EvaluateOptions),
    "vae.figures": parser(figures.FigureOptions),
    "vae.report": parser(report.ReportOptions),
    "vae.data": parser(data.Status | data.Get),
    "vae.sweep": grid.parse_sweep,
    "vae.sweep best": best.parse_best,
    "vae.sweep status": status.parse_status,
}


def blocks(page, language):
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(), re.M | re.S)


def commands():
    """The place of each ``-m vae.…`` and ``-m jsgmath …`` in a block of code or a --help, and what follows -m."""
    lines = [
        (str(page.relative_to(ROOT)), line)
        for page in PAGES
        for block in blocks(page, "(?:sh|bash)")
        for line in block.replace("\\\n", "").splitlines()
    ]
    lines += [
        (module.__name__, re.split("  +", line.strip())[0])  # the text after two spaces says what the command does
        for module in (settings, evaluate, figures, report, grid, jsgmath.command_line)
        for line in module.DESCRIPTION.splitlines()
    ]
    split = [
        (source, shlex.split(line.removesuffix("&"), comments=True))
        for source, line in lines
        if re.search(r" -m (vae\.|jsgmath( |$))", line)
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
    """The blocks of Python that are not doctests; each is a program, and comments after a print have its output."""
    return [
        pytest.param(page, text, shown, id=f"{page.stem}-{number}", marks=[pytest.mark.slow] * ("epoch" in text))
        for page in PAGES
        for number, (text, shown) in enumerate(
            re.findall(
                r"^```python\n(?!>>>)(.*?)^```\n+(?:It prints\n+```text\n(.*?)^```$)?", page.read_text(), re.M | re.S
            )
        )
    ]


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:DeprecationWarning")  # used by GPyTorch
@pytest.mark.parametrize(("page", "text", "shown"), scripts())
def test_a_program_on_a_page_runs_and_prints_what_is_shown(page, text, shown, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    if "import jax" in text:  # JAX starts threads, after which other tests cannot fork
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-W", "error", "-c", text]
        done = subprocess.run(command, capture_output=True, text=True, env=environment)
        assert done.returncode == 0, done.stderr
        printed = done.stdout
    else:
        exec(compile(text, "program", "exec"), {"__name__": "__main__"})
        printed = capsys.readouterr().out
    number = r"-?\d+\.?\d*"
    assert re.sub(number, "#", printed).split() == re.sub(number, "#", shown).split()
    # Another machine rounds otherwise, which may change the last digit shown; training carries it on.
    tolerance = {"rel": 0.1, "abs": 0.1} if "optim" in text else {"abs": 1.01 * 10.0 ** -digits(shown)}
    wanted = [float(x) for x in re.findall(number, shown)]
    assert [float(x) for x in re.findall(number, printed)] == pytest.approx(wanted, **tolerance)
    for drawn in tmp_path.glob("*.png"):
        with Image.open(drawn) as ours, Image.open(page.parent / drawn.name) as on_page:
            assert ours.size == on_page.size


def digits(text):
    """The least number of digits after a decimal point in the text."""
    return min((len(found) for found in re.findall(r"\.(\d+)", text)), default=0)


def test_the_page_on_sweeps_shows_every_program_of_sweeps():
    shown = " ".join(shlex.join(words) for source, words in commands() if source == "docs/sweep.md")
    for program in ("vae.sweep --dataset", "vae.sweep best", "vae.sweep status", "vae.train --"):
        assert program in shown


def test_the_output_that_is_shown_is_what_is_printed(capsys, monkeypatch):
    monkeypatch.chdir(ROOT)
    (shown,) = blocks(SWEEP, "text")
    best.show_best(best.parse_best(["results/runs"]))
    assert capsys.readouterr().out.startswith(shown)
    assert shown.startswith("mnist")


# Many machines


def dask_commands():
    """The words of each `dask …` on the page on sweeps, in its commands and in its Kubernetes file."""
    lines = [line for block in blocks(SWEEP, "sh") for line in block.replace("\\\n", "").splitlines()]
    found = [shlex.split(line, comments=True) for line in lines]
    found.append(kubernetes()["spec"]["template"]["spec"]["containers"][0]["command"])
    return [words[words.index("dask") + 1 :] for words in found if "dask" in words]


def kubernetes():
    (text,) = blocks(SWEEP, "yaml")
    return yaml.safe_load(text)


def test_dask_accepts_the_commands_for_it():
    programs = {"scheduler": dask_scheduler.main, "worker": dask_worker.main}
    commands = dask_commands()
    assert [name for name, *_ in commands] == ["scheduler", "worker", "scheduler", "worker"]
    for name, *arguments in commands:
        context = programs[name].make_context(name, arguments)
        assert context.params["dashboard"] is False
        if name == "worker":
            assert (context.params["nthreads"], context.params["memory_limit"]) == (1, "0")


def test_the_slurm_program_is_python():
    (text,) = blocks(SWEEP, "py")  # dask-jobqueue, which it needs, is not installed here
    assert "from dask_jobqueue import SLURMCluster" in text
    ast.parse(text)


def test_the_kubernetes_file_is_a_deployment_of_workers_with_a_gpu_each_and_a_shared_folder():
    deployment = kubernetes()
    assert (deployment["apiVersion"], deployment["kind"]) == ("apps/v1", "Deployment")
    assert set(deployment) == {"apiVersion", "kind", "metadata", "spec"}
    assert re.fullmatch(r"[a-z]([-a-z0-9]*[a-z0-9])?", deployment["metadata"]["name"])
    assert set(deployment["spec"]) == {"replicas", "selector", "template"}
    assert deployment["spec"]["replicas"] > 1
    template = deployment["spec"]["template"]
    assert deployment["spec"]["selector"]["matchLabels"] == template["metadata"]["labels"]
    pod = template["spec"]
    assert set(pod) == {"containers", "volumes"}
    (container,), (volume,) = pod["containers"], pod["volumes"]
    assert set(container) == {"name", "image", "command", "resources", "volumeMounts"}
    assert container["resources"]["limits"] == {"nvidia.com/gpu": 1}
    (mount,) = container["volumeMounts"]
    assert mount["name"] == volume["name"]
    assert set(volume["persistentVolumeClaim"]) == {"claimName"}
    # Where the page's own command puts the results, and the name under which it finds the scheduler.
    assert f"--out {mount['mountPath']}/mnist" in SWEEP.read_text()
    assert container["command"][2] == "tcp://scheduler:8786"
    assert "kubectl run scheduler " in SWEEP.read_text()
    assert "--scheduler tcp://scheduler:8786" in SWEEP.read_text()
