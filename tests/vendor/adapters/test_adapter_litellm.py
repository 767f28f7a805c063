"""LiteLLM's payloads and spend log rows in their documented forms, and what must not be taken at face value."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from exporter.model import Money, Tokens
from exporter.vendor.adapters import ADAPTERS
from tests.vendor.adapters.adapted import call, record

PAYLOAD: dict[str, Any] = {
    "id": "chatcmpl-B1",
    "trace_id": "trace-1",
    "litellm_call_id": "call-1",
    "call_type": "acompletion",
    "stream": True,
    "status": "success",
    "response_cost": 3.0e-06,
    "prompt_tokens": 20,
    "completion_tokens": 5,
    "total_tokens": 25,
    "startTime": 1795461427.433732,
    "endTime": 1795461427.467024,
    "completionStartTime": 1795461427.45,
    "model": "gpt-4o-mini",
    "model_group": "fast",
    "custom_llm_provider": "openai",
    "cache_hit": None,
    "end_user": "erika",
    "messages": [{"role": "user", "content": "Hi"}],
    "response": {
        "id": "chatcmpl-B1",
        "model": "gpt-4o-mini-2024-07-18",
        "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Yo"}}],
    },
    "model_parameters": {"temperature": 0, "stream": True},
    "metadata": {"user_api_key_hash": "a" * 64, "user_api_key_alias": "dify-prod", "attempted_retries": 1},
}


def changed(**changes: Any) -> dict[str, Any]:
    return {**PAYLOAD, **changes}


def test_a_payload_is_read_with_its_names_times_and_texts() -> None:
    found = record("litellm", PAYLOAD)
    assert found["started_at"] == "2026-11-23T19:17:07.433732Z"
    assert found["ended_at"] == "2026-11-23T19:17:07.467024Z"
    assert found["first_token_at"] == "2026-11-23T19:17:07.450000Z"
    assert (found["id"], found["response_id"], found["group"]) == ("chatcmpl-B1", "chatcmpl-B1", "trace-1")
    assert (found["model"], found["response_model"]) == ("fast", "gpt-4o-mini-2024-07-18")
    assert found["request"] == {"temperature": 0, "stream": True, "messages": PAYLOAD["messages"]}
    assert found["response_text"] == "Yo"
    assert (found["user"], found["key"], found["attempt"]) == ("erika", "dify-prod", 1)
    assert call("litellm", PAYLOAD).cost == Money(Decimal("0.000003"), "USD")


def test_cached_tokens_of_anthropic_are_parts_of_the_inclusive_prompt() -> None:
    usage = {"prompt_tokens": 20, "completion_tokens": 5, "total_tokens": 25}
    usage |= {"cache_read_input_tokens": 12, "cache_creation_input_tokens": 3}
    in_payload = changed(metadata={"usage_object": usage})
    extra = {"cache_read_input_tokens": 12, "cache_creation_input_tokens": 3}
    in_row = changed(metadata={"additional_usage_values": extra})
    newer = {**usage, "prompt_tokens_details": {"cached_tokens": 12, "cache_creation_tokens": 3}}
    hidden = changed(hidden_params={"usage_object": newer})
    for entry in (in_payload, in_row, hidden):
        assert call("litellm", entry).tokens == Tokens(20, 5, cache_read=12, cache_write=3)


def test_a_vendor_that_told_no_parts_leaves_them_unknown() -> None:
    assert call("litellm", PAYLOAD).tokens == Tokens(20, 5)


def test_a_cache_hit_keeps_its_own_id_and_the_vendor_s() -> None:
    hit = record(
        "litellm", changed(request_id="chatcmpl-B1_cache_hit1795461430.1", cache_hit="True", response={})
    )
    assert (hit["id"], hit["response_id"]) == ("chatcmpl-B1_cache_hit1795461430.1", "chatcmpl-B1")
    assert hit["cache_hit"] is True
    assert record("litellm", changed(cache_hit="None"))["cache_hit"] is False


def failed(**changes: Any) -> dict[str, Any]:
    nothing = {
        "prompt_tokens": 0,
        "completion_tokens": 0,
        "total_tokens": 0,
        "response": {},
        "response_cost": 0,
    }
    return changed(id="call-1", status="failure", **{**nothing, **changes})


def test_failed_attempts_of_one_client_call_are_told_apart() -> None:
    first = failed(error_information={"error_code": "429", "error_class": "RateLimitError"})
    second = failed(startTime=1795461427.5, error_information={"error_code": "context_length_exceeded"})
    one, other = record("litellm", first), record("litellm", second)
    assert one["id"] != other["id"]
    assert one["group"] == other["group"]
    assert (one["status"], one["http_status"]) == ("error", 429)
    assert "http_status" not in other
    assert call("litellm", first).tokens is None
    assert call("litellm", first).cost is None


def test_a_failure_that_left_usage_is_an_answer_that_broke_off() -> None:
    cut = call("litellm", changed(status="failure"))
    assert (cut.status, cut.tokens) == ("aborted", Tokens(20, 5))


@pytest.mark.parametrize(
    ("kind", "operation"),
    [
        ("acompletion", "chat"),
        ("atext_completion", "completion"),
        ("aembedding", "embeddings"),
        ("arerank", "rerank"),
        ("aresponses", "responses"),
        ("anthropic_messages", "chat"),
        ("agenerate_content", "chat"),
        ("pass_through_endpoint", "chat"),
        ("", "chat"),
    ],
)
def test_the_call_type_names_the_operation(kind: str, operation: str) -> None:
    assert record("litellm", changed(call_type=kind))["operation"] == operation


@pytest.mark.parametrize(
    "kind",
    ["aimage_generation", "aspeech", "atranscription", "call_mcp_tool", "amoderation", "acreate_batch"],
)
def test_other_work_of_the_proxy_is_no_model_request(kind: str) -> None:
    assert list(ADAPTERS["litellm"](changed(call_type=kind))) == []


def test_a_pass_through_without_tokens_is_no_model_request() -> None:
    entry = changed(call_type="pass_through_endpoint", prompt_tokens=0, completion_tokens=0, total_tokens=0)
    assert list(ADAPTERS["litellm"](entry)) == []


def test_redacted_and_cut_texts_give_no_fingerprints() -> None:
    marked = [
        changed(messages=[{"role": "user", "content": "redacted-by-litellm"}]),
        changed(messages=[{"role": "user", "content": "Once ... (litellm_truncated 8123 chars) ... end"}]),
        changed(proxy_server_request={"litellm_truncated": True, "messages": "..."}, messages={}),
    ]
    for entry in marked:
        assert call("litellm", entry).prompt is None
    said = {"choices": [{"message": {"content": "redacted-by-litellm"}}]}
    redacted = call("litellm", changed(response=said))
    assert redacted.answer is None
    assert redacted.prompt is not None


def test_rows_of_the_spend_log_are_read_alone_and_as_an_answer_of_the_interface() -> None:
    row = {
        "request_id": "chatcmpl-B1",
        "call_type": "acompletion",
        "api_key": "b" * 64,
        "spend": 0.000003,
        "prompt_tokens": 20,
        "completion_tokens": 5,
        "total_tokens": 25,
        "startTime": "2026-10-02 08:00:00.120000",
        "endTime": "2026-10-02T08:00:03.881000+00:00",
        "model": "gpt-4o-mini",
        "end_user": "",
        "session_id": "s-1",
        "status": "success",
        "cache_hit": "False",
        "metadata": '{"usage_object": {"prompt_tokens": 20, "completion_tokens": 5, '
        '"completion_tokens_details": {"reasoning_tokens": 2}}}',
        "messages": {},
        "response": {},
        "proxy_server_request": '{"url": "http://x", "body": {"messages": [{"role": "user", "content": "Hi"}], '
        '"user": "erika", "metadata": {"dify_app_id": "app-1"}}}',
    }
    page = {"data": [row], "total": 1, "page": 1, "page_size": 100, "total_pages": 1}
    for entry in (row, [row], page):
        found = record("litellm", entry)
        assert found["started_at"] == "2026-10-02T08:00:00.120000Z"
        assert found["ended_at"] == "2026-10-02T08:00:03.881000Z"
        assert found["key"] == "b" * 64
        assert (found["user"], found["dify_app_id"]) == ("erika", "app-1")
        assert call("litellm", entry).tokens == Tokens(20, 5, reasoning=2)


def test_a_key_in_clear_is_never_passed_on() -> None:
    secret = "sk-1234567890abcdef"
    for entry in (
        changed(metadata={"user_api_key_alias": secret}),
        changed(metadata={"user_api_key": secret}),
        changed(metadata={}, api_key=secret),
    ):
        assert record("litellm", entry)["key"].startswith("sha256:")
        assert secret not in str(record("litellm", entry))


def test_tokens_that_only_the_rerank_response_tells_are_found() -> None:
    entry = changed(call_type="arerank", prompt_tokens=0, completion_tokens=0, total_tokens=0)
    entry["response"] = {"id": "r", "results": [], "meta": {"billed_units": {"total_tokens": 130}}}
    assert call("litellm", entry).tokens == Tokens(130, 0)
