"""The way into Dify's database: one small pool, read-only transactions, and errors that say what to try.

Every transaction is READ ONLY and REPEATABLE READ (all queries of one answer see the same moment) and gives up before
it can hurt Dify: a statement timeout, and a lock timeout shorter than PostgreSQL's deadlock check, so that a
migration of Dify is never the one that is cancelled. No error carries the password or a row's content.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from exporter.config import DatabaseSettings, masked_url
from exporter.errors import ExporterError, Misconfigured, SourceRefused, Unreachable

_DRIVER = "postgresql+psycopg"
_ACCEPTED = {"postgresql", "postgres", _DRIVER}
_SETTING = "dify.database.url"

_HOW_TO_WRITE = "write postgresql://user:password@host:5432/dify; characters such as @ : / in the password are percent-encoded"

LOCK_TIMEOUT_MS = 500
"""Below PostgreSQL's deadlock_timeout (1 s): in a deadlock with a migration we step back, not Dify."""

IDLE_TIMEOUT_MS = 60_000

_KEEPALIVE = {"keepalives_idle": "30", "keepalives_interval": "10", "keepalives_count": "3"}


class Unreadable(SourceRefused):
    """A value of a row cannot be turned into what its column promises; other rows may be fine."""


class SchemaChanged(SourceRefused):
    """A table or column that was there at start is gone: Dify was upgraded or changed under us."""


def database_url(settings: DatabaseSettings) -> sa.URL:
    """The address with our driver. Raises `Misconfigured` without ever repeating the address's secrets."""
    if settings.url is None or not settings.url.get_secret_value().strip():
        raise Misconfigured(
            [f"{_SETTING}: is required"], "set DIFY_DATABASE_URL=postgresql://user:password@host:5432/dify"
        )
    try:
        url = sa.make_url(settings.url.get_secret_value().strip())
    except (ArgumentError, ValueError):
        raise Misconfigured(
            [f"{_SETTING}: is not a database address"],
            _HOW_TO_WRITE,
        ) from None
    if url.drivername not in _ACCEPTED:
        raise Misconfigured(
            [f"{_SETTING}: {_unsupported(url.drivername)}"], "use postgresql://user:password@host:5432/dify"
        )
    return url.set(drivername=_DRIVER)


def _unsupported(scheme: str) -> str:
    family = scheme.partition("+")[0]
    if family in ("mysql", "mariadb", "oceanbase"):
        return f"{family}:// is not supported yet; this version reads Dify on PostgreSQL only"
    return f"{scheme}:// is not an address this program can use"


def connect(settings: DatabaseSettings) -> sa.Engine:
    """A pool of two connections, the first one tried. Raises `Misconfigured`, `Unreachable` or `SourceRefused`."""
    url = database_url(settings)
    limits: dict[str, int | str] = {
        "statement_timeout": max(1, math.ceil(settings.statement_timeout * 1000)),
        "lock_timeout": LOCK_TIMEOUT_MS,
        "idle_in_transaction_session_timeout": IDLE_TIMEOUT_MS,
        "jit": "off",  # compiling costs more than any of our short queries
    }
    try:
        return _opened(url, settings, limits, with_options=True)
    except SourceRefused as error:
        if "unsupported startup parameter" not in str(error):
            raise
    return _opened(url, settings, limits, with_options=False)


def _opened(
    url: sa.URL, settings: DatabaseSettings, limits: dict[str, int | str], with_options: bool
) -> sa.Engine:
    """An engine that has answered once."""
    address = masked_url(url.set(drivername="postgresql").render_as_string(hide_password=True))
    try:
        engine = _engine(url, settings, limits, with_options)
        try:
            with reading(engine, f"connecting to {address}") as connection:
                connection.execute(sa.select(1))
        except BaseException:
            engine.dispose()
            raise
    except (ArgumentError, ValueError):  # a host no resolver takes, or host lists in two styles
        raise Misconfigured([f"{_SETTING}: is not a usable address"], _HOW_TO_WRITE) from None
    return engine


def _engine(
    url: sa.URL, settings: DatabaseSettings, limits: dict[str, int | str], with_options: bool
) -> sa.Engine:
    """Poolers such as PgBouncer refuse session options at connect; then each transaction sets its own."""
    arguments: dict[str, Any] = {
        "application_name": "dify-exporter",
        "client_encoding": "utf8",
        "connect_timeout": str(max(2, math.ceil(settings.connect_timeout))),
        "prepare_threshold": None,
    } | {name: value for name, value in _KEEPALIVE.items() if name not in url.query}
    if with_options:
        session = {"default_transaction_read_only": "on", "TimeZone": "UTC"} | limits
        given = url.query.get("options", "")
        options = [given if isinstance(given, str) else " ".join(given)]
        arguments["options"] = " ".join(
            options + [f"-c {name}={value}" for name, value in session.items()]
        ).strip()
    engine = sa.create_engine(
        url,
        connect_args=arguments,
        pool_size=2,
        max_overflow=0,
        pool_timeout=settings.connect_timeout + settings.statement_timeout,
        pool_pre_ping=True,
        isolation_level="REPEATABLE READ",
        hide_parameters=True,
        use_native_hstore=False,
    )

    @event.listens_for(engine, "connect")
    def _read_only(connection: Any, _record: object) -> None:
        connection.read_only = True

    if not with_options:
        wanted = ", ".join(f"set_config('{name}', '{value}', true)" for name, value in limits.items())

        @event.listens_for(engine, "begin")
        def _limited(connection: sa.Connection) -> None:
            connection.exec_driver_sql(f"SELECT {wanted}")

    return engine


@contextmanager
def reading(engine: sa.Engine, doing: str) -> Iterator[sa.Connection]:
    """One read-only transaction. Database errors leave it as `Unreachable`, `SourceRefused` or a kind of the latter."""
    try:
        with engine.begin() as connection:
            yield connection
    except UnicodeDecodeError as error:
        raise Unreadable(f"text that is not valid UTF-8 (byte 0x{error.object[error.start]:02x})") from None
    except PoolTimeout:
        raise Unreachable(
            f"{doing}: both connections are busy", "this passes by itself; the next try may work"
        ) from None
    except DBAPIError as error:
        raise _translated(error, doing, engine.url) from None
    except SQLAlchemyError as error:
        raise SourceRefused(f"{doing}: {type(error).__name__}") from None


def _translated(error: DBAPIError, doing: str, url: sa.URL) -> ExporterError:
    cause = error.orig
    state = getattr(cause, "sqlstate", None)
    if state is None:
        return _without_state(error, doing, url)
    said = f"{doing}: PostgreSQL answers {state} ({type(cause).__name__})"
    if state == "57014":
        return Unreachable(
            f"{doing}: a query took longer than dify.database.statement_timeout allows",
            "raise dify.database.statement_timeout, or read from a replica; `dify-exporter check` names missing indexes",
        )
    if state == "55P03":
        return Unreachable(
            f"{doing}: a table is locked", "Dify is probably being upgraded; this passes by itself"
        )
    if state == "42501":
        return SourceRefused(f"{said}: {_first_line(cause)}", "`dify-exporter check` prints the GRANT to run")
    if state in ("42P01", "42703", "3F000"):
        return SchemaChanged(
            f"{said}: {_first_line(cause)}", "Dify's tables have changed; this is looked at again by itself"
        )
    if state[:2] in ("22", "54", "XX"):
        return Unreadable(f"a value cannot be read: PostgreSQL answers {state} ({type(cause).__name__})")
    if state[:2] in ("08", "40", "53", "55", "57", "58", "25"):
        return Unreachable(said, "this usually passes by itself")
    return SourceRefused(said)


_NETWORK = (
    "could not translate host name", "failed to resolve host", "Connection refused", "timeout expired", "timed out",
    "No such file or directory", "No route to host", "Network is unreachable", "Connection reset", "closed the connection",
    "connection is lost", "connection is closed", "could not receive data", "could not send data", "SSL SYSCALL",
    "starting up", "shutting down", "too many clients", "too many connections", "remaining connection slots",
    "in recovery mode", "not yet accepting connections",
)  # fmt: skip


def _without_state(error: DBAPIError, doing: str, url: sa.URL) -> ExporterError:
    """libpq gives no SQLSTATE for a failed connection, only words (its own, or the server's after FATAL)."""
    words = _first_line(error.orig, url.password)
    if isinstance(error, sa.exc.DataError):
        return Unreadable("a value outside of what its type can hold")
    if isinstance(error, sa.exc.ProgrammingError):
        return Misconfigured(
            [f"{_SETTING}: {words}"], "check the part of the address after the question mark"
        )
    if any(sign in str(error.orig) for sign in _NETWORK):
        return Unreachable(
            f"{doing}: {words}", "is the host right, the database up, and the network open to it?"
        )
    return SourceRefused(f"{doing}: {words}", _refusal_hint(words))


def _refusal_hint(words: str) -> str:
    if "password" in words or "role" in words or "authentication" in words:
        return (
            f"check user and password in {_SETTING} (Dify's own are DB_USERNAME and DB_PASSWORD in its .env)"
        )
    if "database" in words and "does not exist" in words:
        return f"check the database name in {_SETTING} (Dify's own is DB_DATABASE in its .env, usually dify)"
    if "pg_hba" in words or "SSL" in words:
        return "the server does not admit this host or user this way; add a line to pg_hba.conf, or set ?sslmode="
    return f"check {_SETTING}"


def _first_line(cause: BaseException | None, password: str | None = None) -> str:
    line = (
        str(cause)
        .strip()
        .partition("\n")[0]
        .removeprefix("connection failed: ")
        .removeprefix("connection is bad: ")
    )
    return line.replace(password, "***") if password else line
