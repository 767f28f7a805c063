"""Our own health as metrics, all under `dify_exporter_`: how far behind we are, what waits, what arrived, what failed.

Read from the state file at every scrape. Labels are names from the settings (destination, job, evidence source) and states.
"""

from __future__ import annotations

import platform
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from prometheus_client.core import Metric

from exporter import __version__, audit, durations
from exporter.model import SECOND, Micros
from exporter.state import health, outbox
from exporter.state.health import Delivery, Job
from exporter.state.outbox import Backlog
from exporter.state.store import Store
from exporter.web import evidence_metrics
from exporter.web.metrics_catalog import Values, own
from exporter.web.readiness import Readiness
from exporter.web.slow_metrics import Slow

_BACKLOG: tuple[tuple[str, Callable[[Backlog], int]], ...] = (
    ("backlog_traces", lambda b: b.ready + b.in_doubt),
    ("backlog_spans", lambda b: b.spans),
    ("backlog_bytes", lambda b: b.size_bytes),
    ("in_doubt_traces", lambda b: b.in_doubt),
    ("acked_traces", lambda b: b.acked),
    ("dead_letters", lambda b: b.dead),
)
_DELIVERED: tuple[tuple[str, Callable[[Delivery], int]], ...] = (
    ("delivered_traces", lambda d: d.traces),
    ("delivered_spans", lambda d: d.spans),
    ("confirmed_traces", lambda d: d.confirmed),
    ("resent_traces", lambda d: d.resent),
    ("duplicate_traces", lambda d: d.duplicates),
    ("refused_traces", lambda d: d.refused),
    ("requests", lambda d: d.requests),
    ("request_failures", lambda d: d.failures),
)


class HealthCollector:
    """What Prometheus asks for our own health and for the vendor's evidence. `folded` tells how many names of the ledger's
    labels are counted under `other`; `jobs` are those that the daemon runs in any case."""

    def __init__(
        self,
        store: Store,
        readiness: Callable[[], Readiness],
        destinations: Sequence[str],
        clock: Callable[[], Micros],
        *,
        jobs: Sequence[str],
        top_models: int,
        folded: Callable[[], Values],
    ) -> None:
        self._store = store
        self._readiness = readiness
        self._destinations = tuple(destinations)
        self._clock = clock
        self._jobs = tuple(jobs)
        self._top_models = top_models
        self._folded = folded
        self._counts = Slow(lambda: evidence_metrics.count(store))

    def describe(self) -> list[Metric]:
        """Nothing: the registry then does not collect at registration."""
        return []

    def collect(self) -> Iterator[Metric]:
        """All families; configured destinations and jobs are there before anything was done."""
        ready = self._readiness()
        counts = self._counts.value()
        with self._store.read() as connection:
            jobs = health.jobs(connection)
            deliveries = health.deliveries(connection)
            backlogs = outbox.backlogs(connection)
            audits = audit.last(connection)
        names = sorted({*self._destinations, *deliveries, *backlogs})
        yield own("build_info", {(__version__, platform.python_version()): 1})
        yield from _source(ready, counts.records)
        yield from _jobs({name: jobs.get(name) for name in sorted({*self._jobs, *jobs})})
        yield from _backlogs({name: backlogs.get(name, _NOTHING_WAITS) for name in names}, self._clock())
        yield from _deliveries({name: deliveries.get(name, _nothing_sent(name)) for name in names})
        yield from evidence_metrics.families(
            counts, evidence_metrics.last_seen(self._store), self._top_models
        )
        yield from _audits(audits)
        yield from _process(self._store.path)
        yield own("folded_labels", {**self._folded(), **evidence_metrics.folded(counts, self._top_models)})


_NOTHING_WAITS = Backlog(0, 0, 0, 0, 0, 0, None)


def _nothing_sent(name: str) -> Delivery:
    return Delivery(name, 0, 0, 0, 0, 0, 0, 0, 0, None, None, None, None)


def _source(ready: Readiness, states: Mapping[str, int]) -> Iterator[Metric]:
    yield own("ready", {(): int(ready.is_ready)})
    yield own("reading", {(): int(ready.is_reading)})
    yield own("source_lag_seconds", {} if ready.lag_seconds is None else {(): ready.lag_seconds})
    yield own("records", {(state,): count for state, count in {"set_aside": 0, **states}.items()})


def _jobs(jobs: Mapping[str, Job | None]) -> Iterator[Metric]:
    yield own("job_runs", {(name,): job.runs if job is not None else 0 for name, job in jobs.items()})
    known = {name: job for name, job in jobs.items() if job is not None}
    yield _times("job_last_success", {name: job.succeeded_at for name, job in known.items()})
    yield _times("job_last_failure", {name: job.failed_at for name, job in known.items()})


def _backlogs(backlogs: Mapping[str, Backlog], now: Micros) -> Iterator[Metric]:
    for name, value in _BACKLOG:
        yield own(name, {(at,): value(backlog) for at, backlog in backlogs.items()})
    yield own(
        "backlog_oldest_seconds",
        {(at,): _age_seconds(backlog.oldest_at, now) for at, backlog in backlogs.items()},
    )


def _age_seconds(moment: Micros | None, now: Micros) -> float:
    return 0.0 if moment is None else max(0, now - moment) / SECOND


def _deliveries(deliveries: Mapping[str, Delivery]) -> Iterator[Metric]:
    for name, value in _DELIVERED:
        yield own(name, {(at,): value(delivery) for at, delivery in deliveries.items()})
    yield own(
        "destination_on_hold",
        {(at,): int(delivery.hold is not None) for at, delivery in deliveries.items()},
    )
    yield _times("delivery_last_success", {at: item.succeeded_at for at, item in deliveries.items()})


def _audits(results: Mapping[str, audit.Last]) -> Iterator[Metric]:
    """The last whole audit of each destination; no sample for one that was never audited."""
    yield own("audit_missing", {(name,): result.missing for name, result in results.items()})
    yield own("audit_doubled", {(name,): result.doubled for name, result in results.items()})
    yield _times("audit_last", {name: result.at for name, result in results.items()})


def _process(state: Path) -> Iterator[Metric]:
    """What this process has used, and where its state lies."""
    files = (state, state.with_name(state.name + "-wal"))
    yield own("state_bytes", {(): sum(file.stat().st_size for file in files if file.exists())})
    yield own("state_disk_free_bytes", {(): shutil.disk_usage(state.parent).free})
    yield own("tokenizer_seconds", {(): durations.seconds(durations.TOKENIZER)})


def _times(name: str, moments: Mapping[str, Micros | None]) -> Metric:
    """Unix times; no sample for what never happened."""
    known: dict[tuple[str, ...], float] = {
        (key,): moment / SECOND for key, moment in moments.items() if moment is not None
    }
    return own(f"{name}_timestamp_seconds", known)
