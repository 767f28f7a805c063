"""From settings to destinations."""

from __future__ import annotations

import pytest

from exporter.config import Settings
from exporter.destinations.registry import build, delivery_settings, resource_attributes
from exporter.errors import Misconfigured

LANGFUSE = {"kind": "langfuse", "public_key": "pk-lf-1", "secret_key": "sk-lf-1"}
LANGSMITH = {"kind": "langsmith", "api_key": "lsv2_1"}
OTLP = {"kind": "otlp", "endpoint": "http://collector:4318", "name": "tempo"}


def settings(**changes: object) -> Settings:
    return Settings.model_validate(changes)


def test_every_kind_of_the_settings_is_built_in_their_order() -> None:
    built = build(settings(destinations=[LANGFUSE, LANGSMITH, OTLP]))
    assert [(item.kind, item.name) for item in built] == [
        ("langfuse", "langfuse"),
        ("langfuse", "langfuse scores"),
        ("langsmith", "langsmith"),
        ("langsmith", "langsmith scores"),
        ("otlp", "tempo"),
    ]


def test_scores_can_be_left_out() -> None:
    built = build(settings(destinations=[{**LANGFUSE, "scores": False}, {**LANGSMITH, "scores": False}]))
    assert [item.name for item in built] == ["langfuse", "langsmith"]


def test_every_queue_has_its_settings() -> None:
    of = settings(
        destinations=[{**LANGFUSE, "requests_per_second": 4}, {**LANGSMITH, "requests_per_second": 20}, OTLP]
    )
    found = delivery_settings(of)
    assert {item.name for item in build(of)} <= set(found)
    assert (found["langfuse"].requests_per_second, found["langfuse scores"].requests_per_second) == (4, 4)
    assert (found["langsmith"].requests_per_second, found["langsmith scores"].requests_per_second) == (20, 2)


def test_an_entry_named_like_the_scores_of_another_is_a_mistake_in_the_settings() -> None:
    with pytest.raises(Misconfigured, match="langfuse scores"):
        build(settings(destinations=[LANGFUSE, {**OTLP, "name": "langfuse scores"}]))


def test_every_kind_that_can_be_set_can_be_built() -> None:
    from exporter.config import DestinationSettings
    from exporter.destinations.registry import _KINDS

    kinds = DestinationSettings.model_fields["kind"].annotation
    assert set(kinds.__args__) == set(_KINDS)


def test_the_operators_resource_attributes_win() -> None:
    found = resource_attributes(
        settings(resource={"service.name": "dify-eu", "team": "ai"}, dify={"name": "eu"})
    )
    assert found["service.name"] == "dify-eu"
    assert found["team"] == "ai"
    assert found["dify_exporter.source.instance"] == "eu"
    assert found["telemetry.distro.name"] == "dify-exporter"
    assert resource_attributes(settings())["service.name"] == "dify"


def test_a_key_that_cannot_be_a_header_is_a_mistake_in_the_settings_and_is_not_shown() -> None:
    with pytest.raises(Misconfigured) as caught:
        build(settings(destinations=[{**LANGSMITH, "api_key": "lsv2_secret\r\nx: y"}]))
    assert "lsv2_secret" not in str(caught.value)
