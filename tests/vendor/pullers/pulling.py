"""What the puller tests share: an intake that stores like ours, recorded requests spread over time, and settings."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from exporter.clock import micros
from exporter.config import VendorSettings
from exporter.vendor.pullers.base import Bucket, Puller, Refused
from exporter.vendor.record import VendorCall

NOON = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
"""The time at which tests begin to pull."""

_RECORDED = Path(__file__).parents[2] / "data" / "vendor" / "recorded-rows.json"


def recorded() -> list[dict[str, Any]]:
    """The recorded requests of both instances, as canonical records."""
    parts = json.loads(_RECORDED.read_text("utf-8"))
    return [record for part in parts.values() for record in part["records"]]


def spread(
    count: int, until: datetime = NOON - timedelta(seconds=10), seconds: float = 60.0
) -> list[dict[str, Any]]:
    """That many recorded requests, one every `seconds` up to `until`, each under an id of its own."""
    originals = recorded()
    return [
        moved(
            originals[number % len(originals)],
            until - timedelta(seconds=seconds * (count - number)),
            f"r{number}",
        )
        for number in range(count)
    ]


def moved(record: dict[str, Any], started_at: datetime, name: str) -> dict[str, Any]:
    """A copy under another id and time; it lasted a second."""
    ended_at = started_at + timedelta(seconds=1)
    return {**record, "id": name, "started_at": started_at.isoformat(), "ended_at": ended_at.isoformat()}


def settings(**values: Any) -> VendorSettings:
    """One entry of `vendor`."""
    return VendorSettings(**values)


@dataclass
class Intake:
    """Stores what a puller gives together with its position, idempotent on (source, id), as the daemon does.

    `make` gives a new puller, as after a restart; with `restarts` each pull is made by a new one. `loses` says of the
    n-th pull that the process was killed before anything of it was stored.
    """

    make: Callable[[], Puller]
    restarts: bool = False
    loses: Callable[[int], bool] = lambda _: False
    position: str | None = None
    records: dict[tuple[str, str], VendorCall] = field(default_factory=dict)
    buckets: dict[tuple[Any, ...], Bucket] = field(default_factory=dict)
    refused: dict[str, Refused] = field(default_factory=dict)
    given: Counter[str] = field(default_factory=Counter)
    pulls: int = 0
    largest: int = 0

    def __post_init__(self) -> None:
        self._puller = self.make()

    @property
    def ids(self) -> list[str]:
        return sorted(identity for _, identity in self.records)

    def take(self, now: datetime = NOON, most: int = 1_000) -> bool:
        """Pull until there is nothing more; False when `most` pulls were not enough."""
        return any(self.once(now) for _ in range(most))

    def once(self, now: datetime = NOON) -> bool:
        """One pull; whether it says that nothing more is there."""
        if self.restarts:
            self._puller.close()
            self._puller = self.make()
        pulled = self._puller.pull(self.position, micros(now))
        self.pulls += 1
        self.largest = max(self.largest, len(pulled.records) + len(pulled.refused))
        assert len(pulled.position) < 2_000
        self.given.update(record.id for record in pulled.records)
        if self.loses(self.pulls):
            self._puller = self.make()
            return False
        self.position = pulled.position
        for record in pulled.records:
            self.records.setdefault((record.source, record.id), record)
        self.refused |= {bad.place: bad for bad in pulled.refused}
        self.buckets |= {
            (row.starts_at, row.ends_at, row.model, row.key, row.group): row for row in pulled.buckets
        }
        return pulled.is_caught_up


def ids(records: Iterable[dict[str, Any]]) -> list[str]:
    """Their ids, sorted."""
    return sorted(record["id"] for record in records)
