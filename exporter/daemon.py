"""The running program: opens state, source and destinations, and runs the flow once or for ever.

The outermost layer: it holds the clock, the lock on the state file, and the order of start and stop.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace

import structlog

from exporter import clock, links, prices, problems
from exporter.config import Settings
from exporter.destinations import registry
from exporter.destinations.base import Destination
from exporter.destinations.delivery import Courier
from exporter.errors import Stopped
from exporter.intake import Intake, Taken
from exporter.links_back import dify_link, pages_address
from exporter.local import mapping
from exporter.matching import Matching
from exporter.memory import collect_seldom
from exporter.model import Micros
from exporter.once import OnceReport, run_once
from exporter.pipeline import Pipeline, Processed
from exporter.sources import choice
from exporter.sources.continued import Continued
from exporter.sources.rows import Source
from exporter.state import health, ledger, pressure, records
from exporter.state.store import Boundary, Store
from exporter.vendor.bills import registry as bills
from exporter.vendor.pullers import registry as pullers

_MAX_DUE = 20_000
"""Discovery pauses while so many records wait to be read: the set of due records stays small."""

log = structlog.get_logger()


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
        mapping.use(item.rule() for item in settings.models)
        prices.use(settings.prices)
        self.store = Store(settings.state.path, boundary)
        self.store.lock()
        self.destinations: list[Destination] = registry.build(settings)
        by_name = registry.delivery_settings(settings)
        self.couriers = [Courier(self.store, item, by_name[item.name], now) for item in self.destinations]
        self.stopping = threading.Event()
        self.matching = Matching(self.store, settings.compare, now, self.stopping.is_set)
        self._intake = Intake(
            self.store, [*pullers.build(settings.vendor), *bills.build(settings.bills)], now
        )
        self._source: Continued | None = None
        self._told: tuple[tuple[tuple[str, str], ...], tuple[str, ...]] | None = None
        self._pipeline: Pipeline | None = None
        self._reading = threading.Lock()
        self._pressure = pressure.Gauge(self.store, settings.state)
        self.active_at: Micros | None = None
        with self.store.transaction("start") as connection:
            health.forget_jobs(connection, "evidence:")
            health.forget_jobs(connection, "metrics")
            health.forget_jobs(connection, "report")
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
                total.add(done)
                if not _did_something(done) or not self._discover(pipeline):
                    break
            self._tell_source()
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
            total.add(done)
            if not _did_something(done):
                break
        return total

    def take_evidence(self, *, at_once: bool = False) -> Taken:
        """Pull vendor sources on, match what is new, and look again at traces that it concerns."""
        taken = self._intake.take(at_once=at_once, stopping=self.stopping.is_set)
        return replace(taken, looked_again=self.matching.catch_up(in_hurry=at_once))

    def deliver(self, name: str) -> float | None:
        """One destination's turn: send what is due, confirm what was acknowledged; seconds until the next look."""
        courier = next(item for item in self.couriers if item.destination.name == name)
        done = courier.step()
        courier.confirm()
        return done.wait_seconds

    def learn_links(self) -> None:
        """Ask the platforms where their pages are, so that ours can link to them."""
        links.learn(self.destinations)

    def links_of(self, trace_id: str) -> list[tuple[str, str]]:
        """Where else a trace can be looked at: Dify's own page, and that of each destination that has one."""
        with self.store.read() as connection:
            document = ledger.trace(connection, trace_id)
            if document is None:
                return []
            found = links.links(connection, self.settings, self.destinations, document)
        page = dify_link(document, pages_address(self.settings.dify))
        return [*([("Dify", page)] if page else []), *found]

    def _connected(self) -> Pipeline:
        if self._pipeline is None:
            collect_seldom()
            source = self._open_source()
            with self.store.transaction("source") as connection:
                health.forget_facts(connection, "source.")
                health.forget_facts(connection, problems.TROUBLES)
                for name, words in source.describe():
                    health.remember(connection, f"source.{name}", words)
            self._source = source
            self._pipeline = Pipeline(
                source, self.store, self.destinations, self.settings, self.now, self.matching
            )
        return self._pipeline

    def _tell_source(self) -> None:
        """Keep for `status` and /readyz what the source says of itself, where that changes while it runs: refusals come and go."""
        told = self._source.present() if self._source is not None else None
        if told is None or told == self._told:
            return
        self._told = told
        facts, troubles = told
        with self.store.transaction("source") as connection:
            health.forget_facts(connection, "source.")
            health.forget_facts(connection, problems.TROUBLES)
            for name, words in facts:
                health.remember(connection, f"source.{name}", words)
            for number, words in enumerate(troubles):
                health.remember(connection, f"{problems.TROUBLES}{number:04}", words)

    def _open_source(self) -> Continued:
        log.info("source", address=choice.address(self.settings.dify))
        return Continued(choice.open_source(self.settings), self.store)

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

    def run_once(self, *, patience_seconds: float = 60.0) -> OnceReport:
        """Everything that is there: evidence, traces, delivery. Raises ExporterError when Dify cannot be read."""
        return run_once(self, patience_seconds)

    def close(self) -> None:
        """Stop what runs and close; returns quickly, what was in flight stays in doubt."""
        self.stopping.set()
        for courier in self.couriers:
            courier.stop()
        self._intake.close()
        if self._source is not None:
            self._source.close()
        self.store.close()


def _did_something(done: Processed) -> bool:
    return bool(done.read or done.filtered or done.vanished or done.set_aside)
