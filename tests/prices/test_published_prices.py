"""Public price tables, worked out by hand, against the book: list prices, tiers, days, hours, caches, batches, currencies."""

from __future__ import annotations

from decimal import Decimal

import pytest

from exporter.model import Tokens
from exporter.prices.entries import Priced
from tests.prices.books import LIST, MILLION, NOW, cost, entry, own_book, reason, when


def test_openai_bills_cached_input_at_half_the_price() -> None:
    """openai.com/api/pricing (2025): gpt-4o $2.50 input, $1.25 cached input, $10.00 output per million."""
    tokens = Tokens(input=10_000, output=1_000, cache_read=2_000)
    # 8,000 x 2.50 + 2,000 x 1.25 + 1,000 x 10 = 20,000 + 2,500 + 10,000 millionths
    assert cost(LIST, "gpt-4o", tokens, provider="openai") == (Decimal("0.0325"), "USD")


def test_anthropic_bills_cache_writes_above_and_reads_below_input() -> None:
    """platform.claude.com/docs/en/about-claude/pricing (2026): Claude Opus 4.5 $5 input, $6.25 5m cache write, $0.50 cache
    hit, $25 output per million."""
    tokens = Tokens(input=18_529, output=445, cache_read=16_399, cache_write=2_089)
    # 41 x 5 + 16,399 x 0.5 + 2,089 x 6.25 + 445 x 25 = 205 + 8,199.5 + 13,056.25 + 11,125
    assert cost(LIST, "claude-opus-4-5", tokens, provider="anthropic") == (Decimal("0.03258575"), "USD")


def test_anthropic_bills_batches_at_half_the_price() -> None:
    """The same page, batch processing: 50 % off input and output."""
    tokens = Tokens(input=MILLION // 10, output=MILLION // 10)
    plain = cost(LIST, "claude-opus-4-5", tokens, provider="anthropic")
    assert plain == (Decimal("3.0"), "USD")
    assert cost(LIST, "claude-opus-4-5", tokens, provider="anthropic", is_batch=True) == (
        Decimal("1.5"),
        "USD",
    )


@pytest.mark.parametrize(
    ("given", "dollars"),
    [
        (200_000, "0.26"),  # 200,000 x 1.25 + 1,000 x 10
        (200_001, "0.5150025"),  # 200,001 x 2.50 + 1,000 x 15: all of it, not what lies above
    ],
)
def test_gemini_bills_a_long_prompt_at_another_price_as_a_whole(given: int, dollars: str) -> None:
    """ai.google.dev/gemini-api/docs/pricing (2025): Gemini 2.5 Pro $1.25/$10 up to 200k tokens, $2.50/$15 above."""
    found = cost(LIST, "gemini-2.5-pro", Tokens(input=given, output=1_000), provider="gemini")
    assert found == (Decimal(dollars), "USD")


DEEPSEEK = (
    entry("deepseek-chat", input="0.27", cached_input="0.07", output="1.10"),
    entry("deepseek-chat", hours=["16:30-00:30"], input="0.135", cached_input="0.035", output="0.55"),
    entry("deepseek-chat", **{"from": "2025-09-05T16:00:00Z"}, input="0.56", cached_input="0.07", output="1.68"),
)  # fmt: skip

BY_DAY = "0.0015"  # 3,000 x 0.27 + 2,000 x 0.07 + 500 x 1.10 = 810 + 140 + 550 millionths
BY_NIGHT = "0.00075"
SINCE_SEPTEMBER = "0.00266"  # 3,000 x 0.56 + 2,000 x 0.07 + 500 x 1.68 = 1,680 + 140 + 840


@pytest.mark.parametrize(
    ("at", "dollars"),
    [
        ("2025-08-20T16:29:59Z", BY_DAY),
        ("2025-08-20T16:30:00Z", BY_NIGHT),
        ("2025-08-21T00:29:59Z", BY_NIGHT),
        ("2025-08-21T00:30:00Z", BY_DAY),
        ("2025-09-05T15:59:59Z", BY_DAY),
        ("2025-09-05T16:00:00Z", SINCE_SEPTEMBER),
        ("2025-09-05T23:00:00Z", SINCE_SEPTEMBER),
    ],
)
def test_deepseek_s_nights_were_cheaper_until_the_day_that_ended_it(at: str, dollars: str) -> None:
    """api-docs.deepseek.com/quick_start/pricing (August 2025)."""
    tokens = Tokens(input=5_000, output=500, cache_read=2_000)
    assert cost(own_book(*DEEPSEEK), "deepseek-chat", tokens, at=when(at)) == (Decimal(dollars), "USD")


@pytest.mark.parametrize(("at", "yuan"), [("00:29", "0.008"), ("00:30", "0.004"), ("08:29", "0.004"), ("08:30", "0.008")])  # fmt: skip
def test_hours_are_those_of_the_vendor_s_own_clock(at: str, yuan: str) -> None:
    """DeepSeek's announcement of 2025-02-26: from 00:30 to 08:30 in Beijing half of 2 yuan in and 8 yuan out."""
    book = own_book(
        entry("deepseek-chat", "CNY", input="2", output="8"),
        entry("deepseek-chat", "CNY", input="1", output="4", hours=["00:30-08:30"], time_zone="Asia/Shanghai"),
    )  # fmt: skip
    moment = when(f"2025-03-01T{at}:00+08:00")
    assert cost(book, "deepseek-chat", Tokens(2_000, 500), at=moment) == (Decimal(yuan), "CNY")


QWEN_FLASH = entry(
    "qwen-flash*", "CNY", input="0.15", cached_input="0.03", cache_write="0.1875", output="1.5", batch_factor="0.5",
    tiers=[
        {"above": 128_000, "input": "0.6", "cached_input": "0.12", "cache_write": "0.75", "output": "6"},
        {"above": 256_000, "input": "1.2", "cached_input": "0.24", "cache_write": "1.5", "output": "12"},
    ],
)  # fmt: skip
"""Alibaba Model Studio, Beijing (2025): qwen-flash in yuan per million, by the input's length."""


@pytest.mark.parametrize(
    ("tokens", "yuan"),
    [
        (Tokens(100_000, 1_000), "0.0165"),  # 15,000 + 1,500 millionths
        (Tokens(200_000, 1_000), "0.126"),  # 120,000 + 6,000
        (Tokens(300_000, 1_000, cache_read=100_000), "0.276"),  # 240,000 + 24,000 + 12,000
        (Tokens(100_000, 0, cache_write=10_000), "0.015375"),  # 13,500 + 1,875
    ],
)
def test_qwen_s_prices_step_up_with_the_input_in_yuan(tokens: Tokens, yuan: str) -> None:
    assert cost(own_book(QWEN_FLASH), "qwen-flash-2025-07-28", tokens) == (Decimal(yuan), "CNY")


def test_qwen_s_batches_cost_half_at_every_length() -> None:
    book = own_book(QWEN_FLASH)
    assert cost(book, "qwen-flash", Tokens(200_000, 1_000), is_batch=True) == (Decimal("0.063"), "CNY")


def test_reasoning_tokens_with_a_price_of_their_own_are_taken_from_the_output() -> None:
    """Alibaba Model Studio, Beijing (2025): qwen-plus 2 yuan for an answer, 8 yuan for thoughts."""
    book = own_book(entry("qwen-plus", "CNY", input="0.8", output="2", reasoning="8"))
    # 1,000 x 0.8 + 100 x 2 + 400 x 8
    assert cost(book, "qwen-plus", Tokens(1_000, 500, reasoning=400)) == (Decimal("0.0042"), "CNY")


def test_a_rerank_is_billed_by_the_request_and_speech_by_the_character() -> None:
    """cohere.com/pricing (2025): Rerank 3.5 $2.00 per 1,000 searches; openai.com/api/pricing: tts-1 $15 per million characters."""
    rerank = own_book(entry("rerank-*", per_request="0.002"))
    assert cost(rerank, "rerank-v3.5", Tokens(800, 0), requests=3) == (Decimal("0.006"), "USD")
    speech = own_book(entry("tts-1", per_character="0.000015"))
    assert cost(speech, "tts-1", Tokens(), characters=2_000) == (Decimal("0.030"), "USD")
    assert reason(speech, "tts-1", Tokens()) == "it is billed by characters, which are not known"


def test_two_currencies_stand_side_by_side_and_are_never_mixed() -> None:
    book = own_book(
        entry("qwen-plus", "CNY", provider="tongyi", input="0.8", output="2"),
        entry("qwen-plus", "USD", provider="openrouter", input="0.4", output="1.2"),
    )
    tokens = Tokens(MILLION, MILLION)
    assert cost(book, "qwen-plus", tokens, provider="langgenius/tongyi/tongyi") == (Decimal("2.8"), "CNY")
    assert cost(book, "qwen-plus", tokens, provider="openrouter") == (Decimal("1.6"), "USD")


def test_an_amount_says_which_entry_made_it_and_at_which_rates() -> None:
    found = LIST.price((("gemini", "gemini-2.5-pro"),), NOW, Tokens(300_000, 10))
    assert isinstance(found, Priced)
    assert (found.rates.input, found.rates.output) == (Decimal("2.5"), Decimal(15))
    assert found.money.origin is not None
    assert found.money.origin.startswith("genai-prices ")
    assert found.money.origin.endswith(": google/gemini-2.5-pro, over 200000 input tokens")
