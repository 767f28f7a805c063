"""A destination that hangs, is dead, or always says "later" holds up nobody but itself."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from exporter import config
from exporter.daemon import App
from exporter.once import Drains
from exporter.schedule import Schedule
from exporter.spans import otlp
from exporter.state import health, outbox
from exporter.state.outbox import Parcel
from tests.contract.otlp_twin import OtlpTwin
from tests.destinations.test_delivery import _spans, _traces
from tests.destinations.test_http_seam import say, server
from tests.destinations.test_presets import SETTINGS

COUNT = 60


@dataclass
class Beside:
    """One destination that works beside three that do not; `release` lets the hanging one answer."""

    app: App
    good: OtlpTwin
    release: threading.Event
    asked: threading.Event

    def backlog(self, name: str) -> outbox.Backlog | None:
        with self.app.store.read() as connection:
            return outbox.backlogs(connection).get(name)

    def failures(self, name: str) -> int:
        with self.app.store.read() as connection:
            return health.deliveries(connection)[name].failures


@pytest.fixture
def beside(tmp_path: Path) -> Iterator[Beside]:
    release, asked = threading.Event(), threading.Event()

    def hang(handler: Any, body: bytes) -> None:
        asked.set()
        release.wait(60)
        say(handler, 200)

    def later(handler: Any, body: bytes) -> None:
        say(handler, 429, Retry_After="3600")

    with ExitStack() as stack:
        good = stack.enter_context(OtlpTwin("mlflow"))
        hanging, busy = stack.enter_context(server(hang)), stack.enter_context(server(later))
        stack.callback(release.set)
        addresses = {"hanging": hanging, "dead": "http://127.0.0.1:1", "busy": busy}
        wanted = [
            {"kind": "mlflow", "name": "good", "endpoint": good.url, "max_spans": 10, **SETTINGS["mlflow"]},
            *({"kind": "otlp", "name": name, "endpoint": url} for name, url in addresses.items()),
        ]
        flags = {"state.path": str(tmp_path / "s.db"), "destinations": wanted}
        app = stack.enter_context(App(config.load(Path(os.devnull), {}, flags).settings))
        _queue(app)
        yield Beside(app, good, release, asked)


def _queue(app: App) -> None:
    for destination in app.destinations:
        parcels = [
            Parcel(
                destination.name, item.trace.trace_id, 1, otlp.frame(spans), len(spans),
                item.trace.started_at, item.trace.ended_at,
            )
            for item in _traces(COUNT)
            for spans in [destination.render(item)]
        ]  # fmt: skip
        with app.store.transaction("queue") as connection:
            outbox.put(connection, parcels, app.now())


def _until(is_so: Callable[[], bool]) -> None:
    """Wait for it; a minute is far more than it takes, and only ends a test that fails."""
    end = time.monotonic() + 60
    while not is_so():
        assert time.monotonic() < end, "it did not come to that"
        time.sleep(0.01)


def _assert_good_has_all_while_the_others_have_not(beside: Beside) -> None:
    _until(beside.asked.is_set)
    _until(lambda: beside.backlog("good") is None and beside.failures("dead") > 0 < beside.failures("busy"))
    assert len(beside.good.spans) == _spans(_traces(COUNT))
    assert beside.good.violations == []
    assert not beside.release.is_set()
    for name in ("hanging", "dead", "busy"):
        backlog = beside.backlog(name)
        assert backlog is not None
        assert backlog.ready + backlog.in_doubt == COUNT, name


def test_the_daemon_delivers_to_a_good_one_while_others_hang(beside: Beside) -> None:
    schedule = Schedule(beside.app)
    schedule.start()
    try:
        _assert_good_has_all_while_the_others_have_not(beside)
        beside.release.set()
        _until(lambda: beside.backlog("hanging") is None)
    finally:
        beside.release.set()
        assert schedule.stop(60)


def test_run_once_delivers_to_a_good_one_while_others_hang_and_says_which_did_not(beside: Beside) -> None:
    drains = Drains(beside.app, 0.5)
    _assert_good_has_all_while_the_others_have_not(beside)
    beside.release.set()
    problems = drains.finish()
    assert [problem.partition(":")[0] for problem in problems] == ["dead", "busy"]
    assert beside.backlog("hanging") is None
