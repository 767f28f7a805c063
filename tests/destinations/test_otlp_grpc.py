"""OTLP over gRPC against a real gRPC server that keeps each platform's rules: what holds over HTTP holds here."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import (
    TraceServiceServicer,
    add_TraceServiceServicer_to_server,
)
from pydantic import ValidationError
from rows_for_tests import T0

from exporter import config
from exporter.config import ContentSettings, DestinationSettings
from exporter.config.destinations import GRPC_KINDS
from exporter.destinations import registry
from exporter.destinations.base import Outcome, Unit
from exporter.destinations.delivery import Courier
from exporter.destinations.otlp import Otlp
from exporter.destinations.otlp_grpc import classify
from exporter.destinations.presets import PRESETS
from exporter.errors import Misconfigured
from exporter.state.store import Store
from tests.contract.otlp_grpc_twin import OtlpGrpcTwin
from tests.contract.otlp_twin import OtlpTwin
from tests.contract.twin_server import attributes
from tests.destinations.destination_units import RESOURCE, unit
from tests.destinations.test_delivery import HOUR, Bench, Clock, _traces
from tests.destinations.test_http_seam import say, server
from tests.destinations.test_presets import KEY, SETTINGS, TRACES, chosen_tokens
from tests.spans import assessed_traces as traces

CERTIFICATE = Path(__file__).parents[1] / "recorder" / "upstream-test.pem"
KINDS = sorted(GRPC_KINDS)


def settings(kind: str, endpoint: str, **changes: Any) -> DestinationSettings:
    known = {
        "kind": kind,
        "protocol": "grpc",
        "endpoint": endpoint,
        "timeout": "5s",
        **SETTINGS.get(kind, {}),
    }
    return DestinationSettings(**{**known, **changes})


def destination(endpoint: str, kind: str = "otlp", **changes: Any) -> Otlp:
    return Otlp(settings(kind, endpoint, **changes), ContentSettings(), RESOURCE)


@contextmanager
def platform(kind: str) -> Iterator[tuple[OtlpGrpcTwin, Otlp]]:
    """The twin and a destination at it; Phoenix takes gRPC beside the address where it is read."""
    with ExitStack() as stack:
        twin = stack.enter_context(OtlpGrpcTwin(kind))
        if kind == "phoenix":
            stack.enter_context(twin.platform)
            yield twin, destination(twin.platform.url, kind, grpc_endpoint=twin.url)
        else:
            yield twin, destination(twin.url, kind)


def units(to: Otlp) -> list[Unit]:
    return [unit(to, assessed, number) for number, assessed in enumerate(TRACES, 1)]


def refused(**given: Any) -> str:
    with pytest.raises(ValidationError) as caught:
        DestinationSettings(**given)
    return str(caught.value)


# ── what arrives ────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("kind", KINDS)
def test_the_platform_holds_the_same_as_over_http(kind: str) -> None:
    with platform(kind) as (twin, to), OtlpTwin(kind) as http:
        other = Otlp(
            settings(kind, http.url, protocol="http/protobuf", grpc_endpoint=""), ContentSettings(), RESOURCE
        )
        for item in units(to):
            assert to.send([item]).outcome is Outcome.ACCEPTED
            assert other.send([item]).outcome is Outcome.ACCEPTED
        assert twin.platform.violations == []
        assert twin.platform.spans == http.spans
        assert twin.platform.tokens() == chosen_tokens()


@pytest.mark.parametrize("kind", KINDS)
def test_check_is_content_and_leaves_nothing_behind(kind: str) -> None:
    with platform(kind) as (twin, to):
        (line,) = to.check()
        assert line.ok, line.seen
        assert twin.platform.spans == {}


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in ("otlp", "tencent-apm")])
def test_a_wrong_key_holds_the_traces_and_is_never_shown(kind: str) -> None:
    with OtlpGrpcTwin(kind) as twin:
        beside = {"grpc_endpoint": twin.url} if kind == "phoenix" else {}
        to = destination("http://127.0.0.1:1" if beside else twin.url, kind, api_key="key-wrong", **beside)
        answer = to.send(units(to))
        assert answer.outcome is Outcome.HOLD
        assert "UNAUTHENTICATED" in answer.reason
        assert "key-wrong" not in answer.reason


def test_headers_travel_as_metadata_in_lower_case() -> None:
    with OtlpGrpcTwin("otlp") as twin:
        to = destination(twin.url, headers={"X-Scope-OrgID": " team-a "})
        assert to.send(units(to)).outcome is Outcome.ACCEPTED
        assert twin.metadata[0]["x-scope-orgid"] == "team-a"
        with pytest.raises(Misconfigured, match="x-bad"):
            destination(twin.url, headers={"x-bad": "käse"})


def test_the_servicer_that_opentelemetry_generates_gets_the_spans() -> None:
    got: list[Any] = []

    class Servicer(TraceServiceServicer):
        def Export(self, request: Any, context: Any) -> Any:
            got.append(request)
            return ExportTraceServiceResponse()

    listening = grpc.server(ThreadPoolExecutor(1))
    add_TraceServiceServicer_to_server(Servicer(), listening)
    port = listening.add_insecure_port("127.0.0.1:0")
    listening.start()
    to = destination(f"http://127.0.0.1:{port}")
    assert to.send(units(to)).outcome is Outcome.ACCEPTED
    listening.stop(None)
    (resource_spans,) = got[0].resource_spans
    assert attributes(resource_spans.resource) == RESOURCE
    (scope_spans,) = resource_spans.scope_spans
    assert len(scope_spans.spans) == sum(len(item.trace.steps) for item in TRACES)


def test_requests_are_compressed_on_the_wire() -> None:
    with OtlpGrpcTwin("otlp") as twin, _counting_relay(twin.port) as relay:
        to = destination(f"http://127.0.0.1:{relay.port}")
        many = [unit(to, traces.chatflow(1000 * number), number) for number in range(1, 41)]
        assert to.send(many).outcome is Outcome.ACCEPTED
        assert len(twin.platform.spans) == 40 * 12
        assert relay.sent_bytes < sum(len(item.spans) for item in many) / 3


def test_phoenix_is_read_over_http_and_finds_what_was_lost() -> None:
    with platform("phoenix") as (twin, to):
        sent = units(to)
        twin.platform.faults.lose_spans = 14
        assert to.send(sent).outcome is Outcome.ACCEPTED
        assert to.missing(sent) == {1, 2}
        assert to.send(sent[:2]).outcome is Outcome.ACCEPTED
        assert to.missing(sent) == set()


def test_tls_is_used_for_https_and_a_certificate_that_is_not_trusted_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    certificate, key = re.findall(r"-----BEGIN.*?-----END[^\n]+\n", CERTIFICATE.read_text(), re.DOTALL)
    with OtlpGrpcTwin("otlp", tls=(key.encode(), certificate.encode())) as twin:
        answer = destination(twin.url).send(())
        assert (answer.outcome, "TLS failed" in answer.reason) == (Outcome.RETRY, True)
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(CERTIFICATE))
        to = destination(twin.url)
        assert to.send(units(to)).outcome is Outcome.ACCEPTED
        assert twin.platform.tokens() == chosen_tokens()
        assert destination(twin.url.replace("https", "http")).send(()).outcome is not Outcome.ACCEPTED


# ── what answers mean ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("code", "retry_info", "outcome"),
    [
        *((code, None, Outcome.RETRY) for code in ("UNAVAILABLE", "ABORTED", "CANCELLED", "OUT_OF_RANGE")),
        *((code, None, Outcome.RETRY) for code in ("DATA_LOSS", "DEADLINE_EXCEEDED", "INTERNAL", "UNKNOWN")),
        ("UNAVAILABLE", 7.5, Outcome.RETRY),
        ("RESOURCE_EXHAUSTED", 40.0, Outcome.RETRY),
        ("RESOURCE_EXHAUSTED", 0.0, Outcome.RETRY),
        ("RESOURCE_EXHAUSTED", None, Outcome.HOLD),
        ("INVALID_ARGUMENT", None, Outcome.REFUSED),
        ("UNAUTHENTICATED", None, Outcome.HOLD),
        ("PERMISSION_DENIED", None, Outcome.HOLD),
        ("UNIMPLEMENTED", None, Outcome.HOLD),
        ("NOT_FOUND", None, Outcome.HOLD),
        ("FAILED_PRECONDITION", None, Outcome.HOLD),
    ],
)
def test_a_status_code_means_what_the_specification_says_and_nothing_is_lost(
    code: str, retry_info: float | None, outcome: Outcome
) -> None:
    with OtlpGrpcTwin("otlp") as twin:
        twin.answers = [(code, retry_info)]
        answer = destination(twin.url).send(())
    assert (answer.outcome, answer.retry_after) == (outcome, retry_info)
    assert code in answer.reason
    assert twin.details not in answer.reason
    assert twin.answers == [], "it was asked once"


@pytest.mark.parametrize(
    ("code", "details"),
    [
        ("RESOURCE_EXHAUSTED", "grpc: received message larger than max (5242880 vs. 4194304)"),
        ("RESOURCE_EXHAUSTED", "gRPC message exceeds maximum size 4194304: 5242880"),
        (
            "OUT_OF_RANGE",
            "Error, decoded message length too large: found 5242880 bytes, the limit is: 4194304",
        ),
    ],
)
def test_a_request_over_the_receivers_limit_is_split_whoever_made_the_receiver(
    code: str, details: str
) -> None:
    assert classify(code, details, None).outcome is Outcome.TOO_LARGE


def test_a_real_server_refuses_what_is_over_four_mebibytes_and_requests_stay_below() -> None:
    with OtlpGrpcTwin("otlp") as twin:
        to = destination(twin.url)
        one = unit(to, traces.chatflow())
        times = 4 * 2**20 // len(one.spans) + 1
        assert to.send([replace(one, spans=one.spans * times)]).outcome is Outcome.TOO_LARGE
        fitting = to.limits.max_bytes // len(one.spans)
        assert to.send([replace(one, spans=one.spans * fitting)]).outcome is Outcome.ACCEPTED
        assert destination(twin.url, max_bytes="8MiB").limits.max_bytes == 8 * 2**20


def test_rejected_spans_are_a_refusal_although_the_status_is_ok() -> None:
    with OtlpGrpcTwin("otlp") as twin:
        twin.rejected = 2
        answer = destination(twin.url).send(())
    assert answer.outcome is Outcome.REFUSED
    assert "2 spans" in answer.reason


def test_a_call_that_is_never_answered_ends_at_the_deadline() -> None:
    with OtlpGrpcTwin("otlp") as twin:
        twin.hang = 1
        answer = destination(twin.url, timeout="300ms").send(())
    assert (answer.outcome, answer.reason) == (
        Outcome.RETRY,
        "gRPC DEADLINE_EXCEEDED: no answer in time",
    )


def test_nobody_there_is_retried_and_http_at_the_address_is_said() -> None:
    answer = destination("http://127.0.0.1:1").send(())
    assert (answer.outcome, answer.reason) == (Outcome.RETRY, "gRPC UNAVAILABLE: connection refused")
    with server(lambda handler, body: say(handler, 404)) as url:
        answer = destination(url).send(())
    assert answer.outcome is Outcome.HOLD
    assert "no gRPC" in answer.reason


def test_grpcio_writes_no_lines_of_its_own_between_ours() -> None:
    program = (
        "import sys; from exporter.destinations.otlp_grpc import GrpcExport;"
        " print(GrpcExport('a', sys.argv[1], 4317, {}, 5.0)(b'').reason)"
    )
    environ = {name: value for name, value in os.environ.items() if name != "GRPC_VERBOSITY"}
    with OtlpGrpcTwin("otlp") as twin:
        address = twin.url.replace("http", "https")
        command = [sys.executable, "-c", program, address]
        done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60, check=True)
    assert "TLS failed" in done.stdout
    assert done.stderr == ""


def test_a_server_that_dies_after_the_receipt_leaves_doubt_and_the_same_spans_once() -> None:
    with platform("phoenix") as (twin, to):
        twin.platform.faults.hang_up_after = 1
        sent = units(to)
        assert to.send(sent).outcome is Outcome.RETRY
        twin.up()
        assert to.send(sent).outcome is Outcome.ACCEPTED
        assert twin.platform.tokens() == chosen_tokens()
        assert twin.platform.violations == []


def test_whatever_the_receiver_does_every_span_is_delivered_once(tmp_path: Path) -> None:
    with platform("phoenix") as (twin, _):
        wanted = {
            "kind": "phoenix", "protocol": "grpc", "endpoint": twin.platform.url, "grpc_endpoint": twin.url,
            "confirm_after": "2s", "timeout": "500ms", "max_spans": 40, **SETTINGS["phoenix"],
        }  # fmt: skip
        loaded = config.load(Path(os.devnull), {}, {"destinations": [wanted]}).settings
        store, clock = Store(tmp_path / "s.db"), Clock()
        (to,) = registry.build(loaded)
        bench = Bench(store, twin.platform, clock, to, Courier(store, to, loaded.destinations[0], clock))
        made = _traces(60)
        victim = made[31].trace.steps[1]
        twin.answers = [("UNAVAILABLE", None), ("RESOURCE_EXHAUSTED", 40.0), ("UNAUTHENTICATED", None)]
        twin.hang = 1
        twin.platform.faults.poison = [victim.span_id]
        twin.platform.faults.lose_spans = 7
        bench.queue(made)
        bench.deliver(T0 + HOUR)
        assert len(twin.platform.spans) == sum(len(item.trace.steps) for item in made) - 1
        assert twin.platform.violations in ([], [f"the parent of span {victim.span_id} never came"])
        assert clock.now >= T0 + 40_000_000
        assert bench.delivery().failures == 4
        backlog = bench.backlog()
        assert backlog is not None
        assert (backlog.dead, backlog.ready, backlog.in_doubt, backlog.acked) == (1, 0, 0, 0)
        store.close()


# ── settings ────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_settings_and_the_presets_agree_who_takes_grpc() -> None:
    assert {kind for kind, preset in PRESETS.items() if preset.grpc is not None} == GRPC_KINDS


@pytest.mark.parametrize(
    ("kind", "endpoint", "more", "target"),
    [
        ("otlp", "http://collector", {}, "collector:4317"),
        ("otlp", "https://collector/v1/traces", {}, "collector:443"),
        ("otlp", "http://[::1]:9999", {}, "[::1]:9999"),
        ("arize", "", {}, "otlp.arize.com:443"),
        ("phoenix", "http://phoenix:6006", {}, "phoenix:4317"),
        ("phoenix", "http://phoenix:6006", {"grpc_endpoint": "http://other:5000"}, "other:5000"),
        ("aliyun-arms", "", {"region": "cn-hangzhou"}, "tracing-analysis-dc-cn-hangzhou.aliyuncs.com:8090"),
        ("tencent-apm", "http://ap-guangzhou.apm.tencentcs.com", {}, "ap-guangzhou.apm.tencentcs.com:4317"),
    ],
)
def test_spans_go_to_the_port_where_the_platform_takes_grpc(
    kind: str, endpoint: str, more: dict[str, Any], target: str
) -> None:
    assert destination(endpoint, kind, **more)._export.target == target  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("kind", "endpoint"),
    [
        ("arize", "https://collector:4317/v1"),
        ("aliyun-arms", "http://tracing-analysis-dc-hz.aliyuncs.com:8090"),
        ("tencent-apm", "http://ap-guangzhou.apm.tencentcs.com:4317"),
    ],
)
def test_an_address_that_answers_grpc_only_is_spoken_to_in_grpc(kind: str, endpoint: str) -> None:
    assert settings(kind, endpoint, protocol="auto").speaks_grpc
    assert "set protocol to grpc" in refused(
        **{"kind": kind, **SETTINGS[kind], "endpoint": endpoint, "protocol": "http/protobuf"}
    )


def test_what_grpc_cannot_do_is_said() -> None:
    assert "http/protobuf only" in refused(kind="opik", endpoint="http://opik:5173", protocol="grpc")
    assert "http/protobuf only" in refused(kind="langsmith", api_key=KEY, protocol="grpc")
    page = refused(kind="phoenix", endpoint="http://phoenix:4317", protocol="grpc")
    assert "6006" in page
    assert "grpc_endpoint" in refused(
        kind="otlp", endpoint="http://a:4317", protocol="grpc", grpc_endpoint="http://b"
    )
    assert "grpc_endpoint" in refused(kind="phoenix", endpoint="http://a:6006", grpc_endpoint="http://b")
    zerobus = "https://1234.zerobus.us-west-2.cloud.databricks.com"
    assert "gRPC address" in refused(kind="databricks", endpoint=zerobus, api_key=KEY, table="a.b.c")


def test_the_ecosystems_variable_decides_for_otlp() -> None:
    environ = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4317", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}
    (found,) = config.load(Path(os.devnull), environ).settings.destinations
    assert found.speaks_grpc
    own = [{"kind": "otlp", "endpoint": "http://c:4318", "protocol": "http/protobuf"}]
    (found,) = config.load(Path(os.devnull), environ, {"destinations": own}).settings.destinations
    assert not found.speaks_grpc


def test_without_the_extra_the_way_to_get_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "grpc", None)
    with pytest.raises(Misconfigured, match="grpcio, which is not installed") as caught:
        destination("http://collector:4317")
    assert "pip install 'dify-exporter[grpc]'" in (caught.value.hint or "")
    assert destination("http://collector:4318", protocol="auto").check


class _Relay:
    """Passes bytes on to a port and counts those of the client."""

    def __init__(self, to: int) -> None:
        self.sent_bytes = 0
        self._to = to
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listening.close()

    def _accept(self) -> None:
        client, _ = self._listening.accept()
        there = socket.create_connection(("127.0.0.1", self._to))
        threading.Thread(target=self._pass, args=(there, client, False), daemon=True).start()
        self._pass(client, there, True)

    def _pass(self, source: socket.socket, sink: socket.socket, is_counted: bool) -> None:
        with suppress(OSError):  # whoever goes first
            while data := source.recv(65536):
                self.sent_bytes += len(data) if is_counted else 0
                sink.sendall(data)


@contextmanager
def _counting_relay(to: int) -> Iterator[_Relay]:
    relay = _Relay(to)
    try:
        yield relay
    finally:
        relay.close()
