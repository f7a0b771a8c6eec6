"""What a program does before its libraries are imported: interrupts, missing memory and packages, odd terminals."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.vae.sweep.work import wait_until
from vae import startup
from vae.command_line import run_program
from vae.data import source
from vae.errors import UserError
from vae.runs.run import load_model

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-m", "vae.data", "status"]


def environment(folder, text, module="torch", **variables):
    """The environment of a program that imports this text instead of a library."""
    (folder / f"{module}.py").write_text(text)
    return os.environ | {"PYTHONPATH": f"{folder}{os.pathsep}{ROOT}"} | variables


def run(folder, text, module="torch", command=COMMAND, **variables):
    """Status, stdout and stderr."""
    ended = subprocess.run(
        command, env=environment(folder, text, module, **variables), capture_output=True, text=True, timeout=300
    )
    return ended.returncode, ended.stdout, ended.stderr


def test_control_c_while_libraries_are_imported_is_one_line(tmp_path):
    begun = tmp_path / "begun"
    text = f"import pathlib, time\npathlib.Path({str(begun)!r}).touch()\ntime.sleep(300)"
    with subprocess.Popen(COMMAND, env=environment(tmp_path, text), stderr=subprocess.PIPE, text=True) as program:
        wait_until(begun.exists)
        program.send_signal(signal.SIGINT)
        assert (program.communicate(timeout=300)[1], program.returncode) == ("vae.data: stopped\n", 130)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        ("MemoryError()", "out of memory; ask for less, or allow this process more"),
        (
            "ImportError('libtorch.so: failed to map segment from shared object')",
            "out of memory (libtorch.so: failed to map segment from shared object); ask for less, or allow this "
            "process more",
        ),
    ],
)
def test_too_little_memory_for_the_libraries_is_one_line(tmp_path, error, said):
    assert run(tmp_path, f"raise {error}") == (2, "", f"vae.data: {said}\n")


def test_warnings_of_torch_are_shown_only_on_request(tmp_path):
    text = "import warnings\nwarnings.warn('an old driver')\nraise SystemExit"
    assert run(tmp_path, text) == (0, "", "")
    assert "an old driver" in run(tmp_path, text, command=[sys.executable, "-W", "default", *COMMAND[1:]])[2]


def test_another_error_of_a_library_keeps_its_traceback(tmp_path):
    status, _, complaint = run(tmp_path, "raise RuntimeError('a bug')")
    assert status == 1
    assert complaint.startswith("Traceback")
    assert complaint.endswith("RuntimeError: a bug\n")


@pytest.mark.parametrize("error", [MemoryError("Unable to allocate 5 TiB"), RuntimeError("CUDA out of memory. Tried")])
def test_too_little_memory_for_the_work_is_one_line(error, capsys):
    def work(_):
        raise error

    assert run_program("vae.evaluate", work, []) == 2
    assert capsys.readouterr().err.startswith(f"vae.evaluate: out of memory ({error}); ask for less")


def test_a_bug_in_the_work_is_not_taken_for_missing_memory():
    def work(_):
        raise RuntimeError("shapes differ")

    with pytest.raises(RuntimeError, match="shapes differ"):
        run_program("vae.evaluate", work, [])


def test_a_missing_package_is_one_line_with_a_command_that_works(tmp_path):
    said = "vae.data: vae needs pillow, tyro; pip install pillow tyro\n"
    text = "import sys\nsys.modules['tyro'] = sys.modules['PIL'] = None"
    assert run(tmp_path, text, "sitecustomize") == (2, "", said)


def test_characters_that_the_output_cannot_show_are_written_in_ascii(tmp_path):
    text = r"print('5 \xb1 1 \u2016 \u03b1 \xe9'); raise SystemExit"
    assert run(tmp_path, text, PYTHONIOENCODING="ascii") == (0, "5 +- 1 || alpha \\xe9\n", "")


def test_names_that_are_not_utf_8_are_printed_as_their_bytes():
    startup.prepare_errors()
    assert "runs/\udcff".encode("utf-8", "vae") == b"runs/\xff"


def test_a_terminal_has_at_least_40_columns(tmp_path):
    text = "import os\nprint(os.environ['COLUMNS']); raise SystemExit"
    assert run(tmp_path, text, COLUMNS="1") == (0, "40\n", "")
    assert run(tmp_path, text, COLUMNS="41") == (0, "41\n", "")


def test_a_program_whose_output_is_closed_goes_on(tmp_path):
    text = "import sys\nprint(1, flush=True); print(2, file=sys.stderr, flush=True); raise SystemExit(7)"
    command = ["sh", "-c", 'exec "$0" "$@" >&- 2>&-', *COMMAND]
    assert run(tmp_path, text, command=command) == (7, "", "")


def test_another_program_that_imports_vae_is_left_alone(tmp_path):
    (tmp_path / "other").mkdir()
    text = "import sys, vae\nsys.exit(sys.excepthook is not sys.__excepthook__)"
    assert run(tmp_path, text, "other/__init__", [sys.executable, "-m", "other"]) == (0, "", "")


def test_a_user_without_a_home_has_a_cache_folder(monkeypatch):
    def nowhere():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(source.Path, "home", nowhere)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert source.cache_folder().name == "jsgmath"


def test_the_weights_of_a_run_whose_name_is_not_utf_8_are_refused_with_the_reason():
    with pytest.raises(UserError, match="is not UTF-8, and safetensors reads no other names; rename the folder"):
        load_model(SimpleNamespace(path=Path("runs/\udcff")), 32, "cpu")
