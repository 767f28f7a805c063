"""Prompts and completions against numbers that OpenAI's API reported."""

from __future__ import annotations

from typing import Any

import pytest

from exporter.local import chat
from exporter.local.families import family
from exporter.local.vocabulary import count
from exporter.model import PromptMessage, ToolCall


def messages_of(row: dict[str, Any]) -> tuple[PromptMessage, ...]:
    return tuple(
        PromptMessage(item["role"], item["content"], name=item.get("name")) for item in row["messages"]
    )


@pytest.mark.parametrize(
    ("model", "tokens"),
    [("gpt-3.5-turbo", 129), ("gpt-4-0613", 129), ("gpt-4", 129), ("gpt-4o", 124), ("gpt-4o-mini", 124)],
)
def test_the_cookbooks_messages_cost_what_the_api_reported(
    model: str, tokens: int, openai_chat: list[dict[str, Any]]
) -> None:
    row = next(row for row in openai_chat if row["id"] == "cookbook-messages")
    assert row["api_prompt_tokens"][model] == tokens
    found = family(model)
    assert found.vocabulary is not None
    assert chat.count_prompt(found.vocabulary, found.template, messages_of(row)).tokens == tokens


def test_every_recorded_prompt_without_tools_costs_what_the_api_reported(
    openai_chat: list[dict[str, Any]],
) -> None:
    seen = 0
    for row in openai_chat:
        if row["tools"]:
            continue
        for model, tokens in row["api_prompt_tokens"].items():
            found = family(model)
            assert found.vocabulary is not None
            assert chat.count_prompt(found.vocabulary, found.template, messages_of(row)).tokens == tokens
            seen += 1
    assert seen == 6


def test_recorded_completions_are_the_text_or_one_token_more(
    openai_completions: list[dict[str, Any]],
) -> None:
    """The end-of-turn token is billed by some snapshots; reasoning models add a frame, so they are a lower bound."""
    for row in openai_completions:
        counted = chat.count_completion("o200k_base", row["text"]).tokens
        assert counted == row["content_o200k"]
        billed = row["api_output_tokens"] - counted
        assert billed in (0, 1) if row["model"].startswith("gpt-4o") else billed >= 0


def test_the_recorded_gpt_5_prompt_is_met(openai_completions: list[dict[str, Any]]) -> None:
    row = next(row for row in openai_completions if row["model"] == "gpt-5")
    messages = messages_of({"messages": row["prompt"]})
    found = family("gpt-5")
    assert chat.count_prompt("o200k_base", found.template, messages).tokens == row["api_prompt_tokens"] == 18


@pytest.mark.parametrize("role", ["system", "user", "assistant", "tool", "developer", "function"])
def test_a_role_is_one_token_as_the_formula_assumes(role: str) -> None:
    assert count("cl100k_base", role).tokens == count("o200k_base", role).tokens == 1


def test_the_first_gpt_3_5_snapshot_frames_messages_with_one_token_more() -> None:
    messages = (PromptMessage("user", "Hello"), PromptMessage("user", "Hello", name="Anna"))
    older = chat.count_prompt("cl100k_base", family("gpt-3.5-turbo-0301").template, messages).tokens
    newer = chat.count_prompt("cl100k_base", family("gpt-3.5-turbo-0613").template, messages).tokens
    assert older - newer == 2 * 1 - 2  # cookbook: 4 instead of 3 a message, a name -1 instead of +1


def test_function_calls_of_the_assistant_count_and_dify_repeating_them_on_the_result_does_not() -> None:
    asked = ToolCall("call_1", "get_weather", '{"city": "Oslo"}')
    bare = (PromptMessage("assistant", ""), PromptMessage("tool", "sunny"))
    asking = (PromptMessage("assistant", "", (asked,)), PromptMessage("tool", "sunny"))
    repeated = (PromptMessage("assistant", "", (asked,)), PromptMessage("tool", "sunny", (asked,)))
    without, once, twice = (
        chat.count_prompt("o200k_base", chat.OPENAI, messages).tokens for messages in (bare, asking, repeated)
    )
    text = count("o200k_base", asked.name).tokens + count("o200k_base", asked.arguments).tokens
    assert once == without + text + chat.TOOL_CALL_FRAME
    assert twice == once


def test_a_sampled_text_makes_the_whole_prompt_sampled() -> None:
    long_text = "word " * 1_000_000
    assert chat.count_prompt("o200k_base", chat.OPENAI, (PromptMessage("user", long_text),)).sampled
    assert not chat.count_prompt("o200k_base", chat.OPENAI, (PromptMessage("user", "short"),)).sampled
