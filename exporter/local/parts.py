"""Counts what a request held besides its texts: function definitions, an answer schema, pictures.

Only a vendor's record of the request holds them; Dify's has none. Each part comes with its own trust, and a part nobody
can count is named, never guessed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from exporter.local import tools
from exporter.local.family import Family
from exporter.local.images import Image, count_images
from exporter.local.tools import Schema, Tool, ToolFormat
from exporter.model import PromptMessage


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts of a request whose body is known.

    `tools` are the function definitions that could be read, `unread_tools` how many could not (a vendor's own tools,
    definitions without end). `images` are the pictures, with their sizes where the body tells them; `media` counts all
    pictures, sounds and files. `is_schema_unread`: there is a schema that could not be read.
    """

    tools: tuple[Tool, ...] = ()
    unread_tools: int = 0
    is_tool_forced: bool = False
    schema: Schema | None = None
    is_schema_unread: bool = False
    images: tuple[Image, ...] = ()
    media: int = 0


@dataclass(frozen=True, slots=True)
class PartCount:
    """One part's tokens, None where nobody can count it, and by how many tokens they may be off."""

    name: str
    tokens: int | None
    error_tokens: float = 0.0
    sampled: bool = False


def spelled(family: Family, messages: Sequence[PromptMessage], parts: Parts) -> Sequence[PromptMessage]:
    """The messages, with the definitions among them where the family's format writes them into the system text."""
    if family.template.tools is ToolFormat.QWEN and parts.tools:
        return tools.with_qwen_tools(messages, parts.tools, family.template.default_system)
    return messages


def count_parts(family: Family, vocabulary: str, model: str, parts: Parts) -> Iterator[PartCount]:
    """The parts there are, each once, in the family's scale. `model` is the bare name. Raises `CountFailed`."""
    if parts.tools:
        yield _tools(family, vocabulary, model, parts)
    if parts.unread_tools:
        yield PartCount(f"{parts.unread_tools} tool definition(s)", None)
    if parts.schema is not None or parts.is_schema_unread:
        yield _schema(family, vocabulary, parts.schema)
    if parts.media or parts.images:
        yield from _images(model, parts)


def _tools(family: Family, vocabulary: str, model: str, parts: Parts) -> PartCount:
    name, form, fixed = f"{len(parts.tools)} tool definition(s)", family.template.tools, 0
    match form:
        case ToolFormat.OPENAI:
            found = tools.count_openai(vocabulary, parts.tools)
        case ToolFormat.MISTRAL:
            found = tools.count_mistral(vocabulary, parts.tools)
        case ToolFormat.CLAUDE:
            found = tools.count_definitions(vocabulary, parts.tools)
            fixed = tools.claude_tool_prompt(model, parts.is_tool_forced)
        case ToolFormat.QWEN:  # counted in the system text, all but the example
            found = tools.count_definitions(vocabulary, parts.tools)
            return PartCount(name, tools.QWEN_EXAMPLE, _error(found.tokens, form), found.sampled)
        case ToolFormat.UNKNOWN:
            return PartCount(name, None)
    tokens = fixed + round(found.tokens * family.scale)
    return PartCount(name, tokens, _error(tokens, form), found.sampled)


def _error(tokens: int, form: ToolFormat) -> float:
    return tokens * tools.ERROR_PCT[form] / 100


def _schema(family: Family, vocabulary: str, schema: Schema | None) -> PartCount:
    name = "the schema of the answer"
    if schema is None or family.template.tools is not ToolFormat.OPENAI:
        return PartCount(name, None)
    found = tools.count_schema(vocabulary, schema)
    tokens = round(found.tokens * family.scale)
    return PartCount(name, tokens, tokens * tools.SCHEMA_ERROR_PCT / 100, found.sampled)


def _images(model: str, parts: Parts) -> Iterator[PartCount]:
    found = count_images(model, parts.images)
    left = max(parts.media, len(parts.images)) - found.counted
    if found.counted:
        yield PartCount(f"{found.counted} picture(s)", found.tokens, found.tokens * found.error_pct / 100)
    if left:
        yield PartCount(f"{left} file(s) in the prompt", None)
