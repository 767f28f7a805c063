"""Counts whole prompts and completions: the tokens of the texts plus what a chat format puts around them.

Pure functions over the recorded messages. What the record cannot tell (tool schemas, files, hidden reasoning) is
not guessed here; `reading` says which of it is missing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from exporter.local.vocabulary import Count, count
from exporter.model import PromptMessage, ToolCall

TOOL_CALL_FRAME = 6
"""Tokens around the name and arguments of one function call; vendors publish none, so this is an estimate."""


@dataclass(frozen=True, slots=True)
class Template:
    """Tokens a chat format adds: per prompt, per message (its role word included) and per named message."""

    per_prompt: int
    per_message: int
    per_name: int = 1


PLAIN = Template(0, 0, 0)
"""No format: completion-mode models, embeddings, and Gemini, which counts its contents without turn markers."""

OPENAI = Template(3, 4)
"""OpenAI cookbook, "How to count tokens with tiktoken": 3 per message and 1 for its role, 3 to prime the reply.
The notebook shows it equal to the API's usage for gpt-3.5, gpt-4, gpt-4o and gpt-4o-mini."""

OPENAI_0301 = Template(3, 5, -1)
"""The same source for gpt-3.5-turbo-0301: 4 per message, and a name replaces the role."""

OPENAI_REASONING = Template(2, 4)
"""One token less than `OPENAI`: fits the recorded gpt-5 prompt (18 where the cookbook formula says 19) and the
public fits of o1 and o3-mini. OpenAI publishes no formula for these models."""

HARMONY = Template(69, 4)
"""gpt-oss: the hidden system message of the harmony format is 65 to 70 tokens long."""

CLAUDE_3 = Template(5, 2)
CLAUDE_4_7 = Template(9, 2)
CLAUDE_4_8 = Template(4, 2)
"""Claude frames one user message with 7, 11 and 6 tokens and each further message with about 2 (ctok's published
checks against Anthropic's count_tokens; a public fit for the second number)."""

CHATML = Template(3, 5)
LLAMA_3 = Template(5, 5)
DEEPSEEK = Template(2, 1)
MISTRAL = Template(1, 2)
COMMAND_R = Template(3, 3)
GLM_4 = Template(3, 2)
KIMI = Template(3, 4)
"""Overheads of the chat templates that ship with the open vocabularies, as straight lines."""


def count_prompt(vocabulary: str, template: Template, messages: Sequence[PromptMessage]) -> Count:
    """Tokens of a prompt. Raises `CountFailed`.

    Function calls of earlier assistant turns count as name + arguments + `TOOL_CALL_FRAME`; Dify repeats them on
    the tool's answer, where the request holds only an id, so there they are left out.
    """
    tokens, sampled = template.per_prompt, False
    for message in messages:
        text = count(vocabulary, message.text)
        tokens += template.per_message + text.tokens
        sampled |= text.sampled
        if message.name:
            tokens += template.per_name + count(vocabulary, message.name).tokens
        if message.tool_calls and message.role == "assistant":
            calls = _count_tool_calls(vocabulary, message.tool_calls)
            tokens += calls.tokens
            sampled |= calls.sampled
    return Count(tokens, sampled)


def count_completion(
    vocabulary: str, answer: str | None, reasoning: str | None = None, tool_calls: Sequence[ToolCall] = ()
) -> Count:
    """Tokens of what the model produced: answer, reasoning text and function calls. Raises `CountFailed`.

    The end-of-turn token is left out: recorded gpt-4o-mini answers are billed one token more than their text,
    recorded gpt-4o-2024-05-13 answers are not.
    """
    parts = [count(vocabulary, text) for text in (answer, reasoning) if text]
    if tool_calls:
        parts.append(_count_tool_calls(vocabulary, tool_calls))
    return parts[0] if len(parts) == 1 else _sum(*parts)


def _count_tool_calls(vocabulary: str, calls: Iterable[ToolCall]) -> Count:
    return _sum(
        *(
            _sum(count(vocabulary, call.name), count(vocabulary, call.arguments), Count(TOOL_CALL_FRAME))
            for call in calls
        )
    )


def _sum(*counts: Count) -> Count:
    return Count(sum(each.tokens for each in counts), any(each.sampled for each in counts))
