"""Vendor evidence from files: read what is new, store it, and look again at calls that it may prove."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from exporter.config import CompareSettings, VendorSettings
from exporter.model import Micros
from exporter.state import evidence, records
from exporter.state.store import Store
from exporter.vendor.files import read_file
from exporter.vendor.match import match

SECOND = 1_000_000
_BATCH = 5_000


@dataclass(frozen=True, slots=True)
class Taken:
    """New requests, records refused, and Dify records that are read again because of them."""

    new: int = 0
    refused: int = 0
    looked_again: int = 0


def take_files(store: Store, sources: Sequence[VendorSettings], clock: Callable[[], Micros]) -> Taken:
    """Read every configured file on from where it was left. Raises OSError for a file that cannot be read."""
    new = refused = 0
    for source in sources:
        name = source.name or source.path.stem
        while True:
            with store.read() as connection:
                position = evidence.position(connection, str(source.path))
            part = read_file(source.path, position, source=name, limit=_BATCH)
            if part.position == position:
                break
            now = clock()
            with store.transaction("evidence") as connection:
                new += evidence.add(connection, part.records, now)
                for bad in part.refused:
                    evidence.refuse(connection, name, f"{source.path}:{bad.place}", bad.reason, now)
                evidence.move(connection, str(source.path), part.position, now)
            refused += len(part.refused)
    return Taken(new, refused)


def apply_late(store: Store, settings: CompareSettings, clock: Callable[[], Micros]) -> int:
    """Hold evidence that arrived after its calls were exported against the ledger; matched calls are read again."""
    with store.read() as connection:
        waiting = evidence.untried(connection, _BATCH)
        if not waiting:
            return 0
        since = min(item.started_at or item.ended_at or 0 for item in waiting)
        until = max(item.ended_at or item.started_at or 0 for item in waiting)
        prints = evidence.unproven_calls(connection, since - 3600 * SECOND, until + 60 * SECOND)
    found = match(prints, waiting, settings.match_skew) if prints else {}
    with store.transaction("late evidence") as connection:
        evidence.tried(connection, waiting)
        again = evidence.records_of(connection, list(found))
        records.look_again(connection, again, clock())
    return len(again)
