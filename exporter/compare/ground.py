"""The ground that the money of a call's findings is worked out on: what the price book says of its vendor requests, and Dify's
price in the same currency.

Nothing is claimed without: a request that nobody can price, or in another currency, leaves no ground.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from exporter.compare.case import NOTHING, Amount, Case, is_nothing, thrown_away
from exporter.compare.currencies import one_name
from exporter.model import DifyReading, Finding, Micros, Money
from exporter.prices.book import Quote
from exporter.prices.costs import Costs
from exporter.prices.entries import Rates, Unknown
from exporter.prices.exchange import Exchange

_ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class Ground:
    """What the steps are taken from, in one currency: the book's rates of the billed request, its amounts for earlier
    attempts and for the rest, the price of the model that Dify asked for (None where it is not known), and Dify's price with
    the tokens it is of (None where there is none to compare)."""

    rates: Rates
    asked: Quote | None
    currency: str
    origin: str | None
    earlier: Decimal
    kept: Decimal
    kept_tokens: Amount
    recorded: Amount
    dify: Money | None

    def money(self, amount: Decimal) -> Money:
        """An amount that the rates made."""
        return Money(amount, self.currency, self.origin)


def recorded_money(dify: DifyReading | None, currency: str, exchange: Exchange, at: Micros) -> Money | None:
    """Dify's price in that currency. Where it recorded no tokens it asks for nothing; where it has no price for some it
    is unknown."""
    if dify is None or dify.cost is None:
        return Money(_ZERO, currency) if is_nothing(dify) else None
    return exchange.converted(dify.cost, currency, at)


def ground_of(
    case: Case, found: Sequence[Finding], costs: Costs, billed: Money, dify: Money | None
) -> Ground | None:
    """None where the book does not know the price of every billed request in the vendor's currency."""
    thrown = thrown_away(case)
    earlier, kept, last = _ZERO, _ZERO, None
    tokens = NOTHING
    for attempt, charge in zip(case.vendor.attempts, costs.charges, strict=True):
        listed = charge.listed
        if isinstance(listed, Unknown) or one_name(listed.money.currency) != one_name(billed.currency):
            if charge.is_billed:
                return None
            continue
        last = listed if charge.is_billed or last is None else last
        if any(attempt is item for item in thrown):
            earlier += listed.money.amount
            continue
        kept += listed.money.amount
        tokens = (tokens[0] + (attempt.tokens.input or 0), tokens[1] + (attempt.tokens.output or 0))
    if last is None:
        return None
    total_alone = bool(case.dify and case.dify.total and case.recorded == NOTHING)
    names = costs.asked if any(item.code == "model_substituted" for item in found) else costs.served
    quote = costs.book.quote(names, costs.at, costs.tokens.input if costs.tokens else None)
    is_known = isinstance(quote, Quote) and one_name(quote.currency) == one_name(billed.currency)
    return Ground(
        rates=last.rates,
        asked=quote if isinstance(quote, Quote) and is_known else None,
        currency=billed.currency,
        origin=last.money.origin,
        earlier=earlier,
        kept=kept,
        kept_tokens=tokens,
        recorded=case.vendor_counts if total_alone else case.recorded,
        dify=dify,
    )
