"""LiteLLM's spend log through its twin: every row exactly once, by whichever route the proxy has."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

from exporter.errors import ExporterError, Misconfigured, Unreachable
from exporter.vendor.pullers import litellm
from exporter.vendor.pullers.base import Puller
from tests.contract.litellm_twin import MASTER_KEY, SECRET, VIRTUAL_KEY, LiteLLMTwin, at, spend_row
from tests.vendor.pullers.pulling import NOON, Intake, ids, moved, recorded, settings, spread


def adapter(row: object) -> list[object]:
    """Only what paging needs; what a row means is the adapter's own test."""
    assert isinstance(row, dict)
    usage = {name: row[name] for name in ("prompt_tokens", "completion_tokens")}
    times = {"started_at": row["startTime"], "ended_at": row["endTime"]}
    return [{"id": row["request_id"], "model": row["model"], "usage": usage, **times}]


def maker(twin: LiteLLMTwin, key: str = MASTER_KEY, **values: Any) -> Callable[[], Puller]:
    source = settings(kind="litellm", url=twin.url + "/", key=key, timeout="5s", **values)
    return lambda: litellm.puller(source, adapter)


def rows(count: int, **values: Any) -> list[dict[str, Any]]:
    return [spend_row(record) for record in spread(count, **values)]


def names(twin: LiteLLMTwin) -> list[str]:
    return sorted(row["request_id"] for row in twin.rows)


@pytest.mark.parametrize("max_page", [100, 1000])
@pytest.mark.parametrize("restarts", [False, True])
def test_the_whole_log_is_read_once(max_page: int, restarts: bool) -> None:
    with LiteLLMTwin(rows(1_300, seconds=3.0), max_page=max_page) as twin:
        twin.clock = NOON
        store = Intake(maker(twin), restarts=restarts)
        assert store.take()
        assert store.ids == names(twin)
        assert twin.violations == []
        if not restarts:
            assert set(store.given.values()) == {1}


def test_recorded_requests_come_with_their_own_numbers() -> None:
    with LiteLLMTwin(spend_row(record) for record in recorded()) as twin:
        store = Intake(maker(twin))
        assert store.take()
    by_id = {record.id: record for record in store.records.values()}
    assert sorted(by_id) == ids(recorded())
    for row in twin.rows:
        tokens = by_id[row["request_id"]].tokens
        assert tokens is not None
        assert (tokens.input, tokens.output) == (row["prompt_tokens"], row["completion_tokens"])


@pytest.mark.parametrize("stored", [True, False])
def test_rows_that_push_others_to_later_pages_lose_nothing(stored: bool) -> None:
    with LiteLLMTwin(rows(600, seconds=2.0), max_page=100) as twin:
        count = 0

        def arrive() -> None:
            nonlocal count
            if count < 40:
                twin.rows.append(at(twin.rows[0], NOON - timedelta(seconds=1_100), f"late{count}"))
                count += 1

        twin.after_page = arrive
        store = Intake(maker(twin), restarts=True, loses=lambda pull: not stored and pull % 2 == 1)
        assert store.take()
        assert store.take(NOON + timedelta(minutes=10))
        assert count > 20
        twin.after_page = lambda: None
        assert store.take(NOON + timedelta(minutes=20))
        assert store.ids == names(twin)


def test_rows_that_a_retention_rule_deletes_pull_no_others_out_of_sight() -> None:
    with LiteLLMTwin(rows(900, seconds=2.0), max_page=100) as twin:
        kept = [row["request_id"] for row in twin.rows[250:]]

        def purge() -> None:
            if len(twin.pages) > 3:
                del twin.rows[: min(50, max(0, len(twin.rows) - 650))]

        twin.after_page = purge
        store = Intake(maker(twin, start=(NOON - timedelta(hours=1)).isoformat()))
        assert store.take()
        assert set(kept) <= set(store.ids)
        assert len(twin.rows) == 650


def test_a_row_written_long_after_its_request_began_is_seen() -> None:
    with LiteLLMTwin(rows(30)) as twin:
        store = Intake(maker(twin))
        assert store.take()
        for minute in range(1, 70):
            if minute == 58:  # a stream that began 58 minutes ago ends now
                twin.rows.append(at(twin.rows[0], NOON, "long"))
            assert store.take(NOON + timedelta(minutes=minute))
        assert "long" in store.ids


def test_more_rows_in_a_second_than_a_page_holds_are_all_read() -> None:
    same = moved(recorded()[0], NOON - timedelta(hours=1), "x")
    crowd = [{**spend_row(same), "request_id": f"c{number:04}"} for number in range(730)]
    with LiteLLMTwin(crowd, max_page=100) as twin:
        store = Intake(maker(twin), restarts=True)
        assert store.take()
        assert store.ids == names(twin)


def test_more_rows_than_litellm_counts_are_all_read() -> None:
    template = spend_row(moved(recorded()[0], NOON, "x"))
    start = NOON - timedelta(minutes=30)
    crowd = [
        at(template, start + timedelta(seconds=number * 0.1), f"c{number:05}") for number in range(10_600)
    ]
    with LiteLLMTwin(crowd) as twin:
        store = Intake(maker(twin, start=start.isoformat()))
        assert store.take()
        assert store.ids == names(twin)
        assert store.largest < 5_500


@pytest.mark.parametrize("day_cap", [0, 10_000])
def test_an_older_proxy_is_read_by_its_older_route(day_cap: int) -> None:
    with LiteLLMTwin(rows(300, seconds=600.0), age="old", day_cap=day_cap) as twin:
        store = Intake(maker(twin))
        assert store.take()
        assert store.ids == names(twin)
        twin.rows.append(at(twin.rows[-1], NOON + timedelta(minutes=3), "new"))
        assert store.take(NOON + timedelta(minutes=1))
        assert "new" not in store.ids
        assert store.take(NOON + timedelta(minutes=6))
        assert "new" in store.ids


def test_a_proxy_that_is_updated_is_read_by_the_new_route() -> None:
    with LiteLLMTwin(rows(40), age="old") as twin:
        store = Intake(maker(twin))
        assert store.take()
        twin.age = "new"
        twin.rows.append(at(twin.rows[-1], NOON + timedelta(minutes=3), "new"))
        assert store.take(NOON + timedelta(minutes=6))
        assert store.take(NOON + timedelta(minutes=7))
        assert store.ids == names(twin)


def test_a_day_with_more_rows_than_the_older_route_gives_is_named() -> None:
    template = spend_row(moved(recorded()[0], NOON, "x"))
    day = datetime.fromisoformat("2026-11-22T00:00:00+00:00")
    crowd = [at(template, day + timedelta(seconds=number * 8), f"c{number:05}") for number in range(10_500)]
    with LiteLLMTwin([*rows(30), *crowd], age="old", day_cap=10_000) as twin:
        store = Intake(maker(twin))
        assert store.take()
        assert [bad.place for bad in store.refused.values()] == ["day 2026-11-22"]
        assert "update" in next(iter(store.refused.values())).reason
        assert len(store.ids) == 30 + 10_000 + 1  # the first second of a day also belongs to the day before


def test_a_proxy_with_daily_sums_only_is_refused_with_the_way_out() -> None:
    with LiteLLMTwin(rows(30), age="oldest") as twin:
        problem = failure(maker(twin))
    assert isinstance(problem, Misconfigured)
    assert "daily sums" in str(problem)
    assert "update LiteLLM" in str(problem.hint)


@pytest.mark.parametrize("key", ["sk-litellm-twin-wrong", VIRTUAL_KEY])
def test_a_key_that_may_not_read_is_named_and_never_shown(key: str) -> None:
    with LiteLLMTwin(rows(3)) as twin:
        problem = failure(maker(twin, key))
    assert isinstance(problem, Misconfigured)
    assert twin.url in str(problem)
    assert "master key" in str(problem.hint)
    assert key not in f"{problem!r} {problem.hint}"


@pytest.mark.parametrize(
    ("fault", "kind", "says"),
    [
        ({"throttle": 9, "retry_after": "17"}, Unreachable, "asks to wait 17 s (HTTP 429)"),
        ({"throttle": 9, "retry_after": SECRET}, Unreachable, "asks to wait (HTTP 429)"),
        ({"fail": 9}, Unreachable, "failed (HTTP 500)"),
        ({"redirect": 9}, Misconfigured, "redirect (HTTP 302)"),
    ],
)
def test_what_the_proxy_complains_of_is_told_without_its_words(
    fault: dict[str, Any], kind: type[ExporterError], says: str
) -> None:
    with LiteLLMTwin(rows(3)) as twin:
        for name, value in fault.items():
            setattr(twin.faults, name, value)
        problem = failure(maker(twin))
    assert type(problem) is kind
    assert says in str(problem)
    assert SECRET not in f"{problem} {problem.hint}"
    assert MASTER_KEY not in f"{problem} {problem.hint}"


def test_a_server_that_goes_down_in_the_middle_costs_nothing() -> None:
    with LiteLLMTwin(rows(900, seconds=2.0), max_page=100) as twin:
        store = Intake(maker(twin, start=(NOON - timedelta(hours=1)).isoformat()))
        twin.after_page = lambda: setattr(twin.faults, "fail", 2 if len(twin.pages) in (4, 8) else 0)
        downs = 0
        for _ in range(20):
            try:
                if store.once():
                    break
            except Unreachable:
                downs += 1
        assert store.ids == names(twin)
        assert downs == 2
    with pytest.raises(Unreachable, match="connection refused"):
        store.take(NOON + timedelta(minutes=1))
    with twin:
        twin.rows.append(at(twin.rows[0], NOON + timedelta(minutes=5), "after"))
        assert store.take(NOON + timedelta(minutes=10))
        assert "after" in store.ids


@pytest.mark.parametrize("body", ["a page", {"data": "x"}, {"detail": SECRET}, [1]])
def test_an_answer_in_another_form_names_the_address(body: object) -> None:
    class Odd(LiteLLMTwin):
        def _page(self, query: dict[str, str]) -> Any:
            response = super()._page(query)
            return type(response)(200, body)

    with Odd() as twin:
        problem = failure(maker(twin))
    assert isinstance(problem, Unreachable)
    assert twin.url in str(problem)
    assert SECRET not in str(problem)


def test_a_wrong_address_is_named() -> None:
    with LiteLLMTwin() as twin:
        source = settings(kind="litellm", url=twin.url + "/v1", key=MASTER_KEY)
        problem = failure(lambda: litellm.puller(source, adapter))
    assert isinstance(problem, Misconfigured)
    assert "without /v1" in str(problem.hint)


def test_a_row_that_cannot_be_used_is_named_and_the_rest_is_kept() -> None:
    bad = {**rows(1)[0], "request_id": "bad", "model": ""}
    with LiteLLMTwin([*rows(5), bad]) as twin:
        store = Intake(maker(twin))
        assert store.take()
    assert {place: bad.reason for place, bad in store.refused.items()} == {"row bad": "model is missing"}
    assert len(store.ids) == 5


def test_rows_too_long_for_one_answer_are_read_in_smaller_pages() -> None:
    long = "x" * (8 * 2**20)
    heavy = [{**row, "messages": long} for row in rows(9)]
    huge = {**heavy[0], "request_id": "huge", "messages": "x" * (65 * 2**20)}
    with LiteLLMTwin([*heavy, huge]) as twin:
        store = Intake(maker(twin))
        assert store.take()
    assert len(store.ids) == 9
    assert [bad.reason for bad in store.refused.values()] == ["the row is too long to be read"]


def test_check_says_what_is_there() -> None:
    with LiteLLMTwin(rows(3)) as twin:
        puller = maker(twin)()
        assert puller.check().startswith(f"LiteLLM at {twin.url}: ")
        twin.age = "old"
        assert "older route" in puller.check()


def failure(make: Callable[[], Puller]) -> ExporterError:
    """What a pull raises."""
    with pytest.raises(ExporterError) as caught:
        Intake(make).take()
    return caught.value
