"""A small MNIST, a server on this machine that offers it, and a look at what arrived."""

import gzip
import http.server
import re
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
