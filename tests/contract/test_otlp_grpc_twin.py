"""The twin speaks the service of OTLP's own generated stubs, is strict, and fails as it is told."""

from __future__ import annotations

from typing import Any

import grpc
import pytest
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import TraceServiceStub

from tests.contract.otlp_grpc_twin import OtlpGrpcTwin
from tests.contract.otlp_twin import KEY
from tests.contract.test_otlp_twin import export


def call(twin: OtlpGrpcTwin, body: bytes, *metadata: tuple[str, str], timeout: float = 5.0) -> Any:
    with grpc.insecure_channel(twin.url.removeprefix("http://")) as channel:
        request = ExportTraceServiceRequest.FromString(body)
        return TraceServiceStub(channel).Export(request, metadata=metadata, timeout=timeout)


def test_the_generated_client_is_understood_and_its_key_is_looked_at() -> None:
    body = export("arize", {})
    right = (("authorization", KEY), ("arize-space-id", "space-1"), ("arize-interface", "otel"))
    with OtlpGrpcTwin("arize") as twin:
        with pytest.raises(grpc.RpcError) as caught:
            call(twin, body, *right[1:])
        assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
        assert twin.platform.spans == {}
        assert call(twin, body, *right).partial_success.rejected_spans == 0
        assert len(twin.platform.spans) == 1
        assert twin.platform.violations == []


def test_a_platform_whose_key_is_in_the_address_wants_it_as_metadata() -> None:
    right = {"gen_ai.span.kind": "LLM"}
    with OtlpGrpcTwin("aliyun-arms") as twin:
        with pytest.raises(grpc.RpcError):
            call(twin, export("aliyun-arms", right))
        call(twin, export("aliyun-arms", right), ("authentication", KEY))
        assert len(twin.platform.spans) == 1


def test_throttling_names_its_pause_and_a_call_may_never_be_answered() -> None:
    with OtlpGrpcTwin("otlp") as twin:
        twin.platform.faults.throttle, twin.platform.faults.retry_after = 1, "7.5"
        with pytest.raises(grpc.RpcError) as caught:
            call(twin, export("arize", {}))
        details = dict(caught.value.trailing_metadata())["grpc-status-details-bin"]
        info = RetryInfo()
        assert Status.FromString(details).details[0].Unpack(info)
        assert (info.retry_delay.seconds, info.retry_delay.nanos) == (7, 500_000_000)
        twin.hang = 1
        with pytest.raises(grpc.RpcError) as caught:
            call(twin, export("arize", {}), timeout=0.2)
        assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED


def test_a_death_after_the_receipt_leaves_the_spans_and_no_answer() -> None:
    with OtlpGrpcTwin("otlp") as twin:
        twin.platform.faults.hang_up_after = 1
        with pytest.raises(grpc.RpcError):
            call(twin, export("arize", {}))
        assert len(twin.platform.spans) == 1
        twin.up()
        call(twin, export("arize", {}))
        assert "came twice" in twin.platform.violations[0]
