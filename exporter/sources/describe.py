"""What is known of the database, in words: for `status`, `check` and the log line at start."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import sqlalchemy as sa

from exporter.sources.by_version import Limit, limits
from exporter.sources.discovery import Stream
from exporter.sources.links import can_link
from exporter.sources.schema import Schema
from exporter.sources.storage.store import Store
from exporter.sources.storage.values import can_find
from exporter.sources.tables import table

_RECENT = 1000


def described(
    connection: sa.Connection, schema: Schema, streams: Mapping[str, Stream]
) -> Iterator[tuple[str, str]]:
    """(name, words) pairs, most important first."""
    yield "Dify", version_words(schema)
    yield "server", server_words(schema)
    yield from (("missing", words) for words in schema.missing)
    for name, stream in streams.items():
        if not stream.is_indexed:
            yield (
                "index",
                f"no index orders {name} by time: finding new ones scans their table, and is done less often",
            )
    for limit, is_certain in limits(schema.releases):
        if not limit.is_seen:
            which = "" if is_certain else f"{_before(limit)}, "
            yield "records", f"{which}{limit.what}: {limit.why}"
    if not can_link(schema):
        yield "index", "workflow_runs has no index by created_at: workflow tools are not linked to their runs"
    if schema.server.snapshot_functions is None:
        yield (
            "late rows",
            "the server shows no snapshots: rows committed later than dify.overlap are not found",
        )
    if schema.server.clock.zone is not None:
        is_assumed = schema.server.clock.is_assumed
        how = "are taken to be (set dify.database.message_times)" if is_assumed else "are"
        yield (
            "clock",
            f"the server's zone is {schema.server.clock.server_zone}, and the times of Dify's messages {how} in it: read as UTC",
        )
    if runs_are_elsewhere(connection, schema):
        yield (
            "runs",
            "workflow_runs is empty although messages name runs: Dify keeps them elsewhere (log service?)",
        )
    archived = _archived(connection, schema)
    if archived:
        yield "archive", f"{archived} runs were archived by Dify: what was not exported before is not read"


def long_values(connection: sa.Connection, schema: Schema, store: Store | None) -> Iterator[tuple[str, str]]:
    """Where the values lie that Dify cuts in its database, if there are any."""
    if not schema.has("workflow_node_execution_offload", "node_execution_id"):
        return
    offload = table(schema, "workflow_node_execution_offload")
    if not connection.execute(sa.select(sa.exists(sa.select(offload.c.node_execution_id)))).scalar_one():
        return
    if store is None:
        yield (
            "long values",
            "some are cut in the database: dify.storage is not set, so their traces keep what is left",
        )
    elif can_find(schema):
        yield "long values", f"read from {store.where}"
    else:
        yield (
            "long values",
            "dify.storage is set, but upload_files is not readable, which tells where they are",
        )


def _before(limit: Limit) -> str:
    """Which of the releases it may be the limit holds for."""
    return f"if it is older than {limit.before}" if limit.before else f"if it is {limit.since} or newer"


def version_words(schema: Schema) -> str:
    """`1.12.0–1.12.1 (migration 788d3099ae3a)`."""
    return f"{schema.releases.words} (migration {', '.join(schema.heads) or 'unknown'})"


def server_words(schema: Schema) -> str:
    """Server version, primary or standby, our role."""
    server = schema.server
    rights = " (superuser; a role that may only read is enough)" if server.is_superuser else ""
    return f"{server.product}, {server.place}, as role {server.role}{rights}"


def runs_are_elsewhere(connection: sa.Connection, schema: Schema) -> bool:
    """Dify can keep its executions outside of the database; then the tables exist and are empty."""
    runs, messages = table(schema, "workflow_runs"), table(schema, "messages")
    if connection.execute(sa.select(sa.exists(sa.select(runs.c.id)))).scalar_one():
        return False
    if "workflow_run_id" not in messages.c or not schema.has_index("messages", "created_at"):
        return False
    recent = (
        sa.select(messages.c.workflow_run_id).order_by(messages.c.created_at.desc()).limit(_RECENT).subquery()
    )
    return bool(connection.execute(sa.select(sa.func.count(recent.c.workflow_run_id))).scalar_one())


def _archived(connection: sa.Connection, schema: Schema) -> str:
    """How many runs Dify has moved to its archive, counted up to a bound."""
    if not schema.has("workflow_archive_logs", "id"):
        return ""
    some = sa.select(table(schema, "workflow_archive_logs").c.id).limit(_RECENT).subquery()
    count = connection.execute(sa.select(sa.func.count()).select_from(some)).scalar_one()
    return f"{count:,}{' or more' if count == _RECENT else ''}" if count else ""
