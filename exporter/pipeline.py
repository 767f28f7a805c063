"""The flow, on one screen: discover → fetch → assemble → read → compare → ledger and outbox, in that direction only.

The rule: what a cursor passed is stored as due records in the same transaction, and a record is done only in the
transaction that stores its calls and its rendered spans. So the process may die anywhere and nothing is lost or doubled.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import structlog

from exporter import readings, waiting
from exporter.config import Settings
from exporter.destinations.base import Destination, Way, rendered
from exporter.existing import Existing
from exporter.links_back import with_page
from exporter.matching import Matching
from exporter.model import AssessedTrace, Micros, RecordRef, Trace
from exporter.sources.assemble import assemble
from exporter.sources.rows import Fetched, Source
from exporter.spans import otlp
from exporter.state import assignments, evidence, ledger, outbox, records, sent_as
from exporter.state.outbox import Parcel
from exporter.state.records import Due, Outcome
from exporter.state.sent_as import Sending
from exporter.state.store import Store
from exporter.waiting import Decision

log = structlog.get_logger()


@dataclass(slots=True)
class Processed:
    """Counts of one `process` call."""

    read: int = 0
    exported: int = 0
    postponed: int = 0
    filtered: int = 0
    vanished: int = 0
    set_aside: int = 0
    queued_bytes: int = 0

    def add(self, more: Processed) -> None:
        """Count another call's work too."""
        for name in self.__slots__:
            setattr(self, name, getattr(self, name) + getattr(more, name))


class Pipeline:
    """Source to outbox. One thread at a time; the destinations' couriers work beside it."""

    def __init__(
        self,
        source: Source,
        store: Store,
        destinations: Sequence[Destination],
        settings: Settings,
        clock: Callable[[], Micros],
        matching: Matching,
    ) -> None:
        self._source, self._store, self._settings, self._clock = source, store, settings, clock
        self._matching = matching
        self._destinations = tuple(destinations)
        self._existing = Existing(settings, destinations, source, store, clock)
        self._evidence_expected = bool(settings.vendor)

    def discover(self, stream: str) -> tuple[int, bool]:
        """Store one page of a stream's records as due; returns how many were new, and whether the stream is read up."""
        with self._store.read() as connection:
            cursor = records.cursor(connection, stream)
        found = self._source.discover(stream, cursor)
        if found.cursor == cursor and not found.refs:
            return 0, found.caught_up
        now = self._clock()
        with self._store.transaction("discovered") as connection:
            new = records.meet(connection, found.refs, now)
            records.move_cursor(connection, stream, found.cursor, now)
        return new, found.caught_up

    def process(self, *, hurry: bool = False) -> Processed:
        """Read what is due, assess it, and store calls and parcels in one transaction."""
        self._existing.look()
        now = self._clock()
        with self._store.read() as connection:
            due = records.due(connection, now, self._settings.dify.page_size)
        if not due:
            return Processed()
        if any(item.checks for item in due):
            self._matching.catch_up(in_hurry=hurry)  # second looks: by now the calls of that time are known
        fetched = self._source.fetch(tuple(item.ref for item in due))
        traces, broken = _assembled(fetched)
        traces = [with_page(trace, self._settings.dify) for trace in traces]
        fetched = replace(fetched, traces=())  # their texts live on in the traces; one copy is enough
        with self._matching.steady():
            assessed = self._assess(traces, due, now, hurry=hurry)
            return self._store_page(due, fetched, assessed, broken, hurry=hurry)

    def _assess(
        self, traces: Sequence[Trace], due: Sequence[Due], now: Micros, *, hurry: bool
    ) -> list[readings.Read]:
        with self._store.read() as connection:
            known = readings.Evidence(
                assignments.of_calls(connection, [call.call_id for trace in traces for call in trace.calls]),
                assignments.of_traces(connection, [trace.trace_id for trace in traces]),
            )
        checks = {item.ref.id: item.checks for item in due}
        pending = {
            trace.trace_id
            for trace in traces
            if self._evidence_expected
            and waiting.evidence_may_come(
                trace, now, checks[trace.ref.id], self._settings.compare, hurry=hurry
            )
        }
        return readings.read(traces, known, self._settings.compare, pending)

    def _store_page(
        self,
        due: Sequence[Due],
        fetched: Fetched,
        assessed: Sequence[readings.Read],
        broken: Sequence[tuple[RecordRef, str]],
        *,
        hurry: bool,
    ) -> Processed:
        now = self._clock()
        known = {(item.ref.kind, item.ref.id): item for item in due}
        with self._store.read() as connection:
            revisions = ledger.revisions(connection, [item.assessed.trace.trace_id for item in assessed])
            before = ledger.documents(
                connection,
                [
                    item.assessed
                    for item in assessed
                    if not item.assessed.trace.is_final and item.assessed.trace.trace_id in revisions
                ],
            )
        ways = self._existing.ways([item.assessed.trace for item in assessed])
        plans = [
            self._plan(
                item,
                known[(item.assessed.trace.ref.kind, item.assessed.trace.ref.id)],
                revisions,
                before,
                ways,
                now,
                hurry,
            )
            for item in assessed
        ]
        parcels = [parcel for plan in plans for parcel in plan.parcels]
        with self._store.transaction("page") as connection:
            is_watched = self._evidence_expected or not evidence.is_empty(connection)
            ledger.put(connection, [plan.entry(now) for plan in plans], match_new=is_watched)
            outbox.put(connection, parcels, now)
            gone = {plan.read.assessed.trace.trace_id for plan in plans if plan.decision.export}
            sent_as.put(connection, [(sending, way) for sending, way in ways.items() if sending[0] in gone])
            records.settle(
                connection, [*(plan.outcome() for plan in plans), *_without_trace(fetched, broken)]
            )
        return _counted(plans, fetched, broken, parcels)

    def _plan(
        self,
        item: readings.Read,
        due: Due,
        revisions: dict[str, int],
        before: dict[str, list[str]],
        ways: Mapping[Sending, Way],
        now: Micros,
        hurry: bool,
    ) -> _Plan:
        trace = item.assessed.trace
        revision = revisions.get(trace.trace_id, 0)
        decision = waiting.decide(
            item.assessed,
            now,
            due.checks,
            self._settings.dify,
            self._settings.compare,
            evidence_expected=self._evidence_expected,
            was_exported=revision > 0,
            is_different=trace.trace_id in before and before[trace.trace_id] != ledger.written(item.assessed),
            hurry=hurry,
        )
        parcels = self._render(item.assessed, revision + 1, ways) if decision.export else ()
        return _Plan(item, decision, revision > 0, parcels)

    def _render(
        self, assessed: AssessedTrace, revision: int, ways: Mapping[Sending, Way]
    ) -> tuple[Parcel, ...]:
        """One parcel per destination; a correction goes only where the same ids replace what was there, and what Dify's own
        tracing wrote there is added to by the queue that can."""
        trace = assessed.trace
        parcels = []
        for destination in self._destinations:
            if revision > 1 and not destination.corrects:
                continue
            way = self._existing.way(ways, destination, trace)
            spans = rendered(destination, assessed, way)
            if not spans and way is not Way.OWN:
                continue
            parcels.append(
                Parcel(
                    destination.name, trace.trace_id, revision, otlp.frame(spans), len(spans),
                    trace.started_at, trace.ended_at,
                )
            )  # fmt: skip
        return tuple(parcels)


@dataclass(frozen=True, slots=True)
class _Plan:
    """A trace that was read, and what is to become of it."""

    read: readings.Read
    decision: Decision
    was_exported: bool
    parcels: tuple[Parcel, ...]

    def entry(self, now: Micros) -> ledger.Entry:
        return ledger.Entry(
            self.read.assessed,
            self.read.fingerprint.to_json(),
            self.read.fingerprints,
            self.read.fingerprint.users,
            now if self.decision.export else None,
        )

    def outcome(self) -> Outcome:
        ref, decision = self.read.assessed.trace.ref, self.decision
        if decision.look_again_at is None:
            return Outcome(ref, "done", decision.reason or None)
        state = "watched" if decision.export or self.was_exported else "pending"
        return Outcome(ref, state, decision.reason, decision.look_again_at)


def _without_trace(fetched: Fetched, broken: Sequence[tuple[RecordRef, str]]) -> list[Outcome]:
    return [
        *(Outcome(item.ref, "filtered", item.reason) for item in fetched.filtered),
        *(Outcome(ref, "vanished", "the row is gone from Dify") for ref in fetched.vanished),
        *(Outcome(ref, "set_aside", reason) for ref, reason in (*fetched.failed, *broken)),
    ]


def _counted(
    plans: Sequence[_Plan],
    fetched: Fetched,
    broken: Sequence[tuple[RecordRef, str]],
    parcels: Sequence[Parcel],
) -> Processed:
    exported = sum(plan.decision.export for plan in plans)
    return Processed(
        read=len(plans),
        exported=exported,
        postponed=len(plans) - exported,
        filtered=len(fetched.filtered),
        vanished=len(fetched.vanished),
        set_aside=len(fetched.failed) + len(broken),
        queued_bytes=sum(len(parcel.spans) for parcel in parcels),
    )


def _assembled(fetched: Fetched) -> tuple[list[Trace], list[tuple[RecordRef, str]]]:
    """Traces, and the records whose rows no trace could be made of."""
    traces: list[Trace] = []
    broken: list[tuple[RecordRef, str]] = []
    for rows in fetched.traces:
        try:
            traces.append(assemble(rows))
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError) as error:
            broken.append((rows.ref, f"no trace could be made of its rows ({type(error).__name__})"))
            log.warning(
                "record_set_aside", kind=rows.ref.kind.value, id=rows.ref.id, error=type(error).__name__
            )
    return traces, broken
