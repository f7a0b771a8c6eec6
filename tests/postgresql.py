"""A real PostgreSQL server of one's own, for the tests that need one; conftest.py has the fixture."""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


def programs() -> Path | None:
    """The folder of initdb and pg_ctl, which Debian keeps off the PATH."""
    if found := shutil.which("initdb"):
        return Path(found).parent
    folders = Path("/usr/lib/postgresql").glob("*/bin")
    return max(folders, key=lambda folder: float(folder.parent.name), default=None)


class PostgreSQL:
    """A server on a free port of the loopback, with its data in a folder of its own."""

    def __init__(self, programs: Path, folder: Path):
        self.programs = programs
        self.folder = folder
        self.user = {}
        if os.getuid() == 0:  # as whom it refuses to run
            nobody = pwd.getpwnam("nobody")
            self.user = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
            os.chown(folder, nobody.pw_uid, nobody.pw_gid)
        self.run("initdb", "--auth=trust", "--username=sweeper", "--no-sync", "--encoding=UTF8", "--locale=C")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"postgresql://sweeper@127.0.0.1:{self.port}/postgres"

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
        if (self.folder / "postmaster.pid").exists():
            self.run("pg_ctl", "--wait", "--mode=immediate", "stop")

    def database(self, name: str) -> str:
        """The URL of an empty schema, for a database of its own would be 300 files."""
        import psycopg  # not above, for conftest.py imports this module for tests that need no database

        with psycopg.connect(self.url) as server:
            server.execute(f'CREATE SCHEMA "{name}"')
        return f"{self.url}?options=-csearch_path%3D{name}"


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgreSQL]:
    folder_of_programs = programs()
    if folder_of_programs is None:
        missing = "PostgreSQL is not there: apt-get install postgresql"
        pytest.fail(missing) if os.environ.get("CI") else pytest.skip(missing)
    # Not under pytest's own temporary folder, which another user may not enter.
    with tempfile.TemporaryDirectory(prefix="postgresql-") as folder:
        server = PostgreSQL(folder_of_programs, Path(folder))
        try:
            server.start()
            yield server
        finally:
            server.stop()
