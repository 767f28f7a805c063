"""The vendor reading of a call: the sum over what the vendor billed, or Dify's own record where it is the vendor's.

An attempt whose usage nobody knows makes the sum unknown, unless the vendor refused the request (an HTTP error is not
billed). An answer that came from a gateway's cache cost the vendor nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from exporter.model import (
    Accuracy,
    Attempt,
    Call,
    DifyKind,
    DifyReading,
    LocalReading,
    Tokens,
    VendorReading,
)
from exporter.prices import costs
from exporter.prices.book import PriceBook
from exporter.prices.costs import Charge
from exporter.vendor.matching.match import Match
from exporter.vendor.record import VendorCall

RELAYED = "relayed"
CACHED = "cached"
"""Status of an attempt that a gateway answered from its own cache."""

FROM_RECORD = "counted from the vendor's record of the request"
"""How the note of a local reading begins that was not counted from Dify's record."""

_NOTHING = Tokens(input=0, output=0)
_WHOLE = 0.9
"""Plugins leave a little of a prompt out (cache tags, earlier thoughts)."""

_TRUST = tuple(Accuracy)
"""From the surest to the least sure."""


@dataclass(frozen=True, slots=True)
class Owned:
    """The requests of one call, and which other sources logged each of them too (by source and id)."""

    match: Match
    copies: Mapping[tuple[str, str], tuple[str, ...]] = field(default_factory=dict)


def vendor_reading(
    owned: Owned, recorded_messages: int | None = None, charges: Sequence[Charge] | None = None
) -> VendorReading:
    """The independent reading of a matched call, with its attempts in order. `recorded_messages` is how many messages
    Dify's record of the prompt holds; `charges` are those of the attempts, by default what the evidence says they cost."""
    attempts = owned.match.attempts
    billed = [_billed(call) for call in attempts]
    return VendorReading(
        tokens=_sum(billed),
        provenance=f"gateway:{','.join(sorted({call.source for call in attempts}))}",
        independent=True,
        match=owned.match.method,
        confidence=owned.match.confidence,
        attempts=tuple(
            _attempt(call, tokens, owned.copies.get((call.source, call.id), ()), recorded_messages)
            for call, tokens in zip(attempts, billed, strict=True)
        ),
        cost=costs.total(charged(owned, PriceBook()) if charges is None else charges),
    )


def charged(owned: Owned, book: PriceBook, call: Call | None = None) -> tuple[Charge, ...]:
    """What each attempt of a matched call cost, in their order: as its evidence says, and as the book does."""
    return tuple(
        costs.free(book, request, call)
        if (billed := _billed(request)) is _NOTHING
        else costs.charge(book, request, billed, call)
        for request in owned.match.attempts
    )


def counted_reading(attempts: Sequence[VendorCall]) -> LocalReading | None:
    """Our own count of what the vendor's records held, summed over the requests that the vendor answered; None when one
    of them was logged without its texts."""
    counted = [call.counted for call in _answered(attempts)]
    known = [item for item in counted if item is not None]
    if not known or len(known) < len(counted):
        return None
    worst = max(known, key=lambda item: _TRUST.index(Accuracy(item.accuracy)))
    errors = [item.error_pct for item in known if item.error_pct is not None]
    return LocalReading(
        tokens=Tokens(
            input=_whole(item.input for item in known), output=_whole(item.output for item in known)
        ),
        tokenizer=worst.tokenizer,
        accuracy=Accuracy(worst.accuracy),
        error_pct=max(errors) if len(errors) == len(known) else None,
        note="; ".join(filter(None, (FROM_RECORD, worst.note))),
        is_of_request=True,
    )


def better_local(
    local: LocalReading | None, attempts: Sequence[VendorCall], recorded_chars: int | None = None
) -> LocalReading | None:
    """The local reading of a call: `local`, the recount of Dify's record, or the count of the vendor's record of the
    request where that can be trusted more, because the record holds what Dify did not keep.

    Only of a call that was answered once, as the recount is of one request; the note says where a count came from.
    `recorded_chars` are the characters of the prompt that Dify kept: a logged request with clearly fewer was cut by its
    gateway.
    """
    counted = counted_reading(attempts)
    if local is None or counted is None:
        return local or counted
    if recorded_chars and any((call.asked.chars or 0) < _WHOLE * recorded_chars for call in attempts):
        return local
    loses = any(
        new is None and old is not None
        for new, old in (
            (counted.tokens.input, local.tokens.input),
            (counted.tokens.output, local.tokens.output),
        )
    )
    if loses or len(_answered(attempts)) > 1:
        return local
    return counted if _doubt(counted) < _doubt(local) else local


def _doubt(reading: LocalReading) -> tuple[int, bool]:
    return _TRUST.index(reading.accuracy), reading.error_pct is None


def _answered(attempts: Sequence[VendorCall]) -> list[VendorCall]:
    """The requests that the vendor worked for: neither refused nor answered by a gateway's cache."""
    return [call for call in attempts if _billed(call) is not _NOTHING]


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


def _attempt(
    call: VendorCall, billed: Tokens | None, copies: tuple[str, ...], recorded_messages: int | None
) -> Attempt:
    held = call.asked.messages
    return Attempt(
        id=call.id,
        source=call.source,
        status=CACHED if call.is_cache_hit else call.status,
        started_at=call.started_at,
        ended_at=call.ended_at,
        tokens=billed or Tokens(),
        model=call.response_model or call.model,
        is_estimated=call.is_estimated,
        copies=copies,
        tools=call.asked.tools,
        has_schema=call.asked.has_schema,
        media=call.asked.media,
        added_messages=None
        if held is None or recorded_messages is None
        else max(0, held - recorded_messages),
        key=call.key,
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
