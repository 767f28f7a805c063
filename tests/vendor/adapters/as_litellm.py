"""A recorded vendor request as LiteLLM would have logged it."""

from __future__ import annotations

import hashlib
from typing import Any

from tests.vendor.adapters.line_facts import (
    BROKEN,
    Entry,
    Line,
    answered,
    body,
    counts,
    ended,
    is_anthropic,
    is_dashscope,
    is_failed,
    operation,
    same_uuid,
    started,
    user,
    vendor_body,
)


def litellm(line: Line) -> Entry:
    """A StandardLoggingPayload of the generic callback."""
    number, failed = counts(line), is_failed(line)
    messages, parameters = _litellm_request(line)
    usage_object = None if failed else _litellm_usage(line)
    return {
        "id": litellm_id(line),
        "trace_id": same_uuid(line, "trace"),
        "litellm_call_id": same_uuid(line, "call"),
        "call_type": _litellm_call_type(line),
        "stream": line["stream"],
        "status": "failure" if failed or line["fault"] in BROKEN else "success",
        "response_cost": 0.0 if failed else number["total"] / 1_000_000,
        "prompt_tokens": number["input"],
        "completion_tokens": number["output"],
        "total_tokens": number["total"],
        "startTime": started(line).timestamp(),
        "endTime": ended(line).timestamp(),
        "completionStartTime": ended(line).timestamp(),
        "response_time": (ended(line) - started(line)).total_seconds(),
        "model": line["model"],
        "model_id": hashlib.sha256(line["model"].encode()).hexdigest(),
        "model_group": line["model"],
        "custom_llm_provider": "dashscope"
        if is_dashscope(line)
        else "anthropic"
        if is_anthropic(line)
        else "openai",
        "api_base": "https://vendor.example/v1",
        "cache_hit": None,
        "cache_key": None,
        "saved_cache_cost": 0.0,
        "request_tags": [],
        "end_user": user(line) or "",
        "requester_ip_address": "10.0.0.7",
        "messages": messages,
        "response": {} if failed else _litellm_response(line),
        "error_str": "upstream error" if failed else None,
        "error_information": {"error_code": str(line["http_status"]) if failed else "", "error_class": ""},
        "model_parameters": parameters,
        "hidden_params": {"usage_object": usage_object, "litellm_model_name": line["model"]},
        "metadata": {
            "user_api_key_hash": hashlib.sha256(b"dify").hexdigest(),
            "user_api_key_alias": "dify-prod",
            "user_api_key_end_user_id": user(line),
            "usage_object": usage_object,
            "spend_logs_metadata": None,
            "requester_metadata": line["request"].get("metadata"),
        },
    }


def litellm_row(line: Line) -> Entry:
    """A row of the spend log with `store_prompts_in_spend_logs`, as `/spend/logs/v2` answers it."""
    payload = litellm(line)
    shared = ("call_type", "model", "model_id", "model_group", "custom_llm_provider", "api_base", "end_user")
    totals = ("prompt_tokens", "completion_tokens", "total_tokens", "status", "response", "litellm_call_id")
    usage_object = payload["metadata"]["usage_object"]
    extra = {
        name: (usage_object or {}).get(name)
        for name in ("cache_read_input_tokens", "cache_creation_input_tokens")
    }
    return {
        **{name: payload[name] for name in (*shared, *totals)},
        "request_id": payload["id"],
        "session_id": payload["trace_id"],
        "api_key": payload["metadata"]["user_api_key_hash"],
        "spend": payload["response_cost"],
        "startTime": started(line).strftime("%Y-%m-%dT%H:%M:%S.%f"),
        "endTime": ended(line).isoformat(),
        "completionStartTime": None,
        "user": "default_user_id",
        "team_id": "",
        "cache_hit": "None",
        "cache_key": "Cache OFF",
        "request_tags": [],
        "messages": {},
        "proxy_server_request": body(line),
        "metadata": {
            "status": payload["status"],
            "user_api_key": payload["metadata"]["user_api_key_hash"],
            "user_api_key_alias": "dify-prod",
            "usage_object": usage_object,
            "additional_usage_values": extra,
            "error_information": payload["error_information"],
        },
    }


def litellm_bare_row(line: Line) -> Entry:
    """A row of the spend log as it is without that setting: no texts."""
    return {**litellm_row(line), "proxy_server_request": {}, "response": {}, "messages": {}}


def litellm_id(line: Line) -> str:
    return same_uuid(line, "call") if is_failed(line) else line["id"]


def _litellm_call_type(line: Line) -> str:
    kinds = {"/v1/embeddings": "aembedding", "/v1/rerank": "arerank", "/v1/messages": "anthropic_messages"}
    return kinds.get(line["path"], "acompletion")


def _litellm_request(line: Line) -> tuple[Any, dict[str, Any]]:
    request = dict(body(line))
    for name in ("model", "user"):
        request.pop(name, None)
    given = request.pop("messages", None) or request.pop("input", None) or []
    return given, request


def _litellm_usage(line: Line) -> dict[str, Any]:
    """LiteLLM's Usage: prompt tokens with everything in them, Anthropic's own fields beside them."""
    number, own = counts(line), line["usage"]
    usage = {
        "prompt_tokens": number["input"],
        "completion_tokens": number["output"],
        "total_tokens": number["total"],
        "prompt_tokens_details": own.get("prompt_tokens_details"),
        "completion_tokens_details": own.get("completion_tokens_details"),
    }
    if is_anthropic(line):
        usage["prompt_tokens_details"] = {"cached_tokens": number["cached"], "text_tokens": None}
        usage["cache_read_input_tokens"] = number["cached"]
        usage["cache_creation_input_tokens"] = number["written"]
    return usage


def _litellm_response(line: Line) -> dict[str, Any]:
    if operation(line) != "chat":
        return vendor_body(line)
    return {**answered(line), "usage": _litellm_usage(line)}
