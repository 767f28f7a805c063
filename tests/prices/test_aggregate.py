"""The price of a bucket of many requests: exact where the sum tells all, two bounds where it does not."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.model import Tokens
from exporter.prices.aggregate import Between, price_aggregate
from exporter.prices.book import PriceBook
from exporter.prices.entries import Unknown
from tests.prices.books import LIST, NOW, cost, entry, own_book, when

DAY = 86_400_000_000
TIERED = own_book(entry("m", input="1", output="2", tiers=[{"above": 1_000, "input": "3", "output": "4"}]))
PEAKS = own_book(entry("m", input="1", output="1"), entry("m", hours=["09:00-12:00"], input="2", output="2"))


def between(book: PriceBook, tokens: Tokens, requests: int, model: str = "m", provider: str | None = None, **rest: bool) -> Between:  # fmt: skip
    found = price_aggregate(book, ((provider, model),), NOW, NOW + DAY, tokens, requests, **rest)
    assert isinstance(found, Between), found
    return found


def test_a_price_without_conditions_makes_one_amount() -> None:
    """openai.com/api/pricing (2025): gpt-4o-mini $0.15 and $0.60 per million."""
    found = between(LIST, Tokens(2_000_000, 100_000), 900, "gpt-4o-mini", "openai")
    assert found.is_exact
    assert (found.low.amount, found.low.currency) == (Decimal("0.36"), "USD")


def test_a_bucket_s_inputs_may_all_have_been_short_or_long() -> None:
    found = between(TIERED, Tokens(10_000, 0), 20)
    assert (found.low.amount, found.high.amount) == (Decimal("0.01"), Decimal("0.03"))
    assert between(TIERED, Tokens(1_000, 0), 20).is_exact  # nothing can have been longer than all together
    assert between(TIERED, Tokens(1_001, 0), 1).low.amount == Decimal("0.003003")


def test_a_day_with_peak_hours_lies_between_two_amounts() -> None:
    found = between(PEAKS, Tokens(1_000_000, 0), 5)
    assert (found.low.amount, found.high.amount) == (1, 2)


@pytest.mark.parametrize(
    ("since", "until", "low", "high"),
    [
        ("08:00", "09:00", 1, 1),
        ("08:30", "09:01", 1, 2),
        ("09:00", "12:00", 2, 2),
        ("11:59", "12:01", 1, 2),
        ("12:00", "23:00", 1, 1),
    ],
)
def test_a_bucket_within_the_hours_of_one_price_is_exact(since: str, until: str, low: int, high: int) -> None:
    from_to = when(f"2026-11-20T{since}:00Z"), when(f"2026-11-20T{until}:00Z")
    found = price_aggregate(PEAKS, ((None, "m"),), *from_to, Tokens(1_000_000, 0), 5)
    assert isinstance(found, Between)
    assert (found.low.amount, found.high.amount) == (low, high)


def test_hours_without_any_price_leave_the_day_unknown() -> None:
    book = own_book(entry("m", hours=["09:00-12:00"], input="2"))
    assert isinstance(price_aggregate(book, ((None, "m"),), NOW, NOW + DAY, Tokens(1, 0), 1), Unknown)


def test_a_day_on_which_the_price_changed_has_no_one_price() -> None:
    book = own_book(entry("m", input="1"), entry("m", input="2", **{"from": "2026-11-20T18:00:00Z"}))
    assert NOW < when("2026-11-20T18:00:00Z") < NOW + DAY
    found = price_aggregate(book, ((None, "m"),), NOW, NOW + DAY, Tokens(1, 0), 1)
    assert found == Unknown("a price changed within the time")


def test_a_batch_needs_a_batch_price() -> None:
    found = price_aggregate(TIERED, ((None, "m"),), NOW, NOW + DAY, Tokens(1, 0), 1, is_batch=True)
    assert found == Unknown("the batch price is not known")
    half = own_book(entry("m", input="1", batch_factor="0.5"))
    assert between(half, Tokens(1_000_000, 0), 3, is_batch=True).low.amount == Decimal("0.5")


@given(
    st.lists(
        st.tuples(st.integers(0, 5_000), st.integers(0, 500), st.integers(0, 23)), min_size=1, max_size=20
    )
)
def test_the_truth_lies_between_the_two_amounts(calls: list[tuple[int, int, int]]) -> None:
    for book in (TIERED, PEAKS):
        hours = [NOW + hour * 3_600_000_000 for _, _, hour in calls]
        true = sum(
            (cost(book, "m", Tokens(i, o), at=at)[0] for (i, o, _), at in zip(calls, hours, strict=True)),
            start=Decimal(0),
        )
        summed = Tokens(sum(i for i, _, _ in calls), sum(o for _, o, _ in calls))
        found = between(book, summed, len(calls))
        assert found.low.amount <= true <= found.high.amount
