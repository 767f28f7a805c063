"""The kinds of database that Dify runs on. No other folder speaks a dialect of SQL; a new kind is one more package here."""

from __future__ import annotations

from collections.abc import Mapping

import sqlalchemy as sa

from exporter.sources.dialects import mysql, postgresql
from exporter.sources.dialects.base import Dialect

DIALECTS: tuple[Dialect, ...] = (postgresql, mysql)

BY_SCHEME: Mapping[str, Dialect] = {scheme: dialect for dialect in DIALECTS for scheme in dialect.SCHEMES}
"""By the part of an address before `://`."""


def dialect_of(database: sa.Engine | sa.Connection) -> Dialect:
    """The dialect of an engine or a connection."""
    return BY_SCHEME[database.dialect.name]
