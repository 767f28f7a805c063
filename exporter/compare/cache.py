"""What plugins do to prompt tokens when the vendor caches: weigh them by price, leave them out, or lump them together."""

from __future__ import annotations

from collections.abc import Sequence

from exporter.compare.case import Amount, Case, is_nothing, kept_attempts, sum_tokens
from exporter.compare.wording import finding
from exporter.model import Confidence, DifyKind, Finding, Tokens

CACHE_WRITE_FACTORS = (1.25, 2.0)
"""Price of a 5-minute and a 1-hour cache write relative to input, as Dify's anthropic plugin multiplies them."""

CACHE_READ_FACTOR = 0.1


def price_weighted(case: Case, rest: Amount) -> Finding | None:
    """Dify's anthropic plugin stores `input + int(1.25 or 2 x writes) + int(0.1 x reads)` (plugin source, July 2025 on).
    Several attempts are weighted one by one, as the plugin does."""
    kept = kept_attempts(case)
    reads, writes = _parts(kept)
    if not reads + writes:
        return None
    counted = sum_tokens(kept)[0]
    for factor in CACHE_WRITE_FACTORS:
        weighted = sum(_weighted(tokens, factor) for tokens in kept)
        if weighted == case.recorded[0]:
            return finding(
                "cache_price_weighted",
                Confidence.CERTAIN,
                (counted - weighted, 0),
                factor=factor,
                written=writes,
                read=reads,
                weighted=weighted,
                counted=counted,
            )
    return None


def left_out(case: Case, rest: Amount) -> Finding | None:
    """Bedrock's and MiniMax's plugins store the vendor's input without its cached part."""
    kept = kept_attempts(case)
    reads, writes = _parts(kept)
    if not reads + writes or sum_tokens(kept)[0] - reads - writes != case.recorded[0]:
        return None
    return finding("cache_left_out", Confidence.CERTAIN, (reads + writes, 0), read=reads, written=writes)


def at_full_price(case: Case) -> Finding | None:
    """Dify's price has one rate for input, so cached tokens inside it cost as much as the others. No amount: the tokens
    are the same."""
    kept = kept_attempts(case)
    read, counted = _parts(kept)[0], sum_tokens(kept)[0]
    is_count = case.dify is not None and case.dify.kind not in (DifyKind.ESTIMATE, DifyKind.PRICE_WEIGHTED)
    if not read or is_nothing(case.dify) or not is_count or case.recorded[0] != counted:
        return None
    return finding("cached_at_full_price", Confidence.CERTAIN, read=read, counted=counted)


def _weighted(tokens: Tokens, factor: float) -> int:
    read, written = tokens.cache_read or 0, tokens.cache_write or 0
    uncached = (tokens.input or 0) - read - written
    return uncached + int(factor * written) + int(CACHE_READ_FACTOR * read)


def _parts(counts: Sequence[Tokens]) -> Amount:
    return sum(tokens.cache_read or 0 for tokens in counts), sum(tokens.cache_write or 0 for tokens in counts)
