"""What both recorded Dify instances asked for their calls, against public prices: equal to the seventh place, but for the
model whose plugin was behind; and the whole way from Dify's money to the vendor's without a rest."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from exporter import prices, readings
from exporter.compare.money import unexplained_money
from exporter.config import CompareSettings, PriceSettings
from exporter.model import Assessment, UnitPrices
from exporter.vendor.fingerprint import fingerprint_call
from exporter.vendor.matching.match import match
from exporter.vendor.reading import Owned
from tests.prices.books import entry
from tests.vendor import recorded_calls as recorded

QWEN_PLUS = entry("qwen-plus", "CNY", provider="tongyi", input="0.8", output="2")
"""Alibaba Model Studio, Beijing (2025), in yuan per million."""

ROUNDED = Decimal("0.0000002")


@pytest.fixture
def _book_in_force() -> Iterator[None]:
    prices.use(PriceSettings(entries=[QWEN_PLUS]))
    yield
    prices.use(PriceSettings(list_prices=False))


@pytest.fixture(params=["1.12.1", "1.14.0"])
def assessed(
    request: pytest.FixtureRequest, shared: Path, _book_in_force: None
) -> tuple[str, list[Assessment]]:
    instance = recorded.V1_12 if request.param == "1.12.1" else recorded.V1_14
    traces = recorded.traces(shared, instance)
    prints = [
        fingerprint_call(call, trace.app.id, trace.user_aliases) for trace, call in recorded.calls(traces)
    ]
    found = match(prints, recorded.evidence(shared, instance))
    evidence = readings.Evidence({key: Owned(item) for key, item in found.items()}, {})
    read = readings.read(traces, evidence, CompareSettings())
    return request.param, [one for item in read for one in item.assessed.assessments]


def test_dify_s_recorded_prices_are_the_public_ones_but_for_gpt_4o(
    assessed: tuple[str, list[Assessment]],
) -> None:
    """The plugin of February 2026 still asked gpt-4o's price of before October 2024: 5 and 15 dollars, not 2.50 and 10."""
    name, calls = assessed
    held = Counter[str]()
    for one in calls:
        if one.dify is None or one.dify.cost is None or not one.dify.tokens.total:
            continue
        held[one.call.model or ""] += 1
        told = [item for item in one.findings if item.code == "price_differs"]
        if one.call.model == "gpt-4o":
            given, written = one.dify.tokens.input or 0, one.dify.tokens.output or 0
            [item] = told
            assert item.cost is not None
            assert abs(item.cost.amount - (given * Decimal("-2.5") + written * -5).scaleb(-6)) <= ROUNDED
            assert item.evidence.startswith(
                "Dify asks 5 USD per million input tokens and 15 USD per million output tokens"
                " where the price book says 2.5 USD and 10 USD."
            )
        else:
            assert told == []
    assert set(held) == {"gpt-4o-mini", "gpt-4o", "claude-sonnet-4-5-20250929", "o3-mini", "qwen-plus"}
    assert held["gpt-4o"] == {"1.12.1": 31, "1.14.0": 7}[name]


UNIT_PRICES = {
    "gpt-4o-mini": ("0.15", "0.6", "USD"),
    "gpt-4o": ("5", "15", "USD"),
    "claude-sonnet-4-5-20250929": ("3", "15", "USD"),
    "o3-mini": ("1.1", "4.4", "USD"),
    "qwen-plus": ("0.8", "2", "RMB"),
}
"""What the plugins' model files of February 2026 say, per million; tongyi's per thousand: 0.0008 and 0.002."""


def test_dify_s_unit_prices_are_those_of_its_plugins_and_make_its_prices(
    assessed: tuple[str, list[Assessment]],
) -> None:
    held = 0
    for one in assessed[1]:
        if one.dify is None or one.dify.rates is None or one.dify.rates.is_missing:
            assert one.dify is None or one.dify.cost is None or not one.dify.tokens.total
            continue
        rates, tokens = one.dify.rates, one.dify.tokens
        given, written, currency = UNIT_PRICES[one.call.model or ""]
        assert rates == UnitPrices(Decimal(given), Decimal(written), currency)
        if one.dify.cost is not None and tokens.total:
            held += 1
            made = ((tokens.input or 0) * rates.input + (tokens.output or 0) * rates.output).scaleb(-6)
            assert abs(one.dify.cost.amount - made) <= ROUNDED
    assert held > 50


def test_nothing_of_the_money_stays_unexplained(assessed: tuple[str, list[Assessment]]) -> None:
    """Of each call less than Dify rounds; of all together, the findings are the difference."""
    difference, held = defaultdict[str, Decimal](Decimal), defaultdict[str, Decimal](Decimal)
    judged = 0
    for one in assessed[1]:
        left = unexplained_money(one)
        if left is None or one.vendor is None or one.vendor.cost is None:
            continue
        judged += 1
        rounds = max(1, len(one.vendor.attempts))
        assert abs(left.amount) <= ROUNDED * rounds, one.call.call_id
        recorded_cost = one.dify.cost.amount if one.dify and one.dify.cost else Decimal(0)
        difference[left.currency] += one.vendor.cost.amount - recorded_cost - left.amount
        for item in one.findings:
            if item.cost is not None:
                held[left.currency] += item.cost.amount
    assert judged > 100
    assert {key: value for key, value in difference.items() if value} == {
        key: value for key, value in held.items() if value
    }


def test_every_reading_has_its_money_in_the_currency_of_its_model(
    assessed: tuple[str, list[Assessment]],
) -> None:
    """README: tongyi's prices are in RMB, the others in dollars; models behind an endpoint of one's own have none."""
    for one in assessed[1]:
        currency = "CNY" if one.call.provider == "tongyi" else "USD"
        for reading in (one.local, one.vendor):
            if reading is not None and reading.cost is not None:
                assert reading.cost.currency == currency
                assert reading.cost.origin is not None
                assert one.call.provider != "openai_api_compatible"
        if one.dify is not None and one.dify.cost is not None:
            assert one.dify.cost.currency == {"CNY": "RMB"}.get(currency, currency)
            assert one.dify.cost.origin is None  # Dify's own record, untouched


def test_the_cache_s_discount_is_the_readme_s_cached_tokens_at_half_price(
    assessed: tuple[str, list[Assessment]],
) -> None:
    """README: 32,384 cached tokens, 1,792 of them of an answer that Dify lost (1.14.0: 30,720). gpt-4o's cost 1.25 less a
    million, gpt-4o-mini's 0.075 less."""
    name, calls = assessed
    saved, cached = Decimal(0), 0
    for one in calls:
        for item in one.findings:
            if item.code == "cached_at_full_price":
                assert item.cost is not None
                assert one.vendor is not None
                read = one.vendor.tokens.cache_read or 0
                each = {"gpt-4o": Decimal("1.25"), "gpt-4o-mini": Decimal("0.075")}[one.call.model or ""]
                assert item.cost.amount == -(read * each).scaleb(-6)
                saved, cached = saved + item.cost.amount, cached + read
    assert cached == {"1.12.1": 32_384 - 1_792, "1.14.0": 30_720}[name]
    assert saved < 0
