"""The errors of MySQL, MariaDB and their driver in our terms: what, why, what to do; never a password or a row's content.

Source of the numbers: MySQL's and MariaDB's error references; those from 2000 on are the client's.
"""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from exporter.errors import ExporterError, Misconfigured, SourceRefused, Unreachable
from exporter.sources.dialects.base import SETTING, SchemaChanged, Unreadable

_TOO_SLOW = frozenset({3024, 1969})
_LOCKED = frozenset({1205, 1213})
_FORBIDDEN = frozenset({1142, 1143, 1370})
_CHANGED = frozenset({1146, 1054, 1356})
_UNREADABLE = frozenset({1292, 1366, 1367, 1690, 3140, 3141, 4037, 4038})
_PASSING = frozenset(
    {1040, 1041, 1053, 1077, 1152, 1158, 1159, 1160, 1161, 1203, 1317, 1927, 2002, 2003, 2006, 2013, 2014}
)
_HINTS = {
    1044: f"check the database name in {SETTING} and the rights of its user (Dify's own are DB_DATABASE, DB_USERNAME)",
    1045: f"check user and password in {SETTING} (Dify's own are DB_USERNAME and DB_PASSWORD in its .env)",
    1049: f"check the database name in {SETTING} (Dify's own is DB_DATABASE in its .env, usually dify)",
    1129: "too many failed connections from here: run FLUSH HOSTS on the server, or raise max_connect_errors",
    1130: "the server does not admit this host: make the user for it (CREATE USER 'name'@'host')",
    1698: f"check user and password in {SETTING}; the server lets this user in from its own machine only",
    1251: "the server wants another way to log in: give the user a password by a common plugin",
    2059: "the server wants another way to log in: give the user a password by a common plugin",
    3159: "the server wants TLS: add ?ssl_ca=/path/to/ca.pem to the address",
}  # fmt: skip


def translated(error: DBAPIError, doing: str, url: sa.URL) -> ExporterError:
    """By the error's number, which the driver gives first."""
    number, words = _told(error.orig, url.password)
    said = f"{doing}: the database answers {number}" if number else doing
    if number in _TOO_SLOW:
        return Unreachable(
            f"{doing}: a query took longer than dify.database.statement_timeout allows",
            "raise dify.database.statement_timeout, or read from a replica; `dify-exporter check` names missing indexes",
        )
    if number in _LOCKED:
        return Unreachable(
            f"{doing}: a table is locked", "Dify is probably being upgraded; this passes by itself"
        )
    if number in _FORBIDDEN:
        return SourceRefused(f"{said}: {words}", "`dify-exporter check` prints the GRANT to run")
    if number in _CHANGED:
        return SchemaChanged(
            f"{said}: {words}", "Dify's tables have changed; this is looked at again by itself"
        )
    if number in _UNREADABLE or isinstance(error, sa.exc.DataError):
        return Unreadable(f"a value cannot be read: the database answers {number}")
    if number in (2002, 2003):
        return Unreachable(
            f"{doing}: {words}", "is the host right, the database up, and the network open to it?"
        )
    if number in _PASSING or error.connection_invalidated:
        return Unreachable(said, "this usually passes by itself")
    if number in _HINTS:
        return SourceRefused(f"{said}: {words}", _HINTS[number])
    if number is None:
        return _without_number(error, doing)
    return SourceRefused(said, f"check {SETTING}")


def _without_number(error: DBAPIError, doing: str) -> ExporterError:
    """The driver's own complaint: mostly an option of the address that it does not know, or a package that it lacks."""
    if isinstance(error.orig, RuntimeError) and "cryptography" in str(error.orig):
        return Misconfigured(
            [f"{SETTING}: this server's passwords need the package cryptography"],
            "pip install 'dify-exporter[mysql]'",
        )
    return SourceRefused(f"{doing}: {type(error.orig).__name__}", f"check {SETTING}")


def _told(cause: BaseException | None, password: str | None) -> tuple[int | None, str]:
    """The error's number and its words."""
    given = cause.args if cause is not None else ()
    number = given[0] if given and isinstance(given[0], int) and given[0] else None
    words = str(given[1] if len(given) > 1 else cause).strip().partition("\n")[0]
    return number, words.replace(password, "***") if password else words
