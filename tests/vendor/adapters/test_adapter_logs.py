"""new-api, one-api and Bedrock invocation logs in their documented forms."""

from __future__ import annotations

import json
from typing import Any

import pytest

from exporter.model import Tokens
from exporter.vendor.adapters import ADAPTERS
from tests.vendor.adapters.adapted import call, record, refusals

OTHER: dict[str, Any] = {
    "model_ratio": 1.25, "group_ratio": 1, "completion_ratio": 4, "cache_tokens": 12, "cache_ratio": 0.5,
    "model_price": -1, "frt": 310.0, "admin_info": {"use_channel": ["3"]}, "request_path": "/v1/chat/completions",
}  # fmt: skip
ROW: dict[str, Any] = {
    "id": 7, "user_id": 1, "created_at": 1795461430, "type": 2, "content": "", "username": "root",
    "token_name": "dify", "model_name": "gpt-4o", "quota": 125, "prompt_tokens": 20, "completion_tokens": 5,
    "use_time": 3, "is_stream": True, "channel": 3, "channel_name": "", "token_id": 2, "group": "default", "ip": "",
    "other": json.dumps(OTHER),
}  # fmt: skip


def row(**changes: Any) -> dict[str, Any]:
    other = {
        name.removeprefix("other_"): changes.pop(name) for name in list(changes) if name.startswith("other_")
    }
    return {**ROW, "other": json.dumps({**OTHER, **other}), **changes}


def test_a_consume_row_ends_at_its_time_and_began_its_duration_earlier() -> None:
    found = record("new-api", ROW)
    assert (found["started_at"], found["ended_at"]) == (
        "2026-11-23T19:17:07.000000Z",
        "2026-11-23T19:17:10.000000Z",
    )
    assert found["first_token_at"] == "2026-11-23T19:17:07.310000Z"
    assert (found["id"], found["key"], found["model"], found["stream"]) == ("7", "dify", "gpt-4o", True)
    assert call("new-api", ROW).tokens == Tokens(20, 5, cache_read=12)
    assert "cost" not in found  # what a quota is worth is the site's own business


def test_rows_of_claude_leave_the_cache_out_of_the_prompt() -> None:
    claude = row(other_claude=True, other_usage_semantic="anthropic", other_cache_tokens=16399,
                 other_cache_creation_tokens=2089, other_cache_write_tokens=2089, prompt_tokens=41)  # fmt: skip
    assert call("new-api", claude).tokens == Tokens(18529, 5, cache_read=16399, cache_write=2089)
    split = row(other_claude=True, other_cache_tokens=0, other_cache_creation_tokens_5m=9,
                other_cache_creation_tokens_1h=1)  # fmt: skip
    assert call("new-api", split).tokens == Tokens(30, 5, cache_write=10)


def test_the_vendor_s_own_total_comes_first() -> None:
    converted = row(other_usage_semantic="anthropic", other_input_tokens_total=33, other_cache_tokens=12)
    assert call("new-api", converted).tokens == Tokens(33, 5, cache_read=12)


def test_a_row_that_the_gateway_counted_by_itself_says_so() -> None:
    assert call("new-api", row(other_admin_info={"local_count_tokens": True})).is_estimated
    assert not call("new-api", ROW).is_estimated


def test_errors_broken_streams_and_answers_without_usage() -> None:
    error = call("new-api", row(type=5, prompt_tokens=0, completion_tokens=0, other_status_code=429))
    assert (error.status, error.http_status, error.tokens) == ("error", 429, None)
    broken = row(other_stream_status={"status": "error", "end_reason": "client_gone"})
    assert (call("new-api", broken).status, call("new-api", broken).tokens) == (
        "aborted",
        Tokens(20, 5, cache_read=12),
    )
    silent = call("new-api", row(prompt_tokens=0, completion_tokens=0, other_cache_tokens=0))
    assert (silent.status, silent.tokens) == ("aborted", None)


@pytest.mark.parametrize("kind", [0, 1, 3, 4, 6, 7])
def test_rows_of_other_kinds_hold_no_request(kind: int) -> None:
    assert list(ADAPTERS["new-api"](row(type=kind))) == []


def test_pictures_videos_and_tasks_hold_no_request() -> None:
    entries = [
        row(other_request_path="/v1/images/generations"),
        row(other_request_path="/mj/submit/imagine"),
        row(other_task_id="t-1"),
        row(
            prompt_tokens=0,
            completion_tokens=0,
            other_cache_tokens=0,
            other_model_price=0.04,
            other_request_path="",
        ),
    ]
    assert list(ADAPTERS["new-api"](entries)) == []


def test_the_path_or_the_model_names_the_operation() -> None:
    by_path = row(
        model_name="m", other_request_path="/v1/embeddings", completion_tokens=0, other_cache_tokens=0
    )
    by_model = row(
        model_name="text-embedding-3-small", other_request_path="", completion_tokens=0, other_cache_tokens=0
    )
    for entry in (by_path, by_model):
        assert call("new-api", entry).operation == "embeddings"
        assert call("new-api", entry).tokens == Tokens(20, 0)


def test_answers_of_the_log_interface_are_read_whole() -> None:
    newer = {"success": True, "message": "", "data": {"page": 1, "total": 2, "items": [ROW, ROW]}}
    older = {"success": True, "message": "", "data": [ROW, ROW]}
    assert [len(list(ADAPTERS["new-api"](answer))) for answer in (newer, older)] == [2, 2]


def test_a_row_of_one_api_counts_milliseconds() -> None:
    entry = {name: ROW[name] for name in ("created_at", "type", "token_name", "model_name", "prompt_tokens")}
    entry |= {"id": 9, "completion_tokens": 5, "elapsed_time": 2345, "request_id": "r-1", "is_stream": False}
    found = record("new-api", entry)
    assert (found["id"], found["started_at"]) == ("r-1", "2026-11-23T19:17:07.655000Z")
    assert call("new-api", entry).tokens == Tokens(20, 5)


def test_a_row_without_its_kind_or_with_a_broken_number_is_named() -> None:
    nameless = {name: value for name, value in ROW.items() if name != "type"}
    broken = [nameless, {**ROW, "created_at": "yesterday"}, {**ROW, "prompt_tokens": "many"}]
    assert refusals("new-api", broken) == [
        "type is missing",
        "created_at is not a number",
        "prompt_tokens is not a number",
    ]


BEDROCK: dict[str, Any] = {
    "schemaType": "ModelInvocationLog", "schemaVersion": "1.0", "timestamp": "2026-10-02T08:00:03Z",
    "accountId": "123456789012", "identity": {"arn": "arn:aws:sts::123456789012:assumed-role/dify/x"},
    "region": "us-east-1", "requestId": "a1b2c3d4", "operation": "ConverseStream",
    "modelId": "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.anthropic.claude-sonnet-4-v1:0",
    "requestMetadata": {"dify_app_id": "0b6c", "dify_source": "dify"},
    "input": {
        "inputContentType": "application/json", "inputTokenCount": 1500, "cacheReadInputTokenCount": 10,
        "cacheWriteInputTokenCount": 5,
        "inputBodyJson": {
            "system": [{"text": "Be kind."}],
            "messages": [
                {"role": "user", "content": [{"text": "Hi"}, {"image": {"format": "png"}}]},
                {"role": "assistant", "content": [{"toolUse": {"toolUseId": "t1", "name": "f", "input": {"a": 1}}}]},
                {"role": "user", "content": [{"toolResult": {"toolUseId": "t1", "content": [{"text": "7"}]}}]},
            ],
            "toolConfig": {"tools": [{"toolSpec": {"name": "f"}}]},
        },
    },
    "output": {
        "outputContentType": "application/json", "outputTokenCount": 500,
        "outputBodyJson": {
            "output": {"message": {"role": "assistant", "content": [{"text": "Yo"}]}}, "stopReason": "end_turn",
            "usage": {"inputTokens": 1500, "outputTokens": 500},
        },
    },
}  # fmt: skip


def test_a_bedrock_record_adds_its_cached_tokens() -> None:
    found = call("bedrock", BEDROCK)
    assert found.tokens == Tokens(1515, 500, cache_read=10, cache_write=5)
    assert (found.id, found.model, found.stream) == ("a1b2c3d4", "us.anthropic.claude-sonnet-4-v1:0", True)
    assert (found.dify_app_id, found.key) == ("0b6c", "assumed-role/dify/x")
    assert (found.asked.messages, found.asked.tools, found.asked.media) == (4, 1, 1)
    assert (found.started_at, found.ended_at) == (1_790_928_003_000_000, None)


def test_a_converse_conversation_is_that_of_the_same_words_elsewhere() -> None:
    words = [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "Hi"},
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [{"id": "t1", "function": {"name": "f", "arguments": ""}}],
        },
        {"role": "tool", "tool_call_id": "t1", "content": "7"},
    ]
    plain = {"id": "1", "ended_at": "2026-10-02T08:00:03Z", "model": "m", "usage": {"prompt_tokens": 1}}
    assert (
        call("generic", {**plain, "request": {"messages": words}}).prompt == call("bedrock", BEDROCK).prompt
    )


def test_bedrock_records_come_wrapped_in_log_events() -> None:
    event = {"timestamp": 1795461427433, "message": json.dumps(BEDROCK), "eventId": "3"}
    for entry in (event, [event], {"events": [event], "nextToken": "x"}, {"logEvents": [event]}):
        assert call("bedrock", entry) == call("bedrock", BEDROCK)


def test_bedrock_streams_of_the_model_s_own_form_are_put_together() -> None:
    chunks = [
        {
            "type": "message_start",
            "message": {"id": "msg_1", "usage": {"input_tokens": 9, "output_tokens": 1}},
        },
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Yo"}},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 4}},
        {
            "type": "message_stop",
            "amazon-bedrock-invocationMetrics": {"inputTokenCount": 9, "outputTokenCount": 4},
        },
    ]
    entry = {
        **BEDROCK,
        "operation": "InvokeModelWithResponseStream",
        "input": {"inputTokenCount": 9, "inputBodyJson": {"messages": [{"role": "user", "content": "Hi"}]}},
        "output": {"outputTokenCount": 4, "outputBodyJson": chunks},
    }
    found = record("bedrock", entry)
    assert (found["response_text"], found["response_id"]) == ("Yo", "msg_1")
    assert call("bedrock", entry).tokens == Tokens(9, 4)


def test_bedrock_failures_embeddings_and_foreign_records() -> None:
    failed = {**BEDROCK, "errorCode": "ThrottlingException", "output": {}, "input": {}}
    assert (call("bedrock", failed).status, call("bedrock", failed).tokens) == ("error", None)
    embedding = {
        **BEDROCK,
        "modelId": "amazon.titan-embed-text-v2:0",
        "output": {},
        "input": {"inputTokenCount": 9},
    }
    assert (call("bedrock", embedding).operation, call("bedrock", embedding).tokens) == (
        "embeddings",
        Tokens(9, 0),
    )
    foreign = [
        {"schemaType": "Other", "modelId": "m"},
        {"message": "START RequestId", "timestamp": 1},
        {"x": 1},
    ]
    assert [record for record in ADAPTERS["bedrock"](foreign) if isinstance(record, dict)] == []
