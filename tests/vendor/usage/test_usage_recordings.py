"""Real usage: every line of the two recorded vendor logs, and what an independent library reads in the same bodies."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from exporter.model import Tokens
from exporter.vendor.usage import guess_shape, normalise, usage_of_body, usage_of_stream
from tests.vendor import recorded_calls as recorded
from tests.vendor.convert_recording import lines
from tests.vendor.usage.stream_examples import chat_chunk, closing_chunk

DATA = Path(__file__).parents[2] / "data" / "vendor"
PATHS = {
    "/v1/chat/completions": "openai",
    "/v1/embeddings": "openai",
    "/v1/messages": "anthropic",
    "/api/v1/services/aigc/text-generation/generation": "dashscope",
    "/v1/rerank": "rerank",
}
LOGS = [recorded.V1_12.log, recorded.V1_14.log]
BILLED = {
    recorded.V1_12.log: Tokens(135_870, 14_129, 32_384 + 2 * 2_139, 2_139, 1_169),
    recorded.V1_14.log: Tokens(399_196, 9_797, 30_720 + 2 * 2_139, 2_139, 611),
}
PARTS = ("input", "output", "cache_read", "cache_write", "reasoning")
DOCUMENTED = json.loads((DATA / "usage-genai-prices.json").read_text(encoding="utf-8"))["answers"]


def parts(tokens: Tokens) -> list[int]:
    """The five counts with 0 for unknown, as the independent library writes them."""
    return [getattr(tokens, name) or 0 for name in PARTS]


@pytest.mark.parametrize("answer", DOCUMENTED, ids=lambda answer: f"{answer['provider']} {answer['flavour']}")
def test_an_independent_library_reads_the_same_in_documented_bodies(answer: dict[str, Any]) -> None:
    """Its readers for Claude at Amazon, Azure and Google do not know thinking tokens; all else is the same."""
    found = usage_of_body(answer["body"])
    assert found.usage is not None
    theirs, ours = answer["counts"], parts(normalise(found.usage, found.shape))
    if answer["flavour"] == "anthropic" and theirs[4] == 0:
        theirs, ours = theirs[:4], ours[:4]
    if answer["flavour"] == "responses" and theirs[3] == 0:
        theirs, ours = theirs[:3] + theirs[4:], ours[:3] + ours[4:]
    assert ours == theirs


@pytest.mark.parametrize("log", LOGS)
def test_an_independent_library_reads_the_same_in_every_recorded_line(shared: Path, log: str) -> None:
    answers = json.loads((DATA / "usage-recorded.json").read_text(encoding="utf-8"))["answers"][log]
    usages = {line["seq"]: line["usage"] for line in billed_lines(shared, log)}
    assert len(answers) > 190
    assert [[seq, *parts(normalise(usages[seq]))] for seq, *_ in answers] == answers


@pytest.mark.parametrize("log", LOGS)
def test_all_recorded_requests_add_up_to_what_the_vendor_billed(shared: Path, log: str) -> None:
    counted = [normalise(line["usage"], PATHS[line["path"]]) for line in billed_lines(shared, log)]
    sums = {name: sum(getattr(tokens, name) or 0 for tokens in counted) for name in PARTS}
    assert Tokens(**sums) == BILLED[log]


@pytest.mark.parametrize("log", LOGS)
def test_recorded_usage_is_read_alike_without_its_vendor(shared: Path, log: str) -> None:
    told = [line for line in billed_lines(shared, log) if PATHS[line["path"]] != "rerank"]
    assert {guess_shape(line["usage"]) for line in told} == {"openai", "anthropic", "dashscope"}
    assert all(normalise(line["usage"]) == normalise(line["usage"], PATHS[line["path"]]) for line in told)


@pytest.mark.parametrize("log", LOGS)
def test_recorded_streams_give_their_usage_exactly_when_the_vendor_sent_it(shared: Path, log: str) -> None:
    """The recordings keep the usage, not the events; these are rebuilt as each vendor documents them."""
    checked = 0
    for line in billed_lines(shared, log):
        if line["stream"]:
            found = usage_of_stream(events_of(line))
            assert found.is_final is line["usage_in_reply"], line["seq"]
            if line["usage_in_reply"]:
                assert found.usage == line["usage"]
                assert normalise(found.usage, found.shape) == normalise(line["usage"], PATHS[line["path"]])
            checked += 1
    assert checked > 150


def billed_lines(shared: Path, log: str) -> Iterator[dict[str, Any]]:
    return (line for line in lines(shared / "dify" / log) if line["usage"])


def events_of(line: dict[str, Any]) -> list[dict[str, Any]]:
    """The events of a recorded stream; what the vendor left out or cut off is left out here too."""
    usage, is_cut = line["usage"], line["fault"] in ("stream_cut", "stream_error_event")
    if line["path"] == "/v1/messages":
        start = {"message": {"usage": {**usage, "output_tokens": 1}}, "type": "message_start"}
        delta = {"stop_reason": "end_turn"}
        end = {"type": "message_delta", "delta": delta, "usage": {"output_tokens": usage["output_tokens"]}}
        return [start, {"type": "content_block_delta"}, end, {"type": "message_stop"}]
    if line["path"].startswith("/api/"):
        output = {"choices": [{"message": {"content": "w"}, "finish_reason": "null"}]}
        last = {"choices": [{"message": {"content": ""}, "finish_reason": "stop"}]}
        early = {**usage, "output_tokens": 1, "total_tokens": usage["input_tokens"] + 1}
        return [{"output": output, "usage": early}, {"output": last, "usage": usage}]
    events = [chat_chunk(), chat_chunk(), *([] if is_cut else [chat_chunk(finish="stop")])]
    if line["fault"] == "stream_error_event":
        events.append({"error": {"message": "overloaded"}})
    return [*events, closing_chunk(usage)] if line["usage_in_reply"] else events
