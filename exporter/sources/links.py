"""What ties a workflow tool to the run it started: Dify stores no link, only the tool's provider and the clock.

Source: `tool_info` in a tool node's metadata names the provider, `tool_workflow_providers` its app; the child is an
ordinary run of that app, by the same user, begun while the parent ran. Whether one of them is *the* child is
for `assemble` to say.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson
import sqlalchemy as sa

from exporter.model import Micros
from exporter.sources.dialects.base import Asked, Question
from exporter.sources.rows import ChildRun, NodeRow
from exporter.sources.schema import Schema
from exporter.sources.tables import as_text, one_of, plain, read_rows, table
from exporter.sources.timestamps import to_micros, to_naive

MOST_CHILDREN = 50
"""More runs than this inside one parent prove nothing about any of them."""

MOST_INPUT_BYTES = 65_536

_OPEN_ENDED: Micros = 3600 * 1_000_000
"""How long a parent that never finished is taken to have run."""


@dataclass(frozen=True, slots=True)
class Parent:
    """A trace that called workflow tools: when it ran, who ran it, and which apps' runs may be its children."""

    id: str
    started_at: Micros
    ended_at: Micros | None
    created_by: str | None
    apps: tuple[str, ...]


def can_link(schema: Schema) -> bool:
    """Finding children needs runs in order of time; without that index each look would scan an app's whole history."""
    return schema.has_index("workflow_runs", "created_at") and schema.has("workflow_runs", "created_by")


def tool_providers(nodes: Iterable[NodeRow]) -> tuple[str, ...]:
    """The providers of the workflow tools among these nodes."""
    found = {_provider(node.execution_metadata) for node in nodes if node.node_type == "tool"}
    return tuple(sorted(provider for provider in found if provider))


def _provider(metadata: str | None) -> str | None:
    if not metadata or '"workflow"' not in metadata:
        return None
    try:
        parsed = orjson.loads(metadata)
    except orjson.JSONDecodeError:
        return None
    tool = parsed.get("tool_info") if isinstance(parsed, dict) else None
    if not isinstance(tool, dict) or tool.get("provider_type") != "workflow":
        return None
    provider = tool.get("provider_id")
    return provider.lower() if isinstance(provider, str) and _is_uuid(provider) else None


def _is_uuid(text: str) -> bool:
    return (
        len(text) == 36
        and all(part.isalnum() and part.isascii() for part in text.split("-"))
        and text.count("-") == 4
    )


def apps_of_providers(connection: sa.Connection, schema: Schema, providers: Iterable[str]) -> dict[str, str]:
    """Provider id → the app it runs."""
    wanted = sorted(set(providers))
    if not wanted or not schema.has("tool_workflow_providers", "id", "app_id"):
        return {}
    tools = table(schema, "tool_workflow_providers")
    select = sa.select(*as_text(tools, "id", "app_id")).where(one_of(schema, tools.c.id))
    return dict(read_rows(connection, select, wanted))


def child_runs(
    connection: sa.Connection, schema: Schema, parents: Iterable[Parent]
) -> Mapping[str, tuple[ChildRun, ...]]:
    """Candidate children by parent id, oldest first; none for a parent with more than `MOST_CHILDREN`."""
    asked = [row for parent in parents for row in _questions(parent)]
    if not asked or not can_link(schema):
        return {}
    found: dict[str, list[ChildRun]] = {}
    answers = schema.dialect.answers(
        connection, Asked(_QUESTION_IDS, _QUESTION_TIMES, asked), lambda parent: _children(schema, parent)
    )
    for parent, run_id, app_id, created_at, created_by, inputs, tokens in answers:
        if run_id != parent:
            child = ChildRun(run_id, app_id, to_micros(created_at), created_by, inputs, tokens)
            found.setdefault(parent, []).append(child)
    return {
        parent: tuple(sorted(children, key=lambda child: (child.created_at, child.id)))
        for parent, children in found.items()
        if len(children) <= MOST_CHILDREN
    }


_QUESTION_IDS, _QUESTION_TIMES = ("parent", "app_id", "created_by"), ("since", "until")


def _questions(parent: Parent) -> list[tuple[Any, ...]]:
    if parent.created_by is None:
        return []
    ended_at = parent.started_at + _OPEN_ENDED if parent.ended_at is None else parent.ended_at
    span = to_naive(parent.started_at), to_naive(ended_at)
    return [(parent.id, app, parent.created_by, *span) for app in parent.apps]


def _children(schema: Schema, parent: Question) -> sa.Select[Any]:
    """A look-up by time. Apps are compared as text so that no index on app_id is chosen, which would read an app's
    whole history for each parent; the limit keeps each look-up bounded."""
    runs = table(schema, "workflow_runs")
    inputs = (
        sa.null()
        if "inputs" not in runs.c
        else sa.case((sa.func.octet_length(runs.c.inputs) <= MOST_INPUT_BYTES, runs.c.inputs))
    )
    return (
        sa.select(
            *as_text(runs, "id", "app_id"),
            runs.c.created_at,
            *as_text(runs, "created_by"),
            inputs.label("inputs"),
            *plain(runs, "total_tokens"),
        )
        .where(
            runs.c.created_at.between(parent["since"], parent["until"]),
            sa.cast(runs.c.app_id, sa.Text) == sa.cast(parent["app_id"], sa.Text),
            runs.c.created_by == parent["created_by"],
        )
        .order_by(runs.c.created_at, runs.c.id)
        .limit(MOST_CHILDREN + 2)
    )
