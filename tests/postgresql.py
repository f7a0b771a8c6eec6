"""A real PostgreSQL server of one's own, for the tests that need one; conftest.py has the fixture."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

PROGRAMS = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: float(path.parent.name), reverse=True)


class PostgreSQL:
    """A server on a free port of the loopback, with its data in a folder of its own."""

    def __init__(self, programs: Path, folder: Path):
        self.programs = programs
        self.folder = folder
        # It refuses to run as root.
        self.user = {"user": "nobody", "group": "nogroup", "extra_groups": []} if os.getuid() == 0 else {}
        if self.user:
            shutil.chown(folder, self.user["user"], self.user["group"])
        self.run("initdb", "--auth=trust", "--username=sweeper", "--no-sync", "--encoding=UTF8", "--locale=C")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.start()

    def run(self, program: str, *options: str) -> None:
        command = [self.programs / program, "--pgdata", self.folder, *options]
        done = subprocess.run(command, cwd="/", stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **self.user)
        if done.returncode:
            pytest.fail(f"{program} failed: {done.stdout.decode()}")

    def start(self) -> None:
        settings = f"-h 127.0.0.1 -p {self.port} -c unix_socket_directories= -c fsync=off"
        self.run("pg_ctl", "--wait", "--log", str(self.folder / "log"), "--options", settings, "start")

    def stop(self) -> None:
        """As when its machine goes down: connections are cut, whatever they are doing."""
        self.run("pg_ctl", "--wait", "--mode=immediate", "stop")

    def database(self, name: str) -> str:
        """The URL of a new database."""
        url = f"postgresql://sweeper@127.0.0.1:{self.port}"
        with psycopg.connect(f"{url}/postgres", autocommit=True) as server:
            server.execute(f'CREATE DATABASE "{name}"')
        return f"{url}/{name}"


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgreSQL]:
    if not PROGRAMS:
        missing = "PostgreSQL is not there; apt-get install postgresql"
        pytest.fail(missing) if os.environ.get("CI") else pytest.skip(missing)
    # Not under pytest's own temporary folder, which another user may not enter.
    with tempfile.TemporaryDirectory(prefix="postgresql-", ignore_cleanup_errors=True) as folder:
        server = PostgreSQL(PROGRAMS[0], Path(folder))
        try:
            yield server
        finally:
            pid = int((Path(folder) / "postmaster.pid").read_text().split()[0])
            os.kill(pid, signal.SIGQUIT)
