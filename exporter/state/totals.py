"""Monotonic sums behind the Prometheus counters, kept in the transaction that stores the calls they count.

A call counts when its trace is exported. A later correction adds what grew and never takes back: a counter that falls
looks like a restart to Prometheus.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

Document = dict[str, Any]
_DIRECTIONS = ("input", "output")


@dataclass(frozen=True, slots=True)
class Total:
    """One counter value. `label` is the metric's own label (direction, currency, verdict, or direction/cause)."""

    metric: str
    app: str
    provider: str
    model: str
    label: str
    value: float


class Growth:
    """What a page of exported traces adds; stored with one statement."""

    def __init__(self) -> None:
        self._values: Counter[tuple[str, str, str, str, str]] = Counter()

    def add(self, app: str, documents: Sequence[Document], counted: Sequence[Document]) -> None:
        """Add what these call documents say and `counted` (their earlier export) did not say yet."""
        before = _all(counted)
        for key, value in _all(documents).items():
            grown = value - before.get(key, 0)
            if grown > 0:
                metric, *labels = key
                self._values[(metric, app, *labels)] += grown  # type: ignore[index, assignment]

    def store(self, connection: sqlite3.Connection) -> None:
        """Belongs into the transaction that stores the calls."""
        connection.executemany(
            "INSERT INTO totals VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET value = value + excluded.value",
            [(*key, value) for key, value in self._values.items()],
        )


def _all(documents: Sequence[Document]) -> dict[tuple[str, str, str, str], float]:
    summed: Counter[tuple[str, str, str, str]] = Counter()
    for document in documents:
        provider, model = document["provider"] or "unknown", document["model"] or "unknown"
        for metric, label, value in _values(document):
            summed[(metric, provider, model, label)] += value  # type: ignore[assignment]
    return dict(summed)


def _values(document: Document) -> Iterator[tuple[str, str, float]]:
    readings = document["readings"]
    vendor = readings["vendor"] if readings["vendor"] and readings["vendor"]["independent"] else None
    for metric, reading in (("recorded", readings["dify"]), ("local", readings["local"]), ("vendor", vendor)):
        if reading is None:
            continue
        for direction in _DIRECTIONS:
            if reading[direction] is not None:
                yield f"{metric}_tokens", direction, reading[direction]
        if reading["cost"] is not None and metric != "local":
            yield f"{metric}_cost", reading["currency"], float(reading["cost"])
    for finding in document["findings"]:
        for direction in _DIRECTIONS:
            amount = finding[direction]
            if amount:
                name = "unrecorded_tokens" if amount > 0 else "overrecorded_tokens"
                yield name, f"{direction}/{finding['code']}", abs(amount)
    yield "calls", document["verdict"], 1


def all_totals(connection: sqlite3.Connection) -> list[Total]:
    """Every counter value."""
    rows = connection.execute(
        "SELECT metric, app, provider, model, label, value FROM totals ORDER BY 1, 2, 3, 4, 5"
    )
    return [Total(*row) for row in rows]
