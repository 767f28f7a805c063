"""The price book: what so many tokens of a model cost at a moment, who says so, or why nobody knows.

The operator's own entries come first, then public list prices where they are wanted. Pure: no clock, no network, the same
question gives the same answer. An unknown price is `Unknown`, never 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from exporter.config.prices import PriceSettings
from exporter.model import Micros, Money, Tokens
from exporter.prices import listed
from exporter.prices.entries import Entry, Priced, Rates, Tier, Unknown, amount, tier_of
from exporter.prices.exchange import Exchange
from exporter.prices.operator import Own, own_exchange, own_prices, schedule

Names = tuple[tuple[str | None, str], ...]
"""The provider and the model asked for, under every name they are known by, the best one first."""

TIER, HOURS = "tier", "hours"
"""What else a price may hang on, besides the ways to be served: the input's length, the time of day."""

_MOST_REMEMBERED = 10_000


@dataclass(frozen=True, slots=True)
class Quote:
    """The price that holds for a model at a moment and an input length, and others it might have been charged at."""

    origin: str
    currency: str
    rates: Rates
    others: tuple[tuple[str, Rates], ...] = ()


@dataclass(frozen=True, slots=True)
class _Schedule:
    """The entries of a model, the one that wins first; what to say where none holds."""

    entries: tuple[Entry, ...]
    reason: str


class PriceBook:
    """Prices of the operator and of the public list. What was looked up once is remembered."""

    def __init__(
        self, own: Sequence[Own] = (), exchange: Exchange | None = None, *, list_prices: bool = False
    ) -> None:
        self._own = tuple(own)
        self._list_prices = list_prices
        self._known: dict[Names, _Schedule] = {}
        self.exchange = exchange or Exchange()

    @property
    def is_empty(self) -> bool:
        """Whether nothing can be priced."""
        return not self._own and not self._list_prices

    def price(
        self,
        names: Names,
        at: Micros,
        tokens: Tokens,
        *,
        requests: int = 1,
        characters: int | None = None,
        is_batch: bool = False,
    ) -> Priced | Unknown:
        """What this cost. The tier is told by the input tokens, which must be those of single requests."""
        found = self._in_effect(names, at)
        if isinstance(found, Unknown):
            return found
        tiers = found.served(at, is_batch=True) if is_batch else found.tiers
        if isinstance(tiers, Unknown):
            return tiers
        tier = tier_of(tiers, tokens.input)
        made = amount(tier.rates, tokens, requests, characters)
        if isinstance(made, Unknown):
            return made
        return Priced(Money(made, found.currency, _origin(found, tier, is_batch=is_batch)), tier.rates)

    def worth(self, names: Names, at: Micros, tokens_in: int, tokens_out: int) -> tuple[Decimal, str] | None:
        """Amount and currency of one request's plain input and output tokens; None where they have no price."""
        found = self._in_effect(names, at)
        if isinstance(found, Unknown):
            return None
        return tier_of(found.tiers, tokens_in).rates.plain(tokens_in, tokens_out), found.currency

    def quote(self, names: Names, at: Micros, tokens_in: int | None) -> Quote | Unknown:
        """The price in effect, and the rates for shorter inputs, at other hours and other ways to be served."""
        found = self._in_effect(names, at)
        if isinstance(found, Unknown):
            return found
        tier = tier_of(found.tiers, tokens_in)
        others = [
            *((TIER, other.rates) for other in found.tiers if other is not tier),
            *(
                (HOURS, tier_of(entry.tiers, tokens_in).rates)
                for entry in self._schedule(names).entries
                if entry is not found and (entry.hours or found.hours) and _began(entry.since, at)
            ),
            *(
                (item.name, tier_of(item.tiers, tokens_in).rates)
                for item in found.special
                if _began(item.since, at)
            ),
        ]
        return Quote(_origin(found, tier, is_batch=False), found.currency, tier.rates, tuple(others))

    def prices_within(self, names: Names, since: Micros, until: Micros) -> tuple[Entry, ...] | Unknown:
        """All prices that hold at some moment from `since` up to `until`: more than one where there are peak hours.
        Unknown where a price began in between, or where none holds at some of the hours."""
        entries = self._schedule(names).entries
        if any(entry.since is not None and since < entry.since < until for entry in entries):
            return Unknown("a price changed within the time")
        found: list[Entry] = []
        for entry in (item for item in entries if _began(item.since, since)):
            if not entry.hours or any(hours.touch(since, until) for hours in entry.hours):
                found.append(entry)
            if not entry.hours or any(hours.cover(since, until) for hours in entry.hours):
                return tuple(found)
        return Unknown(self._schedule(names).reason)

    def _in_effect(self, names: Names, at: Micros) -> Entry | Unknown:
        known = self._schedule(names)
        for entry in known.entries:
            if entry.holds(at):
                return entry
        return Unknown(known.reason)

    def _schedule(self, names: Names) -> _Schedule:
        known = self._known.get(names)
        if known is None:
            if len(self._known) >= _MOST_REMEMBERED:
                self._known.clear()
            known = self._known[names] = self._looked_up(names)
        return known

    def _looked_up(self, names: Names) -> _Schedule:
        found = [entry for name in names for entry in schedule(self._own, *name)]
        if not names:
            return _Schedule((), "the model is not known")
        reason = "your price book has no entry that holds for this model"
        for name in names if self._list_prices else ():
            public = listed.entries(*name)
            if not isinstance(public, Unknown):
                return _Schedule((*found, *public), reason)
            reason = public.reason
        return _Schedule(tuple(found), reason)


def price_book(settings: PriceSettings) -> PriceBook:
    """The book that the settings make."""
    return PriceBook(own_prices(settings), own_exchange(settings), list_prices=settings.list_prices)


def _began(since: Micros | None, at: Micros) -> bool:
    return since is None or at >= since


def _origin(entry: Entry, tier: Tier, *, is_batch: bool) -> str:
    if not tier.above and not is_batch:
        return entry.origin
    batch = ", batch" if is_batch else ""
    return f"{entry.origin}{batch}" + (f", over {tier.above} input tokens" if tier.above else "")
