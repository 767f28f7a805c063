"""History: find the records of a stretch of time, resumably; the ordinary pipeline then reads and sends them.

The search keeps a durable cursor per stream, so a kill in the middle costs nothing; records already known are not
fetched again. When a daemon works on the same state file it does the reading, and this process only follows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import orjson

from exporter.model import Micros
from exporter.sources.rows import Source
from exporter.state import records
from exporter.state.store import Store

MAX_DUE = 20_000
"""The search waits while so many records are due."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a back-fill is. `expected` counts Dify's records in the range, `found` those already met by the search,
    `waiting` those still to be read."""

    expected: int
    found: int
    waiting: int


def identity(since: Micros, until: Micros) -> str:
    """The name of a back-fill: the same range is the same back-fill, resumed."""
    return f"{since}-{until}"


def count(source: Source, since: Micros, until: Micros) -> dict[str, int]:
    """Records per stream in [since, until)."""
    return {stream: source.count_range(stream, since, until) for stream in source.streams}


def search(
    store: Store, source: Source, since: Micros, until: Micros, clock: Callable[[], Micros]
) -> Iterator[Progress]:
    """Meet the range's records page by page, pausing (yielding) while many are due; ends when all were met."""
    name = identity(since, until)
    expected, cursors, found = _begin(store, source, since, until, clock())
    for stream in source.streams:
        while cursors.get(stream) != "done":
            if (due := waiting(store)) > MAX_DUE:
                yield Progress(expected, found, due)
                continue
            page = source.discover_range(stream, since, until, cursors.get(stream))
            cursors[stream] = "done" if page.caught_up else page.cursor
            found += len(page.refs)
            with store.transaction("backfill") as connection:
                records.meet(connection, page.refs, clock())
                connection.execute(
                    "UPDATE backfills SET found = ?, cursors = ? WHERE id = ?",
                    (found, orjson.dumps(cursors).decode(), name),
                )
            yield Progress(expected, found, waiting(store))
    with store.transaction("backfill") as connection:
        connection.execute("UPDATE backfills SET state = 'found' WHERE id = ?", (name,))
    yield Progress(expected, found, waiting(store))


def _begin(
    store: Store, source: Source, since: Micros, until: Micros, now: Micros
) -> tuple[int, dict[str, str], int]:
    with store.read() as connection:
        row = connection.execute(
            "SELECT expected, cursors, found FROM backfills WHERE id = ?", (identity(since, until),)
        ).fetchone()
    if row is not None:
        return int(row[0]), dict(orjson.loads(row[1])), int(row[2])
    expected = sum(count(source, since, until).values())
    with store.transaction("backfill") as connection:
        connection.execute(
            "INSERT INTO backfills (id, since, until, state, expected, started_at, cursors)"
            " VALUES (?, ?, ?, 'searching', ?, ?, '{}')",
            (identity(since, until), since, until, expected, now),
        )
    return expected, {}, 0


def waiting(store: Store) -> int:
    """Records that were met and are still to be read."""
    with store.read() as connection:
        return records.due_count(connection)
