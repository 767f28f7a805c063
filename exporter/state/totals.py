"""Monotonic sums behind the Prometheus counters, kept in the transaction that stores the calls they count.

A call counts when its trace is exported. A later correction adds what grew and never takes back: a counter that falls
looks like a restart to Prometheus. What a correction took back is remembered, so that it is not counted again when it
returns. Only `judged_calls`, a gauge, follows corrections down.
"""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from exporter.model import Micros
from exporter.state import counted
from exporter.state.counted import JUDGED, RATIO_BUCKET, RATIO_CALLS, RATIO_SUM, Key

Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Total:
    """One counter value. `label` is the metric's own label (direction, currency, verdict, or direction/cause); `since`
    is when it was first counted, 0 where that was before such times were kept."""

    metric: str
    app: str
    provider: str
    model: str
    label: str
    value: float
    since: Micros = 0


@dataclass(frozen=True, slots=True)
class Exemplar:
    """The last trace observed in a bucket of the discrepancy histogram; `at` is when it was exported."""

    app: str
    provider: str
    model: str
    bucket: str
    trace_id: str
    value: float
    at: Micros


@dataclass(frozen=True, slots=True)
class _Export:
    """One export of a trace: its calls now, and as they were at its export before."""

    app: str
    trace_id: str
    documents: Sequence[Document]
    before: Sequence[Document]


class Growth:
    """What a page of exported traces adds."""

    def __init__(self) -> None:
        self._exports: list[_Export] = []
        self._values: defaultdict[tuple[str, ...], float] = defaultdict(float)
        self._exemplars: dict[tuple[str, ...], tuple[str, float]] = {}
        self._surpluses: list[tuple[str, dict[Key, float]]] = []

    def add(self, app: str, documents: Sequence[Document], before: Sequence[Document]) -> None:
        """Add what the call documents of one trace say and `before`, its export before this one, did not say yet."""
        if documents or before:
            trace_id = (documents or before)[0]["trace_id"]
            self._exports.append(_Export(app, trace_id, documents, before))

    def store(self, connection: sqlite3.Connection) -> None:
        """Belongs into the transaction that stores the traces, behind them."""
        if not self._exports:
            return
        known = _surpluses(connection, [export.trace_id for export in self._exports if export.before])
        for export in self._exports:
            self._count(export, known.get(export.trace_id, {}))
        now = _exported_at(connection, self._exports[-1].trace_id)
        connection.executemany(
            "INSERT INTO totals (metric, app, provider, model, label, value, since) VALUES (?, ?, ?, ?, ?, ?, ?)"
            " ON CONFLICT (metric, app, provider, model, label) DO UPDATE SET value = totals.value + excluded.value",
            [(*key, value, now) for key, value in self._values.items() if value],
        )
        connection.executemany(
            "INSERT INTO exemplars VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (app, provider, model, bucket) DO UPDATE SET"
            " trace_id = excluded.trace_id, value = excluded.value, at = excluded.at",
            [(*key, trace_id, value, now) for key, (trace_id, value) in self._exemplars.items()],
        )
        _keep(connection, self._surpluses, known)

    def _count(self, export: _Export, surplus: Mapping[Key, float]) -> None:
        now, before = counted.sums(export.documents), counted.sums(export.before)
        for key, value in surplus.items():
            before[key] = before.get(key, 0) + value
        for key in now:
            grown = now[key] - before.get(key, 0)
            if grown <= 0:
                continue
            self._values[(key[0], export.app, *key[1:])] += grown
            if key[0] == RATIO_CALLS:
                self._observe(export, key, round(grown))
        if before:
            left = {key: value - now.get(key, 0) for key, value in before.items()}
            self._surpluses.append(
                (export.trace_id, {key: value for key, value in left.items() if value > 0})
            )
        self._judge(export.documents, 1)
        self._judge(export.before, -1)

    def _observe(self, export: _Export, key: Key, number: int) -> None:
        """Put so many calls of this provider and model into the histogram: those that had no ratio before."""
        had = {document["call_id"] for document in export.before if counted.ratio(document) is not None}
        _, provider, model, _ = key
        fresh = [
            found
            for document in export.documents
            if counted.names(document) == (provider, model)
            and document["call_id"] not in had
            and (found := counted.ratio(document)) is not None
        ]
        for found in fresh[:number]:
            names = (export.app, provider, model, counted.bucket(found))
            self._values[(RATIO_BUCKET, *names)] += 1
            self._values[(RATIO_SUM, *names)] += found
            self._exemplars[names] = (export.trace_id, found)

    def _judge(self, documents: Iterable[Document], sign: int) -> None:
        for document in documents:
            key = (JUDGED, document["app_name"], *counted.names(document), document["verdict"])
            self._values[key] += sign


def _exported_at(connection: sqlite3.Connection, trace_id: str) -> Micros:
    """When the traces of this page were exported."""
    row = connection.execute("SELECT exported_at FROM traces WHERE trace_id = ?", (trace_id,)).fetchone()
    return int(row[0]) if row is not None and row[0] is not None else 0


def _surpluses(connection: sqlite3.Connection, trace_ids: Sequence[str]) -> dict[str, dict[Key, float]]:
    """What the counters hold of these traces beyond what their calls said at the last export."""
    marks = ",".join("?" * len(trace_ids))
    found: dict[str, dict[Key, float]] = {}
    for trace_id, *key, value in connection.execute(
        f"SELECT trace_id, metric, provider, model, label, value FROM overcounted WHERE trace_id IN ({marks})",
        tuple(trace_ids),
    ):
        metric, provider, model, label = key
        found.setdefault(trace_id, {})[(metric, provider, model, label)] = value
    return found


def _keep(
    connection: sqlite3.Connection,
    surpluses: Iterable[tuple[str, Mapping[Key, float]]],
    known: Mapping[str, Mapping[Key, float]],
) -> None:
    forget(connection, known)
    connection.executemany(
        "INSERT INTO overcounted VALUES (?, ?, ?, ?, ?, ?)",
        [(trace_id, *key, value) for trace_id, left in surpluses for key, value in left.items()],
    )


def forget(connection: sqlite3.Connection, trace_ids: Iterable[str]) -> None:
    """These traces are no longer kept, so no correction of them can come."""
    connection.executemany(
        "DELETE FROM overcounted WHERE trace_id = ?", [(trace_id,) for trace_id in trace_ids]
    )


def all_totals(connection: sqlite3.Connection) -> list[Total]:
    """Every counter value."""
    rows = connection.execute(
        "SELECT metric, app, provider, model, label, value, since FROM totals ORDER BY 1, 2, 3, 4, 5"
    )
    return [Total(*row) for row in rows]


def exemplars(connection: sqlite3.Connection) -> list[Exemplar]:
    """The last trace of every bucket, oldest first."""
    rows = connection.execute(
        "SELECT app, provider, model, bucket, trace_id, value, at FROM exemplars ORDER BY at, app, provider, model"
    )
    return [Exemplar(*row) for row in rows]
