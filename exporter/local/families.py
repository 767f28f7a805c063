"""Which vocabulary, chat format and trust belong to a model name: one table, first match wins.

To add a family, add a row. A row is honest: a vocabulary that only stands in for the real one is `APPROXIMATE`
with the error it was measured to have; a model nobody can recount has no vocabulary at all.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import lru_cache

from exporter.local import chat
from exporter.model import Accuracy


class Reasoning(StrEnum):
    """What a model does with its reasoning, which is billed as output."""

    NONE = "none"  # does not reason unless a parameter asks for it, and then hands the text out
    SUMMARY = "summary"  # does not reason unless a parameter asks for it, and then shows at most a summary
    SHOWN = "shown"  # reasons, and hands the text out
    HIDDEN = "hidden"  # reasons, and shows at most a summary


@dataclass(frozen=True, slots=True)
class Family:
    """How one family of models counts.

    `scale` corrects a stand-in vocabulary. The input count is off by at most about `error_tokens` +
    `error_pct` percent (text only, no tools). `vocabulary` is None where no honest number exists.
    """

    name: str
    vocabulary: str | None
    template: chat.Template = chat.PLAIN
    accuracy: Accuracy = Accuracy.EXACT
    error_pct: float = 0.0
    error_tokens: int = 0
    reasoning: Reasoning = Reasoning.NONE
    scale: float = 1.0
    note: str | None = None


def _openai(name: str, vocabulary: str, template: chat.Template = chat.OPENAI) -> Family:
    return Family(name, vocabulary, template)


def _openai_reasoning(name: str, error_tokens: int = 5, accuracy: Accuracy = Accuracy.TEMPLATE) -> Family:
    return Family(name, "o200k_base", chat.OPENAI_REASONING, accuracy, 1.0, error_tokens, Reasoning.HIDDEN)


def _stand_in(
    name: str,
    vocabulary: str,
    template: chat.Template,
    error_pct: float,
    reasoning: Reasoning = Reasoning.NONE,
    scale: float = 1.0,
) -> Family:
    note = f"{vocabulary} stands in for the vocabulary of {name}"
    return Family(name, vocabulary, template, Accuracy.APPROXIMATE, error_pct, 0, reasoning, scale, note)


def _uncountable(name: str, note: str) -> Family:
    return Family(name, None, accuracy=Accuracy.NONE, note=note)


_HIDDEN_PREFIX = 100  # gpt-5.1 and later put 80 to 100 tokens of their own before the prompt (public fit)

_ROWS: tuple[tuple[str, Family], ...] = (
    # OpenAI; classes and patterns after tiktoken's model table and the cookbook's counting notebook
    (r"text-embedding-(3|ada)", _openai("text-embedding", "cl100k_base", chat.PLAIN)),
    (r"gpt-3\.?5-turbo-instruct|(davinci|babbage)-002", _openai("openai-text", "cl100k_base", chat.PLAIN)),
    (
        r"whisper|tts-|dall-e|gpt-image|sora|gpt-4o.*(audio|realtime|transcribe|tts)",
        _uncountable("openai-media", "billed by media, not by text"),
    ),
    (r"gpt-3\.?5-turbo-0301", _openai("gpt-3.5", "cl100k_base", chat.OPENAI_0301)),
    (r"gpt-?3\.?5", _openai("gpt-3.5", "cl100k_base")),
    (r"(chat)?gpt-?4o", _openai("gpt-4o", "o200k_base")),
    (r"gpt-?4\.[15]", _openai("gpt-4.1", "o200k_base")),
    (r"gpt-?4(?![\d.])", _openai("gpt-4", "cl100k_base")),
    (
        r"gpt-?5[\d.]*-chat",
        replace(_openai("gpt-5-chat", "o200k_base"), accuracy=Accuracy.TEMPLATE, error_pct=1.0),
    ),
    (r"gpt-?5(\.\d+)?-(mini|nano|codex-mini)|gpt-?5(?![\d.])", _openai_reasoning("gpt-5")),
    (r"gpt-?5\.\d", _openai_reasoning("gpt-5.1", _HIDDEN_PREFIX, Accuracy.APPROXIMATE)),
    (r"o[134](?![a-z0-9.])|codex-mini", _openai_reasoning("o-series")),
    (
        r"gpt-oss",
        Family("gpt-oss", "o200k_base", chat.HARMONY, Accuracy.TEMPLATE, 1.0, 10, Reasoning.SHOWN),
    ),
    (r"gpt-\d", _openai_reasoning("gpt", _HIDDEN_PREFIX, Accuracy.APPROXIMATE)),
    # Anthropic: no public vocabulary; scales and errors measured against ctok's reconstruction
    (r"claude-?(v?[12]|instant)", _stand_in("claude-2", "cl100k_base", chat.CLAUDE_3, 20)),
    # 4.7 and later, but not the 5 of 3-5 or 4-5, nor the digits of a date
    (
        r"claude.*?((?<!\d)(?<!\d[-.])(4[-.][789]|[5-9])(?!\d)|fable|mythos)",
        _stand_in("claude-4.7", "cl100k_base", chat.CLAUDE_4_8, 35, Reasoning.SUMMARY, 1.25),
    ),
    (r"claude", _stand_in("claude-3", "cl100k_base", chat.CLAUDE_3, 25, Reasoning.SUMMARY, 1.08)),
    # errors of the stand-ins below: ratio to the real vocabularies on English, Chinese, Japanese, Korean and code
    (r"gemini-[12]\.[0-4]|gemini-1", _stand_in("gemini", "o200k_base", chat.PLAIN, 30)),
    (r"gemini", _stand_in("gemini", "o200k_base", chat.PLAIN, 30, Reasoning.HIDDEN)),
    (r"gemma", _stand_in("gemma", "o200k_base", chat.CHATML, 30)),
    (r"deepseek.*(r1|reasoner)", _stand_in("deepseek-r1", "o200k_base", chat.DEEPSEEK, 25, Reasoning.SHOWN)),
    (r"deepseek", _stand_in("deepseek", "o200k_base", chat.DEEPSEEK, 25)),
    (r"(qwq|qvq)|qwen.*thinking", _stand_in("qwen", "o200k_base", chat.CHATML, 25, Reasoning.SHOWN)),
    (r"qwen|tongyi", _stand_in("qwen", "o200k_base", chat.CHATML, 25)),
    (r"(meta-)?llama-?(v?3|4)", _stand_in("llama", "o200k_base", chat.LLAMA_3, 25)),
    (
        r"open-mi[sx]tral|mixtral|mistral-7b|codellama|llama-?2",
        _stand_in("mistral-v1", "cl100k_base", chat.MISTRAL, 35),
    ),
    (r"magistral", _stand_in("mistral", "o200k_base", chat.MISTRAL, 30, Reasoning.SHOWN)),
    (r"mi(ni)?stral|codestral|pixtral|devstral", _stand_in("mistral", "o200k_base", chat.MISTRAL, 30)),
    (r"(chat)?glm", _stand_in("glm", "o200k_base", chat.GLM_4, 30)),
    (r"kimi|moonshot", _stand_in("kimi", "o200k_base", chat.KIMI, 30)),
    (r"command|c4ai|aya", _stand_in("command-r", "o200k_base", chat.COMMAND_R, 30)),
    (r"grok-?([4-9]|\d\d)", _uncountable("grok", "hidden prompts of 150 to 700 tokens are added")),
    (
        r"hunyuan|ernie|doubao|abab|minimax|step-|spark|baichuan|yi-|grok|nova|amazon",
        replace(
            _stand_in("other", "o200k_base", chat.CHATML, 25),
            note="its vocabulary is not public; counted with o200k_base",
        ),
    ),
)

_UNKNOWN = Family(
    "unknown",
    "o200k_base",
    chat.CHATML,
    Accuracy.APPROXIMATE,
    30,
    note="model not known; counted with o200k_base",
)

_BY_PROVIDER = {
    "anthropic": "claude",
    "tongyi": "qwen",
    "gemini": "gemini",
    "vertex_ai": "gemini",
    "deepseek": "deepseek",
    "mistralai": "mistral",
    "zhipuai": "glm",
    "moonshot": "kimi",
    "cohere": "command",
}
"""What a name that says nothing most likely is, by the plugin it is called through (a deployment's own name)."""

_TABLE = tuple((re.compile(rf"(?<![a-z0-9])(?:{pattern})"), family) for pattern, family in _ROWS)
_FINE_TUNED = re.compile(r"^ft:([^:]+)")
_HOST = re.compile(
    r"^(?:(?:us|eu|apac|ap|global)\.)?(?:anthropic|meta|amazon|mistral|cohere|deepseek|openai|qwen)\."
)


@lru_cache(maxsize=4096)
def family(model: str | None, provider: str | None = None) -> Family:
    """The family of a model as Dify names it; `provider` is the last segment of Dify's provider id.

    Vendor prefixes (`openai/…`, `us.anthropic.…`), dates, fine-tunes (`ft:gpt-4o-mini:org::id`) and Azure
    spellings (`gpt-35-turbo`) are understood. A family found inside a name (`prod-gpt-4o`) is only a guess and
    loses its claim to exactness.
    """
    name = _bare(model or "")
    for pattern, found in _TABLE:
        match = pattern.search(name)
        if match:
            return found if match.start() == 0 else _guessed(found, "family guessed from the model's name")
    hint = _BY_PROVIDER.get(provider or "")
    return _guessed(family(hint), "family guessed from the provider") if hint else _UNKNOWN


def _bare(model: str) -> str:
    name = model.strip().lower()
    tuned = _FINE_TUNED.match(name)
    if tuned:
        return tuned[1]
    return _HOST.sub("", name.rpartition("/")[2].replace("_", "-"))


def _guessed(found: Family, guess: str) -> Family:
    note = "; ".join(part for part in (found.note, guess) if part)
    if found.vocabulary is None:
        return replace(found, note=note)
    return replace(found, accuracy=Accuracy.APPROXIMATE, error_pct=max(found.error_pct, 15.0), note=note)
