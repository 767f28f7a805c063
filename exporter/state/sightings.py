"""When something was first or last seen here: Dify records, and each source of vendor evidence."""

from __future__ import annotations

import sqlite3

from exporter.model import Micros


def last_seen(connection: sqlite3.Connection) -> dict[str, Micros]:
    """The latest arrival by source; steps from source to source in the index, however many requests there are."""
    rows = connection.execute(
        "WITH RECURSIVE sources (name) AS (SELECT min(source) FROM evidence UNION ALL"
        " SELECT (SELECT min(source) FROM evidence WHERE source > sources.name) FROM sources WHERE name IS NOT NULL)"
        " SELECT name, (SELECT max(seen_at) FROM evidence WHERE source = sources.name) FROM sources"
        " WHERE name IS NOT NULL"
    )
    return dict(rows.fetchall())


def first_met(connection: sqlite3.Connection) -> Micros | None:
    """When the first Dify record was met; None before any. Reads all records."""
    row = connection.execute("SELECT min(met_at) FROM records").fetchone()
    return None if row[0] is None else int(row[0])
