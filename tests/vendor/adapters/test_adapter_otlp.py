"""GenAI spans of every generation of the conventions, and the spans that are no model calls."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from google.protobuf import json_format
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from exporter.model import Tokens
from exporter.vendor.adapters import ADAPTERS
from tests.vendor.adapters.adapted import call, record, refusals

TRACE, SPAN = "5b8efff798038103d269b633813fc60c", "eee19b7ec3c1b174"


def value(given: Any) -> dict[str, Any]:
    if isinstance(given, bool):
        return {"boolValue": given}
    if isinstance(given, int):
        return {"intValue": str(given)}
    if isinstance(given, list):
        return {"arrayValue": {"values": [value(item) for item in given]}}
    if isinstance(given, dict):
        return {"kvlistValue": {"values": listed(given)}}
    return {"stringValue": given}


def listed(named: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"key": name, "value": value(given)} for name, given in named.items()]


def export(named: dict[str, Any], **span: Any) -> dict[str, Any]:
    whole = {
        "traceId": TRACE, "spanId": SPAN, "name": "chat", "kind": 3, "startTimeUnixNano": "1795461427433732123",
        "endTimeUnixNano": "1795461427467024000", "attributes": listed(named), "status": {}, **span,
    }  # fmt: skip
    resource = {"attributes": listed({"service.name": "gateway", "dify_app_id": "app-1"})}
    return {"resourceSpans": [{"resource": resource, "scopeSpans": [{"scope": {}, "spans": [whole]}]}]}


NAMED: dict[str, Any] = {
    "gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": "gpt-4o",
    "gen_ai.response.model": "gpt-4o-2024-11-20", "gen_ai.response.id": "chatcmpl-1",
    "gen_ai.usage.input_tokens": 2006, "gen_ai.usage.output_tokens": 300,
    "gen_ai.usage.cache_read.input_tokens": 1920, "gen_ai.usage.reasoning.output_tokens": 192,
}  # fmt: skip


def test_a_span_of_the_newest_conventions() -> None:
    found = call("otlp", export(NAMED))
    assert found.tokens == Tokens(2006, 300, cache_read=1920, reasoning=192)
    assert (found.id, found.response_id, found.dify_app_id) == (f"{TRACE}:{SPAN}", "chatcmpl-1", "app-1")
    assert (found.started_at, found.ended_at) == (1_795_461_427_433_732, 1_795_461_427_467_024)
    assert (found.model, found.response_model, found.provider) == ("gpt-4o", "gpt-4o-2024-11-20", "openai")


def test_ids_in_base64_and_what_protobuf_writes_as_json_are_the_same_span() -> None:
    given = export(NAMED)
    in_base64 = {
        "traceId": base64.b64encode(bytes.fromhex(TRACE)).decode(),
        "spanId": base64.b64encode(bytes.fromhex(SPAN)).decode(),
    }
    encoded = export(NAMED, **in_base64)
    message = json_format.ParseDict(encoded, ExportTraceServiceRequest())
    decoded = json_format.MessageToDict(ExportTraceServiceRequest.FromString(message.SerializeToString()))
    assert call("otlp", given) == call("otlp", encoded) == call("otlp", decoded)


def test_old_names_of_the_same_numbers() -> None:
    named = {
        "gen_ai.system": "openai", "gen_ai.request.model": "gpt-4o", "gen_ai.usage.prompt_tokens": 20,
        "gen_ai.usage.completion_tokens": 5,
    }  # fmt: skip
    assert call("otlp", export(named)).tokens == Tokens(20, 5)


def test_an_emitter_of_anthropic_s_own_numbers_is_understood() -> None:
    named = {
        **NAMED, "gen_ai.usage.input_tokens": 41, "gen_ai.usage.cache_read.input_tokens": 16399,
        "gen_ai.usage.cache_creation.input_tokens": 2089,
    }  # fmt: skip
    tokens = call("otlp", export(named)).tokens
    assert tokens == Tokens(18529, 300, cache_read=16399, cache_write=2089, reasoning=192)


WORDS = [
    {"role": "system", "content": "Be kind."},
    {"role": "user", "content": "Hi"},
    {"role": "assistant", "tool_calls": [{"id": "t1", "function": {"name": "f", "arguments": '{"a": 1}'}}]},
    {"role": "tool", "tool_call_id": "t1", "content": "7"},
]
PARTS = [
    {"role": "user", "parts": [{"type": "text", "content": "Hi"}]},
    {"role": "assistant", "parts": [{"type": "tool_call", "id": "t1", "name": "f", "arguments": {"a": 1}}]},
    {"role": "tool", "parts": [{"type": "tool_call_response", "id": "t1", "response": "7"}]},
]
SAID = [
    {
        "role": "assistant",
        "parts": [{"type": "reasoning", "content": "Hm."}, {"type": "text", "content": "Yo"}],
    }
]
INSTRUCTIONS = [{"type": "text", "content": "Be kind."}]
STRUCTURED = {
    "gen_ai.system_instructions": INSTRUCTIONS, "gen_ai.input.messages": PARTS, "gen_ai.output.messages": SAID,
}  # fmt: skip
NUMBERED = {
    "gen_ai.prompt.0.role": "system", "gen_ai.prompt.0.content": "Be kind.", "gen_ai.prompt.1.role": "user",
    "gen_ai.prompt.1.content": "Hi", "gen_ai.prompt.2.role": "assistant",
    "gen_ai.prompt.2.tool_calls.0.id": "t1", "gen_ai.prompt.2.tool_calls.0.name": "f",
    "gen_ai.prompt.2.tool_calls.0.arguments": '{"a": 1}', "gen_ai.prompt.3.role": "tool",
    "gen_ai.prompt.3.content": "7", "gen_ai.prompt.3.tool_call_id": "t1",
    "gen_ai.completion.0.role": "assistant", "gen_ai.completion.0.content": "Yo",
}  # fmt: skip


def event(name: str, **named: Any) -> dict[str, Any]:
    return {"name": name, "timeUnixNano": "1795461427433732000", "attributes": listed(named)}


SPOKEN = [
    event("gen_ai.system.message", content="Be kind."),
    event("gen_ai.user.message", content="Hi"),
    event("gen_ai.assistant.message", tool_calls=WORDS[2]["tool_calls"]),
    event("gen_ai.tool.message", content="7", id="t1"),
    event("gen_ai.choice", index=0, message={"role": "assistant", "content": "Yo"}),
]
DETAILS = [{"name": "gen_ai.client.inference.operation.details", "attributes": listed(STRUCTURED)}]
CONTENTS = [
    event(
        "gen_ai.content.prompt",
        **{"gen_ai.prompt": str(WORDS).replace("'", '"').replace('"{"a": 1}"', '"{}"')},
    ),
    event("gen_ai.content.completion", **{"gen_ai.completion": '[{"role": "assistant", "content": "Yo"}]'}),
]


@pytest.mark.parametrize(
    "request_json",
    [
        export({**NAMED, **STRUCTURED}),
        export({**NAMED, **NUMBERED}),
        export(NAMED, events=SPOKEN),
        export(NAMED, events=DETAILS),
        export(NAMED, events=CONTENTS),
    ],
    ids=["structured", "numbered", "one event a message", "details event", "content events"],
)
def test_the_conversation_is_found_wherever_it_stands(request_json: dict[str, Any]) -> None:
    plain = {"id": "1", "ended_at": "2026-10-02T08:00:03Z", "model": "m", "usage": {"prompt_tokens": 1}}
    words = call("generic", {**plain, "request": {"messages": WORDS}, "response_text": "Yo"})
    found = call("otlp", request_json)
    assert found.prompt == words.prompt
    assert found.answer == words.answer


def test_tool_definitions_are_counted_where_they_are_told() -> None:
    named = {**NAMED, **STRUCTURED, "gen_ai.tool.definitions": '[{"name": "f"}, {"name": "g"}]'}
    assert call("otlp", export(named)).asked.tools == 2
    assert record("otlp", export({**NAMED, **STRUCTURED}))["request_partial"] is True


@pytest.mark.parametrize(
    ("named", "span", "status"),
    [
        ({}, {}, "ok"),
        ({"error.type": "timeout"}, {}, "aborted"),
        ({}, {"status": {"code": "STATUS_CODE_ERROR"}}, "aborted"),
        (
            {
                "http.response.status_code": 503,
                "gen_ai.usage.input_tokens": 0,
                "gen_ai.usage.output_tokens": 0,
            },
            {},
            "error",
        ),
    ],
)
def test_failures(named: dict[str, Any], span: dict[str, Any], status: str) -> None:
    parts = {"gen_ai.usage.cache_read.input_tokens": 0, "gen_ai.usage.reasoning.output_tokens": 0}
    assert call("otlp", export({**NAMED, **parts, **named}, **span)).status == status


def test_spans_of_other_kinds_hold_no_request() -> None:
    others = [
        {"http.request.method": "POST", "url.full": "https://api.openai.com/v1/chat/completions"},
        {**NAMED, "gen_ai.operation.name": "execute_tool"},
        {**NAMED, "gen_ai.operation.name": "invoke_agent"},
        {"gen_ai.request.model": "gpt-4o"},
        {**NAMED, "dify_exporter.verdict": "agree"},
    ]
    assert [found for named in others for found in ADAPTERS["otlp"](export(named))] == []
    assert list(ADAPTERS["otlp"]({"resourceLogs": []})) == []


def test_embeddings_and_users_and_keys() -> None:
    named = {
        "gen_ai.operation.name": "embeddings", "gen_ai.request.model": "text-embedding-3-small",
        "gen_ai.usage.input_tokens": 8, "enduser.id": "erika", "metadata.user_api_key_alias": "sk-abcdefgh",
    }  # fmt: skip
    found = call("otlp", export(named))
    assert (found.operation, found.tokens) == ("embeddings", Tokens(8, 0))
    assert found.users
    assert (found.key or "").startswith("sha256:")


def test_a_span_that_cannot_be_named_is_refused_and_the_others_are_kept() -> None:
    good, bad = export(NAMED), export(NAMED, spanId="nonsense")
    assert refusals("otlp", [bad, good, 7]) == [
        "spanId is neither hex nor base64 of 8 bytes",
        "an export request must be a JSON object",
    ]
    assert len([found for found in ADAPTERS["otlp"]([bad, good, 7]) if isinstance(found, dict)]) == 1
