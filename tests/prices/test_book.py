"""Which price is taken: the operator's before the list's, by pattern, day and hour; what is unknown stays unknown."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.model import Tokens
from exporter.prices.book import PriceBook
from exporter.prices.entries import Priced
from tests.prices.books import LIST, MILLION, NOW, cost, entry, own_book, reason, when

ONE = Tokens(MILLION, 0)


def test_an_empty_book_knows_no_price() -> None:
    assert PriceBook().is_empty
    assert reason(PriceBook(), "gpt-4o", ONE, provider="openai") == (
        "your price book has no entry that holds for this model"
    )


def test_the_operator_s_price_wins_over_the_list_s() -> None:
    book = own_book(entry("gpt-4o*", input="2", output="8"), list_prices=True)
    assert cost(book, "gpt-4o-mini", ONE, provider="openai") == (2, "USD")
    assert cost(book, "gpt-4.1", ONE, provider="openai") == (2, "USD")  # the list's
    found = book.price((("openai", "gpt-4o"),), NOW, ONE)
    assert isinstance(found, Priced)
    assert found.money.origin == "operator: prices.entries[0]"


def test_the_operator_s_price_for_any_name_wins_over_the_list_s_for_the_best_name() -> None:
    """A gateway's record names the vendor, the operator wrote down Dify's name."""
    book = own_book(entry("my-alias", input="7"), list_prices=True)
    names = (("openai", "gpt-4o"), ("openai_api_compatible", "my-alias"))
    found = book.price(names, NOW, ONE)
    assert isinstance(found, Priced)
    assert found.money.amount == 7


def test_the_first_pattern_that_fits_is_taken() -> None:
    book = own_book(entry("qwen-max*", input="1"), entry("qwen*", input="2"), entry("*", input="3"))
    assert [cost(book, name, ONE)[0] for name in ("qwen-max-latest", "QWEN-plus", "other")] == [1, 2, 3]


def test_of_one_pattern_the_newest_price_that_has_begun_is_taken() -> None:
    book = own_book(
        entry("m", input="1"),
        entry("m", input="3", **{"from": "2026-03-01"}),
        entry("m", input="2", **{"from": "2026-02-01"}),
    )
    days = ("2026-01-31T23:59:59Z", "2026-02-01T00:00:00Z", "2026-02-28T23:59:59Z", "2026-03-01T00:00:00Z")
    assert [cost(book, "m", ONE, at=when(day))[0] for day in days] == [1, 2, 2, 3]


def test_a_day_begins_in_the_entry_s_own_zone() -> None:
    book = own_book(entry("m", input="1", time_zone="Asia/Shanghai", **{"from": "2026-03-01"}))
    assert cost(book, "m", ONE, at=when("2026-02-28T16:00:00Z"))[0] == 1
    assert reason(book, "m", ONE, at=when("2026-02-28T15:59:59Z"))


def test_before_an_own_price_begins_the_list_is_asked() -> None:
    book = own_book(entry("gpt-4o", input="9", **{"from": "2026-11-01"}), list_prices=True)
    before, after = when("2026-10-31T23:00:00Z"), when("2026-11-01T00:00:00Z")
    assert [cost(book, "gpt-4o", ONE, provider="openai", at=at)[0] for at in (before, after)] == [
        Decimal("2.5"),
        9,
    ]


def test_a_price_of_nothing_is_a_price() -> None:
    book = own_book(entry("*", provider="ollama", input="0", output="0"))
    assert cost(book, "llama3", Tokens(5, 5), provider="ollama") == (0, "USD")


@pytest.mark.parametrize(
    ("tokens", "extra", "why"),
    [
        (Tokens(None, 5), {}, "the input tokens are not known"),
        (Tokens(5, None), {}, "the output tokens are not known"),
        (Tokens(5, 5, cache_read=4, cache_write=2), {}, "more tokens are said to be cached or reasoning than input tokens"),
        (Tokens(5, 5, reasoning=6), {}, "more tokens are said to be cached or reasoning than output tokens"),
        (Tokens(5, 5), {"is_batch": True}, "the batch price is not known"),
    ],
)  # fmt: skip
def test_what_cannot_be_priced_says_why(tokens: Tokens, extra: dict[str, Any], why: str) -> None:
    assert reason(own_book(entry("*", input="1", output="1")), "m", tokens, **extra) == why


def test_output_without_a_price_is_unknown_and_no_output_needs_none() -> None:
    book = own_book(entry("embed", input="1"))
    assert reason(book, "embed", Tokens(5, 1)) == "no price for output tokens is known"
    assert cost(book, "embed", Tokens(MILLION, 0)) == cost(book, "embed", Tokens(MILLION, None)) == (1, "USD")


COUNTS = st.integers(0, 50_000)
PRICES = st.decimals("0", "100", places=4)


@st.composite
def calls(draw: st.DrawFn) -> Tokens:
    read, write, rest = draw(COUNTS), draw(COUNTS), draw(COUNTS)
    reasoning, text = draw(COUNTS), draw(COUNTS)
    return Tokens(read + write + rest, reasoning + text, read, write, reasoning)


@given(st.lists(calls(), min_size=1, max_size=8), st.tuples(*[PRICES] * 6))
def test_cost_is_additive_over_calls(many: list[Tokens], prices: tuple[Decimal, ...]) -> None:
    """Without tiers the calls' costs are the cost of the sum: nothing is rounded, nothing counted twice."""
    names = ("input", "output", "cached_input", "cache_write", "reasoning", "per_request")
    book = own_book(entry(**{name: str(price) for name, price in zip(names, prices, strict=True)}))
    parts = ("input", "output", "cache_read", "cache_write", "reasoning")
    summed = Tokens(*(sum(getattr(one, part) for one in many) for part in parts))
    single = sum((cost(book, "m", one)[0] for one in many), start=Decimal(0))
    assert single == cost(book, "m", summed, requests=len(many))[0]


@given(calls())
def test_every_token_is_billed_once(tokens: Tokens) -> None:
    """With one rate for all kinds it does not matter what was cached or thought."""
    book = own_book(entry(input="3", output="3", cached_input="3", cache_write="3", reasoning="3"))
    assert tokens.total is not None
    assert cost(book, "m", tokens)[0] == Decimal(3 * tokens.total) / MILLION


def test_the_same_question_gives_the_same_answer() -> None:
    tokens = Tokens(1234, 56, 7)
    assert LIST.price((("openai", "gpt-4o"),), NOW, tokens) == LIST.price(
        (("openai", "gpt-4o"),), NOW, tokens
    )
