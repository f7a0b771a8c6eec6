"""Fixtures of the tests of data sets; no test reads a folder or a server outside it."""

import dataclasses
import hashlib
import threading

import pytest

import vae.data
import vae.data.get as getting
from tests.vae.data.server import ARRAYS, Server
from vae.data.idx import IdxFile, idx_content
from vae.data.mnist import FASHION, MNIST


@pytest.fixture
def server():
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def small_mnist(monkeypatch, tmp_path):
    """Replaces MNIST by a set of 50 + 20 images, and all folders and servers by those of the test."""
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


@pytest.fixture
def elsewhere(monkeypatch, tmp_path):
    """Keeps tests from searching or writing the folders of this machine."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("JSGMATH_DATA", raising=False)
    monkeypatch.chdir(tmp_path)
