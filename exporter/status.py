"""`status`: what every part last did, from the state file, whether a daemon runs on it or not."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from exporter import problems
from exporter.clock import rfc3339
from exporter.config import Settings
from exporter.model import SECOND, Micros
from exporter.state import evidence, health, outbox, pressure, records
from exporter.state.store import Store

Document = dict[str, Any]


def document(store: Store, settings: Settings, now: Micros) -> Document:
    """One object: daemon, source, records, destinations, evidence, jobs, problems (sentences with what to do)."""
    with store.read() as connection:
        known = health.facts(connection, "source.")
        twice = health.facts(connection, problems.TWICE)
        troubles = health.facts(connection, problems.TROUBLES)
        jobs = health.jobs(connection)
        counts = records.counts(connection)
        lag = records.oldest_due(connection, now)
        backlogs = outbox.backlogs(connection)
        deliveries = health.deliveries(connection)
        dead = outbox.dead(connection)
        aside = records.set_aside(connection)
        seen = evidence.counts(connection)
    stop = pressure.problem(store, settings.state)
    return {
        "state": str(store.path),
        "daemon": store.is_locked_elsewhere(),
        "source": known,
        "lag_seconds": round((now - lag) / SECOND, 1) if lag is not None else 0.0,
        "records": counts,
        "set_aside": [{"kind": ref.kind.value, "id": ref.id, "reason": reason} for ref, reason in aside[:20]],
        "destinations": [
            _destination(name, backlogs.get(name), deliveries.get(name), now)
            for name in sorted({*backlogs, *deliveries})
        ],
        "dead_letters": [
            {"destination": name, "trace_id": trace, "reason": reason, "spans": spans}
            for name, trace, reason, spans in dead[:20]
        ],
        "evidence": [
            {"source": name, "requests": item.requests, "matched": item.matched, "refused": item.refused}
            for name, item in sorted(seen.items())
        ],
        "jobs": [
            {
                "name": job.name,
                "last_success": _time(job.succeeded_at),
                "last_failure": _time(job.failed_at),
                "failure": job.failure if job.is_failing else None,
            }
            for job in sorted(jobs.values(), key=lambda job: job.name)
        ],
        "problems": [
            *_problems(stop, jobs, deliveries, counts, backlogs),
            *(problems.sentence(words) for _, words in sorted(troubles.items())),
            *problems.twice(settings.destinations, twice),
        ],
    }


def _destination(
    name: str, backlog: outbox.Backlog | None, delivery: health.Delivery | None, now: Micros
) -> Document:
    return {
        "name": name,
        "waiting": backlog.ready + backlog.in_doubt if backlog else 0,
        "in_doubt": backlog.in_doubt if backlog else 0,
        "unconfirmed": backlog.acked if backlog else 0,
        "dead_letters": backlog.dead if backlog else 0,
        "oldest_seconds": round((now - backlog.oldest_at) / SECOND, 1)
        if backlog and backlog.oldest_at
        else None,
        "delivered_traces": delivery.traces if delivery else 0,
        "delivered_spans": delivery.spans if delivery else 0,
        "confirmed": delivery.confirmed if delivery else 0,
        "sent_again": delivery.resent if delivery else 0,
        "last_success": _time(delivery.succeeded_at) if delivery else None,
        "failure": delivery.failure
        if delivery and (delivery.failed_at or 0) > (delivery.succeeded_at or 0)
        else None,
        "hold": delivery.hold if delivery else None,
    }


def _problems(
    stop: str | None,
    jobs: dict[str, health.Job],
    deliveries: dict[str, health.Delivery],
    counts: dict[str, int],
    backlogs: dict[str, outbox.Backlog],
) -> Iterator[str]:
    if stop:
        yield problems.sentence(stop)
    yield from (problems.failing_job(job) for job in jobs.values() if job.is_failing)
    for name, delivery in deliveries.items():
        if delivery.hold:
            yield problems.held(delivery, backlogs.get(name))
        elif problems.is_silent(delivery):
            yield problems.silent(delivery, backlogs.get(name))
    yield from problems.leftovers(backlogs, counts.get("set_aside", 0))


def _time(moment: Micros | None) -> str | None:
    return rfc3339(moment) if moment is not None else None
