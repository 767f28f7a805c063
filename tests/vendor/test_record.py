"""A canonical record is checked, counted and fingerprinted; its texts are gone afterwards."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from exporter.model import Money, Tokens
from exporter.vendor.record import BadRecord, VendorCall, parse

SECRET = "Quarterly numbers of the Zeppelin project"
RECORD: dict[str, Any] = {
    "id": "chatcmpl-1ff0",
    "source": "my-gateway",
    "started_at": "2026-11-23T19:17:07.433Z",
    "ended_at": "2026-11-23T20:17:07.467+01:00",
    "operation": "chat",
    "provider": "openai",
    "model": "gpt-4o-mini",
    "response_model": "gpt-4o-mini-2024-07-18",
    "status": "ok",
    "http_status": 200,
    "stream": True,
    "user": "erika@example.com",
    "key": "dify-prod",
    "dify_app_id": None,
    "request": {"messages": [{"role": "system", "content": SECRET}, {"role": "user", "content": SECRET}]},
    "response_text": SECRET,
    "tool_calls": [{"id": "call_1", "function": {"name": "find", "arguments": '{"q": "Zeppelin"}'}}],
    "usage": {"prompt_tokens": 8, "completion_tokens": 47},
    "usage_shape": "openai",
    "cost": {"amount": "0.0000294", "currency": "USD"},
    "cache_hit": False,
    "attempt": 0,
    "a_field_of_tomorrow": {"x": 1},
}


def changed(**changes: Any) -> dict[str, Any]:
    return {name: value for name, value in {**RECORD, **changes}.items() if value is not ...}


def test_a_full_record_is_kept_as_numbers_names_and_times() -> None:
    call = parse(RECORD, "file")
    assert (call.source, call.id, call.model, call.status) == (
        "my-gateway",
        "chatcmpl-1ff0",
        "gpt-4o-mini",
        "ok",
    )
    assert (call.started_at, call.ended_at) == (1_795_461_427_433_000, 1_795_461_427_467_000)
    assert call.tokens == Tokens(8, 47)
    assert call.cost == Money(Decimal("0.0000294"), "USD")


def test_no_text_of_the_request_is_left() -> None:
    call = parse(RECORD, "file")
    for kept in (call.to_json().decode(), repr(call)):
        for word in ("Zeppelin", "Quarterly", "erika", "call_1"):
            assert word not in kept


def test_the_stored_form_gives_the_same_call_back() -> None:
    for record in (
        RECORD,
        changed(usage=None, status="error", request=..., response_text=..., tool_calls=..., cost=...),
    ):
        call = parse(record, "file")
        assert VendorCall.from_json(call.to_json()) == call


def test_the_least_record_needs_id_one_time_model_and_usage() -> None:
    call = parse(
        {
            "id": "1",
            "ended_at": "2026-11-23T19:17:07Z",
            "model": "m",
            "usage": {"prompt_tokens": 1, "completion_tokens": 2},
        },
        "log",
    )
    assert (call.source, call.status, call.operation) == ("log", "ok", "chat")
    assert (call.started_at, call.start, call.end) == (None, call.ended_at, call.ended_at)


def test_a_failed_request_needs_no_usage() -> None:
    assert parse(changed(usage=..., status="error"), "f").tokens is None
    assert parse(changed(usage=..., status=..., http_status=503), "f").status == "error"


def test_a_broken_stream_may_have_usage() -> None:
    assert parse(changed(status="aborted"), "f").tokens == Tokens(8, 47)


@pytest.mark.parametrize(
    ("record", "words"),
    [
        (["not", "an", "object"], "must be a JSON object"),
        (changed(id=...), "id is missing"),
        (changed(id=""), "id is missing"),
        (changed(model=...), "model is missing"),
        (changed(model={"name": SECRET}), "model is not a text"),
        (changed(started_at=..., ended_at=...), "started_at or ended_at is missing"),
        (changed(started_at=1795461427), "started_at is not a time"),
        (changed(started_at=SECRET), "started_at is not a time"),
        (changed(started_at="2026-11-23T21:00:00Z"), "ended_at lies before started_at"),
        (changed(usage=...), "usage is missing"),
        (changed(usage=[1]), "usage is not an object"),
        (changed(usage={"tokens_used": 3}), "no token count"),
        (changed(usage_shape="martian"), "usage_shape is none of"),
        (changed(status="fine"), "status is none of"),
        (changed(operation="sing"), "operation is none of"),
        (changed(http_status="200"), "http_status is not a whole number"),
        (changed(stream="yes"), "stream is neither true nor false"),
        (changed(cost={"amount": "x", "currency": "USD"}), "cost.amount is not a number"),
        (changed(cost={"amount": "NaN", "currency": "USD"}), "cost.amount is not a number"),
        (changed(cost={"amount": "1"}), "cost needs amount and currency"),
        (changed(response_text=7), "response_text is not text"),
        (changed(key="\ud800"), "key is not a text"),
        (changed(user="x" * 600), "user is not a text"),
    ],
)
def test_a_bad_record_is_refused_without_repeating_content(record: object, words: str) -> None:
    with pytest.raises(BadRecord, match=words) as refused:
        parse(record, "file")
    assert "Zeppelin" not in str(refused.value)


def test_dify_s_own_requests_are_recognised_while_their_words_are_there() -> None:
    title = "You are asked to generate a concise chat title by decomposing the user’s input into two parts: …"
    asked = changed(request={"messages": [{"role": "user", "content": title}]})
    assert parse(asked, "f").purpose == "title"
    assert parse(RECORD, "f").purpose is None


@pytest.mark.parametrize(
    "request_body",
    [
        {"messages": [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Hi"}]},
        {"system": "Be kind.", "messages": [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}]},
        {"system": [{"type": "text", "text": "Be kind."}], "messages": [{"role": "user", "content": "Hi"}]},
        {
            "input": {
                "messages": [
                    {"role": "system", "content": "Be kind."},
                    {"role": "user", "content": [{"text": "Hi"}]},
                ]
            }
        },
        {"instructions": "Be kind.", "input": "Hi"},
        {
            "instructions": "Be kind.",
            "input": [{"role": "user", "content": [{"type": "input_text", "text": "Hi"}]}],
        },
        {
            "systemInstruction": {"parts": [{"text": "Be kind."}]},
            "contents": [{"role": "user", "parts": [{"text": "Hi"}]}],
        },
        {"messages": [{"role": "developer", "content": "Be kind.\n"}, {"role": "user", "content": " Hi"}]},
    ],
    ids=[
        "openai",
        "anthropic",
        "anthropic blocks",
        "dashscope",
        "responses",
        "responses items",
        "gemini",
        "developer",
    ],
)
def test_one_conversation_has_one_fingerprint_in_every_vendor_s_body(request_body: dict[str, Any]) -> None:
    plain = {"messages": [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Hi"}]}
    assert parse(changed(request=request_body), "f").prompt == parse(changed(request=plain), "f").prompt
