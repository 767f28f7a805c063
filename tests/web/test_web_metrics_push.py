"""Metrics pushed by OTLP to a receiver that keeps the rules of the protocol."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceResponse

from exporter import config
from exporter.destinations.http import PROTOBUF, Reply
from exporter.errors import ExporterError, Misconfigured, Unreachable
from exporter.model import RecordKind, RecordRef
from exporter.state import records
from exporter.state.store import Store
from exporter.web.metrics_push import Push, build, judge
from exporter.web.readiness import Readiness
from tests.contract.otlp_metrics_twin import OtlpMetricsTwin
from tests.web.metrics_by_hand import LATER, Scraper, copied
from tests.web.traces_by_hand import NOON, SECOND, build_trace, keep


@pytest.fixture
def receiver() -> Iterator[OtlpMetricsTwin]:
    with OtlpMetricsTwin() as twin:
        yield twin


class Clock:
    """Time as the test has it; each look is a second later."""

    def __init__(self, now: int = LATER) -> None:
        self.now = now

    def __call__(self) -> int:
        self.now += SECOND
        return self.now


def pushing(store: Store, address: str, clock: Clock | None = None, **otlp: Any) -> Push:
    flags = {"metrics.otlp": {"endpoint": address, **otlp}, "resource": {"deployment.environment": "test"}}
    settings = config.load(Path(os.devnull), {}, flags).settings
    push = build(store, Readiness, settings, ("langfuse",), clock or Clock())
    assert push is not None
    return push


def test_without_an_endpoint_nothing_is_pushed(store: Store) -> None:
    assert build(store, Readiness, config.load(Path(os.devnull), {}).settings, (), Clock()) is None


@pytest.mark.parametrize(
    ("protocol", "media_type"),
    [("http/protobuf", "application/x-protobuf"), ("http/json", "application/json")],
)
def test_a_push_says_what_a_scrape_says(
    store: Store, receiver: OtlpMetricsTwin, protocol: str, media_type: str
) -> None:
    first, second = (
        build_trace(1, calls=[{"dify": (100, 5), "vendor": (105, 5)}]),
        build_trace(2, app="KB", calls=[{}]),
    )
    keep(store, first, second)
    pushing(store, receiver.url, protocol=protocol).push()
    assert receiver.violations == []
    assert receiver.types == {media_type: 1}
    for sample in Scraper(store).scrape():
        if not sample.name.startswith("dify_") or sample.name.startswith("dify_exporter_"):
            continue
        if sample.name.endswith(("_bucket", "_sum")):
            continue
        name = sample.name.removesuffix("_total").removesuffix("_count")
        assert receiver.value(name, **sample.labels) == sample.value, sample
    assert receiver.value("dify_exporter_dead_letters", destination="langfuse") == 0
    assert (first.trace.trace_id, 110 / 105) in receiver.exemplars


def test_the_resource_names_the_exporter_and_the_operators_attributes(
    store: Store, receiver: OtlpMetricsTwin
) -> None:
    pushing(store, receiver.url).push()
    resource = receiver.resources[0]
    assert (resource["service.name"], resource["service.instance.id"]) == ("dify-exporter", "dify")
    assert resource["deployment.environment"] == "test"


def test_sums_go_on_over_pushes_restarts_and_corrections(
    store: Store, receiver: OtlpMetricsTwin, tmp_path: Path
) -> None:
    clock = Clock()
    push = pushing(store, receiver.url, clock)
    for tokens in (50, 20, 60):
        keep(store, build_trace(1, calls=[{"dify": (tokens, 5), "vendor": (tokens, 5)}]))
        push.push()
    again = copied(store, tmp_path)
    pushing(again, receiver.url, clock).push()
    keep(again, build_trace(2, calls=[{"dify": (7, 0)}]))
    pushing(again, receiver.url, clock).push()
    again.close()
    assert receiver.value("dify_recorded_tokens", direction="input") == 67
    assert receiver.value("dify_discrepancy_ratio") == 2
    assert receiver.violations == []


def test_the_counters_of_a_state_begin_when_its_first_record_was_met(
    store: Store, receiver: OtlpMetricsTwin
) -> None:
    with store.transaction("test") as connection:
        records.meet(connection, [RecordRef(RecordKind.MESSAGE, "r", NOON)], NOON - 5 * SECOND)
    keep(store, build_trace(1))
    pushing(store, receiver.url).push()
    starts = {start for (name, _), start in receiver._starts.items() if name == "dify_recorded_tokens"}
    assert starts == {(NOON - 5 * SECOND) * 1000}


def test_headers_prove_who_pushes_and_an_own_path_is_kept(store: Store) -> None:
    with OtlpMetricsTwin({"authorization": "Bearer secret-1"}, path="/otlp/here") as receiver:
        pushing(store, f"{receiver.url}/otlp/here", headers={"Authorization": "Bearer secret-1"}).push()
        assert receiver.requests == 1
        with pytest.raises(Misconfigured, match="401") as refused:
            pushing(store, f"{receiver.url}/otlp/here", headers={"Authorization": "Bearer wrong-2"}).push()
    assert "metrics.otlp.headers" in (refused.value.hint or "")
    assert "wrong-2" not in str(refused.value)


@pytest.mark.parametrize(
    ("fault", "kind", "words"),
    [
        ("fail", Unreachable, "HTTP 500"),
        ("throttle", Unreachable, "HTTP 429"),
        ("redirect", Misconfigured, "HTTP 302"),
        ("hang_up", Unreachable, "the connection broke"),
    ],
)
def test_a_failed_push_is_named_and_the_next_one_says_all_of_it(
    store: Store, receiver: OtlpMetricsTwin, fault: str, kind: type[ExporterError], words: str
) -> None:
    keep(store, build_trace(1))
    push = pushing(store, receiver.url)
    setattr(receiver.faults, fault, 1)
    with pytest.raises(kind, match=words):
        push.push()
    assert receiver.values == {}
    keep(store, build_trace(2))
    push.push()
    assert receiver.value("dify_recorded_tokens") == 38
    assert receiver.violations == []


def test_a_push_that_arrived_and_was_not_answered_is_repeated_without_harm(
    store: Store, receiver: OtlpMetricsTwin
) -> None:
    keep(store, build_trace(1))
    push = pushing(store, receiver.url)
    receiver.faults.hang_up_after = 1
    with pytest.raises(Unreachable):
        push.push()
    push.push()
    assert receiver.value("dify_recorded_tokens") == 19
    assert receiver.violations == []


def test_points_that_were_rejected_are_told(store: Store, receiver: OtlpMetricsTwin) -> None:
    receiver.rejects = 3
    with pytest.raises(Misconfigured, match="3 data points were rejected"):
        pushing(store, receiver.url).push()


def test_rejected_points_are_read_from_an_answer_in_protobuf_too() -> None:
    answer = ExportMetricsServiceResponse()
    answer.partial_success.rejected_data_points = 1_200
    answer.partial_success.error_message = "what the receiver says"
    reply = Reply(200, {"content-type": PROTOBUF}, answer.SerializeToString())
    with pytest.raises(Misconfigured, match="1,200 data points") as told:
        judge(reply, "https://user:secret@host/v1/metrics?token=1")
    assert "pushing metrics to https://host failed" in str(told.value)
    assert "receiver says" not in str(told.value)


def test_nothing_listens_there(store: Store, receiver: OtlpMetricsTwin) -> None:
    push = pushing(store, receiver.url)
    receiver.down()
    with pytest.raises(Unreachable, match="connection refused"):
        push.push()


def test_opentelemetrys_own_variables_switch_the_push_on() -> None:
    environ = {
        "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://collector:4318",
        "OTEL_EXPORTER_OTLP_METRICS_HEADERS": "authorization=Bearer%20abc",
    }
    loaded = config.load(Path(os.devnull), environ)
    otlp = loaded.settings.metrics.otlp
    assert otlp.url == "http://collector:4318/v1/metrics"
    assert otlp.headers["authorization"].get_secret_value() == "Bearer abc"
    assert "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT" in loaded.origins["metrics.otlp.endpoint"]
    own = config.load(Path(os.devnull), environ, {"metrics.otlp.endpoint": "https://mine/v1/x"}).settings
    assert own.metrics.otlp.url == "https://mine/v1/x"
    traces_only = config.load(
        Path(os.devnull), {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}
    ).settings
    assert traces_only.metrics.otlp.endpoint == ""


@pytest.mark.parametrize(
    "wrong", [{"endpoint": "collector:4318"}, {"endpoint": "http://c", "interval": "10ms"}]
)
def test_what_cannot_work_is_an_error_at_start(wrong: dict[str, str]) -> None:
    with pytest.raises(Misconfigured, match=r"metrics\.otlp"):
        config.load(Path(os.devnull), {}, {"metrics.otlp": wrong})
