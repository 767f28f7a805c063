"""What runs when: the only module that knows the scheduler.

Jobs: poll, evidence, deliver (one per destination), prune, links (to the platforms' pages), report (where one is
scheduled), and what others add. A job that fails is stored with its reason, tried again with growing pauses, and never takes
the daemon down; only a damaged state file does.
"""

from __future__ import annotations

import sqlite3
import threading
import time
import traceback
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import structlog
from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler

from exporter.daemon import App
from exporter.errors import ExporterError, StateRefused
from exporter.model import SECOND
from exporter.state import health, sums
from exporter.state.prune import prune

_LONGEST_PAUSE = 60.0
_WRITE_EVERY = 30 * SECOND
_EVIDENCE_EVERY = 5.0
_DELIVER_EVERY = 1.0
_PRUNE_EVERY = 3600.0
_REPORT_EVERY = 60.0
_LINKS_EVERY = 600.0

log = structlog.get_logger()


class Schedule:
    """The daemon's jobs. `broken` is set when the state file can no longer be trusted."""

    def __init__(self, app: App) -> None:
        self._app = app
        self.broken = threading.Event()
        self.failure: StateRefused | None = None
        self._failures: dict[str, int] = {}
        self._not_before: dict[str, float] = {}
        self._written: dict[str, int] = {}
        self._scheduler = BackgroundScheduler(
            timezone=UTC,
            executors={"default": ThreadPoolExecutor(5 + len(app.destinations))},
            job_defaults={"max_instances": 1, "coalesce": True, "misfire_grace_time": None},
        )

    def start(self) -> None:
        """Begin; every job runs at once for the first time."""
        dify = self._app.settings.dify
        self.add(dify.poll_interval, "poll", self._poll)
        self.add(_EVIDENCE_EVERY, "evidence", self._evidence)
        for destination in self._app.destinations:
            self.add(_DELIVER_EVERY, f"deliver:{destination.name}", self._deliver(destination.name))
        self.add(_PRUNE_EVERY, "prune", self._prune)
        self.add(_LINKS_EVERY, "links", self._app.learn_links)
        if self._app.settings.report.schedule:
            self.add(_REPORT_EVERY, "report", self._report)
        self._scheduler.start()

    def stop(self, timeout_seconds: float) -> bool:
        """No new runs; True when the running ones ended within that time."""
        self._app.stopping.set()
        for courier in self._app.couriers:
            courier.stop()
        waiter = threading.Thread(target=self._scheduler.shutdown, kwargs={"wait": True}, daemon=True)
        waiter.start()
        waiter.join(timeout_seconds)
        return not waiter.is_alive()

    def evidence_arrived(self) -> None:
        """Match it now instead of at the next turn; may be called from any thread."""
        self._scheduler.modify_job("evidence", next_run_time=datetime.now(UTC))

    def add(self, seconds: float, name: str, work: Callable[[], None]) -> None:
        """A job that runs every so many seconds, and at once for the first time."""
        self._scheduler.add_job(
            self._run,
            "interval",
            seconds=seconds,
            id=name,
            args=(name, work),
            next_run_time=datetime.now(UTC),
        )

    def _run(self, name: str, work: Callable[[], None]) -> None:
        if self._app.stopping.is_set() or time.monotonic() < self._not_before.get(name, 0.0):
            return
        try:
            work()
        except StateRefused as error:
            self.failure = error
            self.broken.set()
        except ExporterError as error:
            self._failed(name, str(error), hint=error.hint)
        except (OSError, sqlite3.Error) as error:
            self._failed(name, f"{type(error).__name__}: {error}")
        except Exception as error:  # noqa: BLE001 - the daemon must outlive what it cannot name
            self._failed(name, f"unexpected {type(error).__name__} at {_place(error)}; please report it")
        else:
            self._succeeded(name)

    def _succeeded(self, name: str) -> None:
        now = self._app.now()
        recovered = self._failures.pop(name, 0)
        self._not_before.pop(name, None)
        if recovered:
            log.info("job_recovered", job=name)
        if recovered or now - self._written.get(name, 0) >= _WRITE_EVERY:
            self._written[name] = now
            self._store(name, None)

    def _failed(self, name: str, reason: str, hint: str | None = None) -> None:
        count = self._failures[name] = self._failures.get(name, 0) + 1
        pause = min(_LONGEST_PAUSE, 2.0 ** min(count, 8))
        self._not_before[name] = time.monotonic() + pause
        if count == 1:
            log.warning("job_failed", job=name, reason=reason, hint=hint, pause_seconds=pause)
        self._store(name, f"{reason} Try: {hint}" if hint else reason)

    def _store(self, name: str, failure: str | None) -> None:
        try:
            with self._app.store.transaction("health") as connection:
                if failure is None:
                    health.succeeded(connection, name, self._app.now())
                else:
                    health.failed(connection, name, self._app.now(), failure)
        except (sqlite3.Error, OSError) as error:
            log.error("state_not_written", reason=str(error))
        except StateRefused as error:
            self.failure = error
            self.broken.set()

    def _poll(self) -> None:
        started = time.monotonic()
        done = self._app.poll()
        if done.read or done.set_aside:
            log.info(
                "read", traces=done.read, exported=done.exported, postponed=done.postponed,
                set_aside=done.set_aside, seconds=round(time.monotonic() - started, 3),
            )  # fmt: skip
        if done.exported:
            for destination in self._app.destinations:
                self._scheduler.modify_job(f"deliver:{destination.name}", next_run_time=datetime.now(UTC))

    def _evidence(self) -> None:
        taken = self._app.take_evidence()
        if taken.new or taken.refused or taken.looked_again:
            log.info("evidence", new=taken.new, refused=taken.refused, looked_again=taken.looked_again)
        for source in taken.read:
            self._succeeded(f"evidence:{source}")
        for source, error in taken.failed:
            self._failed(f"evidence:{source}", str(error), hint=error.hint)

    def _deliver(self, name: str) -> Callable[[], None]:
        def work() -> None:
            self._app.deliver(name)

        return work

    def _report(self) -> None:
        from exporter.report.scheduled import make_due

        make_due(self._app.store, self._app.settings, self._app.now(), self._app.stopping.is_set)

    def _prune(self) -> None:
        now, settings = self._app.now(), self._app.settings.state
        with self._app.store.transaction("prune") as connection:
            gone = prune(connection, now - round(settings.keep * SECOND))
            sums.prune(connection, now - round(settings.keep_sums * SECOND))
        if gone:
            log.info("pruned", traces=gone)


def _place(error: BaseException) -> str:
    """File and line where it was raised; the message is left out, it may hold text."""
    frames = traceback.extract_tb(error.__traceback__)
    return f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "an unknown place"
