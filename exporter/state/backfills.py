"""Back-fills and how far the search of each is; a kill in the middle costs nothing."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

import orjson

from exporter.model import Micros


@dataclass(frozen=True, slots=True)
class Backfill:
    """`expected` counts Dify's records in the range, `found` those already met, `cursors` tells where each stream goes on."""

    expected: int
    found: int
    cursors: dict[str, str]


def load(connection: sqlite3.Connection, name: str) -> Backfill | None:
    """The back-fill of that name, None for a new one."""
    row = connection.execute(
        "SELECT expected, found, cursors FROM backfills WHERE id = ?", (name,)
    ).fetchone()
    return None if row is None else Backfill(int(row[0]), int(row[1]), dict(orjson.loads(row[2])))


def begin(
    connection: sqlite3.Connection, name: str, since: Micros, until: Micros, expected: int, now: Micros
) -> Backfill:
    """A new one."""
    connection.execute(
        "INSERT INTO backfills (id, since, until, state, expected, started_at, cursors)"
        " VALUES (?, ?, ?, 'searching', ?, ?, '{}')",
        (name, since, until, expected, now),
    )
    return Backfill(expected, 0, {})


def went_on(connection: sqlite3.Connection, name: str, backfill: Backfill) -> None:
    """Keep how far it is."""
    connection.execute(
        "UPDATE backfills SET found = ?, cursors = ? WHERE id = ?",
        (backfill.found, orjson.dumps(backfill.cursors).decode(), name),
    )


def ended(connection: sqlite3.Connection, name: str) -> None:
    """All its records were met."""
    connection.execute("UPDATE backfills SET state = 'found' WHERE id = ?", (name,))
