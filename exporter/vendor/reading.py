"""The vendor reading of a call: the sum over what the vendor billed, or Dify's own record where it is the vendor's.

An attempt whose usage nobody knows makes the sum unknown, unless the vendor refused the request (an HTTP error is not
billed). An answer that came from a gateway's cache cost the vendor nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from exporter.model import Attempt, DifyKind, DifyReading, Money, Tokens, VendorReading
from exporter.vendor.match import Match
from exporter.vendor.record import VendorCall

RELAYED = "relayed"
CACHED = "cached"
"""Status of an attempt that a gateway answered from its own cache."""

_NOTHING = Tokens(input=0, output=0)


def vendor_reading(match: Match) -> VendorReading:
    """The independent reading of a matched call, with its attempts in order."""
    sources = sorted({call.source for call in match.attempts})
    billed = [_billed(call) for call in match.attempts]
    return VendorReading(
        tokens=_sum(billed),
        provenance=f"gateway:{','.join(sources)}",
        independent=True,
        match=match.method,
        confidence=match.confidence,
        attempts=tuple(_attempt(call, tokens) for call, tokens in zip(match.attempts, billed, strict=True)),
        cost=_cost(match.attempts),
    )


def relayed(dify: DifyReading | None) -> VendorReading | None:
    """Dify's record shown as the vendor's, when the plugin is known to pass the vendor's numbers on unchanged."""
    if dify is None or dify.kind is not DifyKind.VENDOR_PASSED:
        return None
    return VendorReading(
        tokens=dify.tokens, provenance=RELAYED, independent=False, match=RELAYED, confidence=1.0, cost=None
    )


def _billed(call: VendorCall) -> Tokens | None:
    """What the vendor billed for one request; None when nobody knows."""
    if call.is_cache_hit:
        return _NOTHING
    if call.tokens is None and call.status == "error" and (call.http_status or 0) >= 400:
        return _NOTHING
    return call.tokens


def _attempt(call: VendorCall, billed: Tokens | None) -> Attempt:
    return Attempt(
        id=call.id,
        source=call.source,
        status=CACHED if call.is_cache_hit else call.status,
        started_at=call.started_at,
        ended_at=call.ended_at,
        tokens=billed or Tokens(),
    )


def _sum(billed: Sequence[Tokens | None]) -> Tokens:
    """Input and output are known when they are known of every attempt; a part is the sum of what is known of it."""
    if None in billed:
        return Tokens()
    known = [tokens for tokens in billed if tokens is not None]
    return Tokens(
        input=_whole(tokens.input for tokens in known),
        output=_whole(tokens.output for tokens in known),
        cache_read=_part(tokens.cache_read for tokens in known),
        cache_write=_part(tokens.cache_write for tokens in known),
        reasoning=_part(tokens.reasoning for tokens in known),
    )


def _whole(counts: Iterable[int | None]) -> int | None:
    total = 0
    for count in counts:
        if count is None:
            return None
        total += count
    return total


def _part(counts: Iterable[int | None]) -> int | None:
    known = [count for count in counts if count is not None]
    return sum(known) if known else None


def _cost(attempts: Sequence[VendorCall]) -> Money | None:
    """The sum of what the evidence says was charged; None when an attempt with usage lacks it or currencies differ."""
    costs = [call.cost for call in attempts if call.cost is not None]
    paid_without_price = any(
        call.cost is None and call.tokens is not None and not call.is_cache_hit for call in attempts
    )
    if not costs or paid_without_price or len({cost.currency for cost in costs}) > 1:
        return None
    return Money(sum((cost.amount for cost in costs), start=costs[0].amount * 0), costs[0].currency)
