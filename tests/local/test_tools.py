"""Function definitions: equal to what OpenAI's API reported, and honest where a vendor publishes less."""

from __future__ import annotations

import json
from typing import Any

import pytest

from exporter.local import chat, tools
from exporter.local.families import family
from exporter.local.parts import Parts, count_parts
from exporter.local.tools import Property, Schema, Tool
from exporter.local.vocabulary import count
from exporter.model import PromptMessage
from exporter.vendor.asked.definitions import definitions_of

CITY = Property("city", "string", "The city.")


@pytest.mark.parametrize(
    ("model", "tokens"), [("gpt-3.5-turbo", 105), ("gpt-4", 105), ("gpt-4o", 101), ("gpt-4o-mini", 101)]
)
def test_the_cookbooks_tools_cost_what_the_api_reported(
    model: str, tokens: int, openai_chat: list[dict[str, Any]]
) -> None:
    row = next(row for row in openai_chat if row["id"] == "cookbook-tools")
    assert row["api_prompt_tokens"][model] == tokens
    found = family(model)
    assert found.vocabulary is not None
    messages = tuple(PromptMessage(item["role"], item["content"]) for item in row["messages"])
    defined = definitions_of({"tools": row["tools"]}).tools
    counted = chat.count_prompt(found.vocabulary, found.template, messages).tokens
    assert counted + tools.count_openai(found.vocabulary, defined).tokens == tokens


def test_no_tools_cost_nothing_and_every_further_one_more() -> None:
    none, one, two = (
        tools.count_openai("o200k_base", [Tool("look", "Looks.")] * number).tokens for number in (0, 1, 2)
    )
    assert none == 0
    assert two - one == 7 + count("o200k_base", "look:Looks").tokens
    assert one == 12 + two - one


def test_parameters_inside_objects_and_lists_are_counted_too() -> None:
    flat = tools.count_openai("o200k_base", [Tool("go", "", (CITY,))]).tokens
    nested = tools.count_openai(
        "o200k_base", [Tool("go", "", (Property("trip", "object", "", (), (CITY,)),))]
    ).tokens
    assert nested - flat == 3 + 3 + count("o200k_base", "trip:object:").tokens


@pytest.mark.parametrize(
    ("model", "auto", "forced"),
    [
        ("claude-3-opus-20240229", 530, 281),
        ("claude-3-sonnet-20240229", 159, 235),
        ("claude-3-haiku-20240307", 264, 340),
        ("claude-3-5-haiku-20241022", 264, 340),
        ("claude-3-7-sonnet-20250219", 346, 313),
        ("claude-sonnet-4-5-20250929", 346, 313),
        ("claude-opus-4-6", 346, 313),
    ],
)
def test_anthropics_documented_system_prompt_for_tools_is_added(model: str, auto: int, forced: int) -> None:
    assert tools.claude_tool_prompt(model, is_forced=False) == auto
    assert tools.claude_tool_prompt(model, is_forced=True) == forced
    found = family(model)
    assert found.vocabulary is not None
    defined = (Tool("look", "Looks.", text='{"name": "look", "description": "Looks.", "input_schema": {}}'),)
    (part,) = count_parts(found, found.vocabulary, model, Parts(tools=defined))
    text = round(count(found.vocabulary, defined[0].text).tokens * found.scale)
    assert part.tokens == auto + text
    assert part.error_tokens == pytest.approx(0.2 * (auto + text))


def test_a_format_that_nobody_published_has_no_number_for_tools_and_schemas() -> None:
    for model in ("gemini-2.5-pro", "llama-3-70b", "an-unknown-model"):
        found = family(model)
        assert found.vocabulary is not None
        parts = Parts(tools=(Tool("look", text="{}"),), unread_tools=1, schema=Schema("answer", "{}"))
        assert [part.tokens for part in count_parts(found, found.vocabulary, model, parts)] == [
            None,
            None,
            None,
        ]


def test_an_answer_schema_counts_its_name_and_its_json() -> None:
    text = json.dumps({"type": "object", "properties": {"name": {"type": "string"}}})
    found = family("gpt-4o")
    (part,) = count_parts(found, "o200k_base", "gpt-4o", Parts(schema=Schema("person", text)))
    assert part.tokens is not None
    assert part.tokens > count("o200k_base", text).tokens
    assert part.error_tokens > 0
