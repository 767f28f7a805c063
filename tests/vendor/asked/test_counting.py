"""What is counted of a vendor's record when it arrives, and when that count is better than the one of Dify's record."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.local.reading import read_local
from exporter.model import Accuracy, Call, LocalReading, PromptMessage, Status, Tokens
from exporter.vendor.asked.counting import Counted, count_request
from exporter.vendor.asked.messages import prompt_of
from exporter.vendor.asked.parts import asked_of
from exporter.vendor.reading import FROM_RECORD, better_local, counted_reading
from exporter.vendor.record import VendorCall, parse

PICTURE = (
    "data:image/png;base64,"
    "iVBORw0KGgoAAAANSUhEUgAAAGAAAABACAIAAABqVuVZAAAAlklEQVR4nO3QsREAEADAQOy/MxtISfE/QS5zD27W64DfGRQMCgYFg4JBwaBg"
)
TOOL = {
    "type": "function",
    "function": {
        "name": "get_current_weather",
        "description": "Get the current weather in a given location",
        "parameters": {
            "type": "object",
            "properties": {
                "location": {"type": "string", "description": "The city and state, e.g. San Francisco, CA"},
                "unit": {
                    "type": "string",
                    "description": "The unit of temperature to return",
                    "enum": ["celsius", "fahrenheit"],
                },
            },
            "required": ["location"],
        },
    },
}
WEATHER = [
    {
        "role": "system",
        "content": "You are a helpful assistant that can answer to questions about the weather.",
    },
    {"role": "user", "content": "What's the weather like in San Francisco?"},
]


def record(request: Any, **changes: Any) -> dict[str, Any]:
    return {
        "id": "chatcmpl-1",
        "started_at": "2026-11-23T19:17:07Z",
        "model": "gpt-4o",
        "usage": {"prompt_tokens": 101, "completion_tokens": 2},
        "request": request,
        "response_text": "Sunny.",
        **changes,
    }


def counted(request: Any, **changes: Any) -> Counted:
    found = parse(record(request, **changes), "gateway").counted
    assert found is not None
    return found


def attempt(name: str = "a", **changes: Any) -> VendorCall:
    return parse({**record({"messages": WEATHER, "tools": [TOOL]}), "id": name, **changes}, "gateway")


def test_openais_published_example_is_counted_from_the_body_as_the_api_counted_it() -> None:
    for model, tokens in (("gpt-4o", 101), ("gpt-4o-mini", 101), ("gpt-4", 105), ("gpt-3.5-turbo", 105)):
        found = counted({"messages": WEATHER, "tools": [TOOL]}, model=model)
        assert (found.input, found.accuracy) == (tokens, "approximate")
        assert "1 tool definition(s) within about" in (found.note or "")
        assert found.error_pct is not None


def test_json_mode_adds_nothing_and_a_schema_does() -> None:
    plain = counted({"messages": WEATHER})
    mode = counted({"messages": WEATHER, "response_format": {"type": "json_object"}})
    schema = {"name": "answer", "schema": {"type": "object", "properties": {"sky": {"type": "string"}}}}
    structured = counted(
        {"messages": WEATHER, "response_format": {"type": "json_schema", "json_schema": schema}}
    )
    assert mode == plain
    assert plain.accuracy == "exact"
    assert (structured.input or 0) > (plain.input or 0)
    assert structured.accuracy == "approximate"


@pytest.mark.parametrize(
    ("detail", "tokens"), [({"detail": "low"}, 85), ({"detail": "high"}, 255), ({}, 255)]
)
def test_a_picture_inside_the_body_is_counted_from_its_size(detail: dict[str, str], tokens: int) -> None:
    """96 x 64 pixels, one tile."""
    text = {"type": "text", "text": "What colour is this?"}
    picture = {"type": "image_url", "image_url": {"url": PICTURE, **detail}}
    seen = counted({"messages": [{"role": "user", "content": [picture, text]}]})
    blind = counted({"messages": [{"role": "user", "content": [text]}]})
    assert (seen.input or 0) - (blind.input or 0) == tokens
    assert seen.accuracy == "template"


def test_pictures_of_other_vendors_bodies_are_counted_too() -> None:
    data = PICTURE.partition(",")[2]
    source = {"type": "base64", "media_type": "image/png", "data": data}
    claude = {"messages": [{"role": "user", "content": [{"type": "image", "source": source}]}]}
    result = {"type": "tool_result", "tool_use_id": "t", "content": [{"type": "image", "source": source}]}
    gemini = {
        "contents": [{"role": "user", "parts": [{"inlineData": {"mimeType": "image/png", "data": data}}]}]
    }
    qwen = {"input": {"messages": [{"role": "user", "content": [{"image": PICTURE}, {"text": "Hi"}]}]}}
    bedrock = {
        "messages": [{"role": "user", "content": [{"image": {"format": "png", "source": {"bytes": data}}}]}]
    }
    responses = {"input": [{"role": "user", "content": [{"type": "input_image", "image_url": PICTURE}]}]}
    for body, model in (
        (claude, "claude-sonnet-4-5"),
        ({"messages": [{"role": "user", "content": [result]}]}, "claude-sonnet-4-5"),
        (gemini, "gemini-2.0-flash"),
        (qwen, "qwen-vl-max"),
        (bedrock, "us.anthropic.claude-sonnet-4-5-20250929-v1:0"),
        (responses, "gpt-4.1"),
    ):
        assert "1 picture(s)" in (counted(body, model=model).note or ""), model


@pytest.mark.parametrize(
    "address", ["https://example.com/a.png", "data:image/png;base64,%%%", "data:image/png,x", 7, None]
)
def test_a_picture_whose_size_is_not_in_the_body_is_named_as_missing(address: object) -> None:
    picture = {"type": "image_url", "image_url": {"url": address}}
    found = counted({"messages": [{"role": "user", "content": [picture]}]})
    assert (found.accuracy, found.error_pct) == ("lower_bound", None)
    assert "1 file(s) in the prompt not counted" in (found.note or "")


def test_a_body_that_was_logged_in_part_is_a_lower_bound() -> None:
    found = counted({"messages": WEATHER}, request_partial=True)
    assert found.accuracy == "lower_bound"
    assert "logged in part" in (found.note or "")


def test_an_answer_that_broke_off_is_a_lower_bound() -> None:
    for status in ("error", "aborted"):
        assert counted({"messages": WEATHER}, status=status).accuracy == "lower_bound"


def test_a_gateways_alias_is_counted_as_the_model_that_answered() -> None:
    alias = counted({"messages": WEATHER}, model="our-best", response_model="gpt-4o-2024-08-06")
    assert (alias.tokenizer, alias.accuracy) == ("o200k_base", "exact")
    assert counted({"messages": WEATHER}, model="gpt-4o", response_model="x").accuracy == "exact"


@pytest.mark.parametrize(
    "asked",
    [
        {"thinking": {"type": "enabled", "budget_tokens": 1024}},
        {"enable_thinking": True},
        {"parameters": {"enable_thinking": True}},
        {"generationConfig": {"thinkingConfig": {"thinkingBudget": 512}}},
        {"reasoning": {"effort": "low"}},
    ],
)
def test_thinking_that_the_body_asks_for_is_hidden_in_the_output(asked: dict[str, Any]) -> None:
    found = counted({"messages": WEATHER, **asked}, model="qwen3-max")
    assert found.accuracy == "lower_bound"
    assert "reasoning" in (found.note or "")


def test_thinking_that_the_body_turns_off_is_not() -> None:
    found = counted({"messages": WEATHER, "thinking": {"type": "disabled"}}, model="claude-sonnet-4-5")
    assert found.accuracy != "lower_bound"


# ── hostile bodies ──────────────────────────────────────────────────────────────────────────────────────────


def deep(levels: int, last: object) -> Any:
    for _ in range(levels):
        last = {"type": "object", "properties": {"inner": last}, "content": [last], "items": last}
    return last


@pytest.mark.parametrize(
    "request_",
    [
        {"messages": WEATHER, "tools": [{"name": "a", "parameters": deep(100_000, {})}]},
        {
            "messages": WEATHER,
            "tools": [{"name": "a", "input_schema": {"properties": {"x": {"enum": [[], {}, None]}}}}],
        },
        {"messages": WEATHER, "tools": [None, [], "x", {"name": 5}, {"function": {"name": "\ud800"}}] * 1000},
        {
            "messages": WEATHER,
            "tools": {"a": 1},
            "response_format": {"type": "json_schema", "json_schema": []},
        },
        {
            "messages": WEATHER,
            "response_format": {"type": "json_schema", "json_schema": {"schema": deep(9000, {})}},
        },
        {
            "messages": [
                {"role": "user", "content": [{"type": "image_url", "image_url": {"url": PICTURE}}] * 3000}
            ]
        },
        {
            "messages": [
                {"role": "user", "content": [{"type": "image", "source": {"data": "/9j/" * 500_000}}]}
            ]
        },
        {"messages": WEATHER, "thinking": [], "reasoning": "high", "generationConfig": {"thinkingConfig": 1}},
        {
            "messages": WEATHER,
            "tools": [{"name": "a", "parameters": {"properties": {"x": {"type": [{}, 1, None]}}}}],
        },
    ],
    ids=[
        "deep",
        "odd enums",
        "odd tools",
        "no tools",
        "deep schema",
        "many pictures",
        "endless jpeg",
        "odd",
        "kinds",
    ],
)
def test_a_hostile_body_is_counted_as_far_as_it_goes(request_: dict[str, Any]) -> None:
    prompt = prompt_of(request_)
    found = count_request(record(request_), "chat", "gpt-4o", None, prompt, asked_of(request_, prompt))
    assert found is not None
    assert (found.input or 0) > 0


WORDS = (
    "tools", "functions", "function", "name", "description", "parameters", "input_schema",
    "properties", "type", "enum", "items", "anyOf", "content", "parts", "role", "image", "source",
    "data", "url", "image_url", "detail", "response_format", "json_schema", "schema", "format",
    "text", "toolConfig", "inlineData", "mimeType", "toolResult", "thinking", "reasoning",
    "functionDeclarations", "tool_choice", "messages", "input",
)  # fmt: skip
"""The names that the readers of bodies look for."""

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.just(PICTURE),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(WORDS),
            inner,
            max_size=5,
        )
    ),
    max_leaves=30,
)


@given(
    body=st.dictionaries(
        st.sampled_from(
            [
                "tools",
                "toolConfig",
                "parameters",
                "response_format",
                "text",
                "generationConfig",
                "thinking",
                "reasoning",
            ]
        ),
        json_values,
        max_size=5,
    ),
    content=json_values,
    model=st.sampled_from(
        ["gpt-4o", "gpt-4.1-mini", "claude-sonnet-4-5", "qwen2.5-vl-7b", "gemini-3-pro", "mistral-large", "?"]
    ),
)
@settings(max_examples=300, deadline=None)
def test_no_body_makes_it_raise(body: dict[str, Any], content: Any, model: str) -> None:
    request_ = {**body, "messages": [{"role": "user", "content": "Hi"}, {"role": "user", "content": content}]}
    prompt = (PromptMessage("user", "Hi"),)
    found = count_request(record(request_), "chat", model, None, prompt, asked_of(request_, prompt))
    assert found is not None
    assert found.input is not None
    assert found == count_request(record(request_), "chat", model, None, prompt, asked_of(request_, prompt))


# ── which count is the better one ───────────────────────────────────────────────────────────────────────────


def recount(**changes: Any) -> LocalReading:
    """The recount of Dify's record of the same call, which has no tools."""
    values: dict[str, Any] = {
        "call_id": "message:1", "kind": "chat", "provider": "openai", "model": "gpt-4o", "started_at": 0, "ended_at": 1,
        "status": Status.OK, "recorded": None, "answer": "Sunny.", "missing": ("tool schemas",),
        "prompt": tuple(PromptMessage(item["role"], item["content"]) for item in WEATHER),
    }  # fmt: skip
    found = read_local(Call(**{**values, **changes}))
    assert found is not None
    return found


def test_the_vendors_record_is_counted_where_difys_lacks_parts() -> None:
    local = recount()
    assert local.accuracy is Accuracy.LOWER_BOUND
    found = better_local(local, [attempt()])
    assert found is not None
    assert (found.tokens, found.accuracy) == (Tokens(input=101, output=2), Accuracy.APPROXIMATE)
    assert (found.note or "").startswith(FROM_RECORD)


def test_difys_record_is_counted_where_it_is_as_good() -> None:
    local = recount(missing=())
    assert better_local(local, [attempt()]) is local
    assert better_local(local, []) is local


def test_a_vendors_record_without_answer_or_prompt_takes_no_number_away() -> None:
    local = recount()
    assert better_local(local, [attempt(response_text=None)]) is local
    assert better_local(local, [attempt(request=None)]) is local


def test_without_a_recount_the_vendors_record_is_all_there_is() -> None:
    assert better_local(None, [attempt()]) == counted_reading([attempt()])
    assert better_local(None, []) is None


def test_a_retry_that_was_refused_or_a_cached_answer_is_not_counted() -> None:
    refused = attempt("b", status="error", http_status=500, usage=None, response_text=None)
    cached = attempt("c", cache_hit=True)
    found = better_local(recount(), [refused, attempt(), cached])
    assert found is not None
    assert found.tokens.input == 101


def test_a_call_that_was_answered_twice_keeps_the_recount_of_one_request() -> None:
    local = recount()
    assert better_local(local, [attempt("a"), attempt("b")]) is local
    both = counted_reading([attempt("a"), attempt("b")])
    assert both is not None
    assert both.tokens.input == 202


def test_a_count_survives_being_stored() -> None:
    call = attempt()
    assert VendorCall.from_json(call.to_json()) == call
    assert json.dumps(WEATHER[1]["content"])[1:-1] not in call.to_json().decode()
