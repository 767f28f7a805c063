"""The pool of connections to PostgreSQL.

Every transaction is READ ONLY and REPEATABLE READ (all queries of one answer see the same moment) and gives up before
it can hurt Dify: a statement timeout, and a lock timeout shorter than PostgreSQL's deadlock check, so that a
migration of Dify is never the one that is cancelled.
"""

from __future__ import annotations

import math
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event

from exporter.config import DatabaseSettings, masked_url
from exporter.errors import ExporterError, SourceRefused
from exporter.sources.dialects.base import IDLE_TIMEOUT_MS, LOCK_TIMEOUT_MS, pool

_DRIVER = "postgresql+psycopg"

SCHEMES = frozenset({"postgresql", "postgres", _DRIVER})

EXAMPLE = "postgresql://user:password@host:5432/dify"

_KEEPALIVE = {"keepalives_idle": "30", "keepalives_interval": "10", "keepalives_count": "3"}


def engine(url: sa.URL, settings: DatabaseSettings) -> sa.Engine:
    """Limits are set once a session, as options of the connection."""
    return _engine(url, settings, with_options=True)


def other_engine(refusal: ExporterError, url: sa.URL, settings: DatabaseSettings) -> sa.Engine | None:
    """Poolers such as PgBouncer refuse session options at connect; then each transaction sets its own."""
    is_pooler = isinstance(refusal, SourceRefused) and "unsupported startup parameter" in str(refusal)
    return _engine(url, settings, with_options=False) if is_pooler else None


def address(url: sa.URL) -> str:
    """As its user wrote it, without the password."""
    return masked_url(url.set(drivername="postgresql").render_as_string(hide_password=True))


def _engine(url: sa.URL, settings: DatabaseSettings, with_options: bool) -> sa.Engine:
    limits: dict[str, int | str] = {
        "statement_timeout": max(1, math.ceil(settings.statement_timeout * 1000)),
        "lock_timeout": LOCK_TIMEOUT_MS,
        "idle_in_transaction_session_timeout": IDLE_TIMEOUT_MS,
        "jit": "off",  # compiling costs more than any of our short queries
    }
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
    made = sa.create_engine(
        url.set(drivername=_DRIVER),
        connect_args=arguments,
        **pool(settings),
        use_native_hstore=False,
    )

    @event.listens_for(made, "connect")
    def _read_only(connection: Any, _record: object) -> None:
        connection.read_only = True

    if not with_options:
        wanted = ", ".join(f"set_config('{name}', '{value}', true)" for name, value in limits.items())

        @event.listens_for(made, "begin")
        def _limited(connection: sa.Connection) -> None:
            connection.exec_driver_sql(f"SELECT {wanted}")

    return made
