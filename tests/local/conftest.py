"""Truth and builders shared by the tests of the local reading."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from exporter.model import Call, PromptMessage, Recorded, Status, Tokens

DATA = Path(__file__).parents[1] / "data" / "tokenizers"


def read_lines(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (DATA / name).read_text("utf-8").splitlines()]


@pytest.fixture(scope="session")
def texts() -> dict[str, str]:
    return {row["id"]: row["text"] for row in read_lines("texts.jsonl")}


@pytest.fixture(scope="session")
def true_counts() -> list[tuple[str, str, int]]:
    """(text id, vocabulary, tokens)"""
    return [(row["id"], row["family"], row["n"]) for row in read_lines("counts.jsonl")]


@pytest.fixture(scope="session")
def openai_chat() -> list[dict[str, Any]]:
    return read_lines("openai_chat.jsonl")


@pytest.fixture(scope="session")
def openai_completions() -> list[dict[str, Any]]:
    return read_lines("openai_completions.jsonl")


@pytest.fixture
def make_call() -> Callable[..., Call]:
    """A finished gpt-4o-mini chat call; every field can be overridden. `recorded` may be (input, output)."""

    def make(**fields: Any) -> Call:
        recorded = fields.pop("recorded", None)
        if isinstance(recorded, tuple):
            recorded = Recorded(Tokens(*recorded), "messages", sum(recorded))
        prompt = fields.pop("prompt", ("user", "Hello"))
        if isinstance(prompt, tuple) and prompt and isinstance(prompt[0], str):
            prompt = tuple(
                PromptMessage(role, text) for role, text in zip(prompt[::2], prompt[1::2], strict=True)
            )
        values: dict[str, Any] = {
            "call_id": "message:1",
            "kind": "chat",
            "provider": "openai",
            "model": "gpt-4o-mini",
            "started_at": 0,
            "ended_at": 1,
            "status": Status.OK,
            "answer": "Hi there",
        }
        return Call(recorded=recorded, prompt=prompt, **{**values, **fields})

    return make
