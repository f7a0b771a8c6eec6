"""Where a queue is kept: in a database, or for the workers of one machine in a journal, which is a file."""

import fcntl
import logging
import os
import sys
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, ParamSpec, TypeVar

from optuna.exceptions import StorageInternalError
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from sqlalchemy import URL, make_url
from sqlalchemy.exc import (
    ArgumentError,
    IntegrityError,
    InterfaceError,
    NoSuchModuleError,
    OperationalError,
    SQLAlchemyError,
)

from vae.errors import UserError
from vae.training.environment import without_password

# One for the beats and one for the rest, of which one is kept: a database has room for about a hundred. It is tried
# before each use, for the database may have been restarted meanwhile.
CONNECTIONS = {"pool_size": 1, "max_overflow": 1, "pool_pre_ping": True}
JOURNAL = "queue.journal"  # in the folder of a sweep that names no other storage
PATIENCE = 600.0  # seconds that a database may be away before a worker gives up
JOURNAL_START = b'{"op_code":'  # what Optuna's journals begin with

P = ParamSpec("P")
T = TypeVar("T")


def open_storage(storage: str, create: bool = False) -> BaseStorage:
    """Opens ``postgresql://...``, ``mysql://...`` or the path of a journal; with ``create`` the journal may be new.

    Raises:
        UserError: it cannot be reached, or is not there, or is something else.
    """
    for module in ("optuna.storages", "optuna.study"):  # which would tell of each study and each trial told twice
        logging.getLogger(module).setLevel(logging.ERROR)
    return open_database(storage) if "://" in storage else open_journal(Path(storage), create)


def open_database(storage: str) -> RDBStorage:
    try:
        url = make_url(storage)
    except ArgumentError:
        raise UserError("--storage must be a URL as in postgresql://user@host/name, or a journal's path") from None
    if url.get_backend_name() == "sqlite":
        raise UserError(
            "--storage sqlite:// is not safe with several workers; name a journal's path, without sqlite://"
        )
    if url.get_backend_name() == "postgresql":
        # Without limits a connection to a machine that vanished is waited for many times as long as a beat may be late.
        limits = {"connect_timeout": 10, "tcp_user_timeout": 20_000}
        return connect(url.set(drivername="postgresql+psycopg"), CONNECTIONS | {"connect_args": limits})
    return connect(url, CONNECTIONS)


def connect(url: URL, options: dict[str, Any], again: int = 10) -> RDBStorage:
    try:
        database = RDBStorage(url.render_as_string(hide_password=False), options)
    except (StorageInternalError, SQLAlchemyError, RuntimeError) as error:  # RuntimeError: tables of another Optuna
        # Several processes may be creating the tables at once, and each database has its own words for that.
        if again and ("already exists" in str(error) or isinstance(error, IntegrityError)):
            time.sleep(0.1)
            return connect(url, options, again - 1)
        raise unusable(url, error) from None
    except ImportError as error:
        raise UserError(
            f"{shown(url)} needs a driver that is not installed ({error.__cause__ or error}); "
            "pip install 'psycopg[binary]' for PostgreSQL, PyMySQL for mysql+pymysql://..."
        ) from None
    weakref.finalize(database, database.engine.dispose)  # Optuna leaves connections open
    return database


def shown(url: URL) -> str:
    """Without a password, wherever in the URL it stands."""
    return without_password(url.render_as_string(hide_password=False))


def unusable(url: URL, error: Exception) -> UserError:
    if isinstance(error, NoSuchModuleError):
        return UserError(
            f"--storage must be postgresql://..., mysql://... or a journal's path, got {url.drivername}://"
        )
    return UserError(f"cannot use {shown(url)}: {reason(error)}")


def away(error: BaseException | None) -> bool:
    """Whether an error is of the kind that passes: connections that fail, servers that start or have no room."""
    return error is not None and (isinstance(error, OperationalError | InterfaceError) or away(error.__context__))


def reason(error: BaseException) -> str:
    """What a database said, in its own words, without those that Optuna and SQLAlchemy put around them."""
    while error.__cause__ is not None and not hasattr(error, "orig"):
        error = error.__cause__
    return str(getattr(error, "orig", error)).partition("\n")[0]


def open_journal(path: Path, create: bool) -> JournalStorage:
    try:
        if not path.exists():
            if not create:
                raise UserError(f"there is no journal {path}; python -m vae.sweep --out FOLDER starts a sweep")
            path.parent.mkdir(parents=True, exist_ok=True)
        elif path.stat().st_size:
            with path.open("rb") as file:
                if file.read(len(JOURNAL_START)) != JOURNAL_START:
                    raise UserError(f"{path} is not a sweep's journal; name another --storage")
        return JournalStorage(JournalFileBackend(str(path), JournalLock(path)))
    except OSError as error:
        raise UserError(f"cannot use the journal {path}: {error.strerror}") from None
    except ValueError:
        raise UserError(f"the journal {path} is damaged: one of its lines is not JSON") from None


class JournalLock(JournalFileOpenLock):
    """Lets one process at a time append to a journal.

    It is the kernel's lock on the journal itself, free as soon as its holder has died. Optuna's own is a file that
    outlives its holder by half a minute.
    """

    def __init__(self, path: Path):
        self.path = path

    def acquire(self) -> bool:
        self.file = self.path.open("r+b")
        fcntl.flock(self.file, fcntl.LOCK_EX)
        drop_torn_line(self.file)
        return True

    def release(self) -> None:
        self.file.close()


def drop_torn_line(file: BinaryIO) -> None:
    """Cuts off what a full disk or a power failure left of a last line: what is appended to it, nobody can read."""
    size = file.seek(0, os.SEEK_END)
    if size == 0:
        return
    file.seek(size - 1)
    if file.read(1) != b"\n":
        file.seek(0)
        file.truncate(file.read().rfind(b"\n") + 1)


def patiently(call: Callable[P, T], *arguments: P.args, **options: P.kwargs) -> T:
    """What a call of the storage returns; while the database is away it is repeated, for ``PATIENCE`` seconds.

    It may have been away only after it did what was asked, so whatever is called here must bear to be done twice.
    """
    start = time.monotonic()
    told = False
    while True:
        try:
            return call(*arguments, **options)
        except (StorageInternalError, SQLAlchemyError) as error:
            if not away(error):
                raise UserError(f"the database refuses: {reason(error)}") from error
            if time.monotonic() - start > PATIENCE:
                raise UserError(f"the database has been away for {PATIENCE / 60:g} minutes: {reason(error)}") from None
            if not told:
                print(f"the database is away, trying again: {reason(error)}", file=sys.stderr, flush=True)
            told = True
        except KeyError:
            raise UserError("the sweep is not in its storage any more") from None
        time.sleep(min(1.0, 0.1 + (time.monotonic() - start) / 10))
