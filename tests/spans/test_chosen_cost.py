"""Which price goes with the tokens that a platform is shown."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from assessed_traces import assessment, dify, local, vendor

from exporter.model import Money
from exporter.spans.langfuse import cost_details
from exporter.spans.readings import chosen_cost

PRICE = Money(Decimal("0.5"), "USD")


def test_the_vendors_own_price_goes_with_the_vendors_tokens() -> None:
    both = assessment(vendor=vendor(cost=PRICE), dify=dify(cost=Money(Decimal("0.3"), "USD")))
    assert chosen_cost(both) == 0.5


def test_difys_price_stands_in_where_dify_recorded_the_very_same_tokens() -> None:
    same = assessment(
        vendor=vendor(input=100, output=20, cost=None), dify=dify(input=100, output=20, cost=PRICE)
    )
    assert chosen_cost(same) == 0.5


def test_difys_price_of_other_tokens_is_not_the_vendors() -> None:
    other = assessment(
        vendor=vendor(input=240, output=42, cost=None), dify=dify(input=120, output=30, cost=PRICE)
    )
    assert chosen_cost(other) is None


def test_a_price_in_another_currency_is_no_price_in_dollars() -> None:
    yuan = assessment(vendor=None, dify=dify(cost=Money(Decimal("0.5"), "RMB")))
    assert chosen_cost(yuan) is None


def test_what_the_price_book_made_of_each_reading_stands_beside_what_dify_recorded() -> None:
    made = Money(Decimal("0.4"), "USD", "genai-prices 0.2.3: openai/gpt-4o")
    priced = assessment(vendor=vendor(cost=made), dify=dify(cost=PRICE), local=replace(local(), cost=made))
    assert cost_details(priced) == {"total": 0.4, "dify": 0.5, "local": 0.4, "vendor": 0.4}
