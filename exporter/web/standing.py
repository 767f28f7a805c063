"""What the status page shows: readiness, the source, destinations with what waits and what was refused, jobs."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from exporter.model import Micros
from exporter.problems import is_silent
from exporter.state import evidence, health, outbox, records, standings
from exporter.state.health import Delivery, Job
from exporter.state.outbox import Backlog
from exporter.web.language import Language
from exporter.web.readiness import Readiness
from exporter.web.words import age, ago, number, size

_DAY = 86_400 * 1_000_000
_STANDINGS = (
    standings.MATCHED, standings.HIDDEN, standings.UNRECORDED, standings.FOREIGN, standings.COPY,
)  # fmt: skip
_SHOWN = 100


@dataclass(frozen=True, slots=True)
class DestinationView:
    """One destination in words; `state` is delivering, idle, on hold or failing."""

    name: str
    state: str
    reason: str | None
    delivered: str
    spans: str
    confirmed: str
    resent: str
    waiting: str
    oldest: str
    in_doubt: str
    acked: str
    kept: str
    dead: str
    last: str


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A trace that a destination refused."""

    destination: str
    trace_id: str
    reason: str
    spans: int


@dataclass(frozen=True, slots=True)
class SetAside:
    """A Dify record that no trace could be made of."""

    kind: str
    id: str
    reason: str


@dataclass(frozen=True, slots=True)
class JobView:
    """One job in words."""

    name: str
    is_failing: bool
    last: str
    runs: str
    failure: str | None


@dataclass(frozen=True, slots=True)
class EvidenceView:
    """One source of vendor evidence, and what became of the requests of the last day."""

    source: str
    requests: str
    refused: str
    matched: str
    hidden: str
    unrecorded: str
    foreign: str
    copy: str


@dataclass(frozen=True, slots=True)
class Standing:
    """Everything on the page. `source` describes what is read, in name and words."""

    source: tuple[tuple[str, str], ...]
    read: str
    behind: str
    states: tuple[tuple[str, str], ...]
    destinations: tuple[DestinationView, ...]
    dead: tuple[DeadLetter, ...]
    set_aside: tuple[SetAside, ...]
    evidence: tuple[EvidenceView, ...]
    jobs: tuple[JobView, ...]


def standing(
    connection: sqlite3.Connection,
    readiness: Readiness,
    destinations: Sequence[str],
    now: Micros,
    say: Language,
) -> Standing:
    """Gather the page's facts; lists of refused things end after a hundred."""
    deliveries, backlogs = health.deliveries(connection), outbox.backlogs(connection)
    names = dict.fromkeys((*destinations, *sorted({*deliveries, *backlogs})))
    states = records.counts(connection)
    aside = records.set_aside(connection)[:_SHOWN] if states.get("set_aside") else []
    return Standing(
        source=tuple(health.facts(connection, "source.").items()),
        read=ago(readiness.read_at, now, say),
        behind=behind(readiness.lag_seconds, say),
        states=tuple(
            (say.maybe(f"record.{state}", state), number(count)) for state, count in sorted(states.items())
        ),
        destinations=tuple(
            _destination(name, deliveries.get(name), backlogs.get(name), now, say) for name in names
        ),
        dead=tuple(DeadLetter(*row) for row in outbox.dead(connection, _SHOWN)),
        set_aside=tuple(SetAside(ref.kind.value, ref.id, reason) for ref, reason in aside),
        evidence=_evidence(connection, now),
        jobs=tuple(_job(job, now, say) for _, job in sorted(health.jobs(connection).items())),
    )


def _evidence(connection: sqlite3.Connection, now: Micros) -> tuple[EvidenceView, ...]:
    counted: Counter[tuple[str, str]] = Counter()
    for group in standings.groups(connection, since=now - _DAY):
        counted[group.source, group.standing] += group.requests
    return tuple(
        EvidenceView(
            source,
            number(counts.requests),
            number(counts.refused),
            *(number(counted[source, standing]) for standing in _STANDINGS),
        )
        for source, counts in sorted(evidence.counts(connection).items())
    )


def behind(lag_seconds: float | None, say: Language) -> str:
    """How far behind the reading of Dify is."""
    if lag_seconds is None:
        return say("not.known")
    return age(round(lag_seconds * 1_000_000)) if lag_seconds else say("nothing")


def _destination(
    name: str, delivery: Delivery | None, backlog: Backlog | None, now: Micros, say: Language
) -> DestinationView:
    waits = backlog or Backlog(0, 0, 0, 0, 0, 0, None)
    state, reason = _state(delivery)
    return DestinationView(
        name=name,
        state=state,
        reason=reason,
        delivered=number(delivery.traces if delivery else 0),
        spans=number(delivery.spans if delivery else 0),
        confirmed=number(delivery.confirmed if delivery else 0),
        resent=number(delivery.resent if delivery else 0),
        waiting=number(waits.ready + waits.in_doubt),
        oldest="" if waits.oldest_at is None else say("oldest", age=age(max(0, now - waits.oldest_at))),
        in_doubt=number(waits.in_doubt),
        acked=number(waits.acked),
        kept=size(waits.size_bytes),
        dead=number(waits.dead),
        last=ago(delivery.succeeded_at if delivery else None, now, say),
    )


def _state(delivery: Delivery | None) -> tuple[str, str | None]:
    if delivery is None or (delivery.succeeded_at is None and delivery.failed_at is None):
        return "idle", None
    if delivery.hold:
        return "on hold", delivery.hold
    return ("failing", delivery.failure) if is_silent(delivery) else ("delivering", None)


def _job(job: Job, now: Micros, say: Language) -> JobView:
    return JobView(
        job.name,
        job.is_failing,
        ago(job.succeeded_at, now, say),
        number(job.runs),
        job.failure if job.is_failing else None,
    )
