"""The function definitions and the answer schema in a vendor's request body, as plain data.

Reads the bodies of OpenAI chat and responses, Anthropic, DashScope, Gemini and Bedrock Converse. Bounded: what is too
large or nested without end is counted as unread, and nothing raises. Keeps nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from exporter.local.tools import Property, Schema, Tool

LONGEST_CHARS = 500_000
"""JSON of all definitions of one request that is still read; real ones have some thousand characters."""

DEEPEST = 32

_OPTIONS = ("anyOf", "oneOf", "allOf")


@dataclass(frozen=True, slots=True)
class Definitions:
    """The definitions that could be read, how many could not, and whether the model was made to call one."""

    tools: tuple[Tool, ...] = ()
    unread: int = 0
    is_forced: bool = False


def definitions_of(request: Mapping[str, Any]) -> Definitions:
    """The function definitions of a request body, in order."""
    read, unread, room = [], 0, LONGEST_CHARS
    for item in definitions_in(request):
        tool = _tool(item, room)
        if tool is None:
            unread += 1
        else:
            read.append(tool)
            room -= len(tool.text)
    return Definitions(tuple(read), unread, _is_forced(request))


def definitions_in(request: Mapping[str, Any]) -> Iterator[object]:
    """Each definition as the body holds it; Gemini's lists of declarations are taken apart."""
    for item in _listed(request):
        declared = (
            _first(item, "functionDeclarations", "function_declarations")
            if isinstance(item, Mapping)
            else None
        )
        if isinstance(declared, list):
            yield from declared
        elif not (isinstance(item, Mapping) and "cachePoint" in item):
            yield item


def schema_of(request: Mapping[str, Any]) -> Schema | None:
    """The JSON schema that the answer has to follow, None where there is none; its text is empty where it could not be
    read."""
    for place in _places(request, "parameters", "text", "generationConfig", "output_config"):
        form = _first(place, "response_format", "format", "output_format")
        if isinstance(form, Mapping) and form.get("type") == "json_schema":
            inner = form.get("json_schema")
            named = inner if isinstance(inner, Mapping) else form
            return Schema(_word(named.get("name")), _json(named.get("schema"), LONGEST_CHARS) or "")
        given = _first(place, "responseSchema", "responseJsonSchema", "response_schema")
        if given:
            return Schema("", _json(given, LONGEST_CHARS) or "")
    return None


def _listed(request: Mapping[str, Any]) -> list[object]:
    for place in _places(request, "parameters", "toolConfig"):
        given = _first(place, "tools", "functions")
        if isinstance(given, list):
            return given
    return []


def _is_forced(request: Mapping[str, Any]) -> bool:
    for place in _places(request, "toolConfig"):
        choice = _first(place, "tool_choice", "toolChoice")
        if isinstance(choice, Mapping):
            return choice.get("type") in ("any", "tool", "function") or bool({"any", "tool"} & choice.keys())
        if choice is not None:
            return choice == "required"
    return False


def _tool(item: object, room: int) -> Tool | None:
    """One definition, or None for a vendor's own tool (which has no parameters of its own) and for what is too large."""
    if not isinstance(item, Mapping) or room <= 0:
        return None
    inner = _first(item, "function", "toolSpec")
    function = inner if isinstance(inner, Mapping) else item
    name, schema = function.get("name"), _schema(function)
    if not isinstance(name, str) or (
        schema is None and function.get("type") not in (None, "function", "custom")
    ):
        return None
    text = _json(item, room)
    if text is None:
        return None
    return Tool(name, _word(function.get("description")), tuple(_properties(schema or {}, DEEPEST)), text)


def _schema(function: Mapping[str, Any]) -> Mapping[str, Any] | None:
    given = _first(function, "parameters", "input_schema", "inputSchema", "parametersJsonSchema")
    if isinstance(given, Mapping):
        inner = given.get("json")
        return inner if isinstance(inner, Mapping) else given
    return None


def _properties(schema: Mapping[str, Any], depth: int) -> Iterator[Property]:
    found = schema.get("properties")
    for name, given in found.items() if isinstance(found, Mapping) and depth else ():
        rule = given if isinstance(given, Mapping) else {}
        enum = rule.get("enum")
        yield Property(
            name=str(name),
            kind=_kind(rule),
            description=_word(rule.get("description")),
            enum=tuple(_word(item) for item in enum) if isinstance(enum, list) else (),
            properties=tuple(_inside(rule, depth - 1)),
        )


def _inside(rule: Mapping[str, Any], depth: int) -> Iterator[Property]:
    """The parameters of an object, of the objects in a list, and of alternatives."""
    yield from _properties(rule, depth)
    places = [rule.get("items"), *(option for name in _OPTIONS for option in _options(rule, name))]
    for place in places:
        if isinstance(place, Mapping) and depth:
            yield from _inside(place, depth - 1)


def _kind(rule: Mapping[str, Any]) -> str:
    kinds = rule.get("type")
    if kinds is None:
        kinds = [option.get("type") for option in _options(rule, "anyOf") if isinstance(option, Mapping)]
    return "|".join(_word(kind) for kind in kinds) if isinstance(kinds, list) else _word(kinds)


def _options(rule: Mapping[str, Any], name: str) -> list[object]:
    given = rule.get(name)
    return given if isinstance(given, list) else []


def _places(request: Mapping[str, Any], *names: str) -> Iterator[Mapping[str, Any]]:
    yield request
    for name in names:
        place = request.get(name)
        if isinstance(place, Mapping):
            yield place


def _first(place: Mapping[str, Any], *names: str) -> object:
    return next((place[name] for name in names if place.get(name) is not None), None)


def _word(value: object) -> str:
    if isinstance(value, str):
        return value
    return str(value) if isinstance(value, int | float) else ""


def _json(value: object, room: int) -> str | None:
    """The value as JSON, None where it has none, is nested without end or longer than `room`."""
    try:
        text = json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError):
        return None
    return text if len(text) <= room else None
