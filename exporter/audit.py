"""`audit`: what the ledger says was exported against what each destination holds, day by day (UTC, by start of trace).

Nothing is called missing that still waits (outbox, or a record that is read again) or that changed while it was asked
about. Days are taken in slices, so that memory does not grow with them. Writes nothing but the result, and with `repair`
makes the records of missing traces due again.
"""

from __future__ import annotations

import hashlib
import heapq
import sqlite3
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from exporter.clock import rfc3339
from exporter.destinations.base import Confirmation, Destination
from exporter.destinations.holdings import CannotAsk, Exported, Held, Holdings, Tells
from exporter.model import SECOND, Micros
from exporter.state import exported, health, records, sent_as
from exporter.state.store import Store

_DAY = 86_400 * SECOND
_SLICE = 5_000
_FRESH = 120 * SECOND
"""Without read-back nothing says when an acknowledged trace can be seen; for so long its absence means nothing."""
_FACT = "audit."
_NEVER = "a receiver of this kind cannot be asked what it holds"


@dataclass(frozen=True, slots=True)
class Question:
    """What to audit: traces that began in [since, until). `sample` traces a day are compared span by span where the
    platform lists only roots cheaply."""

    since: Micros
    until: Micros
    now: Micros
    sample: int
    repair: bool


@dataclass(slots=True)
class Day:
    """One day at one destination. `exported` = `there` + missing + `waiting` + `without_spans`; `there` includes doubled traces,
    and `without_spans` are those that are Dify's own tracing's affair there (`existing`): nothing of ours to look for.

    `missing` is (trace id, spans absent, spans of the ledger's), `doubled` (trace id, rows too many). `reason` says why
    the destination was not asked; `unreachable` that asking it may work another time.
    """

    destination: str
    kind: str
    day: str
    exported: int = 0
    there: int = 0
    by_span: int = 0
    missing: list[tuple[str, int, int]] = field(default_factory=list)
    doubled: list[tuple[str, int]] = field(default_factory=list)
    waiting: Counter[str] = field(default_factory=Counter)
    without_spans: int = 0
    queued_again: int = 0
    reason: str | None = None
    unreachable: bool = False

    @property
    def is_clean(self) -> bool:
        """True when nothing is missing or doubled."""
        return not (self.missing or self.doubled)


@dataclass(frozen=True, slots=True)
class Last:
    """The sums of a destination's last whole audit."""

    at: Micros
    missing: int
    doubled: int


def last(connection: sqlite3.Connection) -> dict[str, Last]:
    """The last whole audit of every destination that had one."""
    found = {name: orjson.loads(text) for name, text in health.facts(connection, _FACT).items()}
    return {name: Last(fact["at"], fact["missing"], fact["doubled"]) for name, fact in found.items()}


def audit(store: Store, destinations: Sequence[Destination], question: Question) -> Iterator[Day]:
    """The days with exported traces, one destination after the other. A destination whose every day could be asked gets
    its sums remembered for the metrics."""
    with store.read() as connection:
        reach = exported.reach(connection, question.since, question.until)
    if reach is None:
        return
    for destination in destinations:
        days: list[tuple[int, int, bool]] = []
        for day in _days(store, destination, question, *reach):
            days.append((len(day.missing), len(day.doubled), day.reason is None))
            yield day
        if all(was_asked for _, _, was_asked in days):
            _remember(store, destination.name, question, sum(d[0] for d in days), sum(d[1] for d in days))


def exit_code(days: Sequence[Day]) -> int:
    """1 when something is missing or doubled, 3 when a destination that can tell did not, or none could tell, else 0."""
    if not all(day.is_clean for day in days):
        return 1
    was_asked = any(day.reason is None for day in days)
    return 3 if any(day.unreachable for day in days) or (days and not was_asked) else 0


def document(day: Day) -> dict[str, Any]:
    """One object of `audit --json`."""
    return {
        "destination": day.destination,
        "kind": day.kind,
        "day": day.day,
        "asked": day.reason is None,
        "reason": day.reason,
        "exported": day.exported,
        "there": day.there if day.reason is None else None,
        "compared_by_span": day.by_span if day.reason is None else None,
        "missing": [
            {"trace_id": trace_id, "spans_missing": absent, "spans": spans}
            for trace_id, absent, spans in day.missing
        ],
        "doubled": [{"trace_id": trace_id, "rows_too_many": extra} for trace_id, extra in day.doubled],
        "waiting": {name: day.waiting[name] for name in _STATES},
        "without_spans": day.without_spans,
        "queued_again": day.queued_again,
    }


_STATES = ("ready", "in_doubt", "acked", "dead", "reading", "fresh")


def _days(
    store: Store, destination: Destination, question: Question, first: Micros, last: Micros
) -> Iterator[Day]:
    holdings = destination.holdings() if isinstance(destination, Tells) else None
    reason = None if holdings is not None else _NEVER
    for begin in range(first - first % _DAY, last + 1, _DAY):
        day = Day(destination.name, destination.kind, rfc3339(begin)[:10], reason=reason)
        day.unreachable = holdings is not None and reason is not None
        since, until = max(begin, question.since), min(begin + _DAY, question.until)
        for slice_, sample in _slices(store, since, until, question.sample):
            _take(day, store, destination, holdings, question, slice_, sample)
        reason = day.reason
        if day.exported:
            yield day


def _slices(
    store: Store, since: Micros, until: Micros, sample: int
) -> Iterator[tuple[list[Exported], frozenset[str]]]:
    """The traces of a stretch, so many at a time, each slice with its share of the sample."""
    with store.read() as connection:
        total = exported.count(connection, since, until)
    last: Exported | None = None
    while True:
        with store.read() as connection:
            traces = exported.after(connection, since, until, last, _SLICE)
        if not traces:
            return
        share = -(-sample * len(traces) // max(total, len(traces)))
        chosen = heapq.nsmallest(share, (trace.trace_id for trace in traces), key=_lot)
        yield traces, frozenset(chosen)
        last = traces[-1]


def _lot(trace_id: str) -> bytes:
    """A place in the draw that has nothing to do with time or app, and is the same in every audit."""
    return hashlib.sha256(trace_id.encode()).digest()


def _take(
    day: Day,
    store: Store,
    destination: Destination,
    holdings: Holdings | None,
    question: Question,
    traces: Sequence[Exported],
    sample: frozenset[str],
) -> None:
    """Add one slice to the day."""
    day.exported += len(traces)
    with store.read() as connection:
        names = [trace.trace_id for trace in traces]
        waits = exported.waiting(connection, destination.name, names)
        without = sent_as.without_spans(connection, destination.name, names)
    day.waiting.update(waits.values())
    day.without_spans += len(without)
    settled = [trace for trace in traces if trace.trace_id not in waits and trace.trace_id not in without]
    if holdings is None or day.reason is not None or not settled:
        return
    try:
        held = holdings.held(settled, sample)
    except CannotAsk as error:
        day.reason, day.unreachable = str(error), True
        return
    suspects = [trace for trace in settled if held[trace.trace_id].absent or held[trace.trace_id].extra]
    excused = _excused(store, destination, suspects, question.now)
    day.waiting.update(excused.values())
    judged = [trace for trace in settled if trace.trace_id not in excused]
    missing = _judge(day, judged, held)
    if question.repair and missing:
        day.queued_again += _look_again(store, missing, question.now)


def _excused(
    store: Store, destination: Destination, suspects: Sequence[Exported], now: Micros
) -> dict[str, str]:
    """Suspects of which more is to come, that changed while the destination was asked, or that are too new to be seen."""
    names = [trace.trace_id for trace in suspects]
    with store.read() as connection:
        excused = dict.fromkeys(exported.read_again(connection, names), "reading")
        excused.update(exported.waiting(connection, destination.name, names))
        revisions = exported.revisions(connection, names)
    for trace in suspects:
        is_new = destination.confirmation is not Confirmation.READ_BACK and trace.exported_at > now - _FRESH
        if revisions.get(trace.trace_id) != trace.revision or is_new:
            excused.setdefault(trace.trace_id, "fresh")
    return excused


def _judge(day: Day, traces: Sequence[Exported], held: Mapping[str, Held]) -> list[Exported]:
    """Count the traces into the day; returns the missing ones."""
    missing = []
    for trace in traces:
        found = held[trace.trace_id]
        day.by_span += found.by_span
        if found.extra:
            day.doubled.append((trace.trace_id, found.extra))
        if found.absent:
            day.missing.append((trace.trace_id, found.absent, len(trace.spans)))
            missing.append(trace)
        else:
            day.there += 1
    return missing


def _look_again(store: Store, missing: Sequence[Exported], now: Micros) -> int:
    with store.transaction("repair") as connection:
        return records.look_again(connection, [trace.ref for trace in missing], now)


def _remember(store: Store, destination: str, question: Question, missing: int, doubled: int) -> None:
    result = {
        "at": question.now,
        "since": question.since,
        "until": question.until,
        "missing": missing,
        "doubled": doubled,
    }
    with store.transaction("audited") as connection:
        health.remember(connection, _FACT + destination, orjson.dumps(result).decode())
