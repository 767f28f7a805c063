"""History: find the records of a stretch of time, resumably; the ordinary pipeline then reads and sends them.

The search keeps a durable cursor per stream, so a kill in the middle costs nothing; records already known are not
fetched again. When a daemon works on the same state file it does the reading, and this process only follows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from exporter.model import Micros
from exporter.sources.rows import Source
from exporter.state import backfills, records
from exporter.state.backfills import Backfill
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
    known = _begun(store, source, since, until, clock())
    expected, cursors, found = known.expected, dict(known.cursors), known.found
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
                backfills.went_on(connection, name, Backfill(expected, found, cursors))
            yield Progress(expected, found, waiting(store))
    with store.transaction("backfill") as connection:
        backfills.ended(connection, name)
    yield Progress(expected, found, waiting(store))


def _begun(store: Store, source: Source, since: Micros, until: Micros, now: Micros) -> Backfill:
    name = identity(since, until)
    with store.read() as connection:
        known = backfills.load(connection, name)
    if known is not None:
        return known
    expected = sum(count(source, since, until).values())
    with store.transaction("backfill") as connection:
        return backfills.begin(connection, name, since, until, expected, now)


def waiting(store: Store) -> int:
    """Records that were met and are still to be read."""
    with store.read() as connection:
        return records.due_count(connection)
