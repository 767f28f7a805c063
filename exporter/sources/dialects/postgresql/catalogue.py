"""What a PostgreSQL server tells of itself, of Dify's tables, and of its transactions.

The catalogue is asked instead of information_schema because that one hides what we may not read, so that "missing"
and "not granted" would look the same.
"""

from __future__ import annotations

import sqlalchemy as sa

from exporter.config import DatabaseSettings
from exporter.sources.cursor import Moment
from exporter.sources.dialects.base import Catalogue, Server
from exporter.sources.timestamps import to_micros

_SERVER = sa.text("""
    SELECT current_setting('server_version'), pg_catalog.pg_is_in_recovery(), current_user::text,
           coalesce((SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user), false),
           coalesce((SELECT pg_catalog.has_schema_privilege(oid, 'USAGE') FROM pg_catalog.pg_namespace
                     WHERE nspname = :schema), false),
           (SELECT CASE WHEN bool_or(proname = 'pg_current_snapshot') THEN 'pg_' ELSE min('txid_') END
            FROM pg_catalog.pg_proc WHERE proname IN ('pg_current_snapshot', 'txid_current_snapshot'))
""")

_COLUMNS = sa.text("""
    SELECT c.relname::text, a.attname::text, pg_catalog.has_column_privilege(c.oid, a.attnum, 'SELECT'),
           pg_catalog.has_table_privilege(c.oid, 'INSERT')
    FROM pg_catalog.pg_class c
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid
    WHERE n.nspname = :schema AND c.relname = ANY (:tables) AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
      AND a.attnum > 0 AND NOT a.attisdropped
""")

_INDEXES = sa.text("""
    SELECT c.relname::text, ARRAY(SELECT pg_catalog.pg_get_indexdef(i.indexrelid, k, true)
                                  FROM pg_catalog.generate_series(1, i.indnkeyatts) k ORDER BY k)
    FROM pg_catalog.pg_index i
    JOIN pg_catalog.pg_class c ON c.oid = i.indrelid
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = :schema AND c.relname = ANY (:tables) AND i.indisvalid AND i.indpred IS NULL
""")


def read_catalogue(
    connection: sa.Connection, settings: DatabaseSettings, tables: tuple[str, ...]
) -> Catalogue:
    """The shape of these tables as far as they exist, whatever we may read of them. Dify's schema is `public` unless the
    settings name another one."""
    schema = settings.schema_name or "public"
    named = {"schema": schema, "tables": list(tables)}
    version, is_standby, role, is_superuser, can_use, family = connection.execute(
        _SERVER, {"schema": schema}
    ).one()
    place = "hot standby" if is_standby else "primary"
    server = Server(f"PostgreSQL {version}", place, role, is_superuser, snapshot_functions=family)
    columns: dict[str, set[str]] = {}
    readable: dict[str, set[str]] = {}
    writable: set[str] = set()
    for table, column, can_read, can_write in connection.execute(_COLUMNS, named):
        columns.setdefault(table, set()).add(column)
        if can_read and can_use:
            readable.setdefault(table, set()).add(column)
        if can_write:
            writable.add(table)
    indexes = frozenset((table, tuple(keys)) for table, keys in connection.execute(_INDEXES, named))
    heads: tuple[str, ...] = ()
    if "version_num" in readable.get("alembic_version", ()):
        alembic = sa.table("alembic_version", sa.column("version_num"), schema=schema)
        heads = tuple(sorted(connection.execute(sa.select(alembic.c.version_num)).scalars()))
    return Catalogue(schema, _frozen(columns), _frozen(readable), frozenset(writable), indexes, heads, server)


def _frozen(names: dict[str, set[str]]) -> dict[str, frozenset[str]]:
    return {table: frozenset(columns) for table, columns in names.items()}


def read_moment(connection: sa.Connection, server: Server) -> Moment:
    """The server's clock, the lower bound of this transaction's snapshot, and the next transaction id.

    `age()` counts from the next id to be given out, so it turns the snapshot's xmax (32 bits of it) into that id.
    Works on a hot standby, needs no rights, and gives out no id.
    """
    family = server.snapshot_functions
    if family is None:
        now = connection.execute(sa.text("SELECT clock_timestamp() AT TIME ZONE 'UTC'")).scalar_one()
        return Moment(to_micros(now))
    prefix = {"pg_": "pg_snapshot", "txid_": "txid_snapshot"}[family]
    now, xmin, xmax, running_beyond = connection.execute(
        sa.text(f"""
            SELECT clock_timestamp() AT TIME ZONE 'UTC', s.xmin, s.xmax, age((s.xmax & 4294967295)::text::xid)
            FROM (SELECT {prefix}_xmin(t.s)::text::bigint AS xmin, {prefix}_xmax(t.s)::text::bigint AS xmax
                  FROM (SELECT {family}current_snapshot() AS s) AS t) AS s
        """)
    ).one()
    return Moment(to_micros(now), xmin, xmax + running_beyond)
