"""The errors of PostgreSQL and its driver in our terms: what, why, what to do; never a password or a row's content."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from exporter.errors import ExporterError, Misconfigured, SourceRefused, Unreachable
from exporter.sources.dialects.base import SETTING, SchemaChanged, Unreadable


def translated(error: DBAPIError, doing: str, url: sa.URL) -> ExporterError:
    """By SQLSTATE, which libpq gives for everything but a failed connection."""
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
        return Misconfigured([f"{SETTING}: {words}"], "check the part of the address after the question mark")
    if any(sign in str(error.orig) for sign in _NETWORK):
        return Unreachable(
            f"{doing}: {words}", "is the host right, the database up, and the network open to it?"
        )
    return SourceRefused(f"{doing}: {words}", _refusal_hint(words))


def _refusal_hint(words: str) -> str:
    if "password" in words or "role" in words or "authentication" in words:
        return (
            f"check user and password in {SETTING} (Dify's own are DB_USERNAME and DB_PASSWORD in its .env)"
        )
    if "database" in words and "does not exist" in words:
        return f"check the database name in {SETTING} (Dify's own is DB_DATABASE in its .env, usually dify)"
    if "pg_hba" in words or "SSL" in words:
        return "the server does not admit this host or user this way; add a line to pg_hba.conf, or set ?sslmode="
    return f"check {SETTING}"


def _first_line(cause: BaseException | None, password: str | None = None) -> str:
    line = (
        str(cause)
        .strip()
        .partition("\n")[0]
        .removeprefix("connection failed: ")
        .removeprefix("connection is bad: ")
    )
    return line.replace(password, "***") if password else line
