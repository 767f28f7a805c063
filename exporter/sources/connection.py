"""The way into Dify's database: one small pool, read-only transactions, and errors that say what to try.

What a database of each kind needs for that is in `dialects`. No error carries the password or a row's content.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from exporter.config import DatabaseSettings
from exporter.errors import Misconfigured, SourceRefused, Unreachable
from exporter.sources.dialects import BY_SCHEME, DIALECTS, dialect_of
from exporter.sources.dialects.base import SETTING, Catalogue, Dialect, Unreadable

_ADDRESSES = " or ".join(dialect.EXAMPLE for dialect in DIALECTS)

_HOW_TO_WRITE = f"write {_ADDRESSES}; characters such as @ : / in the password are percent-encoded"


def database_url(settings: DatabaseSettings) -> tuple[sa.URL, Dialect]:
    """The address, and who serves it. Raises `Misconfigured` without ever repeating the address's secrets."""
    if settings.url is None or not settings.url.get_secret_value().strip():
        raise Misconfigured([f"{SETTING}: is required"], f"set DIFY_DATABASE_URL={DIALECTS[0].EXAMPLE}")
    try:
        url = sa.make_url(settings.url.get_secret_value().strip())
    except (ArgumentError, ValueError):
        raise Misconfigured([f"{SETTING}: is not a database address"], _HOW_TO_WRITE) from None
    if url.drivername not in BY_SCHEME:
        raise Misconfigured(
            [f"{SETTING}: {url.drivername}:// is not an address this program can use"], f"use {_ADDRESSES}"
        )
    return url, BY_SCHEME[url.drivername]


def connect(settings: DatabaseSettings) -> sa.Engine:
    """A pool of two connections, the first one tried. Raises `Misconfigured`, `Unreachable` or `SourceRefused`."""
    url, dialect = database_url(settings)
    try:
        try:
            return _tried(dialect.engine(url, settings), dialect.address(url))
        except SourceRefused as error:
            other = dialect.other_engine(error, url, settings)
            if other is None:
                raise
        return _tried(other, dialect.address(url))
    except (ArgumentError, ValueError):  # a host no resolver takes, or host lists in two styles
        raise Misconfigured([f"{SETTING}: is not a usable address"], _HOW_TO_WRITE) from None
    except OSError as error:  # a certificate of the address
        what = f"{error.filename or 'a file it names'}: {error.strerror or type(error).__name__}"
        raise Misconfigured(
            [f"{SETTING}: {what}"], "check the files in the part of the address after the question mark"
        ) from None


def _tried(engine: sa.Engine, address: str) -> sa.Engine:
    """The engine, when it has answered once."""
    try:
        with reading(engine, f"connecting to {address}") as connection:
            connection.execute(sa.select(1))
    except BaseException:
        engine.dispose()
        raise
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
        raise dialect_of(engine).translated(error, doing, engine.url) from None
    except SQLAlchemyError as error:
        raise SourceRefused(f"{doing}: {type(error).__name__}") from None


def read_catalogue(
    connection: sa.Connection, settings: DatabaseSettings, tables: tuple[str, ...]
) -> Catalogue:
    """The shape of these tables in the schema that holds Dify's."""
    return dialect_of(connection).read_catalogue(connection, settings, tables)
