"""The public list's prices as our entries, against the list's own calculation; who sells what; nothing is downloaded."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime

import pytest
from genai_prices import Usage, calc_price, data_snapshot
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.clock import micros
from exporter.model import Tokens
from exporter.prices.entries import Priced, Unknown
from exporter.prices.sellers import seller
from tests.prices.books import LIST, NOW, reason

MODELS = [
    (ours, theirs, info.id)
    for ours, theirs in (("openai", "openai"), ("anthropic", "anthropic"), ("gemini", "google"), ("bedrock", "aws"),
                         ("deepseek", "deepseek"), ("moonshot", "moonshotai"), ("mistralai", "mistral"), ("x", "x-ai"))
    for provider in data_snapshot.get_snapshot().providers if provider.id == theirs
    for info in provider.models
]  # fmt: skip


@settings(max_examples=400, deadline=None)
@given(
    st.sampled_from(MODELS),
    st.integers(0, 400_000),
    st.integers(0, 5_000),
    st.floats(0, 1),
    st.floats(0, 1),
    st.datetimes(datetime(2025, 1, 1), datetime(2026, 12, 31), timezones=st.just(UTC)),
    st.booleans(),
)
def test_our_amount_is_the_list_s_own(
    model: tuple[str, str, str],
    given_in: int,
    written: int,
    read: float,
    wrote: float,
    at: datetime,
    in_batch: bool,
) -> None:
    """Whatever the list's own function says of the same usage: tiers, days, hours, caches, batches."""
    ours, theirs, name = model
    cached = int(given_in * read)
    tokens = Tokens(given_in, written, cached, int((given_in - cached) * wrote))
    found = LIST.price(((ours, name),), micros(at), tokens, is_batch=in_batch)
    if isinstance(found, Unknown):
        return
    usage = Usage(
        input_tokens=tokens.input,
        output_tokens=tokens.output,
        cache_read_tokens=tokens.cache_read,
        cache_write_tokens=tokens.cache_write,
    )
    context = {"processing": "batch"} if in_batch else None
    listed = calc_price(usage, name, provider_id=theirs, genai_request_timestamp=at, price_context=context)
    assert found.money.amount == listed.total_price


def test_hardly_any_model_of_the_large_vendors_is_left_without_a_price() -> None:
    """What is left bills seconds of sound, or is fine-tuned."""
    large = [(ours, name) for ours, _, name in MODELS if ours in ("openai", "anthropic", "gemini")]
    unpriced = [name for name in large if isinstance(LIST.price((name,), NOW, Tokens(1_000, 0)), Unknown)]
    assert len(unpriced) < len(large) / 10, unpriced


@pytest.mark.parametrize(
    ("provider", "model", "sold"),
    [
        ("langgenius/openai/openai", "gpt-4o", ("openai", "gpt-4o")),
        ("azure_openai", "gpt-4o", ("azure", "gpt-4o")),
        ("bedrock", "us.anthropic.claude-sonnet-4-20250514-v1:0", ("aws", "us.anthropic.claude-sonnet-4-20250514-v1:0")),
        ("vertex_ai", "publishers/google/models/gemini-2.5-pro", ("google", "gemini-2.5-pro")),
        ("openai_api_compatible", "openrouter/openai/gpt-4o", ("openai", "gpt-4o")),
        ("openai_api_compatible", "claude-sonnet-4-5", ("anthropic", "claude-sonnet-4-5")),
        (None, "gemini-2.5-flash", ("google", "gemini-2.5-flash")),
    ],
)  # fmt: skip
def test_dify_s_and_gateways_names_lead_to_the_list_s(
    provider: str | None, model: str, sold: tuple[str, str]
) -> None:
    found = seller(provider, model)
    assert not isinstance(found, Unknown)
    assert found[:2] == sold


@pytest.mark.parametrize(
    ("provider", "model"),
    [
        ("tongyi", "qwen-plus"),  # no list price anywhere in the list
        ("hunyuan", "hunyuan-turbos-latest"),
        ("zhipuai", "glm-4-plus"),  # yuan converted at a rate of the list's own
        ("ollama", "gpt-oss:20b"),
        ("openai_api_compatible", "gpt-oss-120b"),  # public weights: whoever hosts them sets the price
        ("openai_api_compatible", "qwen2.5-72b-instruct"),
        ("openai_api_compatible", "openrouter/openai/gpt-4o:free"),
        ("openai", "ft:gpt-4o-mini:acme::1"),
        ("openai_api_compatible", "ft:gpt-4o-mini:acme::1"),
        ("deepseek", "deepseek-chat"),  # the list still has the prices of before September 2025
        ("openai", "no-such-model"),
    ],
)
def test_what_no_list_can_tell_is_unknown(provider: str, model: str) -> None:
    assert reason(LIST, model, Tokens(1, 1), provider=provider)


def test_a_price_through_an_unknown_endpoint_says_that_it_is_the_maker_s() -> None:
    found = LIST.price((("openai_api_compatible", "gpt-4o"),), NOW, Tokens(1, 1))
    assert isinstance(found, Priced)
    assert "its maker's list price" in (found.money.origin or "")


def test_the_list_is_imported_at_the_first_question_only_and_never_asks_the_network() -> None:
    script = """
import sys, socket
def refuse(*args, **kwargs): raise AssertionError("network")
socket.socket.connect = refuse
socket.getaddrinfo = refuse
import exporter.readings
from exporter import prices
from exporter.config import PriceSettings
prices.use(PriceSettings())
assert "genai_prices" not in sys.modules
from exporter.model import Tokens
found = prices.in_force().price((("openai", "gpt-4o"),), 1_790_000_000_000_000, Tokens(10, 1))
assert found.money.currency == "USD", found
import threading
assert threading.active_count() == 1
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)
