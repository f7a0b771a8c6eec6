"""A small MNIST, a local server that offers it, and functions that read the results."""

import gzip
import http.server
import time

import numpy as np

import vae.data.get as getting
from vae.data.idx import idx_content
from vae.data.mnist import MNIST

RANDOM = np.random.default_rng(5)
NAMES = tuple(file.name for file in MNIST.files)
ARRAYS = {
    name: RANDOM.integers(0, 256, (count, 28, 28) if "images" in name else (count,)).astype(np.uint8)
    for name, count in zip(NAMES, (50, 20, 50, 20), strict=True)
}
CONTENT = {f"{name}.gz": gzip.compress(idx_content(array), mtime=0) for name, array in ARRAYS.items()}
FIRST = f"{NAMES[0]}.gz"


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves the server's ``content`` and keeps a list of the names that were requested."""

    def do_GET(self):
        server, name = self.server, self.path.lstrip("/")
        server.asked.append(name)
        content = server.content.get(name)
        if content is None:
            self.send_error(404)
            return
        time.sleep(server.delay)
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content[: len(content) // 2] if name in server.cut else content)

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.content = dict(CONTENT)
        self.delay = 0.0  # seconds before an answer
        self.cut = set()  # names of files that are sent by half
        self.asked = []
        self.url = f"http://127.0.0.1:{self.server_address[1]}/"


def mirror(server, source, monkeypatch, *more):
    monkeypatch.setitem(getting.ORIGINS, "mnist", [*getting.mirrors(source, server.url), *more])


def folder_content(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def complaint(capsys) -> str:
    """The only line on stderr."""
    error = capsys.readouterr().err
    assert error.startswith("vae.data: ")
    assert error.count("\n") == 1
    return error
