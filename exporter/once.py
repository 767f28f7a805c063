"""`run --once`: everything that is there, read and delivered side by side, then a report of what is left.

A destination that does not answer is tried for a while after the reading ended; what it did not take stays in the state.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from exporter.destinations.delivery import Courier
from exporter.errors import Stopped
from exporter.pipeline import Processed
from exporter.state import health, outbox, records

if TYPE_CHECKING:
    from exporter.daemon import App

_PAUSE_SECONDS = 0.05


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


def run_once(app: App, patience_seconds: float) -> OnceReport:
    """Evidence, traces, delivery. Raises ExporterError when Dify cannot be read; evidence that cannot be is a problem
    told in the report."""
    before = _record_counts(app)
    missing = _evidence(app)
    drains = Drains(app, patience_seconds)
    done = Processed()
    try:
        done = drains.beside(lambda: app.poll(hurry=True))
    finally:
        problems = drains.finish()
    after = _record_counts(app)
    with app.store.read() as connection:
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
        problems=(*missing, *problems),
    )


class Drains:
    """All queues delivered beside a reading that ends, so that a long history never fills the backlog."""

    def __init__(self, app: App, patience_seconds: float) -> None:
        self._app = app
        self._drains = [_Drain(app, courier, patience_seconds) for courier in app.couriers]

    def beside(self, work: Callable[[], Processed]) -> Processed:
        """Do this reading; where the backlog is full, wait and go on, as long as some destination takes something."""
        total = Processed()
        while True:
            try:
                total.add(work())
            except Stopped:
                if not any(drain.is_moving for drain in self._drains):
                    raise
                self._app.stopping.wait(10 * _PAUSE_SECONDS)
            else:
                return total

    def finish(self) -> list[str]:
        """The reading is over: wait until all queues are empty or patience ends; one sentence for each that is not."""
        return [problem for drain in self._drains if (problem := drain.finish())]


def _evidence(app: App) -> list[str]:
    """One sentence for each vendor source that could not be read."""
    return [
        f"{name}: {error}. Try: {error.hint}" if error.hint else f"{name}: {error}"
        for name, error in app.take_evidence(at_once=True).failed
    ]


def _record_counts(app: App) -> dict[str, int]:
    with app.store.read() as connection:
        return records.counts(connection)


class _Drain:
    """Delivers one queue beside the reading, until the reading is over and the queue is empty, or patience ends."""

    def __init__(self, app: App, courier: Courier, patience_seconds: float) -> None:
        self._app, self._courier, self._patience = app, courier, patience_seconds
        self._reading_is_over = threading.Event()
        self._problem: str | None = None
        self._last_sent = time.monotonic()
        self._thread = threading.Thread(
            target=self._run, name=f"drain-{courier.destination.name}", daemon=True
        )
        self._thread.start()

    @property
    def is_moving(self) -> bool:
        """True while something was taken lately."""
        return self._thread.is_alive() and time.monotonic() - self._last_sent < self._patience

    def finish(self) -> str | None:
        """Wait for the end; one sentence when not everything was taken."""
        self._last_sent = max(self._last_sent, time.monotonic())
        self._reading_is_over.set()
        self._thread.join()
        return self._problem

    def _run(self) -> None:
        while not self._app.stopping.is_set():
            is_last_look = self._reading_is_over.is_set()
            done = self._courier.step()
            forgotten = self._courier.confirm()
            if done.sent or forgotten:
                self._last_sent = time.monotonic()
            if done.wait_seconds is None:
                if is_last_look:
                    return self._confirm()
                self._reading_is_over.wait(_PAUSE_SECONDS)
                continue
            if is_last_look and self._gives_up(done.wait_seconds):
                return None
            self._app.stopping.wait(min(done.wait_seconds, 1.0))
        return None

    def _gives_up(self, wait_seconds: float) -> bool:
        name = self._courier.destination.name
        with self._app.store.read() as connection:
            delivery = health.deliveries(connection)[name]
        if not delivery.hold and time.monotonic() + wait_seconds <= self._last_sent + self._patience:
            return False
        self._problem = f"{name}: {delivery.failure or 'no answer'}; the rest stays in the state file"
        return True

    def _confirm(self) -> None:
        """Look for what was acknowledged once its time has come, but not for long: the next run goes on."""
        until = time.monotonic() + 2 * self._courier.confirm_after
        while not self._app.stopping.is_set() and time.monotonic() < until:
            self._courier.confirm()
            self._courier.step()
            with self._app.store.read() as connection:
                backlog = outbox.backlogs(connection).get(self._courier.destination.name)
            if backlog is None or not (backlog.acked or backlog.ready or backlog.in_doubt):
                return
            self._app.stopping.wait(min(0.5, self._courier.confirm_after))
