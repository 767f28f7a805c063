"""Which family a model's own name belongs to: one table, first match wins.

To add a family, add a row. A row is honest: a vocabulary that only stands in for the real one is `APPROXIMATE` with
the error it was measured to have, and a model that bills no text has no vocabulary at all.
"""

from __future__ import annotations

import re
from dataclasses import replace

from exporter.local import chat
from exporter.local.family import Family, Reasoning
from exporter.model import Accuracy

_ONE_SOURCE = "its vocabulary is known from one source only"
_HIDDEN_PREFIX = 100  # gpt-5.1 and later put 80 to 100 tokens of their own before the prompt (public fit)


def _openai(name: str, vocabulary: str, template: chat.Template = chat.OPENAI) -> Family:
    return Family(name, vocabulary, template)


def _openai_reasoning(name: str, error_tokens: int = 5, accuracy: Accuracy = Accuracy.TEMPLATE) -> Family:
    return Family(name, "o200k_base", chat.OPENAI_REASONING, accuracy, 1.0, error_tokens, Reasoning.HIDDEN)


def _open(
    name: str,
    vocabulary: str,
    template: chat.Template,
    error_tokens: int = 5,
    reasoning: Reasoning = Reasoning.NONE,
    note: str | None = None,
) -> Family:
    """A published vocabulary; hosts may put a little more around the messages than the published format does."""
    return Family(name, vocabulary, template, Accuracy.TEMPLATE, 1.0, error_tokens, reasoning, note=note)


def _stand_in(
    name: str,
    vocabulary: str,
    template: chat.Template,
    error_pct: float,
    reasoning: Reasoning = Reasoning.NONE,
    scale: float = 1.0,
    note: str | None = None,
) -> Family:
    note = note or f"{vocabulary} stands in for the vocabulary of {name}"
    return Family(name, vocabulary, template, Accuracy.APPROXIMATE, error_pct, 0, reasoning, scale, note)


def _claude(name: str, vocabulary: str, template: chat.Template, error_pct: float, scale: float) -> Family:
    """Reconstructed vocabularies; scales and errors of their stand-in measured against them."""
    return Family(
        name, vocabulary, template, Accuracy.NEAR, 2.0, 10, Reasoning.SUMMARY,
        stand_in=_stand_in(name, "claude2", template, error_pct, Reasoning.SUMMARY, scale),
    )  # fmt: skip


def _successor(
    name: str, vocabulary: str, template: chat.Template, reasoning: Reasoning = Reasoning.NONE
) -> Family:
    """Of a newer or unnamed version, counted with the newest vocabulary of its maker that is known."""
    note = f"this version's vocabulary is not known; counted with {vocabulary}"
    return _stand_in(name, vocabulary, template, SUCCESSOR_ERROR_PCT, reasoning, note=note)


def _uncountable(name: str, note: str) -> Family:
    return Family(name, None, accuracy=Accuracy.NONE, note=note)


SUCCESSOR_ERROR_PCT = 30.0
CHINESE_ERROR_PCT = 20.0
UNKNOWN_ERROR_PCT = 35.0
"""Errors nobody can measure for the model itself, so they are taken from what is known: how far the vocabularies of one
maker's generations are apart, those of Chinese makers from Qwen's, and all of them from o200k_base."""

CLAUDE_3 = _claude("claude-3", "claude_v3", chat.CLAUDE_3, 20, 1.03)
CLAUDE_4_7 = _claude("claude-4.7", "claude_v4_7", chat.CLAUDE_4_7, 30, 1.15)
CLAUDE_4_8 = _claude("claude-4.8", "claude_v4_8", chat.CLAUDE_4_8, 30, 1.15)
_LLAMA_4 = replace(
    _open("llama-4", "llama4", chat.LLAMA_3, 30, note=_ONE_SOURCE),
    stand_in=_stand_in("llama-4", "o200k_base", chat.LLAMA_3, 20),
)
_CHINESE = "its vocabulary is not public; counted with Qwen's"
_NOT_PUBLIC = "its vocabulary is not public; counted with o200k_base"

UNKNOWN = _stand_in(
    "unknown", "o200k_base", chat.CHATML, UNKNOWN_ERROR_PCT, note="model not known; counted with o200k_base"
)

_OPENAI_ROWS: tuple[tuple[str, Family], ...] = (
    # classes and patterns after tiktoken's model table and the cookbook's counting notebook
    (r"text-embedding-(3|ada)", _openai("text-embedding", "cl100k_base", chat.PLAIN)),
    (r"gpt-3\.?5-turbo-instruct|(davinci|babbage)-002", _openai("openai-text", "cl100k_base", chat.PLAIN)),
    (
        r"whisper|tts-|dall-e|gpt-image|sora|gpt-4o.*(audio|realtime|transcribe|tts)",
        _uncountable("openai-media", "billed by media, not by text"),
    ),
    (r"gpt-3\.?5-turbo-0301", _openai("gpt-3.5-0301", "cl100k_base", chat.OPENAI_0301)),
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
    (r"gpt-oss", _open("gpt-oss", "o200k_base", chat.HARMONY, 10, Reasoning.SHOWN)),
    (r"gpt-\d", _openai_reasoning("gpt", _HIDDEN_PREFIX, Accuracy.APPROXIMATE)),
)

_CLAUDE_ROWS: tuple[tuple[str, Family], ...] = (
    (r"claude-?(v?[12](?!\d)|instant)", _open("claude-2", "claude2", chat.CLAUDE_3, 8)),
    # Versions are 4-7, 4.7 or v4.7. The 7 of 3-7 is none of them, and a date's digits are no version.
    (r"claude.*?(?<!\d)(?<!\d[-.])4[-.]7(?!\d)", CLAUDE_4_7),
    (r"claude.*?((?<!\d)(?<!\d[-.])(4[-.]([89]|1\d)|[5-9])(?!\d)|fable|mythos)", CLAUDE_4_8),
    (r"claude.*?\d", CLAUDE_3),
    (
        r"claude",
        replace(
            CLAUDE_4_8, name="claude", accuracy=Accuracy.APPROXIMATE, error_pct=35.0,
            note="the name tells no version; counted as the newest",
            stand_in=_stand_in("claude", "claude2", chat.CLAUDE_4_8, 35, Reasoning.SUMMARY, 1.15),
        ),
    ),
)  # fmt: skip

_OPEN_ROWS: tuple[tuple[str, Family], ...] = (
    # Gemini counts with Gemma's vocabularies: the map in google-genai's local tokenizer
    (r"gemini-(1|pro|ultra)", _open("gemini-1", "gemma2", chat.PLAIN, 2)),
    (r"gemini-2\.0|gemini-2(?![\d.])", _open("gemini-2", "gemma3", chat.PLAIN, 2)),
    (
        r"gemini-3\.[1-9]|gemini-[4-9]",
        _open("gemini-3.1", "gemma4", chat.PLAIN, 2, Reasoning.HIDDEN, _ONE_SOURCE),
    ),
    (r"gemini.*embed|embedding-00|text-embedding-00", _open("gemini-embedding", "gemma3", chat.PLAIN, 2)),
    (r"gemini", _open("gemini-2.5", "gemma3", chat.PLAIN, 2, Reasoning.HIDDEN)),
    (r"gemma-?[12](?!\d)|gemma(?!-?\d)", _open("gemma-2", "gemma2", chat.GEMMA)),
    (r"gemma-?3", _open("gemma-3", "gemma3", chat.GEMMA)),
    (r"gemma", _open("gemma-4", "gemma4", chat.GEMMA, 25, note=_ONE_SOURCE)),
    # DeepSeek's distilled models have the vocabulary of what they were distilled into
    (r"deepseek-r1-distill-(qwen|1\.5b|7b|14b|32b)|deepseek-r1:(1\.5|7|14|32)b",
        _open("deepseek-r1-qwen", "qwen", chat.DEEPSEEK_R1, 5, Reasoning.SHOWN)),
    (r"deepseek-r1-distill-(llama|8b|70b)|deepseek-r1:(8|70)b",
        _open("deepseek-r1-llama", "llama3", chat.DEEPSEEK_R1, 5, Reasoning.SHOWN)),
    (r"deepseek-(coder|v2|llm|math|moe|vl)", _successor("deepseek-2", "deepseek_v3", chat.DEEPSEEK)),
    (r"deepseek-?v?([4-9]|\d\d)", _successor("deepseek-4", "deepseek_v3", chat.DEEPSEEK_V3_1)),
    (r"deepseek.*(r1|reasoner)", _open("deepseek-r1", "deepseek_v3", chat.DEEPSEEK_R1, 5, Reasoning.SHOWN)),
    (r"deepseek-?v?3[.-][12](?!\d)", _open("deepseek-3.1", "deepseek_v3", chat.DEEPSEEK_V3_1)),
    (r"deepseek", _open("deepseek", "deepseek_v3", chat.DEEPSEEK)),
    (r"qwq|qvq", _open("qwq", "qwen", chat.QWEN_2_5, 25, Reasoning.SHOWN)),
    (r"qwen-?(3\.[1-9]|[4-9])", _successor("qwen-3.5", "qwen", chat.QWEN_3)),
    (r"qwen-?3.*thinking", _open("qwen-3-thinking", "qwen", chat.QWEN_3, 25, Reasoning.SHOWN)),
    (r"qwen-?3", _open("qwen-3", "qwen", chat.QWEN_3)),
    (r"qwen-?(2(\.5)?-?)-?vl", _open("qwen-2.5-vl", "qwen", chat.QWEN_VL, 25)),
    (r"qwen-?(1\.5|2)", _open("qwen-2.5", "qwen", chat.QWEN_2_5, 25)),
    (r"qwen-?\d+b|qwen:", _open("qwen-1", "qwen", chat.QWEN_3, 25)),
    (r"qwen|tongyi", _successor("qwen", "qwen", chat.QWEN_3)),  # qwen-plus, -max, -turbo: names that move on
    (r"(meta-)?llama-?(v?4)", _LLAMA_4),
    (r"(meta-)?llama-?(v?3)", _open("llama-3", "llama3", chat.LLAMA_3, 30)),
    (r"(meta-)?llama-?(v?2)|codellama|code-llama|tinyllama|vicuna", _open("llama-2", "llama2", chat.LLAMA_2, 15)),
    # Mistral: mistral-common's table of models; ids without a date are of 2025 or later
    (r"(open-)?mixtral-8x22b|mistral-7b-instruct-v0\.3|codestral-(22b|2405|mamba)|mathstral",
        _open("mistral-v3", "mistral_v2", chat.MISTRAL)),
    (r"mistral-(tiny-2407|large-2407)", _open("mistral-v3", "mistral_v2", chat.MISTRAL)),
    (r"(mistral|pixtral)-large-2411", _open("mistral-large-2411", "mistral_v2", chat.MISTRAL_V7)),
    (r"mistral-(tiny|small|large)-(2312|2402)", _open("mistral-v2", "mistral_v2", chat.MISTRAL)),
    (r"(open-)?mi[sx]tral-(7b|8x7b|tiny|medium-2312)|mi[sx]tral(:|$)", _open("mistral-v1", "mistral_v1", chat.MISTRAL_V1)),
    (r"(open-)?mistral-nemo|ministral-[38]b-2410|pixtral-12b|mistral-small-2409",
        _open("mistral-nemo", "mistral_tekken", chat.MISTRAL)),
    (r"magistral", _open("magistral", "mistral_tekken", chat.MISTRAL_V7, 5, Reasoning.SHOWN)),
    (r"mi(ni)?stral|codestral|pixtral|devstral|voxtral", _open("mistral", "mistral_tekken", chat.MISTRAL_V7)),
    (r"(chat)?glm-?4\.[6-9]|glm-?([5-9]|\d\d)", _successor("glm-4.6", "glm4", chat.GLM_4)),
    (r"glm-?(4|z1)|chatglm-(turbo|pro|std|lite)", _open("glm-4", "glm4", chat.GLM_4, 10, note=_ONE_SOURCE)),
    (r"(chat)?glm", _successor("glm", "glm4", chat.GLM_4)),
    (r"kimi-?(k2|k3|latest)", _open("kimi-k2", "kimi_k2", chat.KIMI, 15, note=_ONE_SOURCE)),
    (r"kimi|moonshot", _successor("kimi", "kimi_k2", chat.KIMI)),
)  # fmt: skip

_OTHER_ROWS: tuple[tuple[str, Family], ...] = (
    (r"command|c4ai|aya", _stand_in("command-r", "o200k_base", chat.COMMAND_R, 25)),
    (
        r"grok-?([4-9]|\d\d|code)",
        replace(
            _stand_in(
                "grok-4", "o200k_base", chat.CHATML, UNKNOWN_ERROR_PCT, Reasoning.HIDDEN, note=_NOT_PUBLIC
            ),
            error_tokens=700,
        ).noted("hidden prompts of 150 to 700 tokens are added"),
    ),
    (r"grok", _stand_in("grok", "o200k_base", chat.CHATML, UNKNOWN_ERROR_PCT, note=_NOT_PUBLIC)),
    (r"nova|titan|amazon", _stand_in("nova", "o200k_base", chat.CHATML, UNKNOWN_ERROR_PCT, note=_NOT_PUBLIC)),
    *(
        (pattern, _stand_in(name, "qwen", chat.CHATML, CHINESE_ERROR_PCT, note=_CHINESE))
        for name, pattern in (
            ("hunyuan", r"hunyuan"),
            ("ernie", r"ernie"),
            ("doubao", r"doubao|skylark"),
            ("minimax", r"abab|minimax"),
            ("step", r"step-"),
            ("spark", r"spark"),
            ("baichuan", r"baichuan"),
            ("yi", r"yi-"),
            ("internlm", r"internlm"),
        )
    ),
)

ROWS = tuple(
    (re.compile(rf"(?<![a-z0-9])(?:{pattern})"), family)
    for pattern, family in (*_OPENAI_ROWS, *_CLAUDE_ROWS, *_OPEN_ROWS, *_OTHER_ROWS)
)
"""(Pattern of the model's own name, family); the first that is found anywhere in the name counts."""

BY_NAME = {family.name: family for family in (*(family for _, family in ROWS), UNKNOWN)}
"""Every family by its name, in the order of the table."""

BY_PROVIDER = {
    "anthropic": "claude",
    "tongyi": "qwen",
    "gemini": "gemini-2.5",
    "vertex_ai": "gemini-2.5",
    "deepseek": "deepseek",
    "mistralai": "mistral",
    "zhipuai": "glm-4",
    "moonshot": "kimi-k2",
    "cohere": "command-r",
    "hunyuan": "hunyuan",
    "wenxin": "ernie",
    "volcengine_maas": "doubao",
    "minimax": "minimax",
    "stepfun": "step",
    "spark": "spark",
    "baichuan": "baichuan",
    "yi": "yi",
    "x": "grok-4",
}
"""What a name that says nothing most likely is, by the plugin it is called through (a deployment's own name)."""
