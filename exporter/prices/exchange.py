"""Money in another currency, at the operator's rates only. Without a rate for the day there is no converted amount."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from exporter.compare.currencies import one_name
from exporter.model import Micros, Money


@dataclass(frozen=True, slots=True)
class Rate:
    """`rate` of `currency` are one of `per`, from `since` on."""

    currency: str
    per: str
    rate: Decimal
    since: Micros | None
    words: str


class Exchange:
    """The operator's rates. Pure: the same money of the same moment gives the same amount."""

    def __init__(self, rates: Iterable[Rate] = ()) -> None:
        self._rates = sorted(rates, key=lambda rate: -(rate.since or 0))

    def converted(self, money: Money, currency: str, at: Micros) -> Money | None:
        """The money in that currency at the newest rate that is not after the moment, its origin saying so; the money
        itself where it is in that currency already; None without a rate. Either direction of a rate is used, two rates
        are never chained."""
        own, wanted = one_name(money.currency), one_name(currency)
        if own == wanted:
            return money
        for rate in self._rates:
            if rate.since is not None and at < rate.since:
                continue
            if (rate.currency, rate.per) == (wanted, own):
                return self._made(money, money.amount * rate.rate, currency, rate)
            if (rate.currency, rate.per) == (own, wanted):
                return self._made(money, money.amount / rate.rate, currency, rate)
        return None

    def _made(self, money: Money, amount: Decimal, currency: str, rate: Rate) -> Money:
        converted = f"converted from {money.currency} at {rate.words}"
        return Money(amount, currency, f"{money.origin}; {converted}" if money.origin else converted)
