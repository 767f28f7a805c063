"""How each trace went to a destination where there was a choice: whole, or as additions to the trace that Dify wrote."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence

from exporter.destinations.base import Way

Sending = tuple[str, str]
"""(trace id, name of the entry of `destinations`); an entry's scores go the way of its spans."""

_AT_ONCE = 500


def put(connection: sqlite3.Connection, ways: Iterable[tuple[Sending, Way]]) -> None:
    """Keep how these went; the first way stays."""
    connection.executemany(
        "INSERT INTO sent_as VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
        [(trace_id, entry, way.value) for (trace_id, entry), way in ways],
    )


def of(connection: sqlite3.Connection, trace_ids: Sequence[str]) -> dict[Sending, Way]:
    """How these traces went, as far as there was a choice."""
    found: dict[Sending, Way] = {}
    for start in range(0, len(trace_ids), _AT_ONCE):
        asked = trace_ids[start : start + _AT_ONCE]
        marks = ",".join("?" * len(asked))
        rows = connection.execute(
            f"SELECT trace_id, entry, way FROM sent_as WHERE trace_id IN ({marks})", tuple(asked)
        )
        found.update(((trace_id, entry), Way(way)) for trace_id, entry, way in rows)
    return found


def without_spans(connection: sqlite3.Connection, entry: str, trace_ids: Sequence[str]) -> set[str]:
    """Those of these traces of which no span went to this entry's destination."""
    ways = of(connection, trace_ids)
    return {trace_id for (trace_id, name), way in ways.items() if name == entry and way is not Way.OWN}
