"""What a bucket of many requests costs: between two amounts, because a sum of tokens says less than its requests did.

Not told by a sum: how long each input was (the tier) and at what hour it was asked (peak hours); these widen the two
amounts. Where the bucket does not say what was cached or came in a batch, all of it is priced as if nothing had been, which
is usually too much. A tier that only a request longer than the whole bucket's input could reach is ruled out.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from exporter.model import Micros, Money, Tokens
from exporter.prices.book import Names, PriceBook
from exporter.prices.entries import Tier, Unknown, amount


@dataclass(frozen=True, slots=True)
class Between:
    """The least and the most that a bucket can have cost; the same amount twice where the sum tells all."""

    low: Money
    high: Money

    @property
    def is_exact(self) -> bool:
        """Whether the two are one."""
        return self.low.amount == self.high.amount


def price_aggregate(
    book: PriceBook,
    names: Names,
    since: Micros,
    until: Micros,
    tokens: Tokens,
    requests: int,
    *,
    characters: int | None = None,
    is_batch: bool = False,
) -> Between | Unknown:
    """What the tokens of `requests` requests cost that began within the time from `since` to `until` (exclusive). The time
    must lie within one price: Unknown when a price changed in it."""
    prices = book.prices_within(names, since, until)
    if isinstance(prices, Unknown):
        return prices
    made: list[Money] = []
    for entry in prices:
        tiers = entry.served(since, is_batch=is_batch)
        if isinstance(tiers, Unknown):
            return tiers
        for tier in _reachable(tiers, tokens.input or 0, requests):
            found = amount(tier.rates, tokens, requests, characters)
            if isinstance(found, Unknown):
                return found
            made.append(Money(found, entry.currency, entry.origin))
    if len({money.currency for money in made}) > 1:
        return Unknown("the prices of the time are in several currencies")
    return Between(min(made, key=_amount), max(made, key=_amount))


def _amount(money: Money) -> Decimal:
    return money.amount


def _reachable(tiers: tuple[Tier, ...], tokens_in: int, requests: int) -> tuple[Tier, ...]:
    """One request is of one tier; of several, the longest may have taken nearly all of the input."""
    reached = tuple(tier for tier in tiers if tokens_in > tier.above) or tiers[-1:]
    return reached[:1] if requests == 1 else reached
