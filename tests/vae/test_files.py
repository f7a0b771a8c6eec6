"""One function writes all files. It replaces regular files only, and never through a name that others could plant."""

import ast
import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from vae.files import remove_temporary, replacing, write


def entries(folder):
    return {path.name: path.read_text() for path in folder.iterdir()}


def test_a_link_stays_and_the_file_that_it_points_to_is_replaced(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "file").write_text("old")
    (tmp_path / "first").symlink_to("second")
    (tmp_path / "second").symlink_to("real/file")
    (tmp_path / "folder").symlink_to("real")
    (tmp_path / "new").symlink_to("folder/made")
    write(tmp_path / "first", "one")
    write(tmp_path / "folder" / "file2", "two")
    write(tmp_path / "new", b"three")
    assert all((tmp_path / name).is_symlink() for name in ("first", "second", "folder", "new"))
    assert entries(tmp_path / "real") == {"file": "one", "file2": "two", "made": "three"}
    (tmp_path / "circle").symlink_to("circle")
    with pytest.raises(OSError, match=r"symbolic links: '.*/circle'"):
        write(tmp_path / "circle", "lost")


def test_the_new_file_has_the_mode_of_the_old_one_and_otherwise_that_of_the_umask(tmp_path):
    before = os.umask(0o027)
    try:
        write(tmp_path / "new", "")
        assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o640
        for mode in (0o600, 0o664, 0o755):
            (tmp_path / "new").chmod(mode)
            write(tmp_path / "new", "again")
            assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == mode
    finally:
        os.umask(before)


def test_the_new_file_has_the_owner_of_the_old_one(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    given = []
    monkeypatch.setattr(os, "fchown", lambda file, *owner: given.append(owner))  # only root may give files away
    write(tmp_path / "file", "new")
    assert given == [(os.geteuid(), os.getegid())]


def test_a_pipe_is_written_into_and_stays_a_pipe(tmp_path):
    pipe, got = tmp_path / "pipe", []
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: got.append(pipe.read_bytes()))
    reader.start()
    with replacing(pipe) as file:
        file.write(b"all of ")
        file.write(b"it")
    reader.join()
    assert got == [b"all of it"]
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    assert [path.name for path in tmp_path.iterdir()] == ["pipe"]


def test_a_device_and_a_folder_are_not_replaced(tmp_path):
    (tmp_path / "null").symlink_to("/dev/null")
    write(tmp_path / "null", "nothing")
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)
    (tmp_path / "full").symlink_to("/dev/full")
    with pytest.raises(OSError, match=r"No space left on device: '.*/full'"):
        write(tmp_path / "full", "too much")
    (tmp_path / "folder").mkdir()
    with pytest.raises(IsADirectoryError, match=str(tmp_path / "folder")):
        write(tmp_path / "folder", "")
    assert {path.name for path in tmp_path.iterdir()} == {"null", "full", "folder"}


@pytest.mark.parametrize("name", ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"])
@pytest.mark.parametrize("to", ["file", "pipe"])
def test_standard_output_gets_the_content_in_its_place_among_what_is_printed(tmp_path, name, to):
    script = f"""
from pathlib import Path
from vae.files import write
print("before")
write(Path({name!r}), "content\\n")
print("after")
"""
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    links = {path: os.readlink(path) for path in ("/dev/stdout", "/dev/fd")}
    with (tmp_path / "out").open("wb") as out:
        stdout = out if to == "file" else subprocess.PIPE
        done = subprocess.run([sys.executable, "-c", script], env=buffered, stdout=stdout, check=True)
    assert ((tmp_path / "out").read_bytes() if to == "file" else done.stdout) == b"before\ncontent\nafter\n"
    assert {path: os.readlink(path) for path in links} == links


def test_a_planted_link_is_not_written_through(tmp_path, monkeypatch):
    (tmp_path / "victim").write_text("precious")
    monkeypatch.setattr("secrets.token_hex", lambda count: "0" * 2 * count)
    planted = tmp_path / f".jsgmath-{'0' * 16}.tmp"
    planted.symlink_to("victim")
    with pytest.raises(FileExistsError):
        write(tmp_path / "file", "ours")
    assert (tmp_path / "victim").read_text() == "precious"
    assert not (tmp_path / "file").exists()


def test_temporary_names_differ_and_leave_nothing_when_the_block_fails(tmp_path):
    seen = set()
    for _ in range(3):
        with pytest.raises(KeyboardInterrupt), replacing(tmp_path / "file") as file:
            seen |= {path.name for path in tmp_path.iterdir()}
            file.write(b"half")
            raise KeyboardInterrupt
    assert len(seen) == 3
    assert list(tmp_path.iterdir()) == []


def test_a_name_of_255_bytes_can_be_written(tmp_path):
    write(tmp_path / ("x" * 255), "content")
    assert entries(tmp_path) == {"x" * 255: "content"}


def test_only_temporary_files_of_these_programs_are_removed(tmp_path):
    theirs = [".my.writing-notes.txt", ".run.writing7.json", ".jsgmath-notes.tmp", f".jsgmath-{'g' * 16}.tmp"]
    theirs += [f".jsgmath-{'0' * 17}.tmp", f".jsgmath-{'0' * 16}.tmp2", f"x.jsgmath-{'0' * 16}.tmp", ".hidden"]
    for name in theirs:
        (tmp_path / name).touch()
    (tmp_path / f".jsgmath-{'1' * 16}.tmp").mkdir()
    (tmp_path / f".jsgmath-{'2' * 16}.tmp").symlink_to(".hidden")
    before = set(tmp_path.iterdir())
    killed = [replacing(tmp_path / "file") for _ in range(2)]
    for file in killed:
        file.__enter__()  # a killed process never leaves the block
    assert len(set(tmp_path.iterdir())) == len(before) + 2
    remove_temporary(tmp_path)
    assert set(tmp_path.iterdir()) == before


def test_text_is_written_as_utf_8_in_any_locale(tmp_path):
    write(tmp_path / "file", "± ‖")
    assert (tmp_path / "file").read_bytes() == "± ‖".encode()


def test_no_other_code_of_the_programs_writes_output_files():
    """Every other place writes through ``vae.files``: no write_text, write_bytes or savefig to a path."""
    root = Path(__file__).parents[2]
    allowed = {"vae/files.py", "vae/data/packages.py"}  # the latter writes in a temporary folder of its own
    for folder in ("vae", "benchmarks"):
        for path in (root / folder).rglob("*.py"):
            if str(path.relative_to(root)) in allowed:
                continue
            calls = {
                node.func.attr
                for node in ast.walk(ast.parse(path.read_text()))
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
            }
            assert not calls & {"write_text", "write_bytes"}, path
