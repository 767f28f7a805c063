"""A Dify database as the same Dify would have written it on MySQL: its tables, types, whole seconds and rows.

Types are those of Dify's models: CHAR(36) for ids, LONGTEXT for text, JSON for json, DATETIME for times, FLOAT for
floating numbers, and DECIMAL(10,0) where a model says NUMERIC without more.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg

from tests.contract.mariadb_server import Connection

_TYPES = {
    "uuid": "CHAR(36)", "text": "LONGTEXT", "json": "JSON", "jsonb": "JSON", "boolean": "BOOL", "integer": "INT",
    "bigint": "BIGINT", "smallint": "SMALLINT", "double precision": "FLOAT", "real": "FLOAT", "bytea": "LONGBLOB",
    "timestamp without time zone": "DATETIME", "character varying": "VARCHAR(255)", "numeric": "NUMERIC",
}  # fmt: skip

_TABLES = """
    SELECT c.oid, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = 'public' AND c.relkind = 'r' ORDER BY c.relname
"""

_COLUMNS = """
    SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute
    WHERE attrelid = %s AND attnum > 0 AND NOT attisdropped ORDER BY attnum
"""

_INDEXES = """
    SELECT indisprimary, ARRAY(SELECT pg_get_indexdef(indexrelid, k, true) FROM generate_series(1, indnkeyatts) k ORDER BY k)
    FROM pg_index WHERE indrelid = %s AND indpred IS NULL ORDER BY indexrelid
"""


def copy(source: psycopg.Connection[Any], target: Connection, message_hours: int = 0) -> None:
    """Every table of the schema `public`, with its indexes and rows. Messages (and other times that Dify leaves to the
    database) are dated `message_hours` later, as on a server of that zone."""
    for oid, name in source.execute(_TABLES).fetchall():
        columns = dict(source.execute(_COLUMNS, [oid]).fetchall())
        _create(source, target, oid, name, columns)
        _fill(source, target, name, columns, message_hours if name == "messages" else 0)


def _create(
    source: psycopg.Connection[Any], target: Connection, oid: int, name: str, columns: dict[str, str]
) -> None:
    parts = [f"`{column}` {_type(column, kind, name)}" for column, kind in columns.items()]
    for number, (is_primary, keys) in enumerate(source.execute(_INDEXES, [oid]).fetchall()):
        listed = ", ".join(_key(key, columns) for key in keys)
        if "(" not in listed.replace("(191)", ""):
            parts.append(f"PRIMARY KEY ({listed})" if is_primary else f"KEY k{number} ({listed})")
    with target.cursor() as cursor:
        cursor.execute(f"CREATE TABLE `{name}` ({', '.join(parts)})")


def _type(column: str, kind: str, table: str) -> str:
    base, _, size = kind.partition("(")
    if size:
        return f"{'VARCHAR' if base == 'character varying' else base}({size}"
    if (table, column) == ("messages", "created_at"):
        return "DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP"
    return _TYPES[base]


def _key(key: str, columns: dict[str, str]) -> str:
    name = key.strip('"')
    return f"`{name}`" + ("(191)" if columns.get(name) == "text" else "")


def _fill(
    source: psycopg.Connection[Any], target: Connection, name: str, columns: dict[str, str], hours: int
) -> None:
    listed = ", ".join(f"`{column}`" for column in columns)
    places = ", ".join(["%s"] * len(columns))
    rows = list(_rows(source, name, columns, hours))
    with target.cursor() as cursor:
        for row in rows:
            cursor.execute(f"INSERT INTO `{name}` ({listed}) VALUES ({places})", row)


def _rows(
    source: psycopg.Connection[Any], name: str, columns: dict[str, str], hours: int
) -> Iterator[tuple[Any, ...]]:
    as_text = ("uuid", "json", "jsonb")
    listed = ", ".join(
        f'"{column}"::text'
        if kind in as_text
        else f"\"{column}\" + interval '{hours} hours'"
        if column == "created_at" and hours
        else f'"{column}"'
        for column, kind in columns.items()
    )
    yield from source.execute(f'SELECT {listed} FROM "{name}"').fetchall()  # type: ignore[call-overload]
