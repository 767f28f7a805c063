"""Which numbers Dify records when a plugin passes on a vendor's usage, and which plugins never record anything else."""

from __future__ import annotations

from exporter.local.providers import Source, applies, provider_of
from exporter.model import Tokens
from exporter.vendor.fingerprint import CallPrint

_WRITE_PERCENT = (125, 200)
_READ_PERCENT = 10


def recorded_inputs(tokens: Tokens) -> frozenset[int]:
    """Every input that some plugin records for this usage: as it is; without its cached part (bedrock, minimax,
    vertex_ai); or weighted by the price of cached tokens (anthropic: 1.25 or 2 x writes, 0.1 x reads)."""
    if tokens.input is None:
        return frozenset()
    read, written = tokens.cache_read or 0, tokens.cache_write or 0
    if not read + written:
        return frozenset((tokens.input,))
    return frozenset((tokens.input, tokens.input - read - written, *_weighted(tokens.input, read, written)))


def is_recorded_of(call: CallPrint, tokens: Tokens | None) -> bool:
    """Whether Dify's two numbers are what this call's plugin records for that usage."""
    recorded = call.recorded
    if tokens is None or not recorded.total or recorded.output != tokens.output:
        return False
    return is_input_of(call, tokens)


def is_input_of(call: CallPrint, tokens: Tokens) -> bool:
    """Whether Dify's input is what this call's plugin records for that usage."""
    if call.recorded.input is None or tokens.input is None:
        return False
    if call.recorded.input == tokens.input:
        return True
    read, written = tokens.cache_read or 0, tokens.cache_write or 0
    provider = provider_of(call.provider, call.kind)
    if provider is None or not read + written:
        return False
    if applies(provider.excludes_cached, call.model) and call.recorded.input == tokens.input - read - written:
        return True
    weighted = _weighted(tokens.input, read, written)
    return applies(provider.weights_cached, call.model) and call.recorded.input in weighted


def may_be_estimated(call: CallPrint) -> bool:
    """Whether this call's plugin may have put other numbers in the place of the vendor's."""
    provider = provider_of(call.provider, call.kind)
    return provider is None or provider.source is not Source.VENDOR


def is_often_estimated(call: CallPrint) -> bool:
    """Whether this call's plugin does not even ask for usage, so that its own estimate is nothing unusual."""
    provider = provider_of(call.provider, call.kind)
    return provider is None or provider.source not in (Source.VENDOR, Source.VENDOR_FIRST)


def _weighted(counted: int, read: int, written: int) -> tuple[int, ...]:
    uncached = counted - read - written
    return tuple(
        uncached + written * percent // 100 + read * _READ_PERCENT // 100 for percent in _WRITE_PERCENT
    )
