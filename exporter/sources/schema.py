"""The shape of this Dify's database: which tables and columns we may read, and what their absence costs.

Dify's tables differ between releases and forks. Nothing here refuses a database for being unknown; it refuses one
that is not Dify's, or whose rows we could only read in part without knowing it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace

from exporter.errors import SourceRefused
from exporter.sources.dialects.base import Catalogue, Dialect, Server
from exporter.sources.rows import MessageRow, NodeRow, RunRow, ThoughtRow
from exporter.sources.versions import PROBED_TABLES, Releases, releases


def _fields(row_type: type, *not_columns: str) -> tuple[str, ...]:
    return tuple(field.name for field in fields(row_type) if field.name not in not_columns)


COLUMNS: dict[str, tuple[str, ...]] = {
    "messages": (*_fields(MessageRow, "media", "conversation_name"), "app_mode"),
    "message_agent_thoughts": (*_fields(ThoughtRow, "tool_meta"), "tool_meta_str"),
    "message_files": ("id", "message_id", "belongs_to"),
    "conversations": ("id", "name"),
    "workflow_runs": (*_fields(RunRow), "graph"),
    "workflow_node_executions": _fields(NodeRow, "offloaded"),
    "workflow_node_execution_offload": ("id", "node_execution_id", "type", "file_id"),
    "upload_files": ("id", "key", "size"),
    "workflow_archive_logs": ("id",),
    "apps": ("id", "tenant_id", "name", "mode"),
    "pipelines": ("id", "tenant_id", "name"),
    "tenants": ("id", "name"),
    "end_users": ("id", "session_id"),
    "tool_workflow_providers": ("id", "app_id"),
    "workflows": ("id", "tenant_id", "app_id", "version"),
    "alembic_version": ("version_num",),
}
"""Every column we read, by table."""

_ESSENTIAL: dict[str, frozenset[str]] = {
    "messages": frozenset({"id", "app_id", "created_at"}),
    "workflow_runs": frozenset({"id", "tenant_id", "app_id", "created_at"}),
    "workflow_node_executions": frozenset(
        {"id", "app_id", "created_at", "workflow_run_id", "triggered_from"}
    ),
    "apps": frozenset({"id", "tenant_id", "name", "mode"}),
}
"""Without these a database is not Dify's."""

_SILENT = ("message_agent_thoughts", "message_files", "workflow_node_execution_offload")
"""Where these exist they must be readable: without them token counts would be wrong and nothing would show it."""

_COST = {
    "pipelines": "knowledge pipelines have no name",
    "tenants": "workspaces have no name",
    "end_users": "end users have no session id",
    "conversations": "hidden title calls are matched without the conversation's name",
    "tool_workflow_providers": "workflow tools are not linked to their runs",
    "workflows": "single-step debug runs may be slow to find",
    "alembic_version": "the version is told from the tables alone",
    "upload_files": "long values that Dify keeps outside of the database cannot be found",
    "workflow_archive_logs": "whether runs were archived is unknown",
}

_NEWER = {
    ("messages", "app_mode"),
    *((table, None) for table in ("pipelines", "workflow_node_execution_offload", "workflow_archive_logs")),
    ("upload_files", None),  # in every release, but what points to it is newer
}
"""Absent in older releases, and nothing is lost by that."""

ALL_TABLES = tuple(sorted({*COLUMNS, *PROBED_TABLES}))


@dataclass(frozen=True, slots=True)
class Schema:
    """What we work with: readable columns by table, indexes, the releases it may be, and what is missing, in words."""

    name: str
    columns: Mapping[str, frozenset[str]]
    indexes: frozenset[tuple[str, tuple[str, ...]]]
    releases: Releases
    heads: tuple[str, ...]
    missing: tuple[str, ...]
    server: Server
    dialect: Dialect

    def has(self, table: str, *columns: str) -> bool:
        """True when the table is readable with all these columns."""
        return table in self.columns and self.columns[table].issuperset(columns)

    def has_index(self, table: str, *leading: str) -> bool:
        """True when an index of the table begins with these columns."""
        return any(owner == table and keys[: len(leading)] == leading for owner, keys in self.indexes)


def judge(catalogue: Catalogue, dialect: Dialect) -> Schema:
    """The schema to work with. Raises `SourceRefused` when it is not Dify's or not ours to read."""
    absent = absent_tables(catalogue)
    if absent:
        raise SourceRefused(
            f"this is not a Dify database: {absence(catalogue, absent)}", what_to_do(catalogue, dialect)
        )
    forbidden = forbidden_tables(catalogue)
    if forbidden:
        raise SourceRefused(
            f"role {catalogue.server.role!r} may not read {', '.join(forbidden)}",
            f"as the owner run: {grants(catalogue, dialect)}",
        )
    return Schema(
        catalogue.schema,
        catalogue.readable,
        catalogue.indexes,
        releases(catalogue.heads, catalogue.columns),
        catalogue.heads,
        tuple(_missing(catalogue)),
        catalogue.server,
        dialect,
    )


def with_known_clock(schema: Schema, before: Schema) -> Schema:
    """The schema with the clock that was told of before, where nothing tells of it now: an assumption in its place would move
    the place where reading goes on."""
    now, known = schema.server.clock, before.server.clock
    if not now.is_assumed or known.is_assumed or known.server_zone != now.server_zone:
        return schema
    return replace(schema, server=replace(schema.server, clock=known))


def absence(catalogue: Catalogue, absent: list[str]) -> str:
    """That these tables are not there, in words."""
    may_be = (
        f", or role {catalogue.server.role} may not read them" if catalogue.server.hides_ungranted else ""
    )
    return f"schema {catalogue.schema!r} has no {' and no '.join(absent)}{may_be}"


def what_to_do(catalogue: Catalogue, dialect: Dialect) -> str:
    """How to mend that essential tables are not there."""
    names = "check the database name in dify.database.url (usually dify, not dify_plugin) and dify.database.schema"
    if catalogue.server.hides_ungranted:
        return f"{names}; if it is Dify's, run as its owner: {grants(catalogue, dialect)}"
    return names


def grants(catalogue: Catalogue, dialect: Dialect) -> str:
    """The statements that let our role read what we read of the tables here."""
    return dialect.grants(catalogue.schema, catalogue.server.role, wanted_tables(catalogue))


def absent_tables(catalogue: Catalogue) -> list[str]:
    """Essential tables (or their essential columns) that do not exist."""
    absent = [table for table in _ESSENTIAL if table not in catalogue.columns]
    return absent or [
        f"{table}.{column}"
        for table, needed in _ESSENTIAL.items()
        for column in sorted(needed - catalogue.columns[table])
    ]


def forbidden_tables(catalogue: Catalogue) -> list[str]:
    """Tables that exist and that we must be able to read but may not."""
    needed = _ESSENTIAL | {
        table: frozenset(COLUMNS[table])
        for table in _SILENT
        if table in catalogue.columns or catalogue.server.hides_ungranted
    }
    return [
        table
        for table, columns in needed.items()
        if not (columns & catalogue.columns.get(table, frozenset()))
        <= catalogue.readable.get(table, frozenset())
        or table not in catalogue.readable
    ]


def wanted_tables(catalogue: Catalogue) -> tuple[str, ...]:
    """All tables we read that exist, or may exist, here: what a role for us is best granted. Those that may not exist in
    every release come last, because a GRANT on them may fail."""
    there = [table for table in COLUMNS if table in catalogue.columns or catalogue.server.hides_ungranted]
    return tuple(sorted(there, key=lambda table: (table, None) in _NEWER and table not in catalogue.columns))


def _gone(catalogue: Catalogue) -> str:
    return "does not exist" + (" or is not granted" if catalogue.server.hides_ungranted else "")


def _missing(catalogue: Catalogue) -> list[str]:
    found = []
    for table, columns in COLUMNS.items():
        readable = catalogue.readable.get(table)
        if readable is None and (table in catalogue.columns or (table, None) not in _NEWER):
            why = "is not granted" if table in catalogue.columns else _gone(catalogue)
            found.append(f"table {table} {why}: {_COST.get(table, 'what it holds is unknown')}")
        if readable is None:
            continue
        gone = [
            c
            for c in columns
            if c not in readable and (c in catalogue.columns[table] or (table, c) not in _NEWER)
        ]
        if gone:
            found.append(f"{table} has no readable {', '.join(gone)}: unknown in every trace")
    return found
