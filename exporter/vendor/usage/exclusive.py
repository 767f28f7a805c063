"""Vendors whose input leaves the cache out: Anthropic and Amazon Bedrock. What the cache read and wrote is added."""

from __future__ import annotations

from exporter.model import Tokens
from exporter.vendor.usage.numbers import Usage, count, first, objects, part, total

_BESIDE = frozenset({"compaction", "advisor_message"})


def anthropic(usage: Usage) -> Tokens:
    """Anthropic Messages: total input = `input_tokens` + `cache_creation_input_tokens` + `cache_read_input_tokens` (SDK,
    Usage); `output_tokens` includes thinking. Iterations that compact the context or ask an advisor are billed beside
    the top-level counters, with caches of their own (SDK, BetaIterationsUsageItem); the others are inside."""
    beside = [item for item in objects(usage, "iterations") if item.get("type") in _BESIDE]
    return _sum([_anthropic_part(usage), *map(_anthropic_part, beside)])


def bedrock(usage: Usage) -> Tokens:
    """Amazon Bedrock: Converse (`inputTokens`, botocore TokenUsage), InvokeModel's closing metrics and the model
    invocation log (`inputTokenCount`, in the log inside `input` and `output`); all leave cache reads and writes out."""
    said = {**part(usage, "input"), **part(usage, "output"), **usage}
    suffix = "Tokens" if "inputTokens" in said or "outputTokens" in said else "TokenCount"
    return _with_cache(
        given=count(said, f"input{suffix}"),
        read=count(said, f"cacheReadInput{suffix}"),
        written=count(said, f"cacheWriteInput{suffix}"),
        output=count(said, f"output{suffix}"),
    )


def _anthropic_part(usage: Usage) -> Tokens:
    """Reasoning under OpenAI's name is read too: the vendors that copy only the names of the totals agree on the rest,
    so that a usage without any telling key counts alike whoever sent it."""
    written = first(
        count(usage, "cache_creation_input_tokens"),
        total(
            count(usage, "cache_creation", "ephemeral_5m_input_tokens"),
            count(usage, "cache_creation", "ephemeral_1h_input_tokens"),
        ),
    )
    return _with_cache(
        given=count(usage, "input_tokens"),
        read=count(usage, "cache_read_input_tokens"),
        written=written,
        output=count(usage, "output_tokens"),
        reasoning=first(
            count(usage, "output_tokens_details", "thinking_tokens"),
            count(usage, "output_tokens_details", "reasoning_tokens"),
        ),
    )


def _with_cache(
    given: int | None, read: int | None, written: int | None, output: int | None, reasoning: int | None = None
) -> Tokens:
    return Tokens(
        input=None if given is None else total(given, read, written),
        output=output,
        cache_read=read,
        cache_write=written,
        reasoning=reasoning,
    )


def _sum(parts: list[Tokens]) -> Tokens:
    """The sum of all parts; what the first one does not say stays unknown only if no part says it."""
    return Tokens(
        input=None if parts[0].input is None else total(*(part.input for part in parts)),
        output=total(*(part.output for part in parts)),
        cache_read=total(*(part.cache_read for part in parts)),
        cache_write=total(*(part.cache_write for part in parts)),
        reasoning=total(*(part.reasoning for part in parts)),
    )
