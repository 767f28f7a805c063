"""Vendors whose input already includes what the cache read and wrote: OpenAI and everything that speaks like it.

Cached and reasoning tokens are parts of the totals and are never added, with two exceptions that the vendor's own
total proves: xAI counts reasoning beside the completion, and an embedding has no completion at all.
"""

from __future__ import annotations

from dataclasses import replace

from exporter.model import Tokens
from exporter.vendor.usage.numbers import Usage, count, first, objects, total


def chat_completions(usage: Usage) -> Tokens:
    """OpenAI Chat Completions and Embeddings (API reference, CompletionUsage), as spoken by Azure OpenAI, DashScope's
    compatible mode, Tencent TokenHub, Mistral, Groq, GLM, Volcengine Ark, OpenRouter, vLLM, SGLang and others.

    Not counted apart, because they lie inside: audio and image tokens, rejected predictions, Ark's `provisioned_tokens`.
    """
    return _counted(
        usage,
        given=count(usage, "prompt_tokens"),
        output=count(usage, "completion_tokens"),
    )


def responses(usage: Usage) -> Tokens:
    """OpenAI Responses (API reference, ResponseUsage) and DashScope's native form (API reference, text generation):
    the same names for the totals. Model Studio's Responses API repeats the usage in `x_details`, the only place where
    it tells cache creation. Its application API sends one usage per model in `models` instead."""
    models = objects(usage, "models")
    if models and "input_tokens" not in usage:
        return Tokens(
            input=total(*(count(model, "input_tokens") for model in models)),
            output=total(*(count(model, "output_tokens") for model in models)),
        )
    return _counted(usage, given=count(usage, "input_tokens"), output=count(usage, "output_tokens"))


def deepseek(usage: Usage) -> Tokens:
    """DeepSeek (API reference): `prompt_tokens` = `prompt_cache_hit_tokens` + `prompt_cache_miss_tokens`."""
    hit, miss = count(usage, "prompt_cache_hit_tokens"), count(usage, "prompt_cache_miss_tokens")
    like_openai = chat_completions(usage)
    return replace(
        like_openai,
        input=first(like_openai.input, total(hit, miss)),
        cache_read=first(hit, like_openai.cache_read),
    )


def xai(usage: Usage) -> Tokens:
    """xAI: reasoning is "counted separately from completion_tokens, but will be counted in the total_tokens" (docs,
    consumption and rate limits), so it is added unless the total says that it is inside."""
    tokens = chat_completions(usage)
    written, whole = count(usage, "completion_tokens"), count(usage, "total_tokens")
    if tokens.output is None or tokens.output != written or whole == total(tokens.input, written):
        return tokens
    return replace(tokens, output=total(written, tokens.reasoning))


def _counted(usage: Usage, given: int | None, output: int | None) -> Tokens:
    reasoning = _reasoning(usage)
    whole = count(usage, "total_tokens")
    if reasoning and given is not None and output is not None and whole == given + output + reasoning:
        output += reasoning
    if output is None and given is not None and whole == given:
        output = 0  # the vendor's own total says that nothing was written
    return Tokens(
        input=given, output=output, cache_read=_read(usage), cache_write=_written(usage), reasoning=reasoning
    )


def _reasoning(usage: Usage) -> int | None:
    return first(
        count(usage, "completion_tokens_details", "reasoning_tokens"),
        count(usage, "output_tokens_details", "reasoning_tokens"),
    )


def _read(usage: Usage) -> int | None:
    """Moonshot writes `cached_tokens` at the top; LiteLLM repeats Anthropic's names beside its inclusive input."""
    return first(
        count(usage, "prompt_tokens_details", "cached_tokens"),
        count(usage, "input_tokens_details", "cached_tokens"),
        _billed(usage, "prompt_tokens_details", "cached_tokens"),
        count(usage, "cached_tokens"),
        count(usage, "cache_read_input_tokens"),
    )


def _written(usage: Usage) -> int | None:
    """OpenAI and OpenRouter say `cache_write_tokens`, LiteLLM `cache_creation_tokens`, Model Studio uses Anthropic's
    names for parts of the input (context cache guide; GenerationUsage of its Java SDK)."""
    within = ("prompt_tokens_details", "input_tokens_details")
    return first(
        *(count(usage, details, name) for details in within for name in _WRITTEN),
        *(_ephemeral(usage, details) for details in within),
        *(_billed(usage, "prompt_tokens_details", name) for name in _WRITTEN),
        total(*(_ephemeral(row, "prompt_tokens_details") for row in _billed_rows(usage))),
        count(usage, "cache_creation_input_tokens"),
    )


_WRITTEN = ("cache_write_tokens", "cache_creation_input_tokens", "cache_creation_tokens")


def _ephemeral(usage: Usage, details: str) -> int | None:
    """The cache creation of Model Studio where it is told only inside `cache_creation`."""
    return first(
        count(usage, details, "cache_creation", "cache_creation_input_tokens"),
        total(
            count(usage, details, "cache_creation", "ephemeral_5m_input_tokens"),
            count(usage, details, "cache_creation", "ephemeral_1h_input_tokens"),
        ),
    )


def _billed(usage: Usage, *path: str) -> int | None:
    return total(*(count(row, *path) for row in _billed_rows(usage)))


def _billed_rows(usage: Usage) -> list[Usage]:
    return objects(usage, "x_details")
