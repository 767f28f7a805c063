"""The tables of one Dify as SQLAlchemy Core objects, with only the columns that are there.

A column that this Dify lacks is selected as NULL, so every result has the same width in every version.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, cast

import sqlalchemy as sa

from exporter.sources.schema import Schema

Column = sa.ColumnElement[Any]


def table(schema: Schema, name: str) -> sa.TableClause:
    """The table with its readable columns."""
    columns = sorted(schema.columns.get(name, frozenset()))
    return sa.table(name, *(sa.column(column) for column in columns), schema=schema.name)


def plain(source: sa.FromClause, *names: str) -> list[Column]:
    """These columns as the driver gives them."""
    return [source.c[name] if name in source.c else sa.null().label(name) for name in names]


def as_text(source: sa.FromClause, *names: str) -> list[Column]:
    """These columns (ids, JSON) as text, cast by the database: cheaper than building objects here."""
    return [
        sa.cast(source.c[name], sa.Text).label(name) if name in source.c else sa.null().label(name)
        for name in names
    ]


def octets(columns: Iterable[Column]) -> Column:
    """The bytes of text in these columns together; NULL counts nothing. Reads no toasted value of type text."""
    total: Column = sa.literal_column("0")
    for column in columns:
        total = total + sa.func.coalesce(sa.func.octet_length(column), 0)
    return total


def read_rows(
    connection: sa.Connection, statement: sa.Executable, ids: Iterable[str]
) -> Sequence[tuple[Any, ...]]:
    """The result of a statement that takes the parameter `ids`."""
    found = connection.execute(statement, {"ids": list(ids)}).fetchall()
    return cast(Sequence[tuple[Any, ...]], found)
