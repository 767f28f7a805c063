"""From settings to pullers, and recorded requests through each of them with the adapter that `vendor` really uses."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from exporter.vendor.pullers.registry import build
from tests.contract import aws_twin
from tests.contract.aws_twin import AwsTwin, invocation
from tests.contract.litellm_twin import MASTER_KEY, LiteLLMTwin, spend_row
from tests.contract.newapi_twin import TOKEN, USER_ID, NewApiTwin, log_row
from tests.vendor.pullers.pulling import Intake, recorded, settings


def test_every_kind_that_is_fetched_has_a_puller_in_the_order_of_the_settings() -> None:
    sources = [
        settings(kind="push", name="pushed"),
        settings(kind="file", path=Path("calls.jsonl")),
        settings(kind="litellm", url="http://litellm:4000", key="sk-1"),
        settings(kind="new-api", url="http://new-api:3000", key="t", user_id="1"),
        settings(kind="openrouter", key="sk-or"),
        settings(kind="bedrock", region="us-east-1", bucket="b"),
        settings(kind="bedrock", region="us-east-1", log_group="g", name="group", poll_interval="1m"),
    ]
    pullers = build(sources)
    assert [puller.name for puller in pullers] == [
        "calls",
        "litellm",
        "new-api",
        "openrouter",
        "bedrock",
        "group",
    ]
    assert [puller.every_seconds for puller in pullers] == [15.0, 15.0, 15.0, 3_600.0, 15.0, 60.0]
    assert [puller.traits.per_request for puller in pullers] == [True, True, True, False, True, True]
    assert [puller.traits.includes_cached for puller in pullers] == [None, True, None, True, False, False]
    for puller in pullers:
        puller.close()


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"kind": "litellm", "key": "sk-1"}, "litellm needs url"),
        ({"kind": "new-api"}, "new-api needs url and key"),
        ({"kind": "openrouter"}, "openrouter needs key"),
        ({"kind": "bedrock", "region": "us-east-1"}, "bedrock needs bucket (S3) or log_group (CloudWatch)"),
        ({"kind": "bedrock", "region": "r", "bucket": "b", "log_group": "g"}, "not both"),
        ({"kind": "litellm", "key": "k", "url": "litellm:4000"}, "url must start with http"),
        ({"kind": "push", "time_zone": "Mars/Base"}, "no zone name"),
        ({"kind": "push", "colour": "blue"}, "Extra inputs are not permitted"),
    ],
)
def test_settings_that_cannot_work_say_why(values: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError) as caught:
        settings(**values)
    assert says in str(caught.value)


def told() -> Counter[tuple[int, int]]:
    """Input (with cached tokens) and output of the recorded requests that were counted."""
    numbers: Counter[tuple[int, int]] = Counter()
    for record in recorded():
        usage = record.get("usage")
        if usage:
            cached = usage.get("cache_read_input_tokens", 0) + usage.get("cache_creation_input_tokens", 0)
            asked = usage.get("prompt_tokens", usage.get("input_tokens", 0) + cached)
            numbers[asked, usage.get("completion_tokens", usage.get("output_tokens", 0))] += 1
    return numbers


def found(store: Intake) -> Counter[tuple[int, int]]:
    counted = [record.tokens for record in store.records.values() if record.status != "error"]
    return Counter((tokens.input or 0, tokens.output or 0) for tokens in counted if tokens)


def test_recorded_requests_come_through_litellm() -> None:
    with LiteLLMTwin(spend_row(record) for record in recorded()) as twin:
        source = settings(kind="litellm", url=twin.url, key=MASTER_KEY)
        store = Intake(lambda: build([source])[0])
        assert store.take()
    assert store.refused == {}
    assert found(store) == told()
    assert {key[0] for key in store.records} == {"litellm"}


def test_recorded_requests_come_through_new_api() -> None:
    with NewApiTwin(log_row(number, record) for number, record in enumerate(recorded(), start=1)) as twin:
        source = settings(kind="new-api", url=twin.url, key=TOKEN, user_id=USER_ID, name="gateway")
        store = Intake(lambda: build([source])[0])
        assert store.take()
    assert store.refused == {}
    assert found(store) == told()
    assert len(store.records) == len(recorded())


@pytest.mark.parametrize("place", [{"bucket": aws_twin.BUCKET}, {"log_group": aws_twin.GROUP}])
def test_recorded_requests_come_through_bedrock(
    place: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", aws_twin.ACCESS_KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "twin-secret-access-key")
    entries = [invocation(record) for record in recorded() if record.get("usage")]
    with AwsTwin() as twin:
        for number, entry in enumerate(entries):
            twin.tell(entry)
            twin.put(datetime.fromisoformat(entry["timestamp"]), f"b{number:04}", [entry])
        source = settings(kind="bedrock", url=twin.url, region=aws_twin.REGION, **place)
        store = Intake(lambda: build([source])[0])
        assert store.take()
    assert store.refused == {}
    assert found(store) == told()
