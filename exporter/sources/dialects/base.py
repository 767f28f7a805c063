"""What a dialect must know, and what it tells of a server and its tables. The rest of `sources` works with these alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

import sqlalchemy as sa

from exporter.config import DatabaseSettings
from exporter.errors import ExporterError, SourceRefused
from exporter.model import Micros
from exporter.sources.cursor import Moment

SETTING = "dify.database.url"

LOCK_TIMEOUT_MS = 500
"""Below PostgreSQL's deadlock_timeout (1 s): in a deadlock with a migration we step back, not Dify."""

IDLE_TIMEOUT_MS = 60_000
"""A transaction of ours that was left open must not stand in the way of a migration of Dify."""

Column = sa.ColumnElement[Any]
Question = Mapping[str, Column]
"""One question's values by name: columns of a table of questions, or plain values."""

LookUp = Callable[[Question], sa.Select[Any]]
"""The statement that answers a question."""


class Unreadable(SourceRefused):
    """A value of a row cannot be turned into what its column promises; other rows may be fine."""


class SchemaChanged(SourceRefused):
    """A table or column that was there at start is gone: Dify was upgraded or changed under us."""


@dataclass(frozen=True, slots=True)
class Asked:
    """Questions: the names of their values (ids, then times), and for each question the values in that order."""

    ids: tuple[str, ...]
    times: tuple[str, ...]
    rows: Sequence[tuple[str | datetime, ...]]


@dataclass(frozen=True, slots=True)
class Clock:
    """`zone`: that of times which Dify leaves to the database's default, None for UTC. `server_zone`: what the server is
    set to, in words. `is_assumed`: nothing told that Dify's times follow it. `runs_back`: how far it is set back when summer
    time ends, so that rows come later than others and are dated before them."""

    zone: str | None = None
    server_zone: str | None = None
    is_assumed: bool = False
    runs_back: Micros = 0


@dataclass(frozen=True, slots=True)
class Server:
    """The server, its place (primary or not) and our role in it. `snapshot_functions` is the prefix of the family it
    has, None for none. `hides_ungranted`: what we may not read is not even named. `has_whole_seconds`: times have
    no parts of a second."""

    product: str
    place: str
    role: str
    is_superuser: bool
    snapshot_functions: str | None = None
    hides_ungranted: bool = False
    clock: Clock = Clock()
    has_whole_seconds: bool = False


@dataclass(frozen=True, slots=True)
class Catalogue:
    """What is there: all columns by table, the readable ones among them, tables we could write to, and indexes as
    (table, columns). Partial indexes are left out, and columns whose values are not what Dify meant to keep."""

    schema: str
    columns: Mapping[str, frozenset[str]]
    readable: Mapping[str, frozenset[str]]
    writable: frozenset[str]
    indexes: frozenset[tuple[str, tuple[str, ...]]]
    heads: tuple[str, ...]
    server: Server


def pool(settings: DatabaseSettings) -> dict[str, Any]:
    """How every engine is made: two connections, each tried before it is used again, and one moment for a transaction."""
    return {
        "pool_size": 2,
        "max_overflow": 0,
        "pool_timeout": settings.connect_timeout + settings.statement_timeout,
        "pool_pre_ping": True,
        "isolation_level": "REPEATABLE READ",
        "hide_parameters": True,
    }


class Dialect(Protocol):
    """A package that speaks one dialect."""

    @property
    def SCHEMES(self) -> frozenset[str]:
        """The schemes of addresses that it serves."""

    @property
    def EXAMPLE(self) -> str:
        """An address, to show how one is written."""

    def engine(self, url: sa.URL, settings: DatabaseSettings) -> sa.Engine:
        """A small pool of read-only sessions with timeouts; not connected yet. Raises `Misconfigured`."""

    def other_engine(
        self, refusal: ExporterError, url: sa.URL, settings: DatabaseSettings
    ) -> sa.Engine | None:
        """Another one that may work where the first was refused for this reason."""

    def address(self, url: sa.URL) -> str:
        """The address as its user wrote it, without the password."""

    def translated(self, error: sa.exc.DBAPIError, doing: str, url: sa.URL) -> ExporterError:
        """The driver's error in our terms."""

    def read_catalogue(
        self, connection: sa.Connection, settings: DatabaseSettings, tables: tuple[str, ...]
    ) -> Catalogue:
        """The shape of these tables as far as they exist, whatever we may read of them."""

    def read_moment(self, connection: sa.Connection, server: Server) -> Moment:
        """The server's clock, and what it tells of its transactions."""

    def one_of(self, column: Column, parameter: str) -> sa.ColumnElement[bool]:
        """`column` is one of the ids in the list parameter."""

    def after(self, created_at: Column, row_id: Column, time: Column, id_: str) -> sa.ColumnElement[bool]:
        """The row comes after (time, parameter `id_`) in the order (created_at, id); an index in that order is used."""

    def answers(self, connection: sa.Connection, asked: Asked, look_up: LookUp) -> Iterable[tuple[Any, ...]]:
        """One bounded look-up for each question: what it found, each row with the question's first value before it."""

    def default_time(self, server: Server, column: Column) -> Column:
        """A time that Dify leaves to the database's default, in UTC."""

    def as_default_time(self, server: Server, moment: Column) -> Column:
        """The inverse: a time in UTC as such a column holds it."""

    def grants(self, schema: str, role: str, tables: tuple[str, ...]) -> str:
        """The statements that let `role` read these tables."""

    def column_grant(self, schema: str, role: str, table: str, columns: tuple[str, ...]) -> str:
        """The statement that lets `role` read these columns."""

    def new_role(self, schema: str, tables: tuple[str, ...]) -> str:
        """The statements that make a role for us that may only read."""
