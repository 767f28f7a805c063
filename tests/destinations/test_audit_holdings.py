"""The audit where time is awkward: traces that last for days, that change while they are asked about, that begin at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from exporter import audit
from exporter.destinations.base import Confirmation
from exporter.destinations.holdings import Exported, Held, Holdings
from exporter.model import AssessedTrace
from exporter.state import exported, outbox
from exporter.state.outbox import Parcel
from exporter.state.store import Store
from tests.contract.langfuse_twin import LangfuseTwin
from tests.contract.langsmith_twin import LangSmithTwin
from tests.contract.twin_server import Request, Response, Twin
from tests.destinations.destination_units import langfuse, langsmith, unit
from tests.web.traces_by_hand import NOON, SECOND, build_trace, keep

HOUR = 3600 * SECOND


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(tmp_path / "state.db")
    yield opened
    opened.close()


def audited(store: Store, destination: Any, sample: int = 50) -> list[audit.Day]:
    question = audit.Question(0, NOON + 1000 * HOUR, NOON + 1000 * HOUR, sample, repair=False)
    return list(audit.audit(store, [destination], question))


def paused(number: int, hours: int) -> AssessedTrace:
    """A trace whose last step began hours after the first."""
    made = build_trace(number)
    last = made.trace.steps[-1]
    late = replace(last, started_at=NOON + hours * HOUR, ended_at=NOON + hours * HOUR + SECOND)
    return replace(made, trace=replace(made.trace, steps=(*made.trace.steps[:-1], late)))


def test_a_trace_that_waited_for_a_person_is_whole_though_its_end_is_days_later(store: Store) -> None:
    traces = [build_trace(1), paused(2, 50), paused(3, 50)]
    keep(store, *traces)
    with LangfuseTwin() as twin:
        destination = langfuse(twin)
        destination.send([unit(destination, trace, number) for number, trace in enumerate(traces)])
        (day,) = audited(store, destination)
        assert (day.exported, day.there, day.missing) == (3, 3, [])
        late = next(
            key for key, row in twin.events.items() if int(key[0], 16) == 3 and row["parentObservationId"]
        )
        del twin.events[late]
        (day,) = audited(store, destination)
        assert [trace_id for trace_id, _, _ in day.missing] == [traces[2].trace.trace_id]


def test_what_others_keep_in_the_same_project_is_not_ours_to_judge(store: Store) -> None:
    ours, theirs = build_trace(1), build_trace(2)
    keep(store, ours)
    with LangfuseTwin() as fuse, LangSmithTwin() as smith:
        for destination in (langfuse(fuse), langsmith(smith)):
            for number, trace in enumerate((ours, theirs)):
                destination.send([unit(destination, trace, number)])
            (day,) = audited(store, destination)
            assert (day.exported, day.there, day.is_clean) == (1, 1, True)


def test_a_project_that_does_not_exist_holds_nothing(store: Store) -> None:
    keep(store, build_trace(1))
    with LangSmithTwin() as twin:
        (day,) = audited(store, langsmith(twin))
    assert day.missing == [(build_trace(1).trace.trace_id, 2, 2)]


class Overrun(Twin):
    """A platform that wants to be left alone for an hour."""

    def answer(self, request: Request) -> Response:
        return Response(429, {"error": "rate limit exceeded"}, {"Retry-After": "3600"})

    def held(self) -> dict[str, Any]:
        return {}


def test_a_rate_limit_that_outlasts_patience_is_said_and_nothing_is_called_missing(store: Store) -> None:
    keep(store, build_trace(1))
    with Overrun() as platform:
        for destination in (langfuse(platform.url), langsmith(platform.url)):
            (day,) = days = audited(store, destination)
            assert "3600 s" in (day.reason or "")
            assert (day.unreachable, day.missing, audit.exit_code(days)) == (True, [], 3)


class Forgetful(LangfuseTwin):
    """A server that closes a kept-alive connection just when it is used again, once."""

    hung_up = False

    def answer(self, request: Request) -> Response:
        if request.method == "GET" and not self.hung_up:
            self.hung_up = True
            return Response(200, hang_up=True)
        return super().answer(request)


def test_one_broken_connection_does_not_end_an_audit(store: Store) -> None:
    keep(store, build_trace(1))
    with Forgetful() as twin:
        destination = langfuse(twin)
        destination.send([unit(destination, build_trace(1))])
        (day,) = audited(store, destination)
        assert (twin.hung_up, day.there, day.reason) == (True, 1, None)


@dataclass
class Busy:
    """A destination that tells slowly: the daemon renders one of the traces anew before it has answered."""

    store: Store
    changing: str
    name: str = "busy"
    kind: str = "busy"
    confirmation: Confirmation = Confirmation.READ_BACK

    def holdings(self) -> Holdings:
        return self

    def held(self, traces: Sequence[Exported], sample: AbstractSet[str]) -> dict[str, Held]:
        with self.store.transaction("test") as connection:
            outbox.put(connection, [Parcel(self.name, self.changing, 2, b"x", 1, NOON, NOON)], NOON)
        return {trace.trace_id: Held(1, 0) for trace in traces}


def test_a_trace_that_was_queued_while_the_destination_was_asked_is_not_missing(store: Store) -> None:
    first, second = build_trace(1), build_trace(2)
    keep(store, first, second)
    (day,) = audited(store, Busy(store, first.trace.trace_id))
    assert [trace_id for trace_id, _, _ in day.missing] == [second.trace.trace_id]
    assert day.waiting["ready"] == 1


def test_traces_that_began_at_the_same_moment_are_each_taken_once_whatever_the_slice(store: Store) -> None:
    keep(store, *(build_trace(number, started_at=NOON + number // 8 * SECOND) for number in range(1, 30)))
    keep(store, build_trace(99), exported=False)
    for limit in (1, 3, 7, 8, 29, 100):
        taken: list[Exported] = []
        with store.read() as connection:
            while found := exported.after(connection, NOON, NOON + HOUR, taken[-1] if taken else None, limit):
                assert len(found) <= limit
                taken += found
        assert [int(trace.trace_id, 16) for trace in taken] == list(range(1, 30))
    with store.read() as connection:
        assert exported.count(connection, NOON + SECOND, NOON + 2 * SECOND) == 8


@pytest.mark.parametrize("wanted", [0, 1, 7, 1000])
def test_as_many_traces_as_asked_for_are_compared_run_by_run(wanted: int, store: Store) -> None:
    traces = [build_trace(number) for number in range(1, 21)]
    keep(store, *traces)
    with LangSmithTwin(page=6) as twin:
        destination = langsmith(twin)
        for number, trace in enumerate(traces):
            destination.send([unit(destination, trace, number)])
        (day,) = audited(store, destination, wanted)
    assert (day.there, day.by_span) == (20, min(wanted, 20))
