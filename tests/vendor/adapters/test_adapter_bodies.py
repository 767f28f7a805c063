"""The answer in a response body is the same whether it came whole, as a stream's text, or event by event."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from exporter.model import ToolCall
from exporter.vendor.adapters.bodies import Answer, AnswerReader, answer_of, record_fields
from exporter.vendor.adapters.draft import LONGEST_ANSWER
from exporter.vendor.adapters.sse import LONGEST_LINE, EventSplitter
from tests.vendor.adapters.as_streamed import vendor_stream
from tests.vendor.adapters.line_facts import BROKEN, is_failed, operation, tool_calls, vendor_body
from tests.vendor.convert_recording import lines

SAMPLE = Path(__file__).parents[2] / "data" / "vendor" / "formats-sample.jsonl"
ANSWERED = [line for line in lines(SAMPLE) if not is_failed(line)]
CHATS = [line for line in ANSWERED if operation(line) == "chat"]


def sse(*events: Any) -> str:
    return "".join(f"data: {json.dumps(event)}\n\n" for event in events)


def called(line: dict[str, Any]) -> list[tuple[str, str, Any]]:
    calls = [(call["id"], call["function"]) for call in tool_calls(line)]
    return [(identity, function["name"], json.loads(function["arguments"])) for identity, function in calls]


def assert_answer(line: dict[str, Any], answer: Answer) -> None:
    assert (answer.text or "") == (line["response_text"] or "")
    assert [(c.id, c.name, json.loads(c.arguments)) for c in answer.tool_calls] == called(line)
    assert answer.response_id == (None if operation(line) == "embeddings" else line["id"])
    assert (answer.reasoning or "") == (line.get("reasoning_text") or "")


@pytest.mark.parametrize("line", ANSWERED, ids=lambda line: str(line["seq"]))
def test_a_whole_body_tells_answer_and_usage(line: dict[str, Any]) -> None:
    body = vendor_body(line)
    assert answer_of(json.dumps(body)) == answer_of(body)
    answer = answer_of(body)
    assert_answer(line, answer)
    assert answer.usage == line["usage"]
    assert answer.is_usage_final
    assert not answer.is_cut


@pytest.mark.parametrize("line", CHATS, ids=lambda line: str(line["seq"]))
def test_a_stream_tells_the_same_as_the_whole_body(line: dict[str, Any]) -> None:
    text = vendor_stream(line)
    answer = answer_of(text)
    assert_answer(line, answer)
    assert answer.is_cut == (line["fault"] in BROKEN)
    assert answer.is_error == (line["fault"] == "stream_error_event")
    tells_usage = line["request"].get("stream_options") or "choices" not in text
    if line["fault"] not in BROKEN and tells_usage:
        assert answer.usage == line["usage"]
        assert answer.is_usage_final


@pytest.mark.parametrize("line", CHATS, ids=lambda line: str(line["seq"]))
@pytest.mark.parametrize("size", [1, 7, 4096])
def test_a_stream_may_be_cut_into_any_pieces_on_the_wire(line: dict[str, Any], size: int) -> None:
    raw = vendor_stream(line).replace("\n\n", "\r\n\r\n").encode()
    splitter, reader = EventSplitter(), AnswerReader(line["request"])
    for place in range(0, len(raw), size):
        for event in splitter.feed(raw[place : place + size]):
            reader.feed(event)
    for event in splitter.close():
        reader.feed(event)
    assert_answer(line, reader.answer())
    assert splitter.is_done == ("[DONE]" in vendor_stream(line))


def test_dashscope_repeats_its_text_or_goes_on_and_the_request_tells_which() -> None:
    def event(text: str, reason: str) -> dict[str, Any]:
        return {"output": {"choices": [{"message": {"content": text}, "finish_reason": reason}]}, "usage": {}}

    twice = sse(event("ha", "null"), event("haha", "stop"))
    assert answer_of(twice, {"parameters": {"incremental_output": True}}).text == "hahaha"
    assert answer_of(twice, {"parameters": {"incremental_output": False}}).text == "haha"
    growing = sse(event("a", "null"), event("ab", "null"), event("abc", "null"), event("abc", "stop"))
    assert answer_of(growing).text == "abc"
    pieces = sse(event("a", "null"), event("b", "null"), event("c", "null"), event("", "stop"))
    assert answer_of(pieces).text == "abc"


@pytest.mark.parametrize(
    ("body", "answer"),
    [
        (
            {
                "id": "resp_1", "object": "response", "status": "completed", "model": "gpt-5",
                "output": [
                    {"type": "reasoning", "summary": [{"type": "summary_text", "text": "Hm."}]},
                    {"type": "message", "content": [{"type": "output_text", "text": "Yes"}]},
                    {"type": "function_call", "call_id": "call_1", "name": "f", "arguments": "{}"},
                ],
                "usage": {"input_tokens": 3, "output_tokens": 2},
            },
            Answer(
                "Yes", (ToolCall("call_1", "f", "{}"),), "Hm.", {"input_tokens": 3, "output_tokens": 2},
                "openai_responses", True, False, "resp_1", "gpt-5", True,
            ),
        ),
        (
            {
                "responseId": "r", "modelVersion": "gemini-2.5-flash",
                "candidates": [
                    {
                        "content": {
                            "parts": [
                                {"text": "Let me see.", "thought": True},
                                {"text": "Yes"},
                                {"functionCall": {"name": "f", "args": {"a": 1}}},
                            ]
                        },
                        "finishReason": "STOP",
                    }
                ],
                "usageMetadata": {"promptTokenCount": 3, "candidatesTokenCount": 2},
            },
            Answer(
                "Yes", (ToolCall(None, "f", '{"a": 1}'),), "Let me see.",
                {"promptTokenCount": 3, "candidatesTokenCount": 2}, "gemini", True, False, "r",
                "gemini-2.5-flash", True,
            ),
        ),
        (
            {
                "output": {
                    "message": {
                        "role": "assistant",
                        "content": [
                            {"reasoningContent": {"reasoningText": {"text": "Hm."}}},
                            {"text": "Yes"},
                            {"toolUse": {"toolUseId": "t1", "name": "f", "input": {"a": 1}}},
                        ],
                    }
                },
                "stopReason": "tool_use",
                "usage": {"inputTokens": 3, "outputTokens": 2, "totalTokens": 5},
            },
            Answer(
                "Yes", (ToolCall("t1", "f", '{"a": 1}'),), "Hm.",
                {"inputTokens": 3, "outputTokens": 2, "totalTokens": 5}, "bedrock", True, False, None, None, True,
            ),
        ),
        (
            {
                "id": "c1", "finish_reason": "COMPLETE",
                "message": {"role": "assistant", "content": [{"type": "text", "text": "Yes"}]},
                "usage": {"tokens": {"input_tokens": 3, "output_tokens": 2}},
            },
            Answer(
                "Yes", (), None, {"tokens": {"input_tokens": 3, "output_tokens": 2}}, "cohere", True, False, "c1",
                None, True,
            ),
        ),
        (
            {"id": "cmpl-1", "model": "m", "choices": [{"text": "Yes", "finish_reason": "length"}]},
            Answer("Yes", response_id="cmpl-1", model="m", is_finished=True),
        ),
        ({"error": {"message": "no", "type": "server_error"}}, Answer(is_error=True)),
        ("upstream connect error", Answer()),
        (None, Answer()),
    ],
    ids=["responses", "gemini", "converse", "cohere", "completion", "error", "no json", "nothing"],
)  # fmt: skip
def test_bodies_of_other_vendors(body: object, answer: Answer) -> None:
    assert answer_of(body) == answer


def test_streams_of_other_vendors() -> None:
    whole = {
        "id": "resp_1",
        "model": "gpt-5",
        "status": "completed",
        "usage": {"input_tokens": 3, "output_tokens": 2},
    }
    asked = {"type": "function_call", "call_id": "call_1", "name": "f", "arguments": "{}"}
    responses = sse(
        {"type": "response.created", "response": {"id": "resp_1", "status": "in_progress"}},
        {"type": "response.output_text.delta", "delta": "Ye"},
        {"type": "response.output_text.delta", "delta": "s"},
        {"type": "response.output_item.done", "item": asked},
        {"type": "response.completed", "response": whole},
    )
    answer = answer_of(responses)
    assert (answer.text, answer.tool_calls) == ("Yes", (ToolCall("call_1", "f", "{}"),))
    assert (answer.usage, answer.is_usage_final) == ({"input_tokens": 3, "output_tokens": 2}, True)
    converse = [
        {"messageStart": {"role": "assistant"}},
        {"contentBlockDelta": {"contentBlockIndex": 0, "delta": {"text": "Ye"}}},
        {"contentBlockDelta": {"contentBlockIndex": 0, "delta": {"text": "s"}}},
        {
            "contentBlockStart": {
                "contentBlockIndex": 1,
                "start": {"toolUse": {"toolUseId": "t", "name": "f"}},
            }
        },
        {"contentBlockDelta": {"contentBlockIndex": 1, "delta": {"toolUse": {"input": '{"a":'}}}},
        {"contentBlockDelta": {"contentBlockIndex": 1, "delta": {"toolUse": {"input": "1}"}}}},
        {"messageStop": {"stopReason": "tool_use"}},
        {"metadata": {"usage": {"inputTokens": 3, "outputTokens": 2}}},
    ]
    answer = answer_of(converse)
    assert (answer.text, answer.tool_calls) == ("Yes", (ToolCall("t", "f", '{"a":1}'),))
    assert answer.is_finished
    assert answer.is_usage_final


def test_usage_of_a_stream_that_broke_off_is_no_usage_of_the_record() -> None:
    begin = {
        "id": "msg_1",
        "content": [],
        "stop_reason": None,
        "usage": {"input_tokens": 5, "output_tokens": 1},
    }
    cut = sse(
        {"type": "message_start", "message": begin},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Ye"}},
    )
    answer = answer_of(cut)
    assert answer.is_cut
    assert not answer.is_usage_final
    assert "usage" not in record_fields(answer)
    assert record_fields(answer)["response_text"] == "Ye"


def test_an_answer_without_end_is_given_up_and_costs_no_memory() -> None:
    reader = AnswerReader()
    piece = {"choices": [{"index": 0, "delta": {"content": "x" * 10_000}}]}
    tracemalloc.start()
    for _ in range(20 * LONGEST_ANSWER // 10_000):
        reader.feed(json.loads(json.dumps(piece)))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 * LONGEST_ANSWER
    reader.feed({"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 9}})
    assert reader.answer().text is None
    assert reader.answer().usage == {"prompt_tokens": 1, "completion_tokens": 9}


def test_a_line_without_end_is_left_out_and_costs_no_memory() -> None:
    splitter = EventSplitter()
    tracemalloc.start()
    for _ in range(5 * LONGEST_LINE // 65_536):
        assert list(splitter.feed(b"x" * 65_536)) == []
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 3 * LONGEST_LINE
    assert list(splitter.feed(b'\ndata: {"a": 1}\n')) == [{"a": 1}]
