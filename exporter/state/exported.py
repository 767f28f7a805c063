"""What the ledger says was exported, in order of time, and what of it still waits for a destination: the audit's truth."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from datetime import datetime

import orjson

from exporter.clock import micros
from exporter.destinations.holdings import Exported
from exporter.model import App, Micros, RecordKind, RecordRef

_AT_ONCE = 500
_WAS_EXPORTED = "exported_at IS NOT NULL AND revision > 0"


def reach(connection: sqlite3.Connection, since: Micros, until: Micros) -> tuple[Micros, Micros] | None:
    """The first and the last start of exported traces that began in this stretch; None when there is none."""
    ends = []
    for order in ("ASC", "DESC"):
        row = connection.execute(
            f"SELECT started_at FROM traces WHERE started_at >= ? AND started_at < ? AND {_WAS_EXPORTED}"
            f" ORDER BY started_at {order} LIMIT 1",
            (since, until),
        ).fetchone()
        if row is None:
            return None
        ends.append(int(row[0]))
    return ends[0], ends[1]


def count(connection: sqlite3.Connection, since: Micros, until: Micros) -> int:
    """Exported traces that began in this stretch."""
    row = connection.execute(
        f"SELECT count(*) FROM traces WHERE started_at >= ? AND started_at < ? AND {_WAS_EXPORTED}",
        (since, until),
    ).fetchone()
    return int(row[0])


def after(
    connection: sqlite3.Connection, since: Micros, until: Micros, last: Exported | None, limit: int
) -> list[Exported]:
    """The next exported traces that began in this stretch, in order of their start, behind the last one seen."""
    begin = last.started_at if last else since
    rows = connection.execute(
        "SELECT trace_id, kind, record_id, created_at, started_at, exported_at, revision, document FROM traces"
        f" WHERE started_at >= ?1 AND started_at < ?2 AND NOT (started_at = ?1 AND trace_id <= ?3) AND {_WAS_EXPORTED}"
        " ORDER BY started_at, trace_id LIMIT ?4",
        (begin, until, last.trace_id if last else "", limit),
    )
    return [
        Exported(trace_id, RecordRef(RecordKind(kind), id_, created), started, exported, revision, *_told(document))
        for trace_id, kind, id_, created, started, exported, revision, document in rows
    ]  # fmt: skip


def _told(document: str) -> tuple[tuple[tuple[str, Micros], ...], App]:
    """Spans and app of a stored trace."""
    trace = orjson.loads(document)
    spans = tuple(
        (step["span_id"], micros(datetime.fromisoformat(step["started_at"]))) for step in trace["steps"]
    )
    tenant = (trace.get("workspace_id") or "", trace.get("workspace_name"))
    return spans, App(trace["app_id"], trace["app_name"], trace["app_mode"], *tenant)


def revisions(connection: sqlite3.Connection, trace_ids: Sequence[str]) -> dict[str, int]:
    """The revision of each of these traces; those the ledger has forgotten are left out."""
    found: dict[str, int] = {}
    for asked in _portions(trace_ids):
        marks = ",".join("?" * len(asked))
        rows = connection.execute(
            f"SELECT trace_id, revision FROM traces WHERE trace_id IN ({marks})", tuple(asked)
        )
        found.update(rows)
    return found


def waiting(connection: sqlite3.Connection, destination: str, trace_ids: Sequence[str]) -> dict[str, str]:
    """Those of these traces that are still in the outbox of a destination, with their state (acked, in_doubt, ready, dead);
    of a trace in parts, the state of the part that is furthest from there."""
    found: dict[str, str] = {}
    for asked in _portions(trace_ids):
        marks = ",".join("?" * len(asked))
        rows = connection.execute(
            f"SELECT trace_id, state FROM outbox WHERE destination = ? AND trace_id IN ({marks})"
            " ORDER BY CASE state WHEN 'acked' THEN 0 WHEN 'in_doubt' THEN 1 WHEN 'ready' THEN 2 ELSE 3 END",
            (destination, *asked),
        )
        found.update(rows)
    return found


def read_again(connection: sqlite3.Connection, trace_ids: Sequence[str]) -> set[str]:
    """Those of these traces whose record is to be read from Dify again, so that more of them may still come."""
    found: set[str] = set()
    for asked in _portions(trace_ids):
        marks = ",".join("?" * len(asked))
        rows = connection.execute(
            "SELECT t.trace_id FROM traces t JOIN records r ON r.kind = t.kind AND r.id = t.record_id"
            f" WHERE r.state IN ('pending', 'watched') AND t.trace_id IN ({marks})",
            tuple(asked),
        )
        found.update(trace_id for (trace_id,) in rows)
    return found


def _portions(trace_ids: Sequence[str]) -> list[Sequence[str]]:
    return [trace_ids[start : start + _AT_ONCE] for start in range(0, len(trace_ids), _AT_ONCE)]
