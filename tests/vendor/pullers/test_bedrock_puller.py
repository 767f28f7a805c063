"""Bedrock's invocation logs through the twin of S3 and CloudWatch Logs, with the real AWS client in between."""

from __future__ import annotations

import gzip
import json
import sys
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

from exporter.clock import micros
from exporter.errors import ExporterError, Misconfigured, Unreachable
from exporter.vendor.pullers import bedrock, cloudwatch
from exporter.vendor.pullers.base import Puller
from tests.contract.aws_twin import ACCESS_KEY, BUCKET, GROUP, REGION, AwsTwin, batch, invocation, object_key
from tests.vendor.pullers.pulling import NOON, Intake, ids, moved, recorded, settings, spread


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS_KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "twin-secret-access-key")
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")


def adapter(row: object) -> list[object]:
    """Only what paging needs; what a row means is the adapter's own test."""
    assert isinstance(row, dict)
    usage = {
        "prompt_tokens": row["input"]["inputTokenCount"],
        "completion_tokens": row["output"]["outputTokenCount"],
    }
    return [{"id": row["requestId"], "model": row["modelId"], "usage": usage, "started_at": row["timestamp"]}]


def s3(twin: AwsTwin, **values: Any) -> Callable[[], Puller]:
    wanted = {"kind": "bedrock", "url": twin.url, "region": REGION, "bucket": BUCKET, "timeout": "5s"}
    source = settings(**wanted | values)
    return lambda: bedrock.BucketPuller(source, adapter)


def logs(twin: AwsTwin, **values: Any) -> Callable[[], Puller]:
    wanted = {"kind": "bedrock", "url": twin.url, "region": REGION, "log_group": GROUP, "timeout": "5s"}
    source = settings(**wanted | values)
    return lambda: cloudwatch.puller(source, adapter)


def fill(twin: AwsTwin, records: list[dict[str, Any]], size: int = 3) -> None:
    """Objects of `size` entries each, in the hours in which they began."""
    for number in range(0, len(records), size):
        entries = [invocation(record) for record in records[number : number + size]]
        twin.put(datetime.fromisoformat(entries[0]["timestamp"]), f"b{number:05}", entries)


@pytest.mark.parametrize("restarts", [False, True])
def test_every_entry_of_a_bucket_is_read_once(restarts: bool) -> None:
    records = spread(400, seconds=400.0)
    with AwsTwin(max_keys=7) as twin:
        fill(twin, records)
        store = Intake(s3(twin), restarts=restarts)
        assert store.take()
        assert store.ids == ids(records)
        assert not [key for key in twin.reads if "/data/" in key]
        assert set(store.given.values()) == {1}


def test_recorded_requests_come_with_their_own_numbers() -> None:
    told = {record["id"]: invocation(record) for record in recorded()}
    with AwsTwin() as twin:
        fill(twin, recorded())
        store = Intake(s3(twin))
        assert store.take()
    found = {record.id: record.tokens for record in store.records.values()}
    assert found.keys() == told.keys()
    for name, entry in told.items():
        tokens = found[name]
        assert tokens is not None
        assert (tokens.input, tokens.output) == (
            entry["input"]["inputTokenCount"],
            entry["output"]["outputTokenCount"],
        )


@pytest.mark.parametrize("restarts", [False, True])
def test_objects_that_appear_late_are_read_and_others_not_fetched_again(restarts: bool) -> None:
    records = spread(60, seconds=300.0)
    with AwsTwin(max_keys=5) as twin:
        fill(twin, records)
        store = Intake(s3(twin))
        assert store.take()
        fetched = len(twin.reads)
        late = moved(records[0], NOON - timedelta(minutes=100), "late")
        twin.put(NOON - timedelta(minutes=100), "a-late", [invocation(late)])
        store.restarts = restarts
        assert store.take(NOON + timedelta(minutes=5))
        assert store.ids == ids([*records, late])
        if not restarts:
            assert len(twin.reads) == fetched + 1


def test_objects_that_appear_while_others_are_read_lose_nothing() -> None:
    records = spread(90, seconds=60.0)
    with AwsTwin(max_keys=4) as twin:
        fill(twin, records)
        late: list[dict[str, Any]] = []

        def arrive() -> None:
            if len(late) < 20:
                moment = NOON - timedelta(minutes=90 - 4 * len(late))
                late.append(moved(records[0], moment, f"late{len(late)}"))
                twin.put(moment, f"a{len(late)}", [invocation(late[-1])])

        twin.after_answer = arrive
        store = Intake(s3(twin), restarts=True, loses=lambda pull: pull == 1)
        assert store.take()
        assert store.take(NOON + timedelta(minutes=1))
        assert store.ids == ids([*records, *late])


def test_an_object_with_more_entries_than_a_pull_takes_is_read_in_parts() -> None:
    entry = invocation(recorded()[0])
    with AwsTwin() as twin:
        crowd = [{**entry, "requestId": f"c{number:05}"} for number in range(6_300)]
        twin.put(NOON - timedelta(hours=1), "crowd", crowd)
        twin.put(NOON - timedelta(minutes=30), "later", [{**entry, "requestId": "later"}])
        store = Intake(s3(twin), restarts=True, loses=lambda pull: pull == 2)
        assert not store.once()
        assert len(store.ids) == 5_000
        early = object_key(NOON - timedelta(hours=2), "before")  # must not take over the place in the crowd
        twin.objects[early] = batch([{**entry, "requestId": f"e{number}"} for number in range(40)])
        assert store.take()
        assert store.take(NOON + timedelta(minutes=1))
        assert len(store.ids) == 6_341
        assert store.largest <= 5_001


def test_logs_of_several_accounts_and_a_prefix_are_found() -> None:
    entry = invocation(recorded()[0])
    with AwsTwin(max_keys=1) as twin:
        for account in ("111111111111", "222222222222"):
            for hour in (3, 2, 1):
                key = object_key(NOON - timedelta(hours=hour), "x", account)
                twin.objects["bedrock/logs/" + key] = batch([{**entry, "requestId": f"{account}-{hour}"}])
        twin.objects["bedrock/logs/AWSLogs/111111111111/CloudTrail/other.json.gz"] = b"no log of ours"
        store = Intake(s3(twin, prefix="bedrock/logs/"), restarts=True)
        assert store.take()
        assert "2 accounts" in s3(twin, prefix="bedrock/logs")().check()
    assert len(store.ids) == 6


def test_a_start_bounds_the_hours_that_are_read() -> None:
    records = spread(48, seconds=3_600.0)
    with AwsTwin() as twin:
        fill(twin, records, size=1)
        store = Intake(s3(twin, start=(NOON - timedelta(hours=5)).isoformat()))
        assert store.take()
        assert 4 <= len(store.ids) <= 6
        store = Intake(s3(twin, start="now"))
        assert store.take()
        assert store.ids == []


def test_a_broken_object_and_a_broken_line_are_named_and_the_rest_is_kept() -> None:
    records = spread(5, seconds=600.0)
    with AwsTwin() as twin:
        fill(twin, records, size=1)
        cut = object_key(NOON - timedelta(minutes=20), "cut")
        twin.objects[cut] = batch([invocation(recorded()[0])] * 50)[:60]
        odd = object_key(NOON - timedelta(minutes=10), "odd")
        lines = [b"not json", json.dumps(invocation(moved(recorded()[0], NOON, "good"))).encode()]
        twin.objects[odd] = gzip.compress(b"\n".join(lines))
        store = Intake(s3(twin))
        assert store.take()
    assert {bad.place: bad.reason for bad in store.refused.values()} == {
        cut: "the object is not complete gzip",
        f"{odd}: line 1": "not valid JSON",
    }
    assert set(ids(records)) | {"good"} <= set(store.ids)


def test_a_bucket_that_fails_in_the_middle_costs_nothing() -> None:
    records = spread(60, seconds=300.0)
    with AwsTwin(max_keys=5) as twin:
        fill(twin, records)
        pending = [6, 13]

        def fail() -> None:
            if pending and len(twin.reads) >= pending[0]:
                pending.pop(0)
                twin.failures = (
                    4  # the client tries twice: once the pull keeps what it has, once it has nothing
                )

        twin.after_answer = fail
        store, failures = Intake(s3(twin)), 0
        for _ in range(20):
            try:
                if store.once():
                    break
            except Unreachable:
                failures += 1
        assert store.ids == ids(records)
        assert failures == 2


@pytest.mark.parametrize("place", [s3, logs])
def test_wrong_credentials_are_named_and_never_shown(place: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAWRONGWRONGWRONG1")
    with AwsTwin() as twin:
        problem = failure(place(twin))
    assert isinstance(problem, Misconfigured)
    assert "AWS credentials" in str(problem.hint)
    assert "WRONG" not in f"{problem} {problem.hint}"
    assert "hunter2" not in f"{problem} {problem.hint}"


@pytest.mark.parametrize("place", [s3, logs])
def test_missing_credentials_are_named(place: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
    with AwsTwin() as twin:
        problem = failure(place(twin))
    assert isinstance(problem, Misconfigured)
    assert "no AWS credentials were found" in str(problem)


@pytest.mark.parametrize("place", [s3, logs])
def test_a_service_that_asks_to_slow_down_is_tried_again(place: Any) -> None:
    with AwsTwin() as twin:
        twin.slow_down = 9
        problem = failure(place(twin))
        assert isinstance(problem, Unreachable)
        assert "hunter2" not in str(problem)
        twin.slow_down = 0
        assert Intake(place(twin)).take()


@pytest.mark.parametrize(
    ("place", "wrong"), [(s3, {"bucket": "another-bucket"}), (logs, {"log_group": "/another"})]
)
def test_a_place_that_is_not_there_is_named(place: Any, wrong: dict[str, str]) -> None:
    with AwsTwin() as twin:
        problem = failure(place(twin, **wrong))
    assert isinstance(problem, Misconfigured)
    assert next(iter(wrong.values())) in str(problem)


@pytest.mark.parametrize("place", [s3, logs])
def test_without_boto3_the_way_to_install_it_is_told(place: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "boto3", None)
    with AwsTwin() as twin:
        problem = failure(place(twin))
    assert isinstance(problem, Misconfigured)
    assert problem.hint == "pip install 'dify-exporter[aws]'"


@pytest.mark.parametrize("restarts", [False, True])
@pytest.mark.parametrize("empty_pages", [False, True])
def test_every_event_of_a_log_group_is_read_once(restarts: bool, empty_pages: bool) -> None:
    records = spread(300, seconds=90.0)
    with AwsTwin(page_events=40, empty_pages=empty_pages) as twin:
        for record in records:
            twin.tell(invocation(record))
        store = Intake(logs(twin), restarts=restarts)
        assert store.take()
        assert store.ids == ids(records)


def test_events_that_come_late_are_seen() -> None:
    with AwsTwin(page_events=40) as twin:
        for record in spread(50):
            twin.tell(invocation(record))
        store = Intake(logs(twin), restarts=True)
        assert store.take()
        twin.tell(invocation(moved(recorded()[0], NOON - timedelta(minutes=40), "late")))
        for minutes in (1, 6, 12):
            assert store.take(NOON + timedelta(minutes=minutes))
        assert "late" in store.ids


def test_a_page_token_that_grew_old_costs_nothing() -> None:
    records = spread(6_400, seconds=0.5)
    with AwsTwin(page_events=500) as twin:
        for record in records:
            twin.tell(invocation(record))
        store = Intake(logs(twin, start=(NOON - timedelta(hours=2)).isoformat()), restarts=True)
        assert not store.once()
        twin.tokens.clear()
        assert store.take()
        assert store.ids == ids(records)


def test_an_event_that_is_no_json_is_named_and_the_rest_is_kept() -> None:
    with AwsTwin() as twin:
        twin.tell(invocation(moved(recorded()[0], NOON - timedelta(minutes=5), "good")))
        twin.events.append((micros(NOON - timedelta(minutes=5)) // 1_000, "odd", "hunter2"))
        store = Intake(logs(twin))
        assert store.take()
        assert "requests of the last day" in logs(twin)().check()
    assert {bad.place: bad.reason for bad in store.refused.values()} == {"event odd": "not valid JSON"}
    assert store.ids == ["good"]


def failure(make: Callable[[], Puller]) -> ExporterError:
    """What a pull raises."""
    with pytest.raises(ExporterError) as caught:
        Intake(make).take()
    return caught.value
