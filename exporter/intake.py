"""Vendor evidence from files: read what is new, store it, and look again at calls that it may prove."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from exporter.config import CompareSettings, VendorSettings
from exporter.model import Micros
from exporter.state import evidence, records
from exporter.state.store import Store
from exporter.vendor.match import match
from exporter.vendor.pullers.files import read_file

SECOND = 1_000_000
_BATCH = 5_000


@dataclass(frozen=True, slots=True)
class Taken:
    """New requests, records refused, and Dify records that are read again because of them."""

    new: int = 0
    refused: int = 0
    looked_again: int = 0


def take_files(store: Store, sources: Sequence[VendorSettings], clock: Callable[[], Micros]) -> Taken:
    """Read every configured file on from where it was left. Raises Unreachable for a file that cannot be read."""
    parts = [_take_file(store, source, clock) for source in sources]
    return Taken(sum(part.new for part in parts), sum(part.refused for part in parts))


def _take_file(store: Store, source: VendorSettings, clock: Callable[[], Micros]) -> Taken:
    name, path = source.name, str(source.path)
    new = refused = 0
    while True:
        with store.read() as connection:
            position = evidence.position(connection, path)
        part = read_file(source.path, position, source=name, format=source.format, limit=_BATCH)
        if part.position == position:
            return Taken(new, refused)
        now = clock()
        with store.transaction("evidence") as connection:
            new += evidence.add(connection, part.records, now)
            for bad in part.refused:
                evidence.refuse(connection, name, f"{path}: {bad.place}", bad.reason, now)
            evidence.move(connection, path, part.position, now)
        refused += len(part.refused)


def apply_late(store: Store, settings: CompareSettings, clock: Callable[[], Micros]) -> int:
    """Hold evidence that arrived after its calls were exported against the ledger; matched calls are read again."""
    with store.read() as connection:
        waiting = evidence.untried(connection, _BATCH)
        if not waiting:
            return 0
        since = min(item.start for item in waiting)
        until = max(item.end for item in waiting)
        prints = evidence.unproven_calls(connection, since - 3600 * SECOND, until + 60 * SECOND)
    found = match(prints, waiting, settings.match_skew) if prints else {}
    with store.transaction("late evidence") as connection:
        evidence.tried(connection, waiting)
        again = evidence.records_of(connection, list(found))
        records.look_again(connection, again, clock())
    return len(again)
