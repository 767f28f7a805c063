"""OpenRouter's activity through its twin: completed days as buckets, again while they may still grow."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from exporter.clock import micros
from exporter.errors import ExporterError, Misconfigured, Unreachable
from exporter.vendor.pullers.base import Puller
from exporter.vendor.pullers.openrouter import ActivityPuller
from tests.contract.litellm_twin import SECRET
from tests.contract.openrouter_twin import MANAGEMENT_KEY, MODEL_KEY, OpenRouterTwin, activity_rows
from tests.vendor.pullers.pulling import NOON, Intake, recorded, settings, spread

TODAY = NOON.date()


def maker(twin: OpenRouterTwin, key: str = MANAGEMENT_KEY, **values: Any) -> Callable[[], Puller]:
    source = settings(kind="openrouter", url=twin.url, key=key, **values)
    return lambda: ActivityPuller(source)


def row(day: date, **values: Any) -> dict[str, Any]:
    return activity_rows(recorded()[:1])[0] | {"date": day.isoformat()} | values


def days(store: Intake) -> list[date]:
    return sorted(
        {datetime.fromtimestamp(bucket.starts_at / 1e6, UTC).date() for bucket in store.buckets.values()}
    )


def test_recorded_requests_come_as_their_day_and_model_and_never_as_calls() -> None:
    rows = activity_rows(recorded())
    with OpenRouterTwin(rows, TODAY) as twin:
        store = Intake(maker(twin))
        assert store.take()
    assert store.records == {}
    day = datetime(2026, 11, 23, tzinfo=UTC)
    told = {
        (item["model"], item["prompt_tokens"], item["completion_tokens"], item["requests"]) for item in rows
    }
    found = {(b.model, b.tokens.input, b.tokens.output, b.requests) for b in store.buckets.values()}
    assert found == told
    assert {(b.starts_at, b.ends_at) for b in store.buckets.values()} == {
        (micros(day), micros(day + timedelta(days=1)))
    }
    assert sum(b.requests or 0 for b in store.buckets.values()) == len(recorded())
    assert {b.currency for b in store.buckets.values()} == {"USD"}
    assert sum(b.cost or 0 for b in store.buckets.values()) == sum(
        Decimal(str(item["usage"])) for item in rows
    )


def test_the_day_under_way_is_left_out_until_it_is_over() -> None:
    with OpenRouterTwin(activity_rows(spread(200, seconds=3_600.0)), TODAY) as twin:
        store = Intake(maker(twin))
        assert store.take()
        assert days(store)[-1] == TODAY - timedelta(days=1)
        twin.today += timedelta(days=1)
        assert store.take(NOON + timedelta(days=1))
        assert days(store)[-1] == TODAY


def test_a_day_that_grew_is_corrected_for_three_days_and_older_ones_are_not_sent_again() -> None:
    with OpenRouterTwin([row(TODAY - timedelta(days=n)) for n in range(1, 20)], TODAY) as twin:
        store = Intake(maker(twin), restarts=True)
        assert store.take()
        for item in twin.rows:
            item["prompt_tokens"] = 4_711
        store.buckets.clear()
        twin.today += timedelta(days=1)
        assert store.take(NOON + timedelta(days=1))
    assert days(store) == [TODAY - timedelta(days=n) for n in (4, 3, 2, 1)]
    assert {bucket.tokens.input for bucket in store.buckets.values()} == {4_711}


@pytest.mark.parametrize(
    ("start", "first"),
    [
        ("now", None),
        ((NOON - timedelta(days=2)).isoformat(), TODAY - timedelta(days=2)),
        ("beginning", TODAY - timedelta(days=5)),
    ],
)
def test_start_bounds_the_days_for_good(start: str, first: date | None) -> None:
    with OpenRouterTwin([row(TODAY - timedelta(days=n)) for n in range(1, 6)], TODAY) as twin:
        store = Intake(maker(twin, start=start))
        assert store.take()
        assert store.take(NOON + timedelta(hours=2))
    assert days(store)[:1] == ([first] if first else [])


def test_reasoning_is_kept_only_as_a_part_of_the_output() -> None:
    yesterday = TODAY - timedelta(days=1)
    rows = [
        row(yesterday, completion_tokens=50, reasoning_tokens=20),
        row(yesterday, endpoint_id="b", completion_tokens=50, reasoning_tokens=70),
    ]
    with OpenRouterTwin(rows, TODAY) as twin:
        store = Intake(maker(twin))
        assert store.take()
    assert [bucket.tokens.reasoning for bucket in store.buckets.values()] == [20, None]


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        ({"date": f"{TODAY:%Y-%m}-0x"}, "date is not a day such as 2026-11-23"),
        ({"prompt_tokens": -1}, "prompt_tokens is not a count"),
        ({"requests": "many"}, "requests is not a count"),
        ({"usage": "free"}, "usage is not an amount"),
    ],
)
def test_a_row_that_cannot_be_used_is_named_and_the_rest_is_kept(broken: dict[str, Any], reason: str) -> None:
    yesterday = TODAY - timedelta(days=1)
    with OpenRouterTwin([row(yesterday), row(yesterday, **broken)], TODAY) as twin:
        store = Intake(maker(twin))
        assert store.take()
    assert len(store.buckets) == 1
    assert [(bad.place, bad.reason) for bad in store.refused.values()] == [(f"entry 2 of {TODAY}", reason)]


@pytest.mark.parametrize("key", [MODEL_KEY, "sk-or-wrong"])
def test_a_key_for_models_is_not_enough(key: str) -> None:
    with OpenRouterTwin([], TODAY) as twin:
        problem = failure(maker(twin, key))
    assert isinstance(problem, Misconfigured)
    assert "management key" in str(problem.hint)
    assert key not in f"{problem} {problem.hint}"


@pytest.mark.parametrize("fault", ["throttle", "fail"])
def test_a_fault_that_passes_is_told_without_its_words(fault: str) -> None:
    with OpenRouterTwin([], TODAY) as twin:
        setattr(twin.faults, fault, 1)
        problem = failure(maker(twin))
    assert isinstance(problem, Unreachable)
    assert SECRET not in f"{problem} {problem.hint}"


def test_it_asks_no_more_than_once_an_hour() -> None:
    with OpenRouterTwin([], TODAY) as twin:
        puller = maker(twin)()
        assert puller.every_seconds == 3_600.0
        assert not puller.traits.per_request
        assert "0 days" in puller.check()


def failure(make: Callable[[], Puller]) -> ExporterError:
    """What a pull raises."""
    with pytest.raises(ExporterError) as caught:
        Intake(make).take()
    return caught.value
