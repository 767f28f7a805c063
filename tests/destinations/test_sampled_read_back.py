"""Reading back a sample: the same traces every time, everything as soon as one of them is missing, and once each in the end."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from rows_for_tests import T0

from exporter import config
from exporter.config import DestinationSettings
from exporter.destinations import registry
from exporter.destinations.delivery import Courier
from exporter.model import SECOND, AssessedTrace
from exporter.state.store import Store
from tests.contract import langsmith_twin
from tests.contract.langsmith_twin import LangSmithTwin
from tests.contract.twin_server import Response
from tests.destinations.test_delivery import HOUR, Bench, Clock, _assert_once, _spans, _traces

SHARE = 0.2


class Asked(LangSmithTwin):
    """LangSmith, remembering which runs it was asked for."""

    def __init__(self, **known: Any) -> None:
        super().__init__(**known)
        self.asked: set[str] = set()

    def _query(self, question: dict[str, Any]) -> Response:
        self.asked.update(question.get("id", ()))
        return super()._query(question)


@contextmanager
def at(twin: LangSmithTwin, folder: Path, share: float = SHARE) -> Iterator[Bench]:
    wanted = {
        "kind": "langsmith", "api_key": langsmith_twin.API_KEY, "requests_per_second": 5000, "endpoint": twin.url,
        "confirm_after": "2s", "confirm_share": share, "scores": False,
    }  # fmt: skip
    settings = config.load(Path(os.devnull), {}, {"destinations": [wanted]}).settings
    store, clock = Store(folder / "s.db"), Clock()
    (destination,) = registry.build(settings)
    yield Bench(store, twin, clock, destination, Courier(store, destination, settings.destinations[0], clock))
    store.close()


def in_sample(of: AssessedTrace) -> bool:
    """Worked out from the trace id alone: the first eight bytes of its SHA-256, as a part of all there are."""
    return int(hashlib.sha256(of.trace.trace_id.encode()).hexdigest()[:16], 16) < SHARE * 16**16


@pytest.fixture
def sampled() -> list[AssessedTrace]:
    return [item for item in _traces(60) if in_sample(item)]


@pytest.fixture
def others() -> list[AssessedTrace]:
    return [item for item in _traces(60) if not in_sample(item)]


def test_the_sample_is_asked_for_and_the_rest_is_believed_with_it(
    tmp_path: Path, sampled: list[AssessedTrace], others: list[AssessedTrace]
) -> None:
    assert 5 < len(sampled) < 20
    with Asked() as twin, at(twin, tmp_path) as bench:
        bench.queue([*others, *sampled])
        bench.deliver(T0 + HOUR)
        _assert_once(bench, _spans(sampled) + _spans(others))
        assert bench.backlog() is None
        assert (bench.delivery().traces, bench.delivery().confirmed) == (60, len(sampled))
        names = {run_id: run["metadata"]["dify_exporter.source.record_id"] for run_id, run in twin.runs.items()
                 if run["parent_run_id"] is None}  # fmt: skip
        asked = {name for run_id, name in names.items() if run_id in twin.asked}
        assert asked == {item.trace.ref.id for item in sampled}
        assert len(twin.asked) == _spans(sampled)


def test_as_soon_as_one_of_the_sample_is_missing_all_are_looked_for(
    tmp_path: Path, sampled: list[AssessedTrace], others: list[AssessedTrace]
) -> None:
    with Asked() as twin, at(twin, tmp_path) as bench:
        half = next(item for item in others if len(item.trace.steps) > 2)
        whole = next(item for item in others if item is not half)
        rest = [item for item in others if item not in (half, whole)]
        lost = [sampled[0], whole, half]
        twin.faults.lose_spans = (
            _spans(lost) - 1
        )  # of the last one a run arrives: sent again whole, it is a 409
        bench.queue([*lost, *rest])
        bench.deliver(T0 + HOUR)
        _assert_once(bench, _spans(lost) + _spans(rest))
        assert bench.delivery().resent >= len(lost)
        assert twin.conflicts > 0
        assert bench.backlog() is None


def test_what_is_lost_outside_of_the_sample_is_for_the_audit_to_find(
    tmp_path: Path, sampled: list[AssessedTrace], others: list[AssessedTrace]
) -> None:
    with Asked() as twin, at(twin, tmp_path) as bench:
        twin.faults.lose_spans = len(others[0].trace.steps)
        bench.queue([others[0], *sampled])
        bench.deliver(T0 + HOUR)
        assert bench.backlog() is None
        assert bench.delivery().resent == 0
        assert len(twin.runs) == _spans(sampled)


def test_a_rate_limit_of_reads_is_waited_out_and_nothing_is_believed_meanwhile(
    tmp_path: Path, sampled: list[AssessedTrace], others: list[AssessedTrace]
) -> None:
    with Asked() as twin, at(twin, tmp_path) as bench:
        bench.queue([*sampled, *others])
        bench.courier.step()
        twin.faults.no_reads = 1
        bench.clock.now += 3 * SECOND
        assert bench.courier.confirm() == 0
        assert twin.reads == 1
        backlog = bench.backlog()
        assert backlog is not None
        assert backlog.acked == 60
        bench.deliver(T0 + HOUR)
        assert bench.backlog() is None
        assert bench.delivery().confirmed == len(sampled)


def test_all_are_read_back_unless_a_share_is_named(tmp_path: Path, others: list[AssessedTrace]) -> None:
    with Asked() as twin, at(twin, tmp_path, share=1.0) as bench:
        bench.queue(others)
        bench.deliver(T0 + HOUR)
        assert bench.delivery().confirmed == len(others)
        assert twin.asked == set(twin.runs)
    assert DestinationSettings(kind="langsmith", api_key="k").confirm_share == 1.0
    for share in (0, 1.5):
        with pytest.raises(ValidationError):
            DestinationSettings(kind="langsmith", api_key="k", confirm_share=share)
