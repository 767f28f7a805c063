"""Parts of statements as MySQL wants them: lists of ids, places in an order, unions of look-ups, grants.

Ids and times of a question are plain values and never columns of a derived table: those would have a collation of their
own, which need not be that of Dify's tables.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import sqlalchemy as sa

from exporter.sources.dialects.base import Asked, Column, LookUp

_AT_ONCE = 100
"""Look-ups in one statement."""


def one_of(column: Column, parameter: str) -> sa.ColumnElement[bool]:
    """`column` is one of the ids in the list parameter."""
    return column.in_(sa.bindparam(parameter, expanding=True, type_=sa.String))


def after(created_at: Column, row_id: Column, time: Column, id_: str) -> sa.ColumnElement[bool]:
    """The row comes after (time, parameter `id_`). MySQL reads no range of an index for a comparison of rows, so it is
    written out."""
    later = sa.or_(created_at > time, row_id > sa.bindparam(id_, type_=sa.String))
    return sa.and_(created_at >= time, later)


def answers(connection: sa.Connection, asked: Asked, look_up: LookUp) -> Iterable[tuple[Any, ...]]:
    """The look-ups side by side in a few statements: not every server of this family has lateral joins."""
    found: list[tuple[Any, ...]] = []
    for start in range(0, len(asked.rows), _AT_ONCE):
        rows = asked.rows[start : start + _AT_ONCE]
        selects = sa.union_all(*_selects(asked, rows, look_up))
        found += [tuple(row) for row in connection.execute(selects)]
    return found


def _selects(asked: Asked, rows: Iterable[tuple[Any, ...]], look_up: LookUp) -> Iterator[sa.Select[Any]]:
    names = (*asked.ids, *asked.times)
    for row in rows:
        select = look_up({name: sa.literal(value) for name, value in zip(names, row, strict=True)})
        yield select.with_only_columns(
            sa.literal(row[0], sa.String).label("question"), *select.selected_columns
        )


def grants(schema: str, role: str, tables: tuple[str, ...]) -> str:
    """The statements that let `role` (`user@host`) read these tables."""
    return " ".join(
        f"GRANT SELECT ON {_quoted(schema)}.{_quoted(table)} TO {_account(role)};" for table in tables
    )


def column_grant(schema: str, role: str, table: str, columns: tuple[str, ...]) -> str:
    """The statement that lets `role` read these columns."""
    return f"GRANT SELECT ({', '.join(columns)}) ON {_quoted(schema)}.{_quoted(table)} TO {_account(role)};"


def new_role(schema: str, tables: tuple[str, ...]) -> str:
    """The statements that make a role for us that may only read."""
    return f"CREATE USER 'dify_exporter'@'%' IDENTIFIED BY '…'; {grants(schema, 'dify_exporter@%', tables)}"


def _quoted(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"


def _account(role: str) -> str:
    user, _, host = role.rpartition("@")
    return "@".join("'" + part.replace("\\", "\\\\").replace("'", "''") + "'" for part in (user, host))
