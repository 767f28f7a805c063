"""One count from whatever usage object a vendor sends: `input` with cached tokens, `output` with reasoning tokens.

Every shape is one small function in `SHAPES`; a new shape is one more. Absent stays None. A usage whose parts do not
fit into its totals is refused, because it was read with the wrong shape. Field meanings: the vendors' public SDKs and
API references (OpenAI, Anthropic, google-genai, DashScope, Tencent Hunyuan, DeepSeek, botocore, Cohere, Ollama).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from exporter.model import Tokens

Usage = Mapping[str, Any]
ABSURD_TOKENS = 10**9
"""No request has a thousand million tokens; such a number is damage, not a count."""


class BadUsage(ValueError):
    """A usage object that cannot be read; the text names fields, never values."""


def normalise(usage: Usage, shape: str | None = None) -> Tokens:
    """The count in a usage object. `shape` names the vendor's form; without it the keys decide.

    Raises BadUsage for an unknown shape, a usage without any known count, numbers that cannot be counts, and parts
    that exceed their total.
    """
    read = SHAPES.get(shape or guess_shape(usage))
    if read is None:
        raise BadUsage(f"usage_shape is none of {', '.join(sorted(SHAPES))}")
    tokens = read(usage)
    if tokens.input is None and tokens.output is None:
        raise BadUsage("usage holds no token count of the shape it is read with")
    if (tokens.cache_read or 0) + (tokens.cache_write or 0) > (tokens.input or 0):
        raise BadUsage("cached tokens exceed the input; usage_shape does not fit")
    if (tokens.reasoning or 0) > (tokens.output or 0):
        raise BadUsage("reasoning tokens exceed the output; usage_shape does not fit")
    return tokens


def guess_shape(usage: Usage) -> str:
    """The shape whose telling key is present. Shapes that share their keys count alike, so the first is as good."""
    return next((shape for key, shape in _TELLING if key in usage), "openai")


def count(usage: Usage, *path: str) -> int | None:
    """The whole number at a path of keys, or None when absent. Text and whole floats are read too (Tencent sends
    cached tokens as text, Cohere sends floats). Raises BadUsage."""
    value: Any = usage
    for key in path:
        value = value.get(key) if isinstance(value, Mapping) else None
    if value is None:
        return None
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        raise BadUsage(f"usage.{'.'.join(path)} is not a number") from None
    if (
        isinstance(value, bool)
        or not number.is_finite()
        or number != int(number)
        or not 0 <= number <= ABSURD_TOKENS
    ):
        raise BadUsage(f"usage.{'.'.join(path)} is not a possible token count")
    return int(number)


def first(*counts: int | None) -> int | None:
    """The first known count."""
    return next((number for number in counts if number is not None), None)


def total(*counts: int | None) -> int | None:
    """The sum of the known counts; None when none is known."""
    known = [number for number in counts if number is not None]
    return sum(known) if known else None


def _openai(usage: Usage) -> Tokens:
    """Chat Completions and everything that speaks it. Cached and reasoning tokens are inside the totals; xAI alone
    reports reasoning beside `completion_tokens` and inside `total_tokens`."""
    details, spoken = "prompt_tokens_details", "completion_tokens_details"
    given = count(usage, "prompt_tokens")
    output, reasoning = count(usage, "completion_tokens"), count(usage, spoken, "reasoning_tokens")
    whole = count(usage, "total_tokens")
    if reasoning and given is not None and output is not None and whole == given + output + reasoning:
        output += reasoning
    if output is None and given is not None and whole == given:
        output = 0  # an embedding: the vendor's own total says that nothing was written
    return Tokens(
        input=given,
        output=output,
        cache_read=first(count(usage, details, "cached_tokens"), count(usage, "cached_tokens")),
        cache_write=first(count(usage, details, "cache_write_tokens"), _dashscope_written(usage)),
        reasoning=reasoning,
    )


def _responses(usage: Usage) -> Tokens:
    """OpenAI's Responses API: both details are subsets."""
    return Tokens(
        input=count(usage, "input_tokens"),
        output=count(usage, "output_tokens"),
        cache_read=count(usage, "input_tokens_details", "cached_tokens"),
        cache_write=count(usage, "input_tokens_details", "cache_write_tokens"),
        reasoning=count(usage, "output_tokens_details", "reasoning_tokens"),
    )


def _anthropic(usage: Usage) -> Tokens:
    """Messages API: `input_tokens` excludes cache reads and writes, so the input is their sum (the SDK says so);
    entries of type compaction are billed beside the top-level counters."""
    extra = [
        item
        for item in usage.get("iterations") or ()
        if isinstance(item, Mapping) and item.get("type") == "compaction"
    ]
    read = count(usage, "cache_read_input_tokens")
    written = first(
        count(usage, "cache_creation_input_tokens"),
        total(
            count(usage, "cache_creation", "ephemeral_5m_input_tokens"),
            count(usage, "cache_creation", "ephemeral_1h_input_tokens"),
        ),
    )
    given = count(usage, "input_tokens")
    compacted = total(*(count(item, "input_tokens") for item in extra))
    return Tokens(
        input=None if given is None else total(given, read, written, compacted),
        output=total(count(usage, "output_tokens"), *(count(item, "output_tokens") for item in extra)),
        cache_read=read,
        cache_write=written,
        reasoning=count(usage, "output_tokens_details", "thinking_tokens"),
    )


def _gemini(usage: Usage) -> Tokens:
    """generateContent: tool-use tokens lie outside the prompt, thoughts outside the candidates unless the total says
    that the candidates already hold them."""
    prompt, tools = count(usage, "promptTokenCount"), count(usage, "toolUsePromptTokenCount")
    candidates, thoughts = count(usage, "candidatesTokenCount"), count(usage, "thoughtsTokenCount")
    holds_thoughts = count(usage, "totalTokenCount") == total(prompt, candidates, tools)
    return Tokens(
        input=total(prompt, tools),
        output=candidates if holds_thoughts and candidates is not None else total(candidates, thoughts),
        cache_read=count(usage, "cachedContentTokenCount"),
        reasoning=thoughts,
    )


def _dashscope(usage: Usage) -> Tokens:
    """Native DashScope: cached and cache-creation tokens are subsets in spite of their Anthropic-like names."""
    return Tokens(
        input=count(usage, "input_tokens"),
        output=count(usage, "output_tokens"),
        cache_read=count(usage, "prompt_tokens_details", "cached_tokens"),
        cache_write=_dashscope_written(usage),
        reasoning=count(usage, "output_tokens_details", "reasoning_tokens"),
    )


def _dashscope_written(usage: Usage) -> int | None:
    details = "prompt_tokens_details"
    return first(
        count(usage, details, "cache_creation_input_tokens"),
        count(usage, details, "cache_creation", "cache_creation_input_tokens"),
        count(usage, details, "cache_creation", "ephemeral_5m_input_tokens"),
    )


def _hunyuan(usage: Usage) -> Tokens:
    """Tencent Hunyuan's native form; embeddings have no completion."""
    given, output = count(usage, "PromptTokens"), count(usage, "CompletionTokens")
    if output is None and given is not None and count(usage, "TotalTokens") == given:
        output = 0
    return Tokens(input=given, output=output, cache_read=count(usage, "PromptTokensDetails", "CachedTokens"))


def _deepseek(usage: Usage) -> Tokens:
    """OpenAI's form with the cache hit beside it (`prompt_tokens` = hit + miss)."""
    like = _openai(usage)
    hit, miss = count(usage, "prompt_cache_hit_tokens"), count(usage, "prompt_cache_miss_tokens")
    return Tokens(
        input=first(like.input, total(hit, miss)),
        output=like.output,
        cache_read=first(hit, like.cache_read),
        reasoning=like.reasoning,
    )


def _bedrock(usage: Usage) -> Tokens:
    """Converse: `inputTokens` excludes cache reads and writes; InvokeModel's metrics and the invocation log say
    `inputTokenCount` and exclude them likewise."""
    suffix = "Tokens" if "inputTokens" in usage else "TokenCount"
    given = count(usage, f"input{suffix}")
    read, written = count(usage, f"cacheReadInput{suffix}"), count(usage, f"cacheWriteInput{suffix}")
    return Tokens(
        input=None if given is None else total(given, read, written),
        output=count(usage, f"output{suffix}"),
        cache_read=read,
        cache_write=written,
    )


def _cohere(usage: Usage) -> Tokens:
    """`tokens` is what the model read and wrote; `billed_units` leaves the prompt scaffolding out and serves only
    where `tokens` is absent (embeddings). Rerank is billed in searches, not tokens."""
    where = "tokens" if isinstance(usage.get("tokens"), Mapping) else "billed_units"
    given, output = count(usage, where, "input_tokens"), count(usage, where, "output_tokens")
    if output is None and given is not None and where == "billed_units":
        output = 0
    return Tokens(input=given, output=output, cache_read=count(usage, "cached_tokens"))


def _ollama(usage: Usage) -> Tokens:
    return Tokens(input=count(usage, "prompt_eval_count"), output=count(usage, "eval_count"))


def _only_input(usage: Usage) -> Tokens:
    """Embeddings and rerank of several vendors: one number, all of it read, nothing written."""
    names = ("prompt_tokens", "input_tokens", "total_tokens", "PromptTokens", "TotalTokens")
    whole = first(*(count(usage, name) for name in names))
    return Tokens(input=whole, output=None if whole is None else 0)


SHAPES: dict[str, Callable[[Usage], Tokens]] = {
    "openai": _openai,
    "openai_responses": _responses,
    "responses": _responses,
    "anthropic": _anthropic,
    "gemini": _gemini,
    "vertex_ai": _gemini,
    "dashscope": _dashscope,
    "hunyuan": _hunyuan,
    "deepseek": _deepseek,
    "bedrock": _bedrock,
    "cohere": _cohere,
    "ollama": _ollama,
    "xai": _openai,
    "embeddings": _only_input,
    "rerank": _only_input,
}
"""How each shape is read, by the name a record gives in `usage_shape`."""

_TELLING = (
    ("promptTokenCount", "gemini"),
    ("PromptTokens", "hunyuan"),
    ("inputTokens", "bedrock"),
    ("inputTokenCount", "bedrock"),
    ("prompt_eval_count", "ollama"),
    ("prompt_cache_hit_tokens", "deepseek"),
    ("billed_units", "cohere"),
    ("prompt_tokens", "openai"),
    ("input_tokens_details", "openai_responses"),
    ("cache_creation_input_tokens", "anthropic"),
    ("cache_read_input_tokens", "anthropic"),
    ("cache_creation", "anthropic"),
    ("prompt_tokens_details", "dashscope"),
    ("input_tokens", "anthropic"),
)
