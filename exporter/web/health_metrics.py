"""Our own health as metrics, all under `dify_exporter_`: how far behind we are, what waits, what arrived, what failed.

Read from the state file at every scrape. Labels are names from the settings (destination, job, evidence source) and states.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator, Mapping, Sequence

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from exporter import __version__, audit
from exporter.model import Micros
from exporter.state import evidence, health, outbox, records
from exporter.state.evidence import SourceCounts
from exporter.state.health import Delivery, Job
from exporter.state.outbox import Backlog
from exporter.state.store import Store
from exporter.web.readiness import Readiness

_SECOND = 1_000_000

_BACKLOG: tuple[tuple[str, str, Callable[[Backlog], int]], ...] = (
    (
        "backlog_traces",
        "Traces (or parts of split ones) that wait for the destination.",
        lambda b: b.ready + b.in_doubt,
    ),
    ("backlog_spans", "Spans that wait for the destination.", lambda b: b.spans),
    (
        "backlog_bytes",
        "Bytes kept for the destination: waiting, in doubt, acknowledged but not confirmed, and dead letters.",
        lambda b: b.size_bytes,
    ),
    (
        "in_doubt_traces",
        "Traces that were sent and whose answer was never stored; part of the backlog.",
        lambda b: b.in_doubt,
    ),
    (
        "acked_traces",
        "Traces that the destination acknowledged and that are kept until confirmed.",
        lambda b: b.acked,
    ),
    (
        "dead_letters",
        "Traces (or parts) that the destination refused; kept with the reason until replayed.",
        lambda b: b.dead,
    ),
)

_DELIVERED: tuple[tuple[str, str, Callable[[Delivery], int]], ...] = (
    (
        "delivered_traces",
        "Traces (or parts of split ones) that the destination acknowledged.",
        lambda d: d.traces,
    ),
    ("delivered_spans", "Spans that the destination acknowledged.", lambda d: d.spans),
    ("confirmed_traces", "Traces that were read back from the destination.", lambda d: d.confirmed),
    (
        "resent_traces",
        "Traces sent again because they were acknowledged and then not found there.",
        lambda d: d.resent,
    ),
    ("duplicate_traces", "Traces that the destination said it already had.", lambda d: d.duplicates),
    (
        "refused_traces",
        "Traces (or parts) that the destination refused for their content.",
        lambda d: d.refused,
    ),
    ("requests", "Requests made to the destination.", lambda d: d.requests),
    ("request_failures", "Requests that failed and are made again later.", lambda d: d.failures),
)


class HealthCollector:
    """What Prometheus asks for our own health."""

    def __init__(
        self,
        store: Store,
        readiness: Callable[[], Readiness],
        destinations: Sequence[str],
        clock: Callable[[], Micros],
    ) -> None:
        self._store = store
        self._readiness = readiness
        self._destinations = tuple(destinations)
        self._clock = clock

    def describe(self) -> list[Metric]:
        """Nothing: the registry then does not collect at registration."""
        return []

    def collect(self) -> Iterator[Metric]:
        """All families; configured destinations are there before anything was sent to them."""
        ready = self._readiness()
        with self._store.read() as connection:
            jobs = health.jobs(connection)
            deliveries = health.deliveries(connection)
            backlogs = outbox.backlogs(connection)
            states = records.counts(connection)
            seen = evidence.counts(connection)
            audits = audit.last(connection)
        names = sorted({*self._destinations, *deliveries, *backlogs})
        yield _gauge("build_info", "Always 1; the labels name the versions.", ("version", "python"), {
            (__version__, platform.python_version()): 1
        })  # fmt: skip
        yield from _source(ready, states)
        yield from _jobs(jobs)
        yield from _backlogs({name: backlogs.get(name, _NOTHING_WAITS) for name in names}, self._clock())
        yield from _deliveries({name: deliveries.get(name, _nothing_sent(name)) for name in names})
        yield from _evidence(seen)
        yield from _audits(audits)


_NOTHING_WAITS = Backlog(0, 0, 0, 0, 0, 0, None)


def _nothing_sent(name: str) -> Delivery:
    return Delivery(name, 0, 0, 0, 0, 0, 0, 0, 0, None, None, None, None)


def _source(ready: Readiness, states: Mapping[str, int]) -> Iterator[Metric]:
    yield _gauge("ready", "1 when /readyz answers 200.", (), {(): int(ready.is_ready)})
    yield _gauge(
        "reading",
        "1 while Dify is read; 0 when that is stopped, fails or has gone quiet.",
        (),
        {(): int(ready.is_reading)},
    )
    lag: dict[tuple[str, ...], float] = {} if ready.lag_seconds is None else {(): ready.lag_seconds}
    yield _gauge(
        "source_lag_seconds",
        "How long something that should have been read from Dify has not been read.",
        (),
        lag,
    )
    yield _gauge(
        "records",
        "Dify records ever met, by state: pending, watched, done, filtered, vanished, set_aside.",
        ("state",),
        {(state,): count for state, count in {"set_aside": 0, **states}.items()},
    )


def _jobs(jobs: Mapping[str, Job]) -> Iterator[Metric]:
    yield _counter(
        "job_runs", "Runs of the job, failed ones too.", "job", {name: job.runs for name, job in jobs.items()}
    )
    yield _times(
        "job_last_success",
        "When the job last ran to its end.",
        "job",
        {n: j.succeeded_at for n, j in jobs.items()},
    )
    yield _times(
        "job_last_failure", "When the job last failed.", "job", {n: j.failed_at for n, j in jobs.items()}
    )


def _backlogs(backlogs: Mapping[str, Backlog], now: Micros) -> Iterator[Metric]:
    for name, text, value in _BACKLOG:
        yield _gauge(
            name, text, ("destination",), {(at,): value(backlog) for at, backlog in backlogs.items()}
        )
    yield _gauge(
        "backlog_oldest_seconds",
        "How long the oldest waiting trace has waited; 0 when none waits.",
        ("destination",),
        {(at,): _age_seconds(backlog.oldest_at, now) for at, backlog in backlogs.items()},
    )


def _age_seconds(moment: Micros | None, now: Micros) -> float:
    return 0.0 if moment is None else max(0, now - moment) / _SECOND


def _deliveries(deliveries: Mapping[str, Delivery]) -> Iterator[Metric]:
    for name, text, value in _DELIVERED:
        yield _counter(
            name, text, "destination", {at: value(delivery) for at, delivery in deliveries.items()}
        )
    yield _gauge(
        "destination_on_hold",
        "1 while a person has to act (keys, address, rights).",
        ("destination",),
        {(at,): int(delivery.hold is not None) for at, delivery in deliveries.items()},
    )
    times = {at: delivery.succeeded_at for at, delivery in deliveries.items()}
    yield _times(
        "delivery_last_success", "When the destination last acknowledged something.", "destination", times
    )


def _evidence(seen: Mapping[str, SourceCounts]) -> Iterator[Metric]:
    """Gauges: evidence may be forgotten again when it is old."""
    for name, text, values in (
        (
            "evidence_records",
            "Vendor requests kept as evidence.",
            {key: item.requests for key, item in seen.items()},
        ),
        (
            "evidence_matched",
            "Of these, matched to a call.",
            {key: item.matched for key, item in seen.items()},
        ),
        (
            "evidence_refused",
            "Vendor records that could not be read.",
            {key: item.refused for key, item in seen.items()},
        ),
    ):
        yield _gauge(name, text, ("source",), {(source,): count for source, count in values.items()})


def _audits(results: Mapping[str, audit.Last]) -> Iterator[Metric]:
    """The last whole audit of each destination; no sample for one that was never audited."""
    yield _gauge(
        "audit_missing",
        "Exported traces that the destination did not hold, or not whole, at its last audit.",
        ("destination",),
        {(name,): result.missing for name, result in results.items()},
    )
    yield _gauge(
        "audit_doubled",
        "Traces of which the destination held more rows than the ledger at its last audit.",
        ("destination",),
        {(name,): result.doubled for name, result in results.items()},
    )
    yield _times(
        "audit_last",
        "When the destination was last audited.",
        "destination",
        {name: result.at for name, result in results.items()},
    )


def _gauge(name: str, text: str, labels: tuple[str, ...], values: Mapping[tuple[str, ...], float]) -> Metric:
    gauge = GaugeMetricFamily(f"dify_exporter_{name}", text, labels=labels)
    for key, value in values.items():
        gauge.add_metric(key, value)
    return gauge


def _counter(name: str, text: str, label: str, values: Mapping[str, float]) -> Metric:
    counter = CounterMetricFamily(f"dify_exporter_{name}", text, labels=(label,))
    for key, value in values.items():
        counter.add_metric((key,), value)
    return counter


def _times(name: str, text: str, label: str, moments: Mapping[str, Micros | None]) -> Metric:
    """Unix times; no sample for what never happened."""
    known = {key: moment / _SECOND for key, moment in moments.items() if moment is not None}
    return _gauge(
        f"{name}_timestamp_seconds", text, (label,), {(key,): seconds for key, seconds in known.items()}
    )
