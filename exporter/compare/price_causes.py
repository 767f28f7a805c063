"""The findings that only money knows: Dify's price, the vendor's charge and the book's list held against each other.

Each is told when the two amounts differ by more than the rounding of whoever wrote them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from decimal import Decimal
from typing import Any

from exporter.compare.case import Amount
from exporter.compare.currencies import one_name
from exporter.compare.wording import finding, listed, split
from exporter.model import Confidence, Finding, Money, Tokens, UnitPrices
from exporter.prices.book import HOURS, TIER, Quote
from exporter.prices.entries import BATCH, Priced, Rates

DIFY_ROUNDS = Decimal("0.0000002")
"""Dify rounds the price of the input and that of the output to seven places, once a request."""

GATEWAY_ROUNDS = Decimal("0.0000025")
"""new-api counts in units of 0.000002 dollars."""

_NOTICED = Decimal("0.001")
"""The share of an amount from which on a difference is no rounding of unit prices."""

_CAUSES = {TIER: "price_tier", HOURS: "price_hours"}
_CHARGED = {BATCH: "batch_charged", "flex": "service_tier_charged", "priority": "service_tier_charged"}
_THOUSAND = 1000
_ZERO = Decimal(0)


def price_differs(
    recorded: Money, tokens: Amount, book: Priced, quote: Quote, rounded: int, asked: UnitPrices | None
) -> Finding | None:
    """Dify's price against the book's of the same tokens (`book`, at the rates of the call); None where they agree.
    `rounded` is how many requests' prices Dify rounded, `asked` are the unit prices that it kept. Where Dify's price is
    the book's for shorter inputs or other hours, that is the cause."""
    difference = book.money.amount - recorded.amount
    if _is_alike(book.money.amount, recorded.amount, DIFY_ROUNDS * rounded):
        return None
    code = next(
        (
            _CAUSES[name]
            for name, rates in quote.others
            if name in _CAUSES and _is_alike(rates.plain(*tokens), recorded.amount, DIFY_ROUNDS * rounded)
        ),
        "price_differs",
    )
    told = finding(
        code,
        _sure(book.money),
        what=_which_rate(asked, book, recorded, tokens, rounded),
        tokens=split(*tokens),
        recorded=shown(recorded),
        book=shown(book.money),
        rates=rate_words(book.rates),
        origin=book.money.origin,
        thousand=shown(Money(difference * _THOUSAND, book.money.currency)),
    )
    return _costing(told, difference, book.money)


def _which_rate(asked: UnitPrices | None, book: Priced, recorded: Money, tokens: Amount, rounded: int) -> str:
    """The rates that differ; the book's alone where Dify's are not known, are in another currency, or did not make the
    recorded price: a message keeps four places of them."""
    general = f"Dify's prices are not the price book's ({rate_words(book.rates)})"
    if asked is None or one_name(asked.currency) != one_name(book.money.currency):
        return general
    made = Rates(asked.input, asked.output).plain(*tokens)
    if not _is_alike(made, recorded.amount, DIFY_ROUNDS * rounded):
        return general
    wrong = [
        (name, own, rate)
        for name, own, rate in (
            ("input", asked.input, book.rates.input),
            ("output", asked.output, book.rates.output),
        )
        if rate is not None and not _is_alike(own, rate, _ZERO)
    ]
    if not wrong:
        return general
    own_words = listed(
        [f"{shown(Money(own, recorded.currency))} per million {name} tokens" for name, own, _ in wrong]
    )
    book_words = listed([shown(Money(rate, book.money.currency)) for _, _, rate in wrong])
    return f"Dify asks {own_words} where the price book says {book_words}"


def no_price(book: Priced, tokens: Amount) -> Finding:
    """Dify has no price for the model, so it shows 0. No cost: nothing is known that could be subtracted."""
    return finding(
        "price_missing",
        _sure(book.money),
        tokens=split(*tokens),
        book=shown(book.money),
        origin=book.money.origin,
        thousand=shown(Money(book.money.amount * _THOUSAND, book.money.currency)),
    )


def charge_differs(
    billed: Money, book: Money, special: Iterable[tuple[str, Decimal]], requests: int
) -> Finding | None:
    """The charged amount against the book's; None where they agree. `special` are the book's amounts for other ways to be
    served, and `requests` says how often the amount was rounded."""
    difference, rounding = billed.amount - book.amount, GATEWAY_ROUNDS * requests
    if _is_alike(billed.amount, book.amount, rounding):
        return None
    facts: dict[str, Any] = {"billed": shown(billed), "book": shown(book), "origin": book.origin}
    for name, amount in special:
        if name in _CHARGED and _is_alike(billed.amount, amount, rounding):
            return _costing(finding(_CHARGED[name], _sure(book), way=name, **facts), difference, book)
    percent = f"{difference / book.amount * 100:+.1f} %" if book.amount else "all of it"
    return _costing(finding("charge_differs", _sure(book), percent=percent, **facts), difference, book)


def of_parts(cost: Money, rates: Rates, tokens: Tokens) -> Finding:
    """Parts of the tokens that are not billed like the rest, where no other finding tells of them."""
    parts = [
        f"{count} {name}"
        for name, count in (
            ("from the cache", tokens.cache_read),
            ("written to the cache", tokens.cache_write),
            ("reasoning", tokens.reasoning),
        )
        if count
    ]
    if rates.request:
        parts.append("a price for each request")
    what = listed(parts) or "requests of other prices"
    told = finding("special_rates", _sure(cost), parts=what, moved=shown(cost), origin=cost.origin)
    return replace(told, cost=cost)


def converted(billed: str, recorded: Money) -> Finding:
    """Two currencies, and the operator's rate between them."""
    return finding(
        "currency_converted",
        Confidence.CERTAIN,
        billed=billed,
        recorded=shown(recorded),
        how=recorded.origin,
    )


def shown(money: Money) -> str:
    """`0.00042 USD`, without exponent or zeros at the end, to twelve places."""
    digits = f"{money.amount:.12f}".rstrip("0").rstrip(".")
    return f"{'0' if digits in ('', '-0') else digits} {money.currency}"


def signed(money: Money) -> str:
    """The same with its sign: `+0.00042 USD`; 0 has none."""
    words = shown(money)
    return words if words.startswith(("-", "0 ")) else f"+{words}"


def rate_words(rates: Rates) -> str:
    """`0.15 for input and 0.6 for output, per million`."""
    known = [
        f"{rate.normalize():f} for {name}"
        for name, rate in (("input", rates.input), ("output", rates.output))
        if rate is not None
    ]
    return f"{listed(known)}, per million" if known else "no rate for tokens"


def _costing(told: Finding, difference: Decimal, book: Money) -> Finding:
    return replace(told, cost=Money(difference, book.currency, book.origin))


def _sure(book: Money) -> Confidence:
    """A public list may be another contract's; the operator's own word is the operator's."""
    is_own = (book.origin or "").startswith("operator")
    return Confidence.CERTAIN if is_own else Confidence.LIKELY


def _is_alike(one: Decimal, other: Decimal, rounding: Decimal) -> bool:
    return abs(one - other) <= max(rounding, abs(other) * _NOTICED)
