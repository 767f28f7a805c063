"""Counts whole prompts and completions: the tokens of the texts plus what a chat format puts around them.

A format is data: a `Template`, the known ones below. Pure functions over the recorded messages. What the record cannot
tell (tool schemas, files, hidden reasoning) is not guessed here; `reading` says which of it is missing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from exporter.local.arrange import arranged
from exporter.local.template import TOOL_CALL_FRAME, CallForm, Place, Template, Turn
from exporter.local.tools import ToolFormat
from exporter.local.vocabulary import Count, count
from exporter.model import PromptMessage, ToolCall

__all__ = ["TOOL_CALL_FRAME", "CallForm", "Place", "Template", "Turn", "count_completion", "count_prompt"]

ESTIMATED = CallForm()
"""A function call in a format that nobody published."""

# ── the known formats ───────────────────────────────────────────────────────────────────────────────────────

PLAIN = Template(0, 0, 0)
"""No format: completion-mode models, embeddings, and Gemini, which counts its contents without turn markers."""

OPENAI = Template(3, 4, tools=ToolFormat.OPENAI)
"""OpenAI cookbook, "How to count tokens with tiktoken": 3 per message and 1 for its role, 3 to prime the reply.
The notebook shows it equal to the API's usage for gpt-3.5, gpt-4, gpt-4o and gpt-4o-mini."""

OPENAI_0301 = replace(OPENAI, per_message=5, per_name=-1)
"""The same source for gpt-3.5-turbo-0301: 4 per message, and a name replaces the role."""

OPENAI_REASONING = replace(OPENAI, per_prompt=2)
"""One token less than `OPENAI`: fits the recorded gpt-5 prompt (18 where the cookbook formula says 19) and the
public fits of o1 and o3-mini. OpenAI publishes no formula for these models."""

_INSTRUCTIONS = Turn(4, "# Instructions\n\n", "\n\n")
HARMONY = Template(
    63,
    4,
    turns=(("system", _INSTRUCTIONS), ("developer", _INSTRUCTIONS), ("assistant", Turn(6))),
    tools=ToolFormat.OPENAI,
)
"""gpt-oss, after its published chat template: a hidden system message (identity, dates, effort, channels) of 61 tokens
and the opened reply; the system text becomes a developer message; a reply names its channel."""

CLAUDE_3 = Template(5, 2, tools=ToolFormat.CLAUDE)
CLAUDE_4_7 = Template(9, 2, tools=ToolFormat.CLAUDE)
CLAUDE_4_8 = Template(4, 2, tools=ToolFormat.CLAUDE)
"""Claude frames one user message with 7, 11 and 6 tokens and each further message with about 2 (ctok's published
checks against Anthropic's count_tokens; a public fit for the second number)."""

CHATML = Template(3, 4, before="\n")
"""`<|im_start|>role`, line break, text, `<|im_end|>`, line break."""

QWEN_2_5 = replace(
    CHATML,
    default_system="You are Qwen, created by Alibaba Cloud. You are a helpful assistant.",
    turns=(("tool", Turn(0, "\n<tool_response>\n", "\n</tool_response>")),),
    calls=CallForm(2, '\n{"name": "', '", "arguments": ', "}\n", joint="\n"),
    per_results=4,
    tools=ToolFormat.QWEN,
)
QWEN_3 = replace(
    QWEN_2_5,
    default_system="",
    drops_thoughts=True,
    turns=(("tool", Turn(3, "\n", "\n")),),
)
"""Qwen's published chat templates. From Qwen 3 on there is no default system text, the marks of tool results are
special tokens, and the thoughts of earlier turns are left out."""

QWEN_VL = replace(QWEN_2_5, default_system="You are a helpful assistant.")
"""Qwen2-VL and Qwen2.5-VL have another default system text."""

LLAMA_2 = Template(
    0,
    1,
    turns=(("user", Turn(1, "[INST] ", " [/INST]")), ("assistant", Turn(1, "", " "))),
    place=Place.FIRST_USER,
    system_around=("<<SYS>>\n", "\n<</SYS>>\n\n"),
    is_trimmed=True,
)
"""Llama 2: the marks are words of the text."""

LLAMA_3 = Template(5, 5, is_trimmed=True)
"""Llama 3, 3.1 and later as most hosts serve them, and Llama 4, whose marks have other names."""

LLAMA_3_DATED = replace(
    LLAMA_3, preamble="Cutting Knowledge Date: December 2023\nToday Date: 26 Jul 2024\n\n"
)
"""Llama 3.1 to 3.3 with Meta's full template, which dates every prompt in a system message (25 tokens more)."""

DEEPSEEK = Template(
    2,
    1,
    turns=(("system", Turn(0)), ("assistant", Turn(2)), ("tool", Turn(2))),
    calls=CallForm(4, "", "\n```json\n", "\n```"),
    per_results=1,
)
"""DeepSeek V3: the system text stands bare at the start."""

DEEPSEEK_V3_1 = replace(
    DEEPSEEK, per_prompt=3, turns=(("system", Turn(0)), ("assistant", Turn(3)), ("tool", Turn(2)))
)
"""DeepSeek V3.1 and later open and repeat every reply with one token that ends (or begins) its thoughts."""

DEEPSEEK_R1 = replace(DEEPSEEK, per_prompt=4, drops_thoughts=True)
"""DeepSeek R1 opens its reply with a begun thought, and leaves out the thoughts of earlier turns."""

MISTRAL = Template(
    1,
    2,
    turns=(("assistant", Turn(1)), ("tool", Turn(2, '{"content": "', '", "call_id": "abc123def"}'))),
    place=Place.LAST_USER,
    calls=CallForm(2, '{"name": "', '", "arguments": ', '"}', before_id=', "id": "'),
    tools=ToolFormat.MISTRAL,
)
"""Mistral's formats v2 and v3, sentencepiece and tekken: the system text precedes the last user's words.
A result repeats the id of its call, nine letters and digits, for which some stand here."""

MISTRAL_V1 = Template(
    1, 0, turns=(("user", Turn(0, "[INST] ", " [/INST]")), ("assistant", Turn(1))), place=Place.FIRST_USER
)
"""Mistral 7B v0.1/0.2 and Mixtral 8x7B: the marks are words of the text."""

MISTRAL_V7 = replace(MISTRAL, place=Place.OWN, turns=(("assistant", Turn(1)), ("tool", Turn(8))))
"""Mistral's formats from v7 on (Large 2411, Small 3, Medium 3 and later): the system text has its own marks."""

GEMMA = Template(4, 5, place=Place.FIRST_USER, is_trimmed=True)
"""Gemma 2 and 3 have no system role: the text precedes the first user's words."""

COMMAND_R = Template(3, 3)

GLM_4 = Template(3, 1, before="\n")
"""GLM-4: `[gMASK]<sop>`, then `<|role|>`, line break, text."""

KIMI = Template(3, 4, default_system="You are Kimi, an AI assistant created by Moonshot AI.")
"""Kimi K2's published chat template, which inserts a system text where there is none."""


# ── counting ────────────────────────────────────────────────────────────────────────────────────────────────


def count_prompt(vocabulary: str, template: Template, messages: Sequence[PromptMessage]) -> Count:
    """Tokens of a prompt. Raises `CountFailed`.

    Function calls of earlier assistant turns count as the format spells them; Dify repeats them on the tool's answer,
    where the request holds only an id, so there they are left out.
    """
    turns = dict(template.turns)
    default = Turn(template.per_message, template.before)
    tokens, sampled, previous = template.per_prompt, False, None
    for message in arranged(template, messages):
        turn = turns.get(message.role, default)
        asked = message.tool_calls if message.role == "assistant" else ()
        joint = template.calls.joint if asked and message.text else ""
        text = count(vocabulary, turn.before + message.text + joint + turn.after)
        tokens += turn.tokens + text.tokens
        sampled |= text.sampled
        if asked or message.name:
            added = _sum(*_added(vocabulary, template, message.name, asked))
            tokens += added.tokens
            sampled |= added.sampled
        if message.role == "tool" != previous:
            tokens += template.per_results
        previous = message.role
    return Count(tokens, sampled)


def count_completion(
    vocabulary: str,
    answer: str | None,
    reasoning: str | None = None,
    tool_calls: Sequence[ToolCall] = (),
    calls: CallForm = ESTIMATED,
) -> Count:
    """Tokens of what the model produced: answer, reasoning text and function calls. Raises `CountFailed`.

    The end-of-turn token is left out: recorded gpt-4o-mini answers are billed one token more than their text,
    recorded gpt-4o-2024-05-13 answers are not.
    """
    parts = [count(vocabulary, text) for text in (answer, reasoning) if text]
    parts.extend(_call(vocabulary, calls, call) for call in tool_calls)
    return parts[0] if len(parts) == 1 else _sum(*parts)


def _added(
    vocabulary: str, template: Template, name: str | None, asked: Sequence[ToolCall]
) -> Iterator[Count]:
    """What a message's name and function calls add."""
    if name:
        yield Count(template.per_name)
        yield count(vocabulary, name)
    for place, call in enumerate(asked):
        yield _call(vocabulary, template.calls, call)
        if place and template.calls.joint:
            yield count(vocabulary, template.calls.joint)


def _call(vocabulary: str, form: CallForm, call: ToolCall) -> Count:
    if not form.between:
        return _sum(count(vocabulary, call.name), count(vocabulary, call.arguments), Count(form.tokens))
    identity = f"{form.before_id}{call.id or ''}" if form.before_id else ""
    spelled = f"{form.before}{call.name}{form.between}{call.arguments}{identity}{form.after}"
    return _sum(count(vocabulary, spelled), Count(form.tokens))


def _sum(*counts: Count) -> Count:
    return Count(sum(each.tokens for each in counts), any(each.sampled for each in counts))
