"""The OpenAI calls of the big recordings: our count of texts is the vendor's, to the token.

The vendor of the recordings is a stand-in. Its rules for texts of gpt-4o* and text-embedding* are OpenAI's published ones.
Its rules for tools (9 + 7 each + JSON), schemas and pictures (255 whatever the detail) are its own, and so are those for
all other models (claude*, qwen*, gpt-4): they prove nothing about the real vendors, and nothing here is fitted to them.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from exporter.local import chat
from exporter.local.reading import read_local
from exporter.local.vocabulary import count
from exporter.model import Accuracy, Call, PromptMessage
from exporter.vendor.asked.counting import Counted, count_request
from exporter.vendor.asked.messages import prompt_of
from exporter.vendor.asked.parts import asked_of

SHARED = Path(os.environ.get("DIFY_EXPORTER_SHARED") or Path(__file__).parents[3] / "shared")


@pytest.mark.parametrize("name", ["vendor-calls.jsonl", "vendor-calls-1.14.0.jsonl"])
def test_prompts_of_all_recorded_gpt_4o_calls_cost_what_the_vendor_billed(
    name: str, make_call: Callable[..., Call]
) -> None:
    compared = 0
    for row in _text_calls(_log(name)):
        prompt = tuple(PromptMessage(item["role"], item["content"]) for item in row["request"]["messages"])
        reading = read_local(make_call(model=row["model"], prompt=prompt, answer=row["response_text"]))
        assert reading is not None
        assert (row["seq"], reading.tokens.input) == (row["seq"], row["usage"]["prompt_tokens"])
        assert reading.accuracy is Accuracy.EXACT
        if row["http_status"] == 200 and not row.get("sent_text"):
            assert (row["seq"], reading.tokens.output) == (row["seq"], row["usage"]["completion_tokens"])
        compared += 1
    assert compared > 120


LOGS = pytest.mark.parametrize("name", ["vendor-calls.jsonl", "vendor-calls-1.14.0.jsonl"])


@LOGS
def test_every_whole_body_whose_rule_is_openais_is_counted_to_the_token(name: str) -> None:
    compared = {"chat": 0, "embeddings": 0}
    for row in _calls(_log(name)):
        operation = "embeddings" if row["model"].startswith("text-embedding") else "chat"
        if operation == "chat" and (not _is_4o(row) or _has_parts(row)):
            continue
        found = _counted(row, operation)
        assert (row["seq"], found.input, found.accuracy) == (
            row["seq"],
            row["usage"]["prompt_tokens"],
            "exact",
        )
        compared[operation] += 1
    assert compared["chat"] > 120
    assert compared["embeddings"] >= 10


@LOGS
def test_the_messages_of_requests_with_tools_are_counted_to_the_token(name: str) -> None:
    """The stand-in's own tool rule is taken off its number; what is left are the messages, which follow OpenAI's."""
    compared = 0
    for row in _calls(_log(name)):
        tools, messages = row["request"].get("tools"), prompt_of(row["request"])
        if not _is_4o(row) or not tools or not messages or any(message.tool_calls for message in messages):
            continue
        own_rule = 9 + sum(7 + count("o200k_base", json.dumps(tool["function"])).tokens for tool in tools)
        counted = chat.count_prompt("o200k_base", chat.OPENAI, messages).tokens
        assert (row["seq"], counted) == (row["seq"], row["usage"]["prompt_tokens"] - own_rule)
        compared += 1
    assert compared >= 10


@LOGS
def test_no_body_with_tools_schema_or_picture_is_called_exact(name: str) -> None:
    seen = 0
    for row in _calls(_log(name)):
        if not _is_4o(row) or not _has_parts(row):
            continue
        found = _counted(row, "chat")
        assert found.accuracy in ("approximate", "template")
        assert found.note
        bare = {**row, "request": {"messages": row["request"]["messages"]}}
        assert (found.input or 0) > (_counted(bare, "chat").input or 0) or "picture(s)" in found.note
        assert found.output == row["usage"]["completion_tokens"]
        seen += 1
    assert seen >= 20


def _log(name: str) -> Path:
    log = SHARED / "dify" / name
    if not log.exists():
        pytest.skip(f"the recordings are not here (DIFY_EXPORTER_SHARED, looked for {name})")
    return log


def _calls(log: Path) -> Iterator[dict[str, Any]]:
    """Billed calls whose texts were not cut from the log."""
    for line in log.read_text("utf-8").splitlines():
        row = json.loads(line)
        if row["usage"] and "sha256" not in line:
            yield row


def _is_4o(row: dict[str, Any]) -> bool:
    return row["model"].startswith(("gpt-4o", "gpt-4.1"))


def _has_parts(row: dict[str, Any]) -> bool:
    request = row["request"]
    return bool(request.get("tools") or request.get("response_format") or "image_url" in json.dumps(request))


def _counted(row: dict[str, Any], operation: str) -> Counted:
    prompt = prompt_of(row["request"])
    found = count_request(row, operation, row["model"], None, prompt, asked_of(row["request"], prompt))
    assert found is not None
    return found


def _text_calls(log: Path) -> Iterator[dict[str, Any]]:
    """Billed gpt-4o and gpt-4.1 calls without tools, schemas, pictures or texts cut from the log."""
    for line in log.read_text("utf-8").splitlines():
        row = json.loads(line)
        request = row["request"]
        if (
            not row["usage"]
            or "messages" not in request
            or not row["model"].startswith(("gpt-4o", "gpt-4.1"))
        ):
            continue
        if request.get("tools") or request.get("response_format") or "sha256" in line:
            continue
        if all(isinstance(item["content"], str) for item in request["messages"]):
            yield row
