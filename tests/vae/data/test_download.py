"""Files are fetched over HTTP and verified."""

import gzip
import re
import threading
import time

import pytest

import vae.data.get as getting
from tests.vae.data.server import ARRAYS, CONTENT, FIRST, NAMES, Server, folder_content, mirror
from vae.data import download as downloading
from vae.data.__main__ import main
from vae.data.idx import idx_content

pytestmark = pytest.mark.usefixtures("small_mnist")


def test_files_are_fetched_once_and_verified(server, small_mnist, monkeypatch, tmp_path, capsys):
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


def test_a_connection_that_is_cut_keeps_the_files_that_arrived_and_the_same_command_fetches_the_others(
    server, small_mnist, monkeypatch, tmp_path, capsys
):
    mirror(server, small_mnist, monkeypatch)
    last = f"{NAMES[3]}.gz"
    server.cut = {last}
    assert main(["get", "mnist"]) == 2
    output = capsys.readouterr()
    assert re.search(r"^127.0.0.1:\d+: Connection broken: IncompleteRead\(\d+ bytes read, \d+ more.*\n$", output.out)
    assert output.err.startswith("vae.data: no origin has MNIST; pass --data FOLDER with the four idx files")
    assert output.err.count("\n") == 1
    assert folder_content(tmp_path / "data" / "mnist") == {
        name: content for name, content in CONTENT.items() if name != last
    }
    server.cut, server.asked = set(), []
    assert main(["get", "mnist"]) == 0
    assert server.asked == [last]
    assert folder_content(tmp_path / "data" / "mnist") == CONTENT


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"<html>please log in</html>", "cannot be read .*Not a gzipped file"),
        (CONTENT[FIRST][:-9], "cannot be read"),
        (
            gzip.compress(idx_content(255 - ARRAYS[NAMES[0]])),
            "has sha256 .*, wanted .*: it is another data set, or damaged",
        ),
        (gzip.compress(idx_content(ARRAYS[NAMES[0]][1:])), r"has shape \(49, 28, 28\), wanted \(50, 28, 28\)"),
        (None, "404 Client Error: Not Found for url: http://127.0.0.1"),
    ],
    ids=["a web page", "truncated", "other images", "another shape", "nothing"],
)
def test_wrong_content_is_reported_and_deleted_and_the_next_origin_is_tried(
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
    server.delay = 0.5
    closed = Server()
    closed.server_close()
    urls = ("http://no.such.host.invalid/", closed.url, server.url)
    monkeypatch.setitem(getting.ORIGINS, "mnist", getting.mirrors(small_mnist, *urls))
    start = time.monotonic()
    assert main(["get", "mnist"]) == 2
    assert time.monotonic() - start < 5  # 0.1 seconds for the slow server; the others fail at once
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("no.such.host.invalid: ")
    assert "Connection refused" in lines[1]
    assert "timed out" in lines[2]
    assert len(lines) == 3
