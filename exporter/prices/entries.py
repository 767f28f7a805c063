"""A price as it stands in a book: what the units cost, when, and the arithmetic that makes an amount of it.

Exact decimals, no rounding. A count that is needed and not known makes the amount unknown; a rate that is not stated is
that of the whole of which the tokens are a part: cached input costs what input costs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import time, tzinfo
from decimal import Decimal

from exporter import clock
from exporter.model import Micros, Money, Tokens

_MILLION = -6
_ZERO = Decimal(0)
_DAY = 86_400_000_000


@dataclass(frozen=True, slots=True)
class Rates:
    """Money for a million tokens of each kind, for a request and for a character; None where none is stated."""

    input: Decimal | None = None
    output: Decimal | None = None
    cache_read: Decimal | None = None
    cache_write: Decimal | None = None
    reasoning: Decimal | None = None
    request: Decimal | None = None
    character: Decimal | None = None

    def times(self, factor: Decimal) -> Rates:
        """All rates that much of what they are."""
        known = ((name, getattr(self, name)) for name in self.__slots__)
        return Rates(**{name: rate * factor for name, rate in known if rate is not None})

    def plain(self, tokens_in: int, tokens_out: int) -> Decimal:
        """What so many input and output tokens are worth without cached and reasoning parts. Negative for negatives."""
        return (tokens_in * (self.input or _ZERO) + tokens_out * (self.output or _ZERO)).scaleb(_MILLION)


@dataclass(frozen=True, slots=True)
class Tier:
    """Rates for requests with more than `above` input tokens; the whole request costs that much."""

    above: int
    rates: Rates


@dataclass(frozen=True, slots=True)
class Hours:
    """A time of day in a zone; one that ends before it begins goes over midnight."""

    start: time
    end: time
    zone: tzinfo

    def hold(self, at: Micros) -> bool:
        """Whether the moment lies within."""
        lasts = (_of_day(self.end) - _of_day(self.start)) % _DAY
        return self._since(self.start, at) < lasts

    def touch(self, since: Micros, until: Micros) -> bool:
        """Whether a moment from `since` up to `until` lies within."""
        return self.hold(since) or _DAY - self._since(self.start, since) < until - since

    def cover(self, since: Micros, until: Micros) -> bool:
        """Whether all moments from `since` up to `until` lie within."""
        return self.hold(since) and _DAY - self._since(self.end, since) >= until - since

    def _since(self, hour: time, at: Micros) -> Micros:
        """How long ago it was this time of day."""
        return (_of_day(clock.at(at, self.zone).time()) - _of_day(hour)) % _DAY


def _of_day(hour: time) -> Micros:
    """Microseconds since midnight."""
    return ((hour.hour * 60 + hour.minute) * 60 + hour.second) * 1_000_000 + hour.microsecond


@dataclass(frozen=True, slots=True)
class Special:
    """The tiers of another way to be served (batch, flex, priority), from `since` on."""

    name: str
    tiers: tuple[Tier, ...]
    since: Micros | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """A price of a model. `tiers` begin with the highest and end with the one above 0."""

    origin: str
    currency: str
    tiers: tuple[Tier, ...]
    since: Micros | None = None
    hours: tuple[Hours, ...] = ()
    special: tuple[Special, ...] = ()

    def holds(self, at: Micros) -> bool:
        """Whether this is a price of that moment."""
        if self.since is not None and at < self.since:
            return False
        return not self.hours or any(hours.hold(at) for hours in self.hours)

    def served(self, at: Micros, *, is_batch: bool) -> tuple[Tier, ...] | Unknown:
        """The tiers of requests that are answered at once, or later in a batch."""
        if not is_batch:
            return self.tiers
        for special in self.special:
            if special.name == BATCH and (special.since is None or at >= special.since):
                return special.tiers
        return Unknown("the batch price is not known")


@dataclass(frozen=True, slots=True)
class Priced:
    """An amount with the entry that made it (`money.origin`) and the unit rates that were used."""

    money: Money
    rates: Rates


@dataclass(frozen=True, slots=True)
class Unknown:
    """No amount, and why."""

    reason: str


BATCH = "batch"
"""The name of the special price of requests that are answered later."""


def tier_of(tiers: Sequence[Tier], tokens_in: int | None) -> Tier:
    """The tier of a request with that much input; the lowest where it is not known."""
    if tokens_in and len(tiers) > 1:
        return next((tier for tier in tiers if tokens_in > tier.above), tiers[-1])
    return tiers[-1]


def amount(
    rates: Rates, tokens: Tokens, requests: int = 1, characters: int | None = None
) -> Decimal | Unknown:
    """What so many tokens, requests and characters cost at these rates."""
    total = _ZERO
    if rates.input is not None or rates.output is not None:
        given = _of_tokens(
            "input", tokens.input, rates.input,
            tokens.cache_read, rates.cache_read, tokens.cache_write, rates.cache_write,
        )  # fmt: skip
        if isinstance(given, Unknown):
            return given
        written = _of_tokens("output", tokens.output, rates.output, tokens.reasoning, rates.reasoning)
        if isinstance(written, Unknown):
            return written
        total = (given + written).scaleb(_MILLION)
    elif rates.request is None and rates.character is None:
        return Unknown("it is not billed by tokens, requests or characters")
    if rates.request is not None:
        total += requests * rates.request
    if rates.character is not None:
        if characters is None:
            return Unknown("it is billed by characters, which are not known")
        total += characters * rates.character
    return total


def _of_tokens(
    name: str,
    count: int | None,
    rate: Decimal | None,
    part: int | None,
    part_rate: Decimal | None,
    other: int | None = None,
    other_rate: Decimal | None = None,
) -> Decimal | Unknown:
    """Millionths of what the tokens cost; two parts of them at their own rates, where they have such."""
    if rate is None:
        return Unknown(f"no price for {name} tokens is known") if count else _ZERO
    if count is None:
        return Unknown(f"the {name} tokens are not known")
    if (part or 0) + (other or 0) > count:
        return Unknown(f"more tokens are said to be cached or reasoning than {name} tokens")
    total = count * rate
    if part and part_rate is not None:
        total += part * (part_rate - rate)
    if other and other_rate is not None:
        total += other * (other_rate - rate)
    return total
