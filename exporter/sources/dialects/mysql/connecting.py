"""The pool of connections to MySQL or MariaDB.

Every transaction is READ ONLY and REPEATABLE READ (all queries of one answer see the same moment) and gives up before
it can hurt Dify: a limit for each statement, one second of waiting for a lock of a migration, and a session left alone ends.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import datetime
from importlib.util import find_spec
from inspect import signature
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event

from exporter.config import DatabaseSettings, masked_url
from exporter.errors import ExporterError, Misconfigured
from exporter.sources.dialects.base import IDLE_TIMEOUT_MS, LOCK_TIMEOUT_MS, SETTING, pool

_DRIVER = "mysql+pymysql"

SCHEMES = frozenset({"mysql", "mariadb", "oceanbase", "seekdb", _DRIVER, "mariadb+pymysql"})

EXAMPLE = "mysql://user:password@host:3306/dify"

_UNKNOWN_VARIABLE = 1193

_ANSWER_SECONDS = 5
"""How much longer than a statement may take an answer is waited for, the server's greeting included, before the connection
is given up as dead."""


def engine(url: sa.URL, settings: DatabaseSettings) -> sa.Engine:
    """Limits are set once a session."""
    if find_spec("pymysql") is None:
        raise Misconfigured(
            [f"{SETTING}: Dify on MySQL needs the package PyMySQL, which is not installed"],
            "pip install 'dify-exporter[mysql]'",
        )
    if not url.database:
        raise Misconfigured([f"{SETTING}: names no database"], f"write {EXAMPLE}")
    unknown = sorted(url.query.keys() - _options())
    if unknown:
        raise Misconfigured(
            [f"{SETTING}: unknown option {', '.join(unknown)}"],
            "check the part of the address after the question mark; TLS is switched on by ?ssl_ca=/path/to/ca.pem",
        )
    absent = _absent_files(url)
    if absent:
        raise Misconfigured([f"{SETTING}: there is no file {', '.join(absent)}"], "name the files of TLS")
    made = sa.create_engine(
        url.set(drivername=_DRIVER),
        connect_args={
            "charset": "utf8mb4",
            "connect_timeout": max(1, math.ceil(settings.connect_timeout)),
            "read_timeout": math.ceil(settings.statement_timeout) + _ANSWER_SECONDS,
            "write_timeout": math.ceil(settings.statement_timeout) + _ANSWER_SECONDS,
            "program_name": "dify-exporter",
            "conv": _conversions(),
        },
        **pool(settings),
    )
    limits = tuple(_limits(settings))

    @event.listens_for(made, "connect")
    def _limited(connection: Any, _record: object) -> None:
        with connection.cursor() as cursor:
            for statement in limits:
                _set(cursor, statement)

    return made


def _absent_files(url: sa.URL) -> list[str]:
    given = url.normalized_query
    paths = [path for name in ("ssl_ca", "ssl_cert", "ssl_key") for path in given.get(name, ())]
    return [path for path in paths if not Path(path).is_file()]


def _options() -> frozenset[str]:
    """What may follow the question mark: what the driver takes, and the parts of its option `ssl`."""
    from pymysql.connections import Connection

    ssl = {f"ssl_{name}" for name in ("ca", "capath", "cert", "key", "cipher", "check_hostname")}
    return frozenset(signature(Connection.__init__).parameters) | ssl


def _conversions() -> dict[Any, Any]:
    """The driver's, but a date that is none (0000-00-00) is unknown, where the driver gives its text."""
    from pymysql.constants import FIELD_TYPE
    from pymysql.converters import conversions, convert_datetime

    def moment(text: str) -> datetime | None:
        found = convert_datetime(text)
        return found if isinstance(found, datetime) else None

    return {**conversions, FIELD_TYPE.DATETIME: moment, FIELD_TYPE.TIMESTAMP: moment}


def _limits(settings: DatabaseSettings) -> Iterator[str]:
    yield "SET SESSION TRANSACTION READ ONLY"
    yield f"SET SESSION wait_timeout = {IDLE_TIMEOUT_MS // 1000}"
    yield f"SET SESSION lock_wait_timeout = {max(1, LOCK_TIMEOUT_MS // 1000)}"
    yield f"SET SESSION max_execution_time = {max(1, math.ceil(settings.statement_timeout * 1000))}"  # MySQL
    yield f"SET SESSION max_statement_time = {settings.statement_timeout:.3f}"  # MariaDB


def _set(cursor: Any, statement: str) -> None:
    """Each server of the family knows its own names for limits; the other ones it calls unknown."""
    from pymysql.err import MySQLError

    try:
        cursor.execute(statement)
    except MySQLError as error:
        if error.args[:1] != (_UNKNOWN_VARIABLE,):
            raise


def other_engine(_refusal: ExporterError, _url: sa.URL, _settings: DatabaseSettings) -> sa.Engine | None:
    """There is no second way in."""
    return None


def address(url: sa.URL) -> str:
    """As its user wrote it, without the password."""
    return masked_url(url.set(drivername="mysql").render_as_string(hide_password=True))
