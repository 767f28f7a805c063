"""The logs of new-api and one-api through their twin: every row exactly once, whatever the first page is called."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from exporter.errors import ExporterError, Misconfigured, Unreachable
from exporter.vendor.pullers import newapi
from exporter.vendor.pullers.base import Puller
from tests.contract.litellm_twin import SECRET
from tests.contract.newapi_twin import TOKEN, USER_ID, NewApiTwin, log_row
from tests.vendor.pullers.pulling import NOON, Intake, recorded, settings, spread

KINDS = ["new-api", "one-api", "zero-based"]


def adapter(row: object) -> list[object]:
    """Only what paging needs; what a row means is the adapter's own test."""
    assert isinstance(row, dict)
    usage = {name: row[name] for name in ("prompt_tokens", "completion_tokens")}
    ended_at = datetime.fromtimestamp(row["created_at"], UTC).isoformat()
    return [{"id": row["id"], "model": row["model_name"], "usage": usage, "ended_at": ended_at}]


def maker(twin: NewApiTwin, key: str = TOKEN, user_id: str = USER_ID) -> Callable[[], Puller]:
    source = settings(kind="new-api", url=twin.url, key=key, user_id=user_id, timeout="5s")
    return lambda: newapi.puller(source, adapter)


def twin_of(records: list[dict[str, Any]], kind: str) -> NewApiTwin:
    rows = [
        log_row(number, record, is_new=kind != "one-api") for number, record in enumerate(records, start=1)
    ]
    return NewApiTwin(rows, kind=kind)


def names(twin: NewApiTwin) -> list[str]:
    return sorted(str(row["id"]) for row in twin.rows if row["type"] in (2, 5))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("count", [0, 1, 9, 10, 11, 20, 99, 100, 101, 200, 437])
def test_the_whole_log_is_read_once(kind: str, count: int) -> None:
    with twin_of(spread(count, seconds=5.0), kind) as twin:
        store = Intake(maker(twin))
        assert store.take()
        assert store.ids == names(twin)
        assert set(store.given.values()) <= {1}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("stored", [True, False])
def test_a_restart_at_every_pull_loses_nothing(kind: str, stored: bool) -> None:
    with twin_of(spread(620, seconds=1.0), kind) as twin:
        store = Intake(maker(twin), restarts=True, loses=lambda pull: not stored and pull % 2 == 1)
        assert store.take()
        assert store.ids == names(twin)


@pytest.mark.parametrize("kind", KINDS)
def test_rows_that_arrive_between_pages_lose_nothing(kind: str) -> None:
    with twin_of(spread(230, seconds=1.0), kind) as twin:
        template = twin.rows[-1]

        def arrive() -> None:
            number = len(twin.rows) + 1
            if number < 300:  # as a slow transaction does: an older time under a newer id
                late = int((NOON - timedelta(seconds=100)).timestamp())
                twin.rows.append({**template, "id": number, "created_at": late})

        twin.after_page = arrive
        store = Intake(maker(twin))
        for minutes in range(0, 10, 2):
            assert store.take(NOON + timedelta(minutes=minutes))
        assert len(twin.rows) > 235
        twin.after_page = lambda: None
        assert store.take(NOON + timedelta(minutes=12))
        assert store.ids == names(twin)


def test_old_rows_that_are_deleted_meanwhile_cost_no_others() -> None:
    with twin_of(spread(430, seconds=1.0), "new-api") as twin:
        kept = [str(row["id"]) for row in twin.rows[150:]]
        twin.after_page = lambda: twin.rows.__delitem__(slice(0, max(0, min(30, len(twin.rows) - 280))))
        store = Intake(maker(twin), restarts=True)
        assert store.take()
        assert set(kept) <= set(store.ids)


def test_failures_are_read_where_they_are_logged_apart() -> None:
    records = recorded()
    failed = [record["id"] for record in records if record["status"] == "error"]
    with twin_of(records, "new-api") as twin:
        store = Intake(maker(twin))
        assert store.take()
        assert len(failed) > 10
        assert store.ids == names(twin)


def test_rows_of_other_kinds_are_not_asked_for() -> None:
    with twin_of(spread(12), "new-api") as twin:
        for kind in (1, 3, 4, 6):
            twin.rows.append({**twin.rows[0], "id": 900 + kind, "type": kind})
        store = Intake(maker(twin))
        assert store.take()
        assert len(store.ids) == 12


def test_the_log_goes_on_through_days_of_pulls() -> None:
    with twin_of(spread(100, seconds=700.0), "one-api") as twin:
        store = Intake(maker(twin), restarts=True)
        for hour in range(30):
            now = NOON + timedelta(hours=hour)
            row = {**twin.rows[0], "id": 1_000 + hour, "created_at": int(now.timestamp()) - 1}
            twin.rows.append(row)  # younger than a pull looks: seen by the next one
            assert store.take(now)
        assert store.take(NOON + timedelta(hours=31))
        assert store.ids == names(twin)


@pytest.mark.parametrize(("key", "user_id"), [("wrong-token-4711", USER_ID), (TOKEN, "")])
def test_a_token_or_user_that_may_not_read_is_named(key: str, user_id: str) -> None:
    with twin_of(spread(3), "new-api") as twin:
        problem = failure(maker(twin, key, user_id))
    assert isinstance(problem, Misconfigured)
    assert twin.url in str(problem)
    assert "user_id" in str(problem.hint)
    assert SECRET not in f"{problem} {problem.hint}"
    assert key not in f"{problem} {problem.hint}"


def test_one_api_needs_no_user() -> None:
    with twin_of(spread(3), "one-api") as twin:
        store = Intake(maker(twin, user_id=""))
        assert store.take()
        assert len(store.ids) == 3


def test_a_refusal_after_good_answers_is_a_fault_that_passes() -> None:
    with twin_of(spread(3), "new-api") as twin:
        store = Intake(maker(twin))
        assert store.take()
        twin.is_broken = True
        with pytest.raises(Unreachable) as caught:
            store.take(NOON + timedelta(minutes=1))
        assert SECRET not in str(caught.value)
        twin.is_broken = False
        assert store.take(NOON + timedelta(minutes=2))


@pytest.mark.parametrize("fault", ["throttle", "fail", "hang_up"])
def test_a_server_that_fails_in_the_middle_costs_nothing(fault: str) -> None:
    with twin_of(spread(230, seconds=1.0), "one-api") as twin:
        store = Intake(maker(twin), restarts=True)
        twin.after_page = lambda: setattr(twin.faults, fault, 2 if twin.requests % 11 == 0 else 0)
        faults: list[str] = []
        for _ in range(60):
            try:
                if store.once():
                    break
            except Unreachable as problem:
                faults.append(str(problem))
        assert store.ids == names(twin)
        assert len(faults) >= 2
        assert not [text for text in faults if SECRET in text or TOKEN in text]


def test_a_server_that_does_not_page_is_named() -> None:
    with twin_of(spread(60, seconds=1.0), "one-api") as twin:
        twin.ignores_pages = True
        store = Intake(maker(twin))
        with pytest.raises(Unreachable, match="same page"):
            store.take()


def test_a_wrong_address_is_named() -> None:
    with NewApiTwin() as twin:
        source = settings(kind="new-api", url=twin.url + "/v1", key=TOKEN)
        problem = failure(lambda: newapi.puller(source, adapter))
    assert isinstance(problem, Misconfigured)
    assert "without /v1" in str(problem.hint)


def test_check_says_what_is_there() -> None:
    with twin_of(spread(3), "new-api") as twin:
        assert maker(twin)().check().startswith(f"request log at {twin.url}: ")


def failure(make: Callable[[], Puller]) -> ExporterError:
    """What a pull raises."""
    with pytest.raises(ExporterError) as caught:
        Intake(make).take()
    return caught.value
