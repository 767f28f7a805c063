"""The running program: opens state, source and destinations, and runs the flow once or for ever.

The outermost layer: it holds the clock, the lock on the state file, and the order of start and stop.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from exporter import clock, intake
from exporter.config import DestinationSettings, Settings, masked_url
from exporter.destinations import registry
from exporter.destinations.base import Destination
from exporter.destinations.delivery import Courier
from exporter.errors import ExporterError, Misconfigured
from exporter.memory import collect_seldom
from exporter.model import Micros
from exporter.pipeline import Pipeline, Processed
from exporter.sources.rows import Source
from exporter.state import health, outbox, pressure, records
from exporter.state.store import Boundary, Store

SECOND = 1_000_000
_MAX_DUE = 20_000
"""Discovery pauses while so many records wait to be read: the set of due records stays small."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class OnceReport:
    """What `run --once` did. `problems` is empty when everything that was there is delivered."""

    met: int
    exported: int
    unfinished: int
    filtered: int
    set_aside: int
    delivered: dict[str, int]
    waiting: dict[str, int]
    dead: dict[str, int]
    unconfirmed: dict[str, int]
    problems: tuple[str, ...]


class App:
    """One exporter on one state file. Use as a context manager, or call `close`."""

    def __init__(
        self,
        settings: Settings,
        *,
        boundary: Boundary | None = None,
        now: Callable[[], Micros] = clock.now,
    ) -> None:
        self.settings = settings
        self.now = now
        self.store = Store(settings.state.path, boundary)
        self.store.lock()
        self.destinations: list[Destination] = registry.build(settings)
        by_name = {item.name: item for item in settings.destinations}
        self.couriers = [Courier(self.store, item, by_name[item.name], now) for item in self.destinations]
        self.stopping = threading.Event()
        self._source: Source | None = None
        self._pipeline: Pipeline | None = None
        self._reading = threading.Lock()
        self._pressure = pressure.Gauge(self.store, settings.state)
        self.active_at: Micros | None = None
        with self.store.transaction("start") as connection:
            for item in self.destinations:
                health.delivered(connection, item.name, now())

    def __enter__(self) -> App:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # ── the work, one function a job ──

    def poll(self, *, hurry: bool = False) -> Processed:
        """Discover and process until nothing is due or pressure says stop. Raises ExporterError of the source."""
        total = Processed()
        with self._reading:
            pipeline = self._connected()
            self._discover(pipeline)
            while not self.stopping.is_set():
                done = self._process(pipeline, hurry=hurry)
                _add(total, done)
                if not _did_something(done) or not self._discover(pipeline):
                    break
        return total

    def process_due(self, *, hurry: bool = False) -> Processed:
        """Process what is due without looking for new records. Raises ExporterError of the source."""
        with self._reading:
            return self._process(self._connected(), hurry=hurry)

    def source(self) -> Source:
        """The open source. Raises ExporterError when it cannot be opened."""
        with self._reading:
            self._connected()
        assert self._source is not None
        return self._source

    def _process(self, pipeline: Pipeline, *, hurry: bool) -> Processed:
        total = Processed()
        while not self.stopping.is_set():
            stop = self._pressure.problem(self.now())
            if stop:
                raise Stopped(stop)
            done = pipeline.process(hurry=hurry)
            self._pressure.queued(done.queued_bytes)
            self.active_at = self.now()
            _add(total, done)
            if not _did_something(done):
                break
        return total

    def take_evidence(self) -> intake.Taken:
        """Read vendor files on, and look again at calls that new evidence may prove."""
        taken = intake.take_files(self.store, self.settings.vendor, self.now)
        again = intake.apply_late(self.store, self.settings.compare, self.now)
        return intake.Taken(taken.new, taken.refused, again)

    def deliver(self, name: str) -> float | None:
        """One destination's turn: send what is due, confirm what was acknowledged; seconds until the next look."""
        courier = next(item for item in self.couriers if item.destination.name == name)
        done = courier.step()
        courier.confirm()
        return done.wait_seconds

    def _connected(self) -> Pipeline:
        if self._pipeline is None:
            collect_seldom()
            source = self._open_source()
            with self.store.transaction("source") as connection:
                for name, words in source.describe():
                    health.remember(connection, f"source.{name}", words)
            self._source = source
            self._pipeline = Pipeline(source, self.store, self.destinations, self.settings, self.now)
        return self._pipeline

    def _open_source(self) -> Source:
        from exporter.sources.database import open_database

        url = self.settings.dify.database.url
        if url is None:
            raise Misconfigured(
                ["dify.database.url: is required (DIFY_DATABASE_URL)"],
                "postgresql://readonly:password@host:5432/dify; docs/install.md has the SQL for a read-only role",
            )
        log.info("source", address=masked_url(url.get_secret_value()))
        return open_database(self.settings.dify)

    def _discover(self, pipeline: Pipeline) -> int:
        """Read every stream up, as long as not too much is due already; returns how many records were new."""
        assert self._source is not None
        met = 0
        for stream in self._source.streams:
            caught_up = False
            while not caught_up and not self.stopping.is_set():
                with self.store.read() as connection:
                    if records.is_crowded(connection, _MAX_DUE):
                        return met
                new, caught_up = pipeline.discover(stream)
                met += new
        return met

    # ── once ──

    def run_once(self, *, patience_seconds: float = 60.0, discover: bool = True) -> OnceReport:
        """Everything that is there: evidence, traces, delivery. Raises ExporterError when Dify cannot be read.

        A destination that does not answer is tried for `patience_seconds`; what it did not take stays in the state.
        """
        before = self._record_counts()
        self.take_evidence()
        done = self.poll(hurry=True) if discover else self.process_due(hurry=True)
        problems = self._drain(patience_seconds)
        after = self._record_counts()
        with self.store.read() as connection:
            backlogs = outbox.backlogs(connection)
            deliveries = health.deliveries(connection)
        return OnceReport(
            met=sum(after.values()) - sum(before.values()),
            exported=done.exported,
            unfinished=after.get("pending", 0),
            filtered=after.get("filtered", 0),
            set_aside=after.get("set_aside", 0),
            delivered={name: item.traces for name, item in deliveries.items()},
            waiting={name: n for name, item in backlogs.items() if (n := item.ready + item.in_doubt)},
            dead={name: item.dead for name, item in backlogs.items() if item.dead},
            unconfirmed={name: item.acked for name, item in backlogs.items() if item.acked},
            problems=tuple(problems),
        )

    def _drain(self, patience_seconds: float) -> list[str]:
        """Deliver all queues side by side; one sentence per destination that did not take everything."""
        problems: list[str] = []
        threads = [
            threading.Thread(target=self._drain_one, args=(courier, patience_seconds, problems), daemon=True)
            for courier in self.couriers
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return problems

    def _drain_one(self, courier: Courier, patience_seconds: float, problems: list[str]) -> None:
        name = courier.destination.name
        give_up = time.monotonic() + patience_seconds
        while not self.stopping.is_set():
            done = courier.step()
            if done.sent:
                give_up = time.monotonic() + patience_seconds
            if done.wait_seconds is None:
                break
            with self.store.read() as connection:
                delivery = health.deliveries(connection)[name]
            if delivery.hold or time.monotonic() + done.wait_seconds > give_up:
                problems.append(
                    f"{name}: {delivery.failure or 'no answer'}; the rest stays in the state file"
                )
                return
            self.stopping.wait(done.wait_seconds)
        self._confirm_once(courier)

    def _confirm_once(self, courier: Courier) -> None:
        """Look for what was acknowledged, once its time has come, but not for long: the next run goes on."""
        until = time.monotonic() + 2 * _settings_of(self.settings, courier.destination.name).confirm_after
        while not self.stopping.is_set() and time.monotonic() < until:
            courier.confirm()
            courier.step()
            with self.store.read() as connection:
                backlog = outbox.backlogs(connection).get(courier.destination.name)
            if backlog is None or not (backlog.acked or backlog.ready or backlog.in_doubt):
                return
            self.stopping.wait(0.5)

    def _record_counts(self) -> dict[str, int]:
        with self.store.read() as connection:
            return records.counts(connection)

    def close(self) -> None:
        """Stop what runs and close; returns quickly, what was in flight stays in doubt."""
        self.stopping.set()
        for courier in self.couriers:
            courier.stop()
        if self._source is not None:
            self._source.close()
        self.store.close()


class Stopped(ExporterError):
    """Reading Dify is stopped by back-pressure; it goes on by itself when there is room again."""

    retryable = True


def _settings_of(settings: Settings, name: str) -> DestinationSettings:
    return next(item for item in settings.destinations if item.name == name)


def _did_something(done: Processed) -> bool:
    return bool(done.read or done.filtered or done.vanished or done.set_aside)


def _add(total: Processed, done: Processed) -> None:
    total.read += done.read
    total.exported += done.exported
    total.postponed += done.postponed
    total.filtered += done.filtered
    total.vanished += done.vanished
    total.set_aside += done.set_aside
