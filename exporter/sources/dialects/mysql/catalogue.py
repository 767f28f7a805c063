"""What a MySQL server tells of itself and of Dify's tables, through information_schema.

That one shows only what we have a right on, so "missing" and "not granted" look the same to a narrow role. Of transactions the server
tells nothing without the right PROCESS, which nobody should give us.
"""

from __future__ import annotations

from collections.abc import Mapping, Set

import sqlalchemy as sa

from exporter.config import DatabaseSettings
from exporter.sources.cursor import Moment
from exporter.sources.dialects.base import Catalogue, Clock, Server
from exporter.sources.dialects.mysql.clock import clock_of
from exporter.sources.timestamps import to_micros

_SERVER = sa.text(
    """
    SELECT VERSION(), @@global.read_only, CURRENT_USER(),
           EXISTS (SELECT 1 FROM information_schema.user_privileges
                   WHERE privilege_type = 'SELECT' AND grantee = {me})
        OR EXISTS (SELECT 1 FROM information_schema.schema_privileges
                   WHERE privilege_type = 'SELECT' AND grantee = {me} AND :schema LIKE table_schema)
""".format(me="""CONCAT("'", REPLACE(CURRENT_USER(), '@', "'@'"), "'")""")
)
"""With a right on the whole schema nothing of it is hidden."""

_COLUMNS = sa.text("""
    SELECT table_name, column_name, privileges, data_type, numeric_scale, datetime_precision FROM information_schema.columns
    WHERE table_schema = :schema AND table_name IN :tables
""").bindparams(sa.bindparam("tables", expanding=True))

_INDEXES = sa.text("""
    SELECT table_name, index_name, column_name FROM information_schema.statistics
    WHERE table_schema = :schema AND table_name IN :tables ORDER BY table_name, index_name, seq_in_index
""").bindparams(sa.bindparam("tables", expanding=True))


def read_catalogue(
    connection: sa.Connection, settings: DatabaseSettings, tables: tuple[str, ...]
) -> Catalogue:
    """The shape of these tables as far as we have a right on them. Schema and database are one here: the address's unless the
    settings name another one."""
    schema = settings.schema_name or str(connection.engine.url.database)
    named = {"schema": schema, "tables": list(tables)}
    columns: dict[str, set[str]] = {}
    readable: dict[str, set[str]] = {}
    writable: set[str] = set()
    precisions: set[int] = set()
    for table, column, privileges, kind, scale, precision in connection.execute(_COLUMNS, named):
        if _is_rounded(kind, scale):
            continue
        if column == "created_at":
            precisions.add(precision or 0)
        rights = frozenset(str(privileges).lower().split(","))
        columns.setdefault(table, set()).add(column)
        if "select" in rights:
            readable.setdefault(table, set()).add(column)
        if "insert" in rights:
            writable.add(table)
    indexes = _indexes(connection, named)
    clock = clock_of(connection, settings, *_comparable(connection, schema, readable, indexes))
    return Catalogue(
        schema,
        {table: frozenset(names) for table, names in columns.items()},
        {table: frozenset(names) for table, names in readable.items()},
        frozenset(writable),
        indexes,
        _heads(connection, schema, readable),
        _server(connection, schema, clock, has_whole_seconds=precisions == {0}),
    )


def _is_rounded(kind: str, scale: int | None) -> bool:
    """Dify declares the prices of agent rounds NUMERIC, which is DECIMAL(10,0) here: what they hold are whole units of
    money, that is, mostly 0."""
    return str(kind).lower() == "decimal" and scale == 0


def _indexes(
    connection: sa.Connection, named: Mapping[str, object]
) -> frozenset[tuple[str, tuple[str, ...]]]:
    keys: dict[tuple[str, str], list[str]] = {}
    for table, index, column in connection.execute(_INDEXES, named):
        keys.setdefault((table, index), []).append(column or "(an expression)")
    return frozenset((table, tuple(names)) for (table, _), names in keys.items())


def _heads(connection: sa.Connection, schema: str, readable: dict[str, set[str]]) -> tuple[str, ...]:
    if "version_num" not in readable.get("alembic_version", ()):
        return ()
    alembic = sa.table("alembic_version", sa.column("version_num"), schema=schema)
    return tuple(sorted(connection.execute(sa.select(alembic.c.version_num)).scalars()))


def _comparable(
    connection: sa.Connection,
    schema: str,
    readable: Mapping[str, Set[str]],
    indexes: frozenset[tuple[str, tuple[str, ...]]],
) -> tuple[str, str] | tuple[None, None]:
    """The quoted names of messages and runs, where their newest can be compared in little time."""
    if (
        {"created_at", "workflow_run_id"} <= readable.get("messages", frozenset())
        and {"id", "created_at"} <= readable.get("workflow_runs", frozenset())
        and any(table == "messages" and keys[0] == "created_at" for table, keys in indexes)
    ):
        quoted = connection.dialect.identifier_preparer.quote_identifier(schema)
        return f"{quoted}.messages", f"{quoted}.workflow_runs"
    return None, None


def _server(connection: sa.Connection, schema: str, clock: Clock, has_whole_seconds: bool) -> Server:
    version, is_read_only, role, sees_all = connection.execute(_SERVER, {"schema": schema}).one()
    return Server(
        product_words(version),
        place="read-only" if is_read_only else "primary",
        role=role,
        is_superuser=False,
        hides_ungranted=not sees_all,
        clock=clock,
        has_whole_seconds=has_whole_seconds,
    )


def product_words(version: str) -> str:
    """`MariaDB 10.11.19` or `MySQL 8.0.41`, as `VERSION()` tells it."""
    number, _, rest = version.partition("-")
    named = [name for name in ("MariaDB", "OceanBase", "TiDB") if name.lower() in rest.lower()]
    if named == ["MariaDB"] or not named:
        return f"{named[0] if named else 'MySQL'} {number}"
    return f"{named[0]} ({version})"


def read_moment(connection: sa.Connection, _server: Server) -> Moment:
    """The server's clock alone."""
    return Moment(to_micros(connection.execute(sa.text("SELECT UTC_TIMESTAMP(6)")).scalar_one()))
