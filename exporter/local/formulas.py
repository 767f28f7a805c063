"""The formulas by which Dify's model plugins estimate tokens, and the test whether a record was made by one.

An estimate is recognised by computing what the plugin would have computed and finding both recorded numbers equal.
Nothing here consults the provider table beyond the question which formulas a plugin uses.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum

from exporter.local import chat
from exporter.local.families import Family, Reasoning, family
from exporter.local.providers import Fallback, Source, provider_of
from exporter.local.vocabulary import CountFailed, count
from exporter.model import Call, PromptMessage

GPT2_LIMIT_CHARS = 100_000


class Formula(StrEnum):
    """How a plugin estimated."""

    GPT2_FIRST_MESSAGE = "gpt2_first_message"
    GPT2_ALL_MESSAGES = "gpt2_all_messages"
    FIVE_PER_CHARACTER = "five_per_character"
    OPENAI_MESSAGES = "openai_messages"
    OPENAI_JOINED = "openai_joined"


def recognise_estimate(call: Call) -> Formula | None:
    """The formula whose result equals the recorded numbers, or None. Only formulas that this provider uses are
    tried; a provider that is not in the table is tried for the SDK's GPT-2 formulas, which most plugins inherit."""
    recorded = call.recorded
    if recorded is None or recorded.tokens.input is None or recorded.tokens.output is None:
        return None
    provider = provider_of(call.provider, call.kind)
    try:
        for formula, matches in _FORMULAS[provider.fallback if provider else Fallback.GPT2].items():
            if matches(call, recorded.tokens.input, recorded.tokens.output):
                return formula
    except CountFailed:
        return None
    return None


# ── GPT-2 formulas (SDK: OAICompatLargeLanguageModel and AIModel._get_num_tokens_by_gpt2) ───────────────────


def _gpt2(text: str) -> int:
    """The SDK's counter: GPT-2 tokens, but the number of characters from 100,000 characters on."""
    return len(text) if len(text) >= GPT2_LIMIT_CHARS else count("r50k_base", text).tokens


def _is_gpt2_of_first_message(call: Call, prompt_tokens: int, completion_tokens: int) -> bool:
    """Streams without usage: the first message alone, and the answer.

    A ReAct agent stores its answer without the frame that was counted. So where usage depends on the server and
    there is more than one message (a vendor counts them all), the prompt alone is proof enough.
    """
    if not call.prompt or prompt_tokens != _gpt2(call.prompt[0].text):
        return False
    answer_tokens = _gpt2(call.answer or "")
    if completion_tokens == answer_tokens:
        return True
    provider = provider_of(call.provider, call.kind)
    depends_on_server = provider is not None and provider.source is Source.IF_SENT
    return depends_on_server and len(call.prompt) > 1 and completion_tokens > answer_tokens > 0


def _is_gpt2_of_all_messages(call: Call, prompt_tokens: int, completion_tokens: int) -> bool:
    """Blocking calls without usage in newer plugins: every message with its role, 3 each, and 3 more."""
    if not call.prompt or completion_tokens != _gpt2(call.answer or ""):
        return False
    return prompt_tokens == 3 + sum(
        3 + _gpt2(message.role) + _gpt2(message.text) + (1 + _gpt2(message.name) if message.name else 0)
        for message in call.prompt
    )


def _is_five_per_character(call: Call, prompt_tokens: int, completion_tokens: int) -> bool:
    """The SDK's mix-up: the model's name is counted, and each character of the text as a tool."""
    if not (call.prompt and call.model and call.answer):
        return False
    name_tokens = _gpt2(call.model)
    expected = (name_tokens + 5 * len(call.prompt[0].text), name_tokens + 5 * len(call.answer))
    return (prompt_tokens, completion_tokens) == expected


# ── OpenAI formulas (plugins openai and azure_openai) ───────────────────────────────────────────────────────


def _is_openai_of_messages(call: Call, prompt_tokens: int, completion_tokens: int) -> bool:
    """Plugins openai before 1.0 and azure_openai: the cookbook formula for the prompt, and for the answer as if it
    were a prompt of one message. For plain text the prompt equals the vendor's, so the completion is the tell."""
    model = family(call.model, call.provider)
    if not _is_recognisable(call, model) or model.vocabulary is None or not call.prompt or not call.answer:
        return False
    answer = PromptMessage("assistant", call.answer)
    if completion_tokens != chat.count_prompt(model.vocabulary, chat.OPENAI, (answer,)).tokens:
        return False
    counted = chat.count_prompt(model.vocabulary, chat.OPENAI, call.prompt).tokens
    if call.missing or any(message.media or message.tool_calls for message in call.prompt):
        return model.reasoning is Reasoning.NONE and prompt_tokens >= counted
    return prompt_tokens == counted


def _is_openai_of_joined(call: Call, prompt_tokens: int, completion_tokens: int) -> bool:
    """Plugin openai from 1.0 on: roles, names and texts joined by line breaks, 3 a message, and 3 more. The answer
    of a stream is counted as it is, the answer of a blocking call as such a message."""
    model = family(call.model, call.provider)
    if (
        not _is_recognisable(call, model)
        or model.vocabulary is None
        or not call.prompt
        or call.answer is None
    ):
        return False
    vocabulary = model.vocabulary
    framed = abs(prompt_tokens - chat.count_prompt(vocabulary, chat.OPENAI, call.prompt).tokens)
    if framed == 0 or framed > 4 * len(call.prompt) + 3:
        return False
    streamed = completion_tokens == count(vocabulary, call.answer).tokens
    if not streamed and completion_tokens != _joined(vocabulary, (PromptMessage("assistant", call.answer),)):
        return False
    return prompt_tokens == _joined(vocabulary, call.prompt)


def _joined(vocabulary: str, messages: tuple[PromptMessage, ...]) -> int:
    parts = (part for message in messages for part in (message.role, message.name or "", message.text))
    return count(vocabulary, "\n".join(parts)).tokens + 3 * len(messages) + 3


def _is_recognisable(call: Call, model: Family) -> bool:
    """Reasoning is inside the vendor's completion, so there a small surplus proves nothing; only Azure's Responses
    streams, which are always estimated, are told by both numbers."""
    return not call.tool_calls and (model.reasoning is Reasoning.NONE or call.provider == "azure_openai")


_Match = Callable[[Call, int, int], bool]

_FORMULAS: dict[Fallback, dict[Formula, _Match]] = {
    Fallback.GPT2: {
        Formula.GPT2_FIRST_MESSAGE: _is_gpt2_of_first_message,
        Formula.GPT2_ALL_MESSAGES: _is_gpt2_of_all_messages,
        Formula.FIVE_PER_CHARACTER: _is_five_per_character,
    },
    Fallback.OPENAI: {
        Formula.OPENAI_MESSAGES: _is_openai_of_messages,
        Formula.OPENAI_JOINED: _is_openai_of_joined,
    },
    Fallback.NONE: {},
    Fallback.OTHER: {},
}
