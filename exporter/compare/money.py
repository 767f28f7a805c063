"""The money of the findings: what each moves between Dify's price and the vendor's, and the causes that move money alone.

The way from Dify's price to the vendor's, each step one finding's, at the rates of the request that was billed: Dify's
tokens at these rates instead of Dify's own price; tokens that Dify lacks or has too many; parts with rates of their own
(cached, reasoning); earlier attempts; what was charged instead of the list. The steps and `unexplained_money` add up to
vendor − dify. A step that nobody can price has no cost; without a common currency no difference is claimed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from decimal import Decimal

from exporter.compare.case import NOTHING, Case, is_nothing
from exporter.compare.ground import Ground, ground_of, recorded_money
from exporter.compare.lost import AGENT_NODE, PRICE_UNTOLD
from exporter.compare.price_causes import (
    DIFY_ROUNDS,
    charge_differs,
    converted,
    no_price,
    of_parts,
    price_differs,
)
from exporter.model import Assessment, Call, DifyReading, Finding, Money
from exporter.prices.book import TIER
from exporter.prices.costs import Charge, Costs
from exporter.prices.entries import Priced, Unknown, amount
from exporter.prices.exchange import Exchange

_ZERO = Decimal(0)
_OF_PARTS = ("cache_price_weighted", "cache_left_out", "cached_at_full_price")
"""Findings that are about parts of the input with rates of their own."""

_WITH_MONEY_ALONE = ("cached_at_full_price", "model_substituted")
"""Findings that move money and no tokens."""


def priced(case: Case, found: Sequence[Finding], costs: Costs | None) -> tuple[Finding, ...]:
    """The findings of a call with their cost, then those that only money knows."""
    billed = case.vendor.cost
    if billed is None:
        return tuple(found)
    exchange = costs.book.exchange if costs is not None else Exchange()
    dify = recorded_money(case.dify, billed.currency, exchange, case.call.started_at)
    if _is_settled(case, found, costs, billed, dify):
        return tuple(found)
    ground = ground_of(case, found, costs, billed, dify) if costs is not None else None
    told = [_told_converted(item, case, dify) for item in found]
    if ground is None or costs is None:
        return tuple(_alone(case, told, billed, dify))
    return tuple(_steps(case, told, ground, billed, costs))


def unexplained_money(assessment: Assessment, exchange: Exchange | None = None) -> Money | None:
    """What of vendor − dify no finding holds, in the vendor's currency; None where one of the two is unknown, where their
    currencies differ and the operator gave no rate, or where the difference was not judged."""
    vendor, dify = assessment.vendor, assessment.dify
    if vendor is None or vendor.cost is None or assessment.unexplained_input is None:
        return None
    recorded = recorded_money(dify, vendor.cost.currency, exchange or Exchange(), assessment.call.started_at)
    if recorded is None:
        return None
    held = [item.cost.amount for item in assessment.findings if item.cost is not None]
    return Money(vendor.cost.amount - recorded.amount - sum(held, start=_ZERO), vendor.cost.currency)


def price_remarks(call: Call, dify: DifyReading | None, costs: Costs | None) -> tuple[Finding, ...]:
    """What the book says of Dify's price where no vendor reading speaks: the same tokens at its own rates. Of an agent
    node, whose tokens are those of several requests, only where their lengths do not matter."""
    if costs is None or dify is None or dify.tokens.total is None or is_nothing(dify):
        return ()
    recorded = (dify.tokens.input or 0, dify.tokens.output or 0)
    worth = costs.book.worth(costs.asked, costs.at, *recorded)
    if worth is None:
        return ()
    own = dify.cost and costs.book.exchange.converted(dify.cost, worth[1], costs.at)
    if own is not None and abs(own.amount - worth[0]) <= DIFY_ROUNDS:
        return ()
    listed = costs.book.price(costs.asked, costs.at, dify.tokens)
    quote = costs.book.quote(costs.asked, costs.at, recorded[0])
    if isinstance(listed, Unknown) or isinstance(quote, Unknown):
        return ()
    if AGENT_NODE in call.missing and any(name == TIER for name, _ in quote.others):
        return ()
    if dify.cost is None and call.note == PRICE_UNTOLD:
        return ()
    if dify.cost is None:
        return (no_price(listed, recorded),) if _has_no_price(dify) and listed.money.amount else ()
    found = None if own is None else price_differs(own, recorded, listed, quote, 1, dify.rates)
    return () if found is None else (found,)


def _has_no_price(dify: DifyReading | None) -> bool:
    """Whether Dify is known to have no price for the model. Where its record, or the way to it, tells no price, nothing is
    known."""
    return dify is not None and dify.cost is None and dify.rates is not None and dify.rates.is_missing


def _told_converted(item: Finding, case: Case, dify: Money | None) -> Finding:
    """Two currencies are no obstacle where the operator gave a rate."""
    if item.code != "currency_differs" or dify is None or dify.origin is None or case.vendor.cost is None:
        return item
    return converted(case.vendor.cost.currency, dify)


def _is_settled(
    case: Case, found: Sequence[Finding], costs: Costs | None, billed: Money, dify: Money | None
) -> bool:
    """Whether there is no step to take, as of most calls: the same tokens at the same price, and nobody's own charge."""
    if dify is None or dify.origin is not None or case.difference != NOTHING:
        return False
    if any(item.code in _WITH_MONEY_ALONE for item in found):
        return False
    if costs is not None and any(item.own is not None for item in costs.charges):
        return False
    return abs(billed.amount - dify.amount) <= DIFY_ROUNDS


def _alone(case: Case, found: Sequence[Finding], billed: Money, dify: Money | None) -> Iterator[Finding]:
    """Without rates only the finding that is the whole difference of a call with one side empty has a cost."""
    one_side = is_nothing(case.dify) or not billed.amount
    for item in found:
        is_all = one_side and (item.input, item.output) == case.difference != NOTHING
        if is_all and dify is not None:
            yield replace(item, cost=Money(billed.amount - dify.amount, billed.currency, billed.origin))
        else:
            yield item


def _steps(
    case: Case, found: Sequence[Finding], ground: Ground, billed: Money, costs: Costs
) -> Iterator[Finding]:
    parts = ground.kept - ground.rates.plain(*ground.kept_tokens)
    taker = _taker_of_parts(case, found) if parts else None
    for item in found:
        cost = _cost(item, ground)
        if item is taker:
            cost = (cost or _ZERO) + parts
        yield item if cost is None else replace(item, cost=ground.money(cost))
    if parts and taker is None:
        yield of_parts(ground.money(parts), ground.rates, case.vendor.tokens)
    yield from _of_prices(case, ground, costs)
    yield from _of_charge(ground, billed, costs)


def _cost(item: Finding, ground: Ground) -> Decimal | None:
    """What the finding's tokens are worth; None for one that moves none."""
    if item.code == "retry_billed":
        return ground.earlier
    if item.code == "agent_total_only":
        return _ZERO
    if item.code == "model_substituted":
        return _of_substitute(ground)
    if (item.input, item.output) == NOTHING:
        return None
    return ground.rates.plain(item.input, item.output)


def _of_substitute(ground: Ground) -> Decimal | None:
    """What Dify's tokens cost more with the model that answered than with the one it asked for; than Dify's own price
    where the book does not know that model."""
    worth = ground.rates.plain(*ground.recorded)
    if ground.asked is not None:
        return worth - ground.asked.rates.plain(*ground.recorded)
    return None if ground.dify is None else worth - ground.dify.amount


def _taker_of_parts(case: Case, found: Sequence[Finding]) -> Finding | None:
    """The finding that tells of the parts, or the one that holds the whole answer."""
    of_parts = next((item for item in found if item.code in _OF_PARTS), None)
    if of_parts is not None or not is_nothing(case.dify):
        return of_parts
    whole = [item for item in found if item.code != "retry_billed" and (item.input or item.output)]
    return whole[-1] if whole else None


def _of_prices(case: Case, ground: Ground, costs: Costs) -> Iterator[Finding]:
    """Dify's own price against the book's of the same tokens."""
    if ground.recorded == NOTHING or ground.asked is None:
        return
    rates = ground.asked.rates
    listed = Priced(Money(rates.plain(*ground.recorded), ground.currency, ground.asked.origin), rates)
    if ground.dify is None:
        if case.call.note == PRICE_UNTOLD:
            return
        if _has_no_price(case.dify) and listed.money.amount:
            yield no_price(listed, ground.recorded)
        return
    rounded = max(1, sum(charge.is_billed for charge in costs.charges))
    asked = case.dify.rates if case.dify is not None else None
    difference = price_differs(ground.dify, ground.recorded, listed, ground.asked, rounded, asked)
    if difference is not None:
        yield difference


def _of_charge(ground: Ground, billed: Money, costs: Costs) -> Iterator[Finding]:
    """The vendor's or the gateway's own amount against the book's of the same requests."""
    own = [item for item in costs.charges if item.own is not None]
    if not own:
        return
    listed = ground.money(ground.earlier + ground.kept)
    difference = charge_differs(billed, listed, _special_amounts(costs), requests=len(own))
    if difference is not None:
        yield difference


def _special_amounts(costs: Costs) -> Iterator[tuple[str, Decimal]]:
    """What a call that was billed once would cost if it had been served another way."""
    billed: list[Charge] = [item for item in costs.charges if item.is_billed]
    tokens = costs.tokens
    quote = costs.book.quote(costs.served, costs.at, tokens.input if tokens else None)
    if len(billed) != 1 or tokens is None or isinstance(quote, Unknown):
        return
    for name, rates in quote.others:
        found = amount(rates, tokens)
        if isinstance(found, Decimal):
            yield name, found
