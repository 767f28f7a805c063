"""What the ledger holds of a stretch of time, for reports and the checklist: traces by their start, calls over a border."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

from exporter.model import Micros


def calls_over(
    connection: sqlite3.Connection, border: Micros, longest: Micros
) -> Iterator[tuple[str, str, str]]:
    """App id, model ('' where unknown) and document (JSON text) of each call that began up to `longest` before the border and
    ended after it."""
    yield from connection.execute(
        "SELECT app_id, coalesce(model, ''), document FROM calls"
        " WHERE started_at >= ? AND started_at < ? AND ended_at > ?",
        (border - longest, border, border),
    )


def has_traces(connection: sqlite3.Connection, since: Micros, until: Micros) -> bool:
    """Whether a trace began in [since, until)."""
    found = connection.execute(
        "SELECT EXISTS (SELECT 1 FROM traces WHERE started_at >= ? AND started_at < ?)", (since, until)
    ).fetchone()
    return bool(found[0])


def findings(connection: sqlite3.Connection, since: Micros, until: Micros, limit: int) -> Iterator[str]:
    """The findings (a JSON list) of each trace of [since, until) that has some, newest first, of so many traces at most."""
    rows = connection.execute(
        "SELECT document -> '$.findings' FROM traces WHERE started_at >= ? AND started_at < ?"
        " AND document -> '$.findings' != '[]' ORDER BY started_at DESC LIMIT ?",
        (since, until, limit),
    )
    yield from (text for (text,) in rows)
