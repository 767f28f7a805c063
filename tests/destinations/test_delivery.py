"""The delivery loop against both platforms' twins: whatever they do, each span ends up there exactly once."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from dataclasses import replace as with_changes
from pathlib import Path
from typing import Any

import pytest
from rows_for_tests import T0, chat_message, llm, message_rows, node, run_row, run_rows

from exporter import config, readings
from exporter.destinations import registry
from exporter.destinations.base import Destination
from exporter.destinations.delivery import Courier
from exporter.model import SECOND, AssessedTrace
from exporter.sources.assemble import assemble
from exporter.sources.rows import TraceRows
from exporter.spans import otlp
from exporter.state import health, outbox
from exporter.state.outbox import Parcel
from exporter.state.store import Store
from tests.contract import langfuse_twin, langsmith_twin
from tests.contract.langfuse_twin import LangfuseTwin
from tests.contract.langsmith_twin import LangSmithTwin
from tests.contract.twin_server import Twin

HOUR = 3600 * SECOND


class Clock:
    """A clock that tests move."""

    def __init__(self) -> None:
        self.now = T0

    def __call__(self) -> int:
        return self.now


def _traces(count: int) -> list[AssessedTrace]:
    rows: list[TraceRows] = []
    for number in range(count):
        tail = f"{number:012x}"
        if number % 3:
            message = chat_message(id=f"926fdc0f-111e-439f-b6c5-{tail}", created_at=T0 + number * SECOND)
            rows.append(message_rows(message))
            continue
        run = run_row(
            id=f"8e1b41b1-cc7b-4002-8486-{tail}",
            created_at=T0 + number * SECOND,
            finished_at=T0 + number * SECOND + 900_000,
        )
        nodes = [
            with_changes(
                row,
                id=f"10000000-0000-4000-8{index:03x}-{tail}",
                workflow_run_id=run.id,
                created_at=run.created_at + index * 10_000,
                finished_at=run.created_at + index * 10_000 + 5000,
            )
            for index, row in enumerate((node(1, "start"), llm(2), llm(3), node(4, "end")))
        ]
        rows.append(run_rows(*nodes, run=run))
    read = readings.read(
        [assemble(item) for item in rows], readings.Evidence({}, {}), config.CompareSettings()
    )
    return [item.assessed for item in read]


@dataclass
class Bench:
    """A queue with a courier, a platform, and a clock."""

    store: Store
    twin: Twin
    clock: Clock
    destination: Destination
    courier: Courier

    def queue(self, traces: list[AssessedTrace], revision: int = 1) -> None:
        parcels = []
        for assessed in traces:
            spans = self.destination.render(assessed)
            trace = assessed.trace
            parcels.append(
                Parcel(
                    self.destination.name,
                    trace.trace_id,
                    revision,
                    otlp.frame(spans),
                    len(spans),
                    trace.started_at,
                    trace.ended_at,
                )
            )
        with self.store.transaction("queue") as connection:
            outbox.put(connection, parcels, self.clock())

    def deliver(self, until: int) -> None:
        """Send and confirm, moving the clock to whatever is due next, up to that time."""
        while self.clock.now < until:
            done = self.courier.step()
            self.courier.confirm()
            backlog = self.backlog()
            if not (backlog and (backlog.ready or backlog.in_doubt or backlog.acked)):
                return
            self.clock.now += round(max(0.5, done.wait_seconds or 0.5) * SECOND)

    def backlog(self) -> outbox.Backlog | None:
        with self.store.read() as connection:
            return outbox.backlogs(connection).get(self.destination.name)

    def delivery(self) -> health.Delivery:
        with self.store.read() as connection:
            return health.deliveries(connection)[self.destination.name]

    def held(self) -> dict[str, dict[str, int]]:
        spans: dict[str, dict[str, int]] = self.twin.held()["spans"]
        return spans


@pytest.fixture(params=["langfuse", "langfuse-legacy", "langsmith"])
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bench]:
    if request.param == "langsmith":
        twin: Twin = LangSmithTwin()
        wanted: dict[str, Any] = {
            "kind": "langsmith",
            "api_key": langsmith_twin.API_KEY,
            "requests_per_second": 5000,
        }
    else:
        twin = LangfuseTwin(mode="legacy" if request.param.endswith("legacy") else "events_only")
        wanted = {
            "kind": "langfuse",
            "public_key": langfuse_twin.PUBLIC_KEY,
            "secret_key": langfuse_twin.SECRET_KEY,
            "max_spans": 100,
        }
    with twin:
        wanted |= {"endpoint": twin.url, "confirm_after": "2s"}
        settings = config.load(Path(os.devnull), {}, {"destinations": [wanted]}).settings
        store, clock = Store(tmp_path / "s.db"), Clock()
        destination = registry.build(settings)[0]
        yield Bench(
            store, twin, clock, destination, Courier(store, destination, settings.destinations[0], clock)
        )
        store.close()


def _spans(traces: list[AssessedTrace]) -> int:
    return sum(len(item.trace.steps) for item in traces)


def _assert_once(bench: Bench, count: int) -> None:
    held = bench.held()
    assert len(held) == count
    assert {entry["rows"] for entry in held.values()} == {1}
    assert bench.twin.violations == []


def test_everything_arrives_once_and_is_forgotten_after_it_was_read_back(bench: Bench) -> None:
    traces = _traces(60)
    bench.queue(traces)
    bench.deliver(T0 + HOUR)
    _assert_once(bench, _spans(traces))
    assert bench.backlog() is None
    assert (bench.delivery().traces, bench.delivery().confirmed) == (60, 60)


def test_a_platform_that_is_down_for_an_hour_costs_nothing(bench: Bench) -> None:
    traces = _traces(30)
    bench.twin.down()
    bench.queue(traces)
    bench.deliver(T0 + HOUR)
    assert bench.held() == {}
    assert bench.delivery().failures < 60
    bench.twin.up()
    bench.deliver(bench.clock.now + HOUR)
    _assert_once(bench, _spans(traces))


def test_a_storm_of_429_is_waited_out_as_long_as_the_platform_asks(bench: Bench) -> None:
    traces = _traces(30)
    bench.twin.faults.throttle, bench.twin.faults.retry_after = 25, "40"
    bench.queue(traces)
    bench.deliver(T0 + 24 * HOUR)
    _assert_once(bench, _spans(traces))
    assert bench.clock.now >= T0 + 25 * 40 * SECOND


def test_one_poisoned_span_in_a_thousand_is_set_aside_alone(bench: Bench) -> None:
    traces = _traces(360)
    assert _spans(traces) > 1000
    victim = next(step for item in traces[150:] for step in item.trace.steps if step.kind.value == "node")
    bench.twin.faults.poison = [victim.span_id]
    bench.queue(traces)
    bench.deliver(T0 + HOUR)
    _assert_once(bench, _spans(traces) - 1)
    backlog = bench.backlog()
    assert backlog is not None
    assert (backlog.dead, backlog.ready, backlog.in_doubt) == (1, 0, 0)
    bench.twin.faults.poison = []
    with bench.store.transaction("replay") as connection:
        assert outbox.revive(connection, bench.clock()) == 1
    bench.deliver(bench.clock.now + HOUR)
    _assert_once(bench, _spans(traces))
    assert bench.backlog() is None


def test_a_poisoned_root_leaves_no_orphans_where_orphans_are_lost(bench: Bench) -> None:
    traces = _traces(4)
    victim = traces[3].trace.steps[0]
    bench.twin.faults.poison = [victim.span_id]
    bench.queue(traces)
    bench.deliver(T0 + HOUR)
    others = _spans(traces) - len(traces[3].trace.steps)
    if bench.destination.limits.needs_parents:
        _assert_once(bench, others)
        assert bench.delivery().refused == len(traces[3].trace.steps)
    else:
        assert len(bench.held()) == _spans(traces) - 1
    bench.twin.faults.poison = []
    with bench.store.transaction("replay") as connection:
        outbox.revive(connection, bench.clock())
    bench.deliver(bench.clock.now + HOUR)
    _assert_once(bench, _spans(traces))


def test_spans_that_were_acknowledged_and_lost_are_sent_again(bench: Bench) -> None:
    traces = _traces(30)
    bench.twin.faults.lose_spans = 7
    bench.queue(traces)
    bench.deliver(T0 + HOUR)
    _assert_once(bench, _spans(traces))
    assert bench.delivery().resent > 0


def test_a_platform_that_acknowledges_and_never_stores_ends_in_dead_letters(bench: Bench) -> None:
    bench.twin.faults.lose_spans = 10_000
    bench.queue(_traces(2))
    bench.deliver(T0 + 2 * HOUR)
    backlog = bench.backlog()
    assert backlog is not None
    assert (backlog.dead, backlog.ready, backlog.acked) == (2, 0, 0)
    with bench.store.read() as connection:
        assert {reason for _, _, reason, _ in outbox.dead(connection)} == {
            f"acknowledged, then not found ({outbox.MOST_SENDS} times)"
        }


def test_an_answer_that_never_came_leaves_the_trace_in_doubt_and_then_once(bench: Bench) -> None:
    traces = _traces(12)
    bench.twin.faults.hang_up_after = 2
    bench.queue(traces)
    bench.courier.step()
    backlog = bench.backlog()
    assert backlog is not None
    assert backlog.in_doubt > 0
    bench.deliver(T0 + HOUR)
    _assert_once(bench, _spans(traces))


def test_a_body_that_is_too_large_is_split(bench: Bench) -> None:
    traces = _traces(30)
    bench.twin.faults.max_bytes = 6000
    bench.queue(traces)
    bench.deliver(T0 + HOUR)
    _assert_once(bench, _spans(traces))


def test_the_size_that_fits_is_learned_and_not_tried_again_for_every_request(bench: Bench) -> None:
    traces = _traces(60)
    bench.twin.faults.max_bytes = 24_000
    bench.queue(traces)
    bench.deliver(T0 + HOUR)
    _assert_once(bench, _spans(traces))
    assert sum(size > 24_000 for size in bench.twin.bodies) <= 5


@pytest.mark.parametrize("fault", ["redirect", "fail", "hang_up"])
def test_other_failures_are_tried_again(bench: Bench, fault: str) -> None:
    traces = _traces(6)
    setattr(bench.twin.faults, fault, 3)
    bench.queue(traces)
    bench.deliver(T0 + HOUR)
    _assert_once(bench, _spans(traces))
    assert bench.delivery().failures >= 3


def test_wrong_keys_hold_the_queue_and_say_so(tmp_path: Path) -> None:
    with LangfuseTwin() as twin:
        wanted = {
            "kind": "langfuse",
            "public_key": "pk",
            "secret_key": "sk-very-secret",
            "endpoint": twin.url,
        }
        settings = config.load(Path(os.devnull), {}, {"destinations": [wanted]}).settings
        store, clock = Store(tmp_path / "s.db"), Clock()
        destination = registry.build(settings)[0]
        bench = Bench(
            store, twin, clock, destination, Courier(store, destination, settings.destinations[0], clock)
        )
        bench.queue(_traces(3))
        bench.deliver(T0 + 120 * SECOND)
        assert bench.delivery().hold is not None
        assert "401" in (bench.delivery().hold or "")
        assert "sk-very-secret" not in str(bench.delivery())
        backlog = bench.backlog()
        assert backlog is not None
        assert backlog.ready == 3
        store.close()


def test_a_later_revision_replaces_the_trace_where_that_is_possible(bench: Bench) -> None:
    if not bench.destination.corrects:
        assert bench.destination.kind == "langsmith"
        return
    traces = _traces(6)
    bench.queue(traces)
    bench.deliver(T0 + HOUR)
    bench.queue(traces, revision=2)
    bench.deliver(bench.clock.now + HOUR)
    _assert_once(bench, _spans(traces))
