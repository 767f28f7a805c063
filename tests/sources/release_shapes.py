"""The recorded table shapes of every release: which there are, an empty database of one, and rows that fit it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import psycopg
from dify_tables import ago, new_id

VERSIONS = (
    "0.15.3", "1.0.0", "1.0.1", "1.1.3", "1.3.1", "1.4.0", "1.4.1", "1.4.3", "1.5.1", "1.6.0", "1.7.1", "1.7.2", "1.8.0",
    "1.8.1", "1.9.1", "1.9.2", "1.10.0", "1.10.1", "1.11.1", "1.11.2", "1.11.4", "1.12.1", "1.13.0", "1.13.3", "1.14.0",
    "1.14.2", "1.15.0", "1.16.0", "1.17.1",
)  # fmt: skip


def build(
    connection: psycopg.Connection[Any], shape: dict[str, Any], others: frozenset[str] | None = None
) -> None:
    """Tables, defaults, NOT NULL, primary keys and indexes as recorded; other tables as empty names, all or these alone."""
    connection.execute(
        "CREATE FUNCTION uuid_generate_v4() RETURNS uuid LANGUAGE sql AS 'SELECT gen_random_uuid()'"
    )
    for name, table in shape["tables"].items():
        columns = [
            f'"{column["name"]}" {column["type"]}'
            + (
                f" DEFAULT {column['default']}"
                if column["default"] and "nextval" not in column["default"]
                else ""
            )
            + ("" if column["nullable"] else " NOT NULL")
            for column in table["columns"]
        ]
        key = ", ".join(table["primary_key"]["columns"])
        connection.execute(f"CREATE TABLE {name} ({', '.join(columns)}, PRIMARY KEY ({key}))")  # type: ignore[call-overload]
        for index in table["indexes"]:
            unique, where = (
                "UNIQUE " if index["unique"] else "",
                f" WHERE {index['where']}" if index["where"] else "",
            )
            listed = ", ".join(index["columns"])
            statement = f"CREATE {unique}INDEX ON {name} USING {index['method']} ({listed}){where}"
            connection.execute(statement)  # type: ignore[call-overload]
    for name in shape["other_tables"]:
        if others is not None and name not in others:
            continue
        connection.execute(f'CREATE TABLE "{name}" (id uuid, tenant_id uuid, name text)')  # type: ignore[call-overload]
    connection.execute("INSERT INTO alembic_version VALUES (%s)", [shape["alembic_head"]])


@dataclass(frozen=True)
class Writer:
    """Writes rows into a database of this shape."""

    connection: psycopg.Connection[Any]
    shape: dict[str, Any]

    def has(self, table: str, column: str | None = None) -> bool:
        """Whether this release has the table, or the column."""
        found = self.shape["tables"].get(table)
        return found is not None and (column is None or any(column == c["name"] for c in found["columns"]))

    def put(self, table: str, /, **values: Any) -> str:
        """One row, with every NOT NULL column of the release filled; returns its id."""
        for column in self.shape["tables"][table]["columns"]:
            if column["nullable"] or column["default"] or column["name"] in values:
                continue
            values[column["name"]] = _filler(column["type"])
        values.setdefault("id", new_id())
        names = ", ".join(f'"{column}"' for column in values)
        places = ", ".join(["%s"] * len(values))
        self.connection.execute(
            f"INSERT INTO {table} ({names}) VALUES ({places})",  # type: ignore[call-overload]
            list(values.values()),
        )
        return str(values["id"])


def _filler(kind: str) -> Any:
    if kind == "uuid":
        return new_id()
    if kind in ("json", "jsonb"):
        return "{}"
    if kind.startswith("timestamp"):
        return ago(minutes=5)
    return False if kind == "boolean" else "0"
