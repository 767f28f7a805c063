"""The tables of one Dify as SQLAlchemy Core objects, with only the columns that are there.

A column that this Dify lacks is selected as NULL, so every result has the same width in every version.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, cast

import sqlalchemy as sa

from exporter.sources.schema import Schema

Column = sa.ColumnElement[Any]

_IDS = "ids"


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


def one_of(schema: Schema, column: Column) -> sa.ColumnElement[bool]:
    """The column is one of the ids that `read_rows` is given. One statement text for any number of them."""
    return schema.dialect.one_of(column, _IDS)


def written_by_default(schema: Schema, column: Column) -> Column:
    """A time that Dify leaves to the database's default, as UTC: the creation of messages, among what we read."""
    return schema.dialect.default_time(schema.server, column).label(column.name)


def as_default(schema: Schema, moment: Column) -> Column:
    """A time in UTC as such a column holds it, to compare them: on this side an index is still used."""
    return schema.dialect.as_default_time(schema.server, moment)


def read_rows(
    connection: sa.Connection, statement: sa.Executable, ids: Iterable[str]
) -> Sequence[tuple[Any, ...]]:
    """The result of a statement with `one_of` in it."""
    found = connection.execute(statement, {_IDS: list(ids)}).fetchall()
    return cast(Sequence[tuple[Any, ...]], found)
