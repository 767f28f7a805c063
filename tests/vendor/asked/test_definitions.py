"""Function definitions and answer schemas as the vendors' request bodies hold them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from exporter.local.tools import Property, Schema
from exporter.vendor.asked.definitions import LONGEST_CHARS, definitions_of, schema_of
from exporter.vendor.asked.parts import asked_of

SCHEMA = {
    "type": "object",
    "properties": {
        "city": {"type": "string", "description": "The city."},
        "unit": {"type": "string", "enum": ["celsius", "fahrenheit"]},
        "days": {
            "type": "array",
            "items": {"type": "object", "properties": {"date": {"type": ["string", "null"]}}},
        },
    },
}
FUNCTION = {"name": "weather", "description": "Tells the weather.", "parameters": SCHEMA}
PLAIN = {"name": "weather", "description": "Tells the weather."}

BODIES: dict[str, dict[str, Any]] = {
    "openai": {"tools": [{"type": "function", "function": FUNCTION}]},
    "openai, old": {"functions": [FUNCTION]},
    "openai responses": {"tools": [{"type": "function", **FUNCTION}]},
    "anthropic": {"tools": [{**PLAIN, "input_schema": SCHEMA}]},
    "dashscope": {"input": {}, "parameters": {"tools": [{"type": "function", "function": FUNCTION}]}},
    "gemini": {"tools": [{"functionDeclarations": [FUNCTION]}]},
    "bedrock": {
        "toolConfig": {
            "tools": [{"toolSpec": {**PLAIN, "inputSchema": {"json": SCHEMA}}}, {"cachePoint": {}}]
        }
    },
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_a_definition_is_read_from_every_kind_of_body(body: dict[str, Any]) -> None:
    found = definitions_of(body)
    (tool,) = found.tools
    assert (tool.name, tool.description, found.unread) == ("weather", "Tells the weather.", 0)
    assert tool.properties == (
        Property("city", "string", "The city."),
        Property("unit", "string", enum=("celsius", "fahrenheit")),
        Property("days", "array", properties=(Property("date", "string|null"),)),
    )
    assert asked_of(body, None).tools == 1


@pytest.mark.parametrize(
    "tool",
    [{"type": "web_search_20250305", "name": "web_search"}, {"type": "file_search"}, {"googleSearch": {}}, 7],
)
def test_a_vendors_own_tool_is_counted_as_unread(tool: object) -> None:
    found = definitions_of({"tools": [tool]})
    assert (found.tools, found.unread) == ((), 1)


@pytest.mark.parametrize(
    ("choice", "is_forced"),
    [
        ({"tool_choice": "auto"}, False),
        ({"tool_choice": {"type": "auto"}}, False),
        ({"tool_choice": {"type": "any"}}, True),
        ({"tool_choice": {"type": "tool", "name": "weather"}}, True),
        ({"tool_choice": "required"}, True),
        ({"toolConfig": {"toolChoice": {"any": {}}}}, True),
        ({}, False),
    ],
)
def test_it_is_known_whether_a_tool_was_forced(choice: dict[str, Any], is_forced: bool) -> None:
    assert definitions_of(choice).is_forced is is_forced


def test_schemas_of_answers_are_read_and_json_mode_has_none() -> None:
    text = json.dumps(SCHEMA)
    named = {"name": "person", "schema": SCHEMA}
    for body, schema in (
        ({"response_format": {"type": "json_schema", "json_schema": named}}, Schema("person", text)),
        ({"text": {"format": {"type": "json_schema", **named}}}, Schema("person", text)),
        ({"output_config": {"format": {"type": "json_schema", "schema": SCHEMA}}}, Schema("", text)),
        ({"generationConfig": {"responseSchema": SCHEMA}}, Schema("", text)),
        ({"response_format": {"type": "json_object"}}, None),
        ({}, None),
    ):
        assert schema_of(body) == schema


def nested(levels: int) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(levels):
        schema = {"type": "object", "properties": {"inner": schema}}
    return schema


def test_definitions_without_end_are_unread_and_deep_ones_end() -> None:
    endless = {"name": "endless", "parameters": nested(100_000)}
    huge = {"name": "huge", "description": "x" * LONGEST_CHARS, "parameters": {}}
    deep = {"name": "deep", "parameters": nested(200)}
    found = definitions_of({"tools": [endless, huge, deep, FUNCTION]})
    assert [tool.name for tool in found.tools] == ["deep", "weather"]
    assert found.unread == 2
    schema = schema_of({"text": {"format": {"type": "json_schema", "schema": endless}}})
    assert schema == Schema("", "")


def test_more_definitions_than_are_read_are_counted_as_unread() -> None:
    many = [{"name": f"tool{number}", "description": "x" * 1000, "parameters": {}} for number in range(2000)]
    found = definitions_of({"tools": many})
    assert 400 < len(found.tools) < 500
    assert len(found.tools) + found.unread == 2000
