"""When the spans of traces that were sent began, as they were sent: a platform takes another start for another span."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from datetime import datetime

import orjson

from exporter.clock import micros
from exporter.model import Micros


def sent(connection: sqlite3.Connection, trace_ids: Sequence[str]) -> dict[str, Mapping[str, Micros]]:
    """Trace id → span id → start, for those of these traces that were exported."""
    if not trace_ids:
        return {}
    rows = connection.execute(
        f"SELECT trace_id, document FROM traces WHERE exported_at IS NOT NULL AND trace_id IN ({','.join('?' * len(trace_ids))})",
        list(trace_ids),
    )
    return {
        trace_id: {
            step["span_id"]: micros(datetime.fromisoformat(step["started_at"]))
            for step in orjson.loads(document)["steps"]
        }
        for trace_id, document in rows
    }
