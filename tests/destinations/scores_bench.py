"""A queue of scores with its real courier, a platform's twin, and a clock that tests move."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from exporter import config
from exporter.config import DestinationSettings
from exporter.destinations import registry
from exporter.destinations.base import Destination
from exporter.destinations.delivery import Courier
from exporter.model import SECOND, AssessedTrace
from exporter.spans import otlp
from exporter.state import health, outbox
from exporter.state.outbox import Parcel
from exporter.state.store import Store
from tests.contract.twin_server import Twin
from tests.spans.assessed_traces import START

HOUR = 3600 * SECOND


class Clock:
    """A clock that tests move."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> int:
        return self.now


@dataclass
class Bench:
    """Spans and scores of one destination, each with its queue."""

    store: Store
    twin: Twin
    clock: Clock
    spans: Courier
    scores: Courier
    settings: dict[str, DestinationSettings]
    folder: Path

    def queue(self, traces: list[AssessedTrace], revision: int = 1, *, only: str | None = None) -> None:
        """What the pipeline stores of a page of traces."""
        for destination in (self.spans.destination, self.scores.destination):
            if only is None or destination.name == only:
                self._put(destination, traces, revision)

    def deliver(self, until: int, *couriers: Courier) -> None:
        """Send and confirm, moving the clock to whatever is due next, up to that time."""
        chosen = couriers or (self.spans, self.scores)
        while self.clock.now < until:
            waits = [courier.step().wait_seconds for courier in chosen]
            for courier in chosen:
                courier.confirm()
            backlogs = [self.backlog(courier) for courier in chosen]
            if not any(item and (item.ready or item.in_doubt or item.acked) for item in backlogs):
                return
            due = [wait for wait in waits if wait is not None]
            self.clock.now += round(max(0.5, min(due, default=0.5)) * SECOND)

    def backlog(self, courier: Courier) -> outbox.Backlog | None:
        """What waits for a destination."""
        with self.store.read() as connection:
            return outbox.backlogs(connection).get(courier.destination.name)

    def delivery(self, courier: Courier) -> health.Delivery:
        """What was sent to a destination so far."""
        with self.store.read() as connection:
            return health.deliveries(connection)[courier.destination.name]

    def again(self, courier: Courier) -> Courier:
        """The courier of a process that starts on what another one left behind."""
        destination = courier.destination
        return Courier(self.store, destination, self.settings[destination.name], self.clock)

    def _put(self, destination: Destination, traces: list[AssessedTrace], revision: int) -> None:
        parcels = []
        for assessed in traces:
            spans = destination.render(assessed)
            of = assessed.trace
            parcels.append(
                Parcel(
                    destination.name, of.trace_id, revision, otlp.frame(spans), len(spans), of.started_at, of.ended_at
                )
            )  # fmt: skip
        with self.store.transaction("queue") as connection:
            outbox.put(connection, parcels, self.clock())


@contextmanager
def bench(twin: Twin, folder: Path, **wanted: Any) -> Iterator[Bench]:
    """A bench on a running twin."""
    known = {"endpoint": twin.url, "confirm_after": "2s", "requests_per_second": 50_000, **wanted}
    settings = config.load(Path(os.devnull), {}, {"destinations": [known]}).settings
    store, clock = Store(folder / "s.db"), Clock()
    by_name = registry.delivery_settings(settings)
    spans, scores = (Courier(store, item, by_name[item.name], clock) for item in registry.build(settings))
    yield Bench(store, twin, clock, spans, scores, by_name, folder)
    store.close()
