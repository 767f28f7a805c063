"""APISIX, Kong, Higress and Envoy AI Gateway in their documented forms."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

from exporter.model import Money, Tokens
from exporter.vendor.adapters import ADAPTERS
from tests.vendor.adapters.adapted import call, record, refusals

APISIX: dict[str, Any] = {
    "start_time": 1795461427433,
    "latency": 5765.25,
    "request": {"uri": "/v1/chat/completions", "headers": {"x-request-id": "r-1"}},
    "response": {"status": 200, "headers": {}},
    "llm_summary": {
        "request_model": "gpt-4o", "model": "gpt-4o-2024-11-20", "duration": "2858", "prompt_tokens": "23",
        "completion_tokens": "8", "total_tokens": "31", "upstream_response_time": 2858, "stream": "true",
        "tool_count": "2", "has_tool_calls": "false", "end_user_id": "abc-user", "cache_read_input_tokens": "4",
        "cache_creation_input_tokens": "0", "reasoning_tokens": "0", "content_risk_level": "",
    },
    "llm_request": {"messages": [{"role": "user", "content": "hi"}], "stream": True},
    "llm_response_text": {"content": "Hello"},
}  # fmt: skip

KONG: dict[str, Any] = {
    "started_at": 1787113201719,
    "latencies": {"request": 1250, "proxy": 1240, "kong": 10},
    "tries": [{"balancer_start": 1787113201722}, {"balancer_start": 1787113201922}],
    "consumer": {"username": "dify"},
    "request": {"id": "9ec9264afbbbad5fe5c64877d92eeb04", "uri": "/v1/chat/completions", "headers": {}},
    "response": {"status": 200},
    "ai": {
        "proxy": {
            "meta": {
                "provider_name": "openai",
                "request_model": "gpt-4o",
                "response_model": "gpt-4o-2024-11-20",
            },
            "usage": {"prompt_tokens": 28, "completion_tokens": 20, "total_tokens": 48, "cost": 0.0038},
            "payload": {
                "request": '{"messages": [{"role": "user", "content": "hi"}], "user": "erika"}',
                "response": '{"id": "chatcmpl-1", "choices": [{"message": {"content": "Hello"}, '
                '"finish_reason": "stop"}], "usage": {"prompt_tokens": 28, "completion_tokens": 20, '
                '"prompt_tokens_details": {"cached_tokens": 16}}}',
            },
            "cache": {"cache_status": "Miss"},
        }
    },
}


def apisix(**summary: Any) -> dict[str, Any]:
    return {**APISIX, "llm_summary": {**APISIX["llm_summary"], **summary}}


def test_apisix_numbers_are_text_and_its_zeros_may_mean_nothing() -> None:
    found = call("apisix", APISIX)
    assert found.tokens == Tokens(23, 8, cache_read=4)
    assert (found.model, found.response_model, found.stream) == ("gpt-4o", "gpt-4o-2024-11-20", True)
    assert (found.id, found.asked.tools, found.prompt is not None) == ("r-1", 2, True)
    assert record("apisix", APISIX)["user"] == "abc-user"
    assert record("apisix", APISIX)["ended_at"] == "2026-11-23T19:17:13.198250Z"
    assert record("apisix", APISIX)["first_token_at"] == "2026-11-23T19:17:10.291000Z"


def test_apisix_of_an_older_release_leaves_the_parts_unknown() -> None:
    summary = {"model": "gpt-4", "duration": "12", "prompt_tokens": "23", "completion_tokens": "8"}
    assert call("apisix", {**APISIX, "llm_summary": summary}).tokens == Tokens(23, 8)


def test_apisix_counts_of_anthropic_s_own_protocol_leave_the_cache_out() -> None:
    told = apisix(prompt_tokens="41", cache_read_input_tokens="16399", cache_creation_input_tokens="2089")
    anthropic = {**told, "request": {**APISIX["request"], "uri": "/v1/messages?beta=true"}}
    for entry in (
        anthropic,
        told,
    ):  # more cached than read: the number leaves the cache out, whatever the address
        assert call("apisix", entry).tokens == Tokens(18529, 8, cache_read=16399, cache_write=2089)


def test_apisix_failures_and_clients_that_left() -> None:
    none = {
        "prompt_tokens": "0",
        "completion_tokens": "0",
        "total_tokens": "0",
        "cache_read_input_tokens": "0",
    }
    failed = {**apisix(**none), "response": {"status": 429}}
    assert (call("apisix", failed).status, call("apisix", failed).tokens) == ("error", None)
    assert call("apisix", {**APISIX, "response": {"status": 499}}).status == "aborted"


def test_apisix_bodies_come_first_where_they_were_logged() -> None:
    body = json.dumps({"messages": [{"role": "user", "content": "hi"}], "tools": [{}], "user": "erika"})
    stream = (
        'data: {"id":"c","choices":[{"delta":{"content":"Hel"}}]}\n\n'
        'data: {"id":"c","choices":[{"delta":{"content":"lo"},"finish_reason":"stop"}]}\n\n'
        'data: {"id":"c","choices":[],"usage":{"prompt_tokens":23,"completion_tokens":8}}\n\ndata: [DONE]\n\n'
    )
    entry = {
        **APISIX,
        "request": {**APISIX["request"], "body": body},
        "response": {"status": 200, "body": stream},
    }
    found = record("apisix", entry)
    assert (found["response_id"], found["response_text"]) == ("c", "Hello")
    assert found["request"]["tools"] == [{}]
    assert found["usage"] == {"prompt_tokens": 23, "completion_tokens": 8}
    assert "request_partial" not in found


def test_apisix_entries_without_a_model_hold_no_request() -> None:
    plain = {"request": {"uri": "/health"}, "response": {"status": 200}, "start_time": 1, "latency": 1}
    traditional = {"request_type": "traditional_http", "llm_model": "x", "status": "200"}
    assert list(ADAPTERS["apisix"]([plain, traditional, {"llm_model": "", "status": "200"}])) == []


def test_apisix_own_log_format() -> None:
    entry = {
        "time": "23/Nov/2026:19:17:07 +0000", "request_time": "5.765", "status": "200", "request_type": "ai_chat",
        "apisix_request_id": "r-2", "request_llm_model": "gpt-4", "llm_model": "gpt-4-0613",
        "llm_time_to_first_token": "2858", "llm_prompt_tokens": "23", "llm_completion_tokens": "8",
    }  # fmt: skip
    found = record("apisix", entry)
    assert (found["started_at"], found["ended_at"]) == (
        "2026-11-23T19:17:01.235000Z",
        "2026-11-23T19:17:07.000000Z",
    )
    assert (found["id"], found["stream"], found["model"]) == ("r-2", False, "gpt-4")


def test_kong_takes_the_vendor_s_own_usage_from_the_logged_response() -> None:
    found = call("kong", KONG)
    assert found.tokens == Tokens(28, 20, cache_read=16)
    assert (found.id, found.response_id, found.attempt) == (KONG["request"]["id"], "chatcmpl-1", 1)
    assert found.cost == Money(Decimal("0.0038"), "USD")
    assert (found.key, found.provider) == ("dify", "openai")
    assert record("kong", KONG)["ended_at"] == "2026-08-19T04:20:02.969000Z"


def test_kong_s_old_form_with_two_plugins_gives_two_requests() -> None:
    plugin = {
        "usage": {"prompt_token": 28, "total_tokens": 48, "completion_token": 20, "cost": 0.0038},
        "meta": {"request_model": "command", "provider_name": "cohere", "response_model": "command"},
        "cache": {"cache_status": "Hit", "fetch_latency": 21},
    }
    block = {
        "payload": {"request": '{"messages": []}'},
        "ai-proxy": plugin,
        "ai-request-transformer": {**plugin, "cache": {}},
        "rate-limiting": {"x": 1},
    }
    first, second = list(ADAPTERS["kong"]({**KONG, "ai": block}))
    assert (first["usage"]["prompt_tokens"], first["usage"]["completion_tokens"]) == (28, 20)  # type: ignore[index]
    assert [first["cache_hit"], second["cache_hit"]] == [True, False]  # type: ignore[index]
    assert first["id"] != second["id"]  # type: ignore[index]


def test_kong_entries_without_a_model_hold_no_request() -> None:
    entries = [{**KONG, "ai": {}}, {name: value for name, value in KONG.items() if name != "ai"}]
    assert list(ADAPTERS["kong"]([*entries, {**KONG, "ai": {"mcp": {"usage": {"x": 1}}}}])) == []


def test_a_stream_that_kong_saw_break_off_is_aborted_with_kong_s_numbers() -> None:
    proxy = {
        **KONG["ai"]["proxy"],
        "payload": {"response": 'data: {"choices":[{"delta":{"content":"He"}}]}\n\n'},
    }
    found = call("kong", {**KONG, "ai": {"proxy": proxy}})
    assert (found.status, found.tokens) == ("aborted", Tokens(28, 20))
    assert found.answer is not None


HIGRESS = {
    "ai_log": '{"model":"qwen-turbo","input_token":"10","output_token":"69","llm_first_token_duration":"309",'
    '"llm_service_duration":"1955","chat_id":"c-1","response_type":"stream","consumer":"dify"}',
    "start_time": "2024-06-18T09:37:14.078Z",
    "duration": "1990",
    "request_id": "5895f5a9",
    "response_code": "200",
    "response_flags": "-",
    "path": "/v1/chat/completions",
}


def test_higress_reads_the_log_in_the_log() -> None:
    found = record("higress", HIGRESS)
    assert call("higress", HIGRESS).tokens == Tokens(10, 69)
    assert (found["id"], found["response_id"], found["stream"], found["key"]) == (
        "5895f5a9",
        "c-1",
        True,
        "dify",
    )
    assert found["ended_at"] == "2024-06-18T09:37:16.068000Z"
    assert found["first_token_at"] == "2024-06-18T09:37:14.387000Z"


def test_higress_forms_of_other_releases() -> None:
    escaped = {**HIGRESS, "ai_log": HIGRESS["ai_log"].replace('"', '\\"')}
    flat = {**HIGRESS, "ai_log": "-", "model": "qwen-max", "input_token": "21", "output_token": "17"}
    assert call("higress", escaped).tokens == Tokens(10, 69)
    assert call("higress", flat).tokens == Tokens(21, 17)


def test_higress_lines_of_other_requests_hold_none() -> None:
    assert (
        list(ADAPTERS["higress"]([{**HIGRESS, "ai_log": "-"}, {**HIGRESS, "ai_log": ""}, {"path": "/"}]))
        == []
    )
    assert refusals("higress", {**HIGRESS, "ai_log": '{"model": "qwen-'}) == ["ai_log is not JSON"]


def test_higress_answers_that_were_cut_give_no_fingerprint() -> None:
    told = json.loads(HIGRESS["ai_log"])
    cut = {
        **HIGRESS,
        "ai_log": json.dumps({**told, "answer": "Once upon [truncated] the end", "question": "Tell"}),
    }
    whole = {**HIGRESS, "ai_log": json.dumps({**told, "answer": "The end", "question": "Tell"})}
    assert call("higress", cut).answer is None
    assert call("higress", whole).answer is not None
    assert call("higress", whole).prompt is None  # the last message alone is not the conversation


ENVOY = {
    "start_time": "2026-10-02T08:00:00.120Z", "duration": 3761, "response_code": 200, "response_flags": "-",
    "x-request-id": "e-1", "x-envoy-origin-path": "/v1/chat/completions", "gen_ai.request.model": "claude-sonnet-4-5",
    "gen_ai.response.model": "claude-sonnet-4-5-20250929", "gen_ai.usage.input_tokens": "2006",
    "gen_ai.usage.output_tokens": 300, "gen_ai.usage.cache_read.input_tokens": 1920,
}  # fmt: skip


@pytest.mark.parametrize(
    "entry",
    [
        ENVOY,
        {
            "start_time": ENVOY["start_time"], "duration": "3761", "response_code": "200", "request_id": "e-1",
            "path": "/v1/chat/completions",
            "gen_ai": {
                "request": {"model": "claude-sonnet-4-5"},
                "usage": {"input_tokens": 2006, "output_tokens": "300", "cache_read": {"input_tokens": 1920}},
            },
        },
        {
            "start_time": ENVOY["start_time"], "duration": 3761, "response_code": 200, "x-request-id": "e-1",
            "x-ai-eg-model": "claude-sonnet-4-5",
            "metadata": {
                "io.envoy.ai_gateway": {
                    "llm_input_token": 2006, "llm_output_token": 300, "llm_cached_input_token": 1920,
                }
            },
        },
    ],
    ids=["flat", "nested", "dynamic metadata"],
)  # fmt: skip
def test_envoy_costs_are_found_under_each_name(entry: dict[str, Any]) -> None:
    found = call("envoy", entry)
    assert found.tokens == Tokens(2006, 300, cache_read=1920)
    assert (found.id, found.model, found.status) == ("e-1", "claude-sonnet-4-5", "ok")
    assert record("envoy", entry)["ended_at"] == "2026-10-02T08:00:03.881000Z"


def test_envoy_failures_broken_answers_and_other_requests() -> None:
    nothing = {name: "-" for name in ENVOY if "usage" in name}
    failed = call("envoy", {**ENVOY, **nothing, "response_code": 503})
    assert (failed.status, failed.tokens) == ("error", None)
    assert call("envoy", {**ENVOY, "response_flags": "DC"}).status == "aborted"
    other = {
        "start_time": ENVOY["start_time"],
        "response_code": 200,
        "path": "/healthz",
        "gen_ai.request.model": "-",
    }
    assert list(ADAPTERS["envoy"](other)) == []


def test_an_entry_without_an_id_gets_one_from_its_content() -> None:
    bare = {name: value for name, value in ENVOY.items() if name != "x-request-id"}
    assert record("envoy", bare)["id"] == record("envoy", dict(reversed(bare.items())))["id"]
    assert record("envoy", bare)["id"] != record("envoy", {**bare, "duration": 1})["id"]
