"""Parts of statements as PostgreSQL wants them: array parameters, comparisons of rows, lateral joins, grants."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa

from exporter.sources.dialects.base import Asked, Column, LookUp, Server

_ID = sa.Uuid(as_uuid=False)


def one_of(column: Column, parameter: str) -> sa.ColumnElement[bool]:
    """`column` (a uuid) is one of the ids in the list parameter. One statement text for any number of ids."""
    ids = sa.bindparam(parameter, type_=sa.ARRAY(sa.Text))
    return column == sa.any_(sa.cast(ids, sa.ARRAY(sa.Uuid)))


def after(created_at: Column, row_id: Column, time: Column, id_: str) -> sa.ColumnElement[bool]:
    """The row comes after (time, parameter `id_`): one comparison of rows, which an index in that order serves."""
    place = sa.tuple_(time, sa.cast(sa.bindparam(id_, type_=sa.Text), sa.Uuid))
    return sa.tuple_(created_at, row_id) > place


def answers(connection: sa.Connection, asked: Asked, look_up: LookUp) -> Iterable[tuple[Any, ...]]:
    """All questions in one statement: a table of them, and a lateral look-up for each."""
    columns = [sa.column(name, _ID) for name in asked.ids] + [
        sa.column(name, sa.DateTime) for name in asked.times
    ]
    questions = sa.values(*columns, name="questions").data(list(asked.rows))
    found = look_up({column.name: column for column in questions.c}).lateral("found")
    first = sa.cast(questions.c[asked.ids[0]], sa.Text)
    select = sa.select(first, *found.c).select_from(questions.join(found, sa.true()))
    return [tuple(row) for row in connection.execute(select)]


def default_time(_server: Server, column: Column) -> Column:
    """Dify sets its sessions to UTC here, so its defaults are in UTC."""
    return column


def as_default_time(_server: Server, moment: Column) -> Column:
    """The same."""
    return moment


def grants(schema: str, role: str, tables: tuple[str, ...]) -> str:
    """The statements that let `role` read these tables."""
    listed = ", ".join(f"{_quoted(schema)}.{_quoted(table)}" for table in tables)
    usage = f"GRANT USAGE ON SCHEMA {_quoted(schema)} TO {_quoted(role)};"
    return f"{usage} GRANT SELECT ON {listed} TO {_quoted(role)};"


def column_grant(schema: str, role: str, table: str, columns: tuple[str, ...]) -> str:
    """The statement that lets `role` read these columns."""
    return f"GRANT SELECT ({', '.join(columns)}) ON {_quoted(schema)}.{table} TO {_quoted(role)};"


def new_role(schema: str, tables: tuple[str, ...]) -> str:
    """The statements that make a role for us that may only read."""
    return f"CREATE ROLE dify_exporter LOGIN PASSWORD '…'; {grants(schema, 'dify_exporter', tables)}"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
