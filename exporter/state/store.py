"""The state file: opening it safely, one writer at a time, readers beside it.

Promises: WAL with synchronous=FULL, so a committed transaction survives a power cut; file mode 0600; a damaged, newer
or foreign file is refused and never started over; a second daemon on the same file is refused.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from exporter.errors import StateRefused
from exporter.state.migrations import APPLICATION_ID, VERSION, migrate

Boundary = Callable[[str], None]
"""Told the name of each durable boundary just before and just after it; tests kill the process there."""

_CHECKED_BELOW = 64 * 2**20
_PAGE_BYTES = 16_384
_WRITER_CACHE_KIB = 8_000
_READER_CACHE_KIB = 2_000  # each thread that reads has one


class Store:
    """The open state file. `transaction` serialises writers of this process; `read` gives each thread a reader."""

    def __init__(self, path: Path, boundary: Boundary | None = None) -> None:
        self.path = path
        self._boundary = boundary or (lambda name: None)
        self._writing = threading.RLock()
        self._readers = threading.local()
        self._lock_file: IO[str] | None = None
        self._writer = _connect(path, create=True)
        _verify(self._writer, path)
        with _explained(path):
            migrate(self._writer)

    @contextmanager
    def transaction(self, name: str) -> Iterator[sqlite3.Connection]:
        """One atomic, durable write. Rolled back when the block raises. Raises StateRefused when the file is damaged."""
        with self._writing, _explained(self.path):
            self._writer.execute("BEGIN IMMEDIATE")
            try:
                yield self._writer
                self._boundary(f"before {name}")
                self._writer.execute("COMMIT")
            except BaseException:
                if self._writer.in_transaction:
                    self._writer.execute("ROLLBACK")
                raise
            self._boundary(f"after {name}")

    @contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """This thread's reader: a consistent view per statement, never blocked by the writer."""
        connection = getattr(self._readers, "connection", None)
        if connection is None:
            connection = self._readers.connection = _connect(self.path, create=False)
        with _explained(self.path):
            yield connection

    def lock(self) -> None:
        """Become the one daemon of this file. Raises StateRefused when another process is."""
        lock_path = self.path.with_name(self.path.name + ".lock")
        lock_file = open(lock_path, "a+", encoding="ascii")  # noqa: SIM115 - held for the life of the process
        try:
            fcntl.flock(lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock_file.close()
            raise StateRefused(
                f"another dify-exporter already works on {self.path}",
                "stop the other process, or give this one its own state.path",
            ) from None
        self._lock_file = lock_file

    def is_locked_elsewhere(self) -> bool:
        """True when a daemon (another process) works on this file."""
        lock_path = self.path.with_name(self.path.name + ".lock")
        if self._lock_file is not None or not lock_path.exists():
            return False
        with open(lock_path, "a+", encoding="ascii") as probe:
            try:
                fcntl.flock(probe, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                return True
            return False

    def close(self) -> None:
        """Checkpoint and close; the lock is given back."""
        with self._writing:
            self._writer.close()
            if self._lock_file is not None:
                self._lock_file.close()
                self._lock_file = None


def _connect(path: Path, *, create: bool) -> sqlite3.Connection:
    try:
        if create:
            path.parent.mkdir(parents=True, exist_ok=True)
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        connection = sqlite3.connect(path, timeout=30, isolation_level=None, check_same_thread=False)
    except (OSError, sqlite3.OperationalError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise StateRefused(
            f"the state file {path} cannot be opened: {reason}",
            "check that the folder exists and is writable",
        ) from None
    with _explained(path):
        connection.execute(f"PRAGMA page_size = {_PAGE_BYTES}")  # of a new file; rendered traces are large
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA busy_timeout = 30000")
        connection.execute(f"PRAGMA cache_size = -{_WRITER_CACHE_KIB if create else _READER_CACHE_KIB}")
        connection.execute("PRAGMA journal_size_limit = 67108864")
    return connection


def _verify(connection: sqlite3.Connection, path: Path) -> None:
    with _explained(path):
        application = int(connection.execute("PRAGMA application_id").fetchone()[0])
        version = int(connection.execute("PRAGMA user_version").fetchone()[0])
        tables = int(connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0])
    if tables and application != APPLICATION_ID:
        raise StateRefused(
            f"{path} is a database of another program",
            "set state.path to a file of its own for dify-exporter",
        )
    if version > VERSION:
        raise StateRefused(
            f"{path} was written by a newer dify-exporter (state version {version}, this one knows {VERSION})",
            "install that version again, or set state.path to a new file",
        )
    if tables and path.stat().st_size <= _CHECKED_BELOW:
        with _explained(path):
            found = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        if found != "ok":
            raise _damaged(path, str(found).splitlines()[0])


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.OperationalError | sqlite3.IntegrityError | sqlite3.ProgrammingError):
            raise
        raise _damaged(path, str(error)) from None


def _damaged(path: Path, found: str) -> StateRefused:
    return StateRefused(
        f"the state file {path} is damaged ({found}); it is not started over, because that would send every trace again",
        "restore it from a backup, or move it away on purpose to begin anew",
    )
