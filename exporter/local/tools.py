"""Counts function definitions and answer schemas, which vendors write into the prompt in ways of their own.

OpenAI's count is the cookbook's formula, Claude's is Anthropic's documented system prompt plus the definitions, Qwen's
and Mistral's are their published templates. For every other format there is no honest number, and None says so.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from exporter.local.vocabulary import Count, count
from exporter.model import PromptMessage


class ToolFormat(StrEnum):
    """Who writes the function definitions into the prompt, and how."""

    OPENAI = "openai"
    CLAUDE = "claude"
    QWEN = "qwen"
    MISTRAL = "mistral"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Property:
    """One parameter of a function; `properties` are those of an object, or of the objects in a list."""

    name: str
    kind: str = ""
    description: str = ""
    enum: tuple[str, ...] = ()
    properties: tuple[Property, ...] = ()


@dataclass(frozen=True, slots=True)
class Tool:
    """One function definition; `text` is its JSON as the request held it."""

    name: str
    description: str = ""
    properties: tuple[Property, ...] = ()
    text: str = ""


ERROR_PCT = {ToolFormat.OPENAI: 10.0, ToolFormat.CLAUDE: 20.0, ToolFormat.QWEN: 5.0, ToolFormat.MISTRAL: 10.0}
"""By how many percent the tokens of the definitions may be off. OpenAI's formula equals the API for flat schemas (two
published checks) and is off elsewhere; Anthropic publishes only the system prompt; hosts may alter a published template."""

SCHEMA_ERROR_PCT = 20.0


# ── OpenAI ──────────────────────────────────────────────────────────────────────────────────────────────────

_PER_TOOL = {"cl100k_base": 10}
_PER_TOOL_OTHERWISE = 7
_PER_PROPERTIES, _PER_PROPERTY, _PER_ENUM, _PER_ITEM, _AT_END = 3, 3, -3, 3, 12


def count_openai(vocabulary: str, tools: Sequence[Tool]) -> Count:
    """The OpenAI cookbook's `num_tokens_for_tools`: 7 per function (10 for gpt-3.5 and gpt-4) and its name and
    description, 3 if it has parameters and 3 per parameter, enumerations, 12 at the end. Raises `CountFailed`.

    The cookbook knows flat parameters only; those inside objects and lists are counted the same way.
    """
    tokens = _AT_END if tools else 0
    sampled = False
    for tool in tools:
        tokens += _PER_TOOL.get(vocabulary, _PER_TOOL_OTHERWISE)
        for part in (
            _line(vocabulary, tool.name, tool.description),
            *_openai_properties(vocabulary, tool.properties),
        ):
            tokens += part.tokens
            sampled |= part.sampled
    return Count(tokens, sampled)


def _openai_properties(vocabulary: str, properties: Sequence[Property]) -> Iterator[Count]:
    if properties:
        yield Count(_PER_PROPERTIES)
    for each in properties:
        yield Count(_PER_PROPERTY + (_PER_ENUM if each.enum else 0))
        for item in each.enum:
            yield Count(_PER_ITEM)
            yield count(vocabulary, item)
        yield _line(vocabulary, each.name, each.kind, each.description)
        yield from _openai_properties(vocabulary, each.properties)


def _line(vocabulary: str, *words: str) -> Count:
    return count(vocabulary, ":".join(words).removesuffix("."))


# ── Claude ──────────────────────────────────────────────────────────────────────────────────────────────────

_TOOL_PROMPTS: tuple[tuple[re.Pattern[str], tuple[int, int]], ...] = (
    (re.compile(r"claude-(3-opus|opus-3)"), (530, 281)),
    (re.compile(r"claude-(3-sonnet|sonnet-3(?![-.]\d))"), (159, 235)),
    (re.compile(r"claude-(3-haiku|3[-.]5-haiku|haiku-3)"), (264, 340)),
    (re.compile(r"claude"), (346, 313)),
)
"""Anthropic, "Tool use: pricing": tokens of the system prompt that enables tools, with tool_choice auto (or none) and
with any (or a named tool). Models after the table's last are taken to be like it."""


def claude_tool_prompt(model: str, is_forced: bool) -> int:
    """Tokens of the system prompt that Anthropic adds to a request with tools; `model` by its bare name."""
    return next((tokens for pattern, tokens in _TOOL_PROMPTS if pattern.search(model)), (346, 313))[is_forced]


def count_definitions(vocabulary: str, tools: Sequence[Tool]) -> Count:
    """The definitions as JSON, one per line, as Anthropic and most published templates hand them to the model. Raises
    `CountFailed`."""
    return count(vocabulary, "\n".join(tool.text for tool in tools))


# ── published templates ─────────────────────────────────────────────────────────────────────────────────────

_QWEN_BEFORE = (
    "# Tools\n\nYou may call one or more functions to assist with the user query.\n\nYou are provided with function"
    " signatures within <tools></tools> XML tags:\n<tools>"
)
_QWEN_AFTER = (
    "\n</tools>\n\nFor each function call, return a json object with function name and arguments within "
)
QWEN_EXAMPLE = 23
"""Tokens of the example call at the end, whose marks are special tokens."""


def with_qwen_tools(
    messages: Sequence[PromptMessage], tools: Sequence[Tool], default_system: str
) -> tuple[PromptMessage, ...]:
    """The messages with the definitions at the end of the system text, as Qwen's chat template writes them."""
    has_system = bool(messages) and messages[0].role == "system"
    system = messages[0] if has_system else PromptMessage("system", default_system)
    spelled = "".join(f"\n{tool.text}" for tool in tools)
    between = "\n\n" if system.text or has_system else ""
    text = f"{system.text}{between}{_QWEN_BEFORE}{spelled}{_QWEN_AFTER}"
    return (replace(system, text=text), *messages[1 if has_system else 0 :])


def count_mistral(vocabulary: str, tools: Sequence[Tool]) -> Count:
    """`[AVAILABLE_TOOLS]`, the definitions as one JSON list, `[/AVAILABLE_TOOLS]`. Raises `CountFailed`."""
    listed = count(vocabulary, "[" + ", ".join(tool.text for tool in tools) + "]")
    return Count(listed.tokens + 2, listed.sampled)


# ── schemas ─────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Schema:
    """The JSON schema that an answer was asked to follow; `text` is its JSON."""

    name: str
    text: str


def count_schema(vocabulary: str, schema: Schema) -> Count:
    """A schema as OpenAI's published harmony format writes it: a heading, its name, its JSON. Raises `CountFailed`."""
    return count(vocabulary, f"# Response Formats\n\n## {schema.name}\n\n{schema.text}")
