"""From the events of every vendor's stream to the usage of the request; cut, missing and deceptive usage named so."""

from __future__ import annotations

import gc
import itertools
import sys
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.model import Money, Tokens
from exporter.vendor.usage import (
    StreamResult,
    StreamUsage,
    charges,
    normalise,
    usage_of_body,
    usage_of_stream,
)
from tests.vendor.usage.stream_examples import (
    ANTHROPIC,
    MESSAGE_START,
    STREAMS,
    Stream,
    chat_chunk,
    closing_chunk,
    counted,
    dashscope_event,
    hunyuan_event,
)


def tokens_of(result: StreamResult) -> Tokens:
    assert result.usage is not None
    return normalise(result.usage, result.shape)


@pytest.mark.parametrize("stream", STREAMS, ids=lambda stream: stream.title)
def test_whole_stream_gives_the_final_usage_of_the_request(stream: Stream) -> None:
    result = usage_of_stream(stream.events)
    assert (tokens_of(result), result.shape) == (stream.tokens, stream.shape)
    assert (result.is_final, result.is_estimated) == (True, False)


@pytest.mark.parametrize("stream", STREAMS, ids=lambda stream: stream.title)
def test_stream_cut_before_the_vendor_counted_is_never_final(stream: Stream) -> None:
    first_counted = next(
        length
        for length in range(1, len(stream.events) + 1)
        if usage_of_stream(stream.events[:length]).is_final
    )
    assert not any(usage_of_stream(stream.events[:length]).is_final for length in range(first_counted))
    assert all(
        usage_of_stream(stream.events[:length]).is_final
        for length in range(first_counted, len(stream.events) + 1)
    )


@pytest.mark.parametrize("stream", STREAMS, ids=lambda stream: stream.title)
def test_feeding_event_by_event_gives_the_same_as_the_whole_stream(stream: Stream) -> None:
    fed = StreamUsage()
    for event in stream.events:
        fed.feed(event)
        fed.result()
    assert fed.result() == usage_of_stream(stream.events)


@pytest.mark.parametrize(
    "events",
    [
        [],
        [chat_chunk(), chat_chunk(finish="stop")],
        [chat_chunk(), chat_chunk()],
        [chat_chunk(), {"error": {"message": "overloaded", "type": "server_error"}}],
        [{"type": "response.created", "response": {"status": "in_progress", "usage": None}}],
        [{"code": "DataInspectionFailed", "message": "no", "request_id": "1"}],
        [{"model": "llama3", "message": {"content": "word"}, "done": False}],
    ],
)
def test_stream_without_usage_gives_none_and_is_not_final(events: list[Any]) -> None:
    result = usage_of_stream(events)
    assert (result.usage, result.is_final) == (None, False)


def test_anthropic_stream_that_was_cut_keeps_its_input_and_is_not_final() -> None:
    result = usage_of_stream([*ANTHROPIC[:4], {"type": "error", "error": {"type": "overloaded_error"}}])
    assert (tokens_of(result).input, result.is_final) == (18529, False)


def test_repeated_usage_of_a_cut_stream_is_what_was_counted_so_far() -> None:
    result = usage_of_stream([dashscope_event(1), dashscope_event(6)])
    assert (tokens_of(result), result.is_final) == (Tokens(22, 6, 16), False)


def test_usage_before_the_finish_reason_is_not_final() -> None:
    result = usage_of_stream([chat_chunk(counted(10, 3)), chat_chunk(finish="stop")])
    assert (tokens_of(result), result.is_final) == (Tokens(10, 3), False)


def test_one_of_several_answers_that_ends_does_not_end_them_all() -> None:
    events = [
        {"choices": [{"index": 1, "finish_reason": None}], "usage": counted(5, 2)},
        {"choices": [{"index": 0, "finish_reason": "stop"}], "usage": counted(5, 4)},
    ]
    assert not usage_of_stream(events).is_final


@pytest.mark.parametrize("finish", ["stop", None])
def test_increments_are_added_up_and_called_an_estimate(finish: str | None) -> None:
    """Until vLLM pull request 9357 its continuous usage held increments."""
    events = [chat_chunk(counted(10, written)) for written in (3, 1, 4)] + [
        chat_chunk(counted(10, 1), finish)
    ]
    result = usage_of_stream(events)
    assert tokens_of(result) == Tokens(10, 9)
    assert (result.is_final, result.is_estimated) == (finish is not None, True)


def test_increments_are_not_added_when_the_vendor_then_counts_the_whole_request() -> None:
    events = [chat_chunk(counted(10, written)) for written in (3, 1, 4)]
    result = usage_of_stream([*events, chat_chunk(finish="stop"), closing_chunk(counted(10, 8))])
    assert (tokens_of(result), result.is_estimated) == (Tokens(10, 8), False)


def test_parts_of_increments_are_added_with_their_total() -> None:
    def event(written: int, reasoning: int) -> dict[str, Any]:
        return chat_chunk(
            {**counted(10, written), "completion_tokens_details": {"reasoning_tokens": reasoning}}
        )

    result = usage_of_stream([event(3, 2), event(2, 2), event(4, 0)])
    assert tokens_of(result) == Tokens(10, 9, reasoning=4)


def test_hunyuan_increments_with_text_counts_are_added_up() -> None:
    result = usage_of_stream([hunyuan_event(3), hunyuan_event(1), hunyuan_event(2, "stop")])
    assert (tokens_of(result), result.is_estimated) == (Tokens(7, 6, 4), True)


def test_input_that_is_told_once_is_kept_when_later_chunks_say_zero() -> None:
    events = [chat_chunk(counted(10, 0)), chat_chunk(counted(0, 5)), chat_chunk(counted(0, 9), "stop")]
    result = usage_of_stream(events)
    assert (tokens_of(result), result.is_final, result.is_estimated) == (Tokens(10, 9), True, False)


def test_field_that_a_later_chunk_leaves_out_or_nulls_keeps_its_last_value() -> None:
    events = [
        chat_chunk({"prompt_tokens": 10, "completion_tokens": 1}),
        chat_chunk({"prompt_tokens": None, "completion_tokens": 4}),
        chat_chunk({"completion_tokens": 9}, "stop"),
    ]
    assert tokens_of(usage_of_stream(events)) == Tokens(10, 9)


def test_chunks_of_zeros_are_no_usage() -> None:
    zeros = [chat_chunk(counted(0, 0)), chat_chunk(counted(0, 0), "stop")]
    assert usage_of_stream(zeros).usage is None
    late = usage_of_stream([*zeros[:1], chat_chunk(counted(10, 4), "stop"), closing_chunk(counted(0, 0))])
    assert (tokens_of(late), late.is_final) == (Tokens(10, 4), True)


def test_anthropic_stream_cut_after_a_start_of_zeros_has_no_usage() -> None:
    start = {"type": "message_start", "message": {"usage": {"input_tokens": 0, "output_tokens": 0}}}
    assert usage_of_stream([start]).usage is None


def test_answer_refused_before_its_first_token_has_no_output() -> None:
    delta = {"type": "message_delta", "delta": {"stop_reason": "refusal"}, "usage": {"output_tokens": 0}}
    result = usage_of_stream([MESSAGE_START, delta])
    assert (tokens_of(result).output, result.is_final) == (0, True)


def test_cost_that_the_vendor_states_in_its_stream_is_kept() -> None:
    openrouter = next(stream for stream in STREAMS if stream.title.startswith("openrouter"))
    usage = usage_of_stream(openrouter.events).usage
    assert usage is not None
    assert charges(usage) == Money(Decimal("0.00095"), "USD")


def test_memory_does_not_grow_with_the_stream() -> None:
    def size_after(chunks: int) -> int:
        stream = StreamUsage()
        for number in range(chunks):
            stream.feed(chat_chunk({**counted(10, number % 7), f"key{number}": number, "prompt_x": number}))
            stream.feed({"candidates": [], "usageMetadata": {f"key{number}": number}})
        return _deep_size(stream)

    assert size_after(20_000) <= size_after(200) + 1024


def _deep_size(root: object) -> int:
    seen: dict[int, int] = {}
    waiting = [root]
    while waiting:
        item = waiting.pop()
        if id(item) not in seen and not isinstance(item, type):
            seen[id(item)] = sys.getsizeof(item)
            waiting.extend(gc.get_referents(item))
    return sum(seen.values())


@settings(deadline=None)
@given(
    given_tokens=st.integers(1, 10**6),
    steps=st.lists(st.integers(0, 500), min_size=1, max_size=40),
    vendor=st.sampled_from(["openai", "dashscope"]),
)
def test_last_of_growing_counts_wins_however_often_it_is_repeated(
    given_tokens: int, steps: list[int], vendor: str
) -> None:
    so_far = list(itertools.accumulate(steps))
    if vendor == "openai":
        events = [chat_chunk(counted(given_tokens, number)) for number in so_far]
    else:
        events = [dashscope_event(number, given=given_tokens + 16) for number in so_far]
    result = usage_of_stream(events)
    expected = given_tokens if vendor == "openai" else given_tokens + 16
    found = tokens_of(result)
    assert (found.input, found.output, result.is_estimated) == (expected, so_far[-1], False)


BODIES = [
    (
        "openai chat",
        {"object": "chat.completion", "choices": [{"index": 0}], "usage": counted(5, 2)},
        Tokens(5, 2),
    ),
    (
        "openai embeddings",
        {
            "object": "list",
            "data": [{"object": "embedding", "embedding": [0.1]}],
            "usage": {"prompt_tokens": 8, "total_tokens": 8},
        },
        Tokens(8, 0),
    ),
    (
        "openai responses",
        {"object": "response", "status": "completed", "usage": {"input_tokens": 5, "output_tokens": 2}},
        Tokens(5, 2),
    ),
    ("anthropic", {**MESSAGE_START["message"], "stop_reason": "end_turn"}, Tokens(18529, 1, 16399, 2089)),
    (
        "gemini",
        {
            "candidates": [],
            "usageMetadata": {"promptTokenCount": 4, "candidatesTokenCount": 3, "totalTokenCount": 7},
        },
        Tokens(4, 3),
    ),
    (
        "gemini embedding",
        {"embedding": {"values": [0.1]}, "usageMetadata": {"promptTokenCount": 4}},
        Tokens(4, 0),
    ),
    ("dashscope native", dashscope_event(6, "stop"), Tokens(22, 6, 16)),
    (
        "dashscope rerank",
        {"output": {"results": [{"index": 0, "relevance_score": 0.9}]}, "usage": {"total_tokens": 79}},
        Tokens(79, 0),
    ),
    (
        "dashscope embedding",
        {"output": {"embeddings": [{"text_index": 0}]}, "usage": {"total_tokens": 26}},
        Tokens(26, 0),
    ),
    ("hunyuan native", {"Response": hunyuan_event(4, "stop")}, Tokens(7, 4, 4)),
    (
        "hunyuan embedding",
        {"Response": {"Data": [], "Usage": {"PromptTokens": 9, "TotalTokens": 9}}},
        Tokens(9, 0),
    ),
    (
        "bedrock converse",
        {
            "output": {"message": {"role": "assistant"}},
            "stopReason": "end_turn",
            "usage": {"inputTokens": 4, "outputTokens": 2, "totalTokens": 6},
        },
        Tokens(4, 2),
    ),
    (
        "cohere rerank",
        {"results": [{"index": 0, "relevance_score": 0.9}], "meta": {"billed_units": {"search_units": 1}}},
        Tokens(),
    ),
    (
        "siliconflow rerank",
        {
            "results": [{"index": 0, "relevance_score": 0.9}],
            "meta": {
                "billed_units": {"input_tokens": 28, "output_tokens": 0, "search_units": 0},
                "tokens": {"input_tokens": 28, "output_tokens": 0},
            },
        },
        Tokens(28, 0),
    ),
    (
        "jina rerank",
        {
            "object": "list",
            "results": [{"index": 0, "relevance_score": 0.9}],
            "usage": {"total_tokens": 815},
        },
        Tokens(815, 0),
    ),
    (
        "voyage rerank",
        {"object": "list", "data": [{"index": 0, "relevance_score": 0.9}], "usage": {"total_tokens": 26}},
        Tokens(26, 0),
    ),
    (
        "openai image, which writes tokens too",
        {
            "data": [{"b64_json": ""}],
            "usage": {"input_tokens": 12, "output_tokens": 1056, "total_tokens": 1068},
        },
        Tokens(12, 1056),
    ),
    ("ollama", {"done": True, "prompt_eval_count": 26, "eval_count": 298}, Tokens(26, 298)),
    ("ollama embedding", {"embeddings": [[0.1]], "prompt_eval_count": 8}, Tokens(8, 0)),
]


@pytest.mark.parametrize(
    ("body", "expected"), [body[1:] for body in BODIES], ids=[body[0] for body in BODIES]
)
def test_body_that_was_not_streamed_holds_its_final_usage(body: dict[str, Any], expected: Tokens) -> None:
    result = usage_of_body(body)
    assert (tokens_of(result), result.is_final) == (expected, True)


@pytest.mark.parametrize("body", [None, 7, "text", [], {}, {"error": {"message": "no"}}, {"choices": []}])
def test_body_without_usage_gives_none(body: object) -> None:
    result = usage_of_body(body)
    assert (result.usage, result.is_final) == (None, False)
