"""Money is converted at the operator's rates only, of the day, and says so."""

from __future__ import annotations

from decimal import Decimal

from exporter.model import Money
from tests.prices.books import own_book, when

RATES = [
    {"currency": "CNY", "per": "USD", "rate": "7.2", "date": "2026-01-01"},
    {"currency": "CNY", "per": "USD", "rate": "7.0", "date": "2026-06-01"},
]
EXCHANGE = own_book(rates=RATES).exchange
SPRING, AUTUMN, BEFORE = (
    when("2026-03-01T00:00:00Z"),
    when("2026-09-01T00:00:00Z"),
    when("2025-12-31T00:00:00Z"),
)


def test_the_rate_is_that_of_the_day_and_stands_with_the_amount() -> None:
    found = EXCHANGE.converted(Money(Decimal(2), "USD"), "CNY", SPRING)
    assert found == Money(Decimal("14.4"), "CNY", "converted from USD at 7.2 CNY per USD of 2026-01-01")
    later = EXCHANGE.converted(Money(Decimal(2), "USD"), "CNY", AUTUMN)
    assert later is not None
    assert later.amount == 14


def test_a_rate_serves_both_directions_and_every_name_of_the_renminbi() -> None:
    found = EXCHANGE.converted(Money(Decimal("7.2"), "RMB", "operator: prices.entries[0]"), "USD", SPRING)
    assert found is not None
    assert (found.amount, found.currency) == (1, "USD")
    assert (found.origin or "").startswith(
        "operator: prices.entries[0]; converted from RMB at 7.2 CNY per USD"
    )


def test_the_same_currency_under_another_name_is_not_converted() -> None:
    money = Money(Decimal(3), "RMB")
    assert EXCHANGE.converted(money, "CNY", BEFORE) is money


def test_without_a_rate_for_the_day_or_the_currency_there_is_no_amount() -> None:
    assert EXCHANGE.converted(Money(Decimal(2), "USD"), "CNY", BEFORE) is None
    assert EXCHANGE.converted(Money(Decimal(2), "EUR"), "CNY", SPRING) is None
    assert own_book().exchange.converted(Money(Decimal(2), "USD"), "CNY", SPRING) is None
