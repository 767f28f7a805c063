"""A real MariaDB of this machine (Debian's package `mariadb-server`), started on loopback over a folder of its own."""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pymysql
import pytest

REQUIRED = "TESTS_NEED_MARIADB"
"""Set by CI: a missing MariaDB is then a failure, not a reason to skip."""

CERTIFICATE = Path(__file__).parents[1] / "recorder" / "upstream-test.pem"
"""Of 127.0.0.1, signed by itself, with its key. TLS is offered, and asked for by users who REQUIRE SSL."""

_PATIENCE_SECONDS = 60

Connection = pymysql.connections.Connection


@dataclass(frozen=True)
class MariadbServer:
    """A running server. Its user `root` has no password; times of its defaults are UTC unless a test says otherwise, and the
    machine that it seems to run on is in China."""

    port: int
    root: Connection

    def connect(self, database: str | None = None, **options: Any) -> Connection:
        """A session of Dify's, autocommitting."""
        return _connect(self.port, database=database, **options)

    def url(self, database: str, user: str = "root", password: str = "", scheme: str = "mysql") -> str:
        """For the exporter's settings."""
        secret = f":{password}" if password else ""
        return f"{scheme}://{user}{secret}@127.0.0.1:{self.port}/{database}"

    def run(self, *statements: str) -> None:
        """As root."""
        with self.root.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)

    def create(self, name: str, extra: str = "CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci") -> str:
        """An empty database."""
        self.run(f"CREATE DATABASE `{name}` {extra}")
        return name


@contextmanager
def mariadb() -> Iterator[MariadbServer]:
    """A server for the length of the block; works as root too."""
    folder = Path(tempfile.mkdtemp(prefix="dify-exporter-mariadb-"))
    user = f"--user={getpass.getuser()}"
    install = [
        _program("mariadb-install-db"), "--no-defaults", f"--datadir={folder / 'data'}", "--skip-test-db",
        "--auth-root-authentication-method=normal", user,
    ]  # fmt: skip
    subprocess.run(install, check=True, capture_output=True)
    port = _free_port()
    command = [
        _program("mariadbd"), "--no-defaults", f"--datadir={folder / 'data'}", f"--socket={folder / 's'}",
        f"--pid-file={folder / 'pid'}", "--bind-address=127.0.0.1", f"--port={port}", user,
        "--innodb-flush-log-at-trx-commit=0", "--innodb-buffer-pool-size=64M", "--skip-name-resolve",
        "--max-connect-errors=1000000", "--default-time-zone=+00:00", f"--ssl-cert={CERTIFICATE}", f"--ssl-key={CERTIFICATE}",
    ]  # fmt: skip
    log = folder / "log"
    environment = os.environ | {"TZ": "CST-8"}  # China's, in the form that needs no files
    with (
        log.open("wb") as output,
        subprocess.Popen(command, stdout=output, stderr=output, env=environment) as process,
    ):
        try:
            yield MariadbServer(port, _answering(port, process, log))
        finally:
            process.terminate()
            process.wait(_PATIENCE_SECONDS)
            shutil.rmtree(folder, ignore_errors=True)


def _answering(port: int, process: subprocess.Popen[bytes], log: Path) -> Connection:
    end = time.monotonic() + _PATIENCE_SECONDS
    while time.monotonic() < end and process.poll() is None:
        try:
            return _connect(port)
        except pymysql.err.OperationalError:
            time.sleep(0.05)
    raise AssertionError(f"MariaDB did not start: {log.read_text(errors='replace')[-2000:]}")


def _connect(port: int, **options: Any) -> Connection:
    named = {"user": "root", "charset": "utf8mb4", "autocommit": True} | options
    return pymysql.connect(host="127.0.0.1", port=port, **named)


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def _program(name: str) -> str:
    found = shutil.which(name, path=os.environ.get("PATH", "") + os.pathsep + "/usr/sbin")
    if found is not None:
        return found
    reason = f"{name} is not here; Debian has it in the package mariadb-server"
    if os.environ.get(REQUIRED):
        pytest.fail(reason)
    pytest.skip(reason)
