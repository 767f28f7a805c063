"""Anything at all is pushed at a real server; it answers 2xx or 4xx, stays alive, and repeats nothing."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import requests
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from exporter.state.store import Store
from exporter.vendor.adapters import ADAPTERS
from tests.web.intake_process import ServerProcess
from tests.web.intake_senders import SECRET, call, recorded_calls, stored

FORMATS = sorted(ADAPTERS)
EVERY = settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))

RECORDED = recorded_calls()
"""Real requests of a recording; the seeds that are changed."""

LITELLM = {
    "id": "chatcmpl-1", "trace_id": "t", "call_type": "acompletion", "status": "success", "model": "gpt-4o-mini",
    "startTime": 1795461427.4, "endTime": 1795461428.5, "prompt_tokens": 8, "completion_tokens": 47,
    "total_tokens": 55, "response_cost": 0.0000294, "cache_hit": False, "custom_llm_provider": "openai",
    "messages": [{"role": "user", "content": SECRET}], "end_user": "u", "error_str": None,
    "response": {"choices": [{"message": {"content": SECRET}}], "usage": {"prompt_tokens": 8}},
    "hidden_params": {"usage_object": {}}, "metadata": {"user_api_key_alias": "dify"},
}  # fmt: skip
APISIX = {
    "llm_summary": {
        "request_model": "gpt-4o", "model": "gpt-4o-2024-11-20", "duration": "2858", "prompt_tokens": "23",
        "completion_tokens": "8", "total_tokens": "31", "stream": "true", "end_user_id": "abc",
    },
    "llm_request": {"messages": [{"role": "user", "content": SECRET}], "stream": True},
    "llm_response_text": {"content": SECRET}, "start_time": 1795461427433, "route_id": "1",
    "request": {"headers": {"x-request-id": "r1"}}, "response": {"status": 200}, "latency": 2900,
}  # fmt: skip
KONG = {
    "request": {"id": "r2", "headers": {}}, "response": {"status": 200}, "started_at": 1795461427433,
    "latencies": {"request": 900}, "tries": [],
    "ai": {"proxy": {
        "meta": {"provider_name": "openai", "request_model": "gpt-4o", "response_model": "gpt-4o", "llm_latency": 800},
        "usage": {"prompt_tokens": 5, "completion_tokens": 6, "total_tokens": 11, "cost": 0.1},
        "payload": {"request": json.dumps({"messages": [{"role": "user", "content": SECRET}]}), "response": SECRET},
    }},
}  # fmt: skip
HIGRESS = {
    "ai_log": json.dumps({"model": "qwen-max", "input_token": "10", "output_token": "3", "question": SECRET}),
    "start_time": "2026-11-23T19:17:07.433Z", "duration": "800", "request_id": "r3", "response_code": "200",
}  # fmt: skip
ENVOY = {
    "start_time": "2026-11-23T19:17:07.433Z", "x-request-id": "r4", "response_code": 200, "duration": 10,
    "gen_ai.usage.input_tokens": 10, "gen_ai.usage.output_tokens": 2, "gen_ai.request.model": "gpt-4o",
}  # fmt: skip
NEW_API = {
    "id": 1, "created_at": 1795461427, "type": 2, "model_name": "gpt-4o", "token_name": "dify", "quota": 10,
    "prompt_tokens": 5, "completion_tokens": 6, "use_time": 2, "is_stream": True, "request_id": "r5",
    "other": json.dumps({"cache_tokens": 1, "usage_semantic": "anthropic"}),
}  # fmt: skip
BEDROCK = {
    "schemaType": "ModelInvocationLog", "timestamp": "2026-11-23T19:17:07Z", "requestId": "r6", "region": "eu-west-1",
    "operation": "Converse", "modelId": "anthropic.claude-3", "input": {"inputBodyJson": {}, "inputTokenCount": 5},
    "output": {"outputBodyJson": {"usage": {"inputTokens": 5}}, "outputTokenCount": 6},
}  # fmt: skip
OTLP = {
    "resourceSpans": [{"scopeSpans": [{"spans": [{
        "traceId": "0a" * 16, "spanId": "0b" * 8, "name": "chat", "kind": 3,
        "startTimeUnixNano": "1795461427433000000", "endTimeUnixNano": "1795461428433000000",
        "attributes": [
            {"key": "gen_ai.operation.name", "value": {"stringValue": "chat"}},
            {"key": "gen_ai.request.model", "value": {"stringValue": "gpt-4o"}},
            {"key": "gen_ai.usage.input_tokens", "value": {"intValue": "5"}},
            {"key": "gen_ai.usage.output_tokens", "value": {"intValue": "6"}},
            {"key": "gen_ai.prompt", "value": {"stringValue": SECRET}},
        ],
    }]}]}],
}  # fmt: skip
SEEDS: dict[str, list[Any]] = {
    "litellm": [LITELLM], "apisix": [APISIX], "kong": [KONG], "higress": [HIGRESS], "envoy": [ENVOY],
    "new-api": [NEW_API], "bedrock": [BEDROCK], "otlp": [OTLP], "generic": [call(), *RECORDED],
}  # fmt: skip

HOSTILE = st.sampled_from(
    [
        None, True, False, 0, -1, 1, 2**31, 2**53 + 1, 2**63, 2**64, -(2**63), 1e308, 1e-320, -0.0, 10**40, 1.5,
        "", " ", "0", "-1", "1e999", "NaN", "9" * 30, "9" * 5000, "\0", "\ud800", "\u202e", "a" * 3000, "[]", "{}",
        "data: {}\n\n", "2026-11-23T19:17:07Z", "9999-12-31T23:59:59Z", "0001-01-01T00:00:00+23:59", "-1-1-1",
        [], {}, [[]], [None], [{}], {"": {}}, {"a": []}, [1, "a", None], {"role": []}, {"content": [{"text": 1}]},
        json.loads("[" * 60 + "]" * 60), json.loads('{"a":' * 60 + "1" + "}" * 60), {"amount": "1e999999", "currency": "USD"},
    ]
)  # fmt: skip


@st.composite
def changed(draw: st.DrawFn, format: str) -> Any:
    """A valid entry of a format with some values replaced, removed or renamed anywhere inside."""
    entry = json.loads(json.dumps(draw(st.sampled_from(SEEDS[format]))))
    for _ in range(draw(st.integers(1, 4))):
        node: Any = entry
        while True:
            places = list(node) if isinstance(node, dict) else list(range(len(node)))
            if not places:
                break
            place = draw(st.sampled_from(places))
            inner = node[place]
            if isinstance(inner, dict | list) and inner and draw(st.integers(0, 3)):
                node = inner
                continue
            how = draw(st.sampled_from(["replace", "replace", "remove", "rename"]))
            if how == "replace":
                node[place] = deepcopy(draw(HOSTILE))
            elif how == "remove":
                del node[place]
            elif isinstance(node, dict):
                node[draw(st.text(max_size=3))] = node.pop(place)
            break
    return entry


class Target:
    """A server in a process of its own that is fuzzed."""

    def __init__(self, server: ServerProcess, store: Store) -> None:
        self.server, self.store = server, store

    def push(self, body: bytes, format: str, **headers: str) -> requests.Response:
        """Push, and check what every answer must be."""
        address = "/v1/traces" if format == "traces" else f"/v1/vendor-calls/{format}"
        answer = self.server.push(body, address, **headers)
        assert 200 <= answer.status_code < 300 or 400 <= answer.status_code < 500, answer.content
        assert SECRET not in answer.text
        assert "fault of dify-exporter" not in answer.text, (format, body)
        return answer


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    state = tmp_path_factory.mktemp("fuzz") / "state.db"
    with ServerProcess(state) as server:
        store = Store(state)
        assert server.push(json.dumps(RECORDED).encode()).status_code == 200
        before = server.peak_mib()
        yield Target(server, store)
        assert server.process.poll() is None, "the server is alive"
        assert server.push(json.dumps(call(77)).encode()).json()["accepted"] == 1
        assert server.peak_mib() - before < 200
        assert all(record.to_json() for record in stored(store).values())
        store.close()


@pytest.mark.parametrize("format", FORMATS)
def test_the_seeds_are_understood(target: Target, format: str) -> None:
    answer = target.push(json.dumps(SEEDS[format]).encode(), format).json()
    assert answer["accepted"] + answer["duplicates"] == len(SEEDS[format]), answer


@pytest.mark.parametrize("format", FORMATS)
@EVERY
@given(data=st.data())
def test_changed_records_are_taken_or_refused(target: Target, format: str, data: st.DataObject) -> None:
    entries = [data.draw(changed(format)) for _ in range(3)]
    target.push(json.dumps(entries).encode(), format)


@EVERY
@given(body=st.binary(max_size=200), format=st.sampled_from([*FORMATS, "traces"]), data=st.data())
def test_any_bytes_are_answered(target: Target, body: bytes, format: str, data: st.DataObject) -> None:
    kinds = ["application/json", "application/x-protobuf", "text/plain", "\x7f"]
    codings = ["", "identity", "gzip", "deflate", "br"]
    headers = {
        "Content_Type": data.draw(st.sampled_from(kinds)),
        "Content_Encoding": data.draw(st.sampled_from(codings)),
    }
    packed = gzip.compress(body) if data.draw(st.booleans()) else body
    target.push(packed, format, **headers)


@EVERY
@given(data=st.data(), format=st.sampled_from(FORMATS))
def test_bodies_with_changed_bytes_are_answered(target: Target, data: st.DataObject, format: str) -> None:
    lines = [json.dumps(seed).encode() for seed in SEEDS[format][:5]]
    joined = data.draw(st.sampled_from([b"\n", b"", b","]))
    body = bytearray(joined.join(lines) if joined != b"," else b"[" + b",".join(lines) + b"]")
    for _ in range(data.draw(st.integers(1, 5))):
        place = data.draw(st.integers(0, len(body) - 1))
        how = data.draw(st.sampled_from(["set", "cut", "double", "insert"]))
        if how == "set":
            body[place] = data.draw(st.integers(0, 255))
        elif how == "cut" and place:
            del body[place:]
        elif how == "double":
            body += body[place:]
        elif how == "insert":
            body[place:place] = data.draw(
                st.sampled_from([b'"', b"{", b"}", b"[", b"]", b",", b"\\", b"\0", b"\n"])
            )
    answer = target.server.push(bytes(body), f"/v1/vendor-calls/{format}")
    assert answer.status_code < 500
    assert "fault of dify-exporter" not in answer.text


@EVERY
@given(
    value=st.recursive(
        HOSTILE | st.text(max_size=10) | st.integers(),
        lambda inner: (
            st.lists(inner, max_size=4)
            | st.dictionaries(st.sampled_from([*call(), "a", ""]) | st.text(max_size=4), inner, max_size=4)
        ),
        max_leaves=12,
    ),
    format=st.sampled_from(FORMATS),
)
def test_any_json_is_answered(target: Target, value: Any, format: str) -> None:
    target.push(json.dumps(value).encode(), format)


@EVERY
@given(source=st.text(max_size=120), path=st.text(max_size=20))
def test_any_address_is_answered(target: Target, source: str, path: str) -> None:
    address = f"http://127.0.0.1:{target.server.port}/v1/vendor-calls/generic"
    answer = requests.post(
        address, params={"source": source.encode("utf-8", "replace")}, data=b"[]", timeout=60
    )
    assert answer.status_code in (200, 400)
    answer = requests.post(
        address.replace("generic", requests.utils.quote(path.encode("utf-8", "replace"), safe="")),
        data=b"[]", timeout=60,
    )  # fmt: skip
    assert answer.status_code < 500


def test_a_state_that_was_fuzzed_is_still_sound(target: Target, tmp_path: Path) -> None:
    with target.store.read() as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
