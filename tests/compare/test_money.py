"""The money of findings: each step from Dify's price to the vendor's, and that the steps add up. Amounts in the tests are
millionths: so many tokens times a price per million."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.compare.lost import AGENT_NODE
from exporter.compare.money import unexplained_money
from exporter.compare.price_causes import shown
from exporter.model import Confidence, DifyKind, Money, Status, UnitPrices
from exporter.prices.book import PriceBook
from exporter.prices.exchange import Exchange
from tests.compare.judged_calls import call, dify
from tests.compare.priced_calls import judged_with, millionths, money, request, rest, total, usd, words
from tests.prices.books import LIST, entry, own_book, when

MINI = own_book(entry("gpt-4o-mini*", input="0.15", cached_input="0.075", output="0.6"))


def test_a_stopped_answer_costs_all_that_the_vendor_billed() -> None:
    found = judged_with(MINI, call(status=Status.STOPPED), dify(0, 0), request(100, 50, read=40))
    # 60 x 0.15 + 40 x 0.075 + 50 x 0.6
    assert millionths(money(found)) == {"recorded_nothing_stopped": 42}
    assert rest(found) == 0
    assert found.findings[0].cost == Money(Decimal("0.000042"), "USD", "operator: prices.entries[0]")


def test_a_retry_costs_what_its_own_tokens_cost() -> None:
    recorded = dify(100, 50, cost=usd("0.000045"))
    attempts = request(100, 20, status="aborted", id="a"), request(100, 50, id="b")
    found = judged_with(MINI, call(), recorded, *attempts)
    assert millionths(money(found)) == {"retry_billed": 27}  # 100 x 0.15 + 20 x 0.6
    assert rest(found) == 0


def test_cached_tokens_at_full_price_cost_dify_the_discount() -> None:
    recorded = dify(1_000, 10, cost=usd("0.000156"))
    found = judged_with(MINI, call(), recorded, request(1_000, 10, read=800))
    assert millionths(money(found))["cached_at_full_price"] == -60  # 800 x (0.075 - 0.15)
    assert rest(found) == 0


CLAUDE = own_book(
    entry("claude-*", input="3", cached_input="0.3", cache_write="3.75", output="15"), list_prices=False
)


def test_a_price_weighted_prompt_has_wrong_tokens_and_the_right_price() -> None:
    """41 + int(1.25 x 2,089) + int(0.1 x 16,399) = 4,291 tokens at 3 are what the cache costs, but for the cut decimals."""
    about = call(provider="anthropic", model="claude-sonnet-4-5")
    recorded = dify(4_291, 445, DifyKind.PRICE_WEIGHTED, cost=usd("0.019548"))  # 4,291 x 3 + 445 x 15
    seen = request(18_529, 445, "claude-sonnet-4-5", read=16_399, wrote=2_089)
    found = judged_with(CLAUDE, about, recorded, seen)
    assert (found.findings[0].code, found.findings[0].input) == ("cache_price_weighted", 14_238)
    # 41 x 3 + 2,089 x 3.75 + 16,399 x 0.3 + 445 x 15 = 19,551.45
    assert millionths(money(found)) == {"cache_price_weighted": Decimal("3.45")}
    assert rest(found) == 0


def test_cached_tokens_left_out_cost_what_the_cache_costs() -> None:
    about = call(provider="bedrock", model="claude-sonnet-4-5")
    recorded = dify(41, 10, cost=usd("0.000273"))  # 41 x 3 + 10 x 15
    found = judged_with(CLAUDE, about, recorded, request(1_041, 10, "claude-sonnet-4-5", read=1_000))
    assert millionths(money(found)) == {"cache_left_out": 300}  # 1,000 x 0.3
    assert rest(found) == 0


def test_dify_s_old_price_is_told_with_what_a_thousand_calls_make() -> None:
    """gpt-4o cost 5 and 15 dollars until October 2024, then 2.50 and 10 (openai.com/api/pricing)."""
    recorded = dify(1_844, 48, cost=usd("0.00994"))
    found = judged_with(LIST, call(model="gpt-4o"), recorded, request(1_844, 48, "gpt-4o"))
    assert millionths(money(found)) == {"price_differs": -4_850}  # 1,844 x -2.5 + 48 x -5
    said = words(found, "price_differs")
    assert "Dify's prices are not the price book's (2.5 for input and 10 for output, per million)" in said
    assert "For its 1844 + 48 tokens that is 0.00994 USD instead of 0.00509 USD" in said
    assert "Over 1,000 such calls that is -4.85 USD" in said
    assert found.findings[0].confidence is Confidence.LIKELY  # a public list may not be this contract's


ASKED = "Dify asks 5 USD per million input tokens and 15 USD per million output tokens where the price book says 2.5 USD and 10 USD."


@pytest.mark.parametrize(
    ("rates", "cost", "said"),
    [
        (("5", "15"), "0.00994", ASKED),
        (("5", "10"), "0.0097", "Dify asks 5 USD per million input tokens where the price book says 2.5 USD."),
        (("2.50", "15.0"), "0.00533", "Dify asks 15 USD per million output tokens where the price book says 10 USD."),
        (("4", "15"), "0.00994", "Dify's prices are not the price book's (2.5 for input"),  # they did not make this price
    ],
)  # fmt: skip
@pytest.mark.parametrize("seen", [(), (request(1_844, 48, "gpt-4o"),)])
def test_it_is_told_which_of_dify_s_unit_prices_differs(
    seen: tuple[()], rates: tuple[str, str], cost: str, said: str
) -> None:
    recorded = dify(1_844, 48, cost=usd(cost), rates=UnitPrices(*map(Decimal, rates), "USD"))
    found = judged_with(LIST, call(model="gpt-4o"), recorded, *seen)
    assert words(found, "price_differs").startswith(said)


def test_unit_prices_of_another_currency_are_not_held_against_the_book_s() -> None:
    own = entry("gpt-4o-mini", input="0.15", output="0.6")
    book = own_book(own, rates=[{"currency": "CNY", "per": "USD", "rate": "7.2"}])
    recorded = dify(1_000, 500, cost=usd("0.0065", "RMB"), rates=UnitPrices(Decimal(2), Decimal(9), "RMB"))
    found = judged_with(book, call(), recorded, request(1_000, 500))
    assert words(found, "price_differs").startswith("Dify's prices are not the price book's (0.15 for input")


def test_without_vendor_evidence_dify_s_price_is_held_against_the_book_all_the_same() -> None:
    found = judged_with(LIST, call(model="gpt-4o"), dify(1_844, 48, cost=usd("0.00994")))
    assert millionths(money(found)) == {"price_differs": -4_850}
    assert unexplained_money(found) is None


@pytest.mark.parametrize("seen", [(), (request(12, 7),)])
def test_a_price_that_differs_by_dify_s_rounding_is_no_difference(seen: tuple[()]) -> None:
    recorded = dify(12, 7, cost=usd("0.0000061"))  # 1.8 and 4.2 millionths, each rounded to seven places
    assert judged_with(MINI, call(), recorded, *seen).findings == ()


def test_a_model_without_a_price_in_dify_is_told_and_nothing_is_subtracted() -> None:
    none = UnitPrices(Decimal(0), Decimal(0), "USD")
    for seen in ((), (request(100, 50),)):
        found = judged_with(MINI, call(), dify(100, 50, rates=none), *seen)
        assert money(found) == {"price_missing": None}
        assert "shows 0 for 100 + 50 tokens; the price book says 0.000045 USD" in words(
            found, "price_missing"
        )
        assert unexplained_money(found) is None


@pytest.mark.parametrize("seen", [(), (request(100, 50),)])
def test_a_price_that_is_not_told_is_not_said_to_be_missing(seen: tuple[()]) -> None:
    """As through the Console API, which shows no price of a message."""
    assert money(judged_with(MINI, call(), dify(100, 50), *seen)) == {}


TIERS = own_book(entry("m", input="1", output="2", tiers=[{"above": 1_000, "input": "2", "output": "4"}]))


def test_the_price_of_long_inputs_is_told_as_such() -> None:
    found = judged_with(TIERS, call(model="m"), dify(2_000, 10, cost=usd("0.00202")), request(2_000, 10, "m"))
    assert millionths(money(found)) == {"price_tier": 2_020}
    assert "over 1000 input tokens" in words(found, "price_tier")
    assert rest(found) == 0


def test_an_agent_s_rounds_are_each_as_long_as_they_are() -> None:
    """Together they are longer than the step of the price, each of them is not."""
    recorded = dify(1_600, 20, cost=usd("0.00164"))
    about = call(model="m", missing=(AGENT_NODE,))
    rounds = request(800, 10, "m", id="a"), request(800, 10, "m", id="b")
    assert money(judged_with(TIERS, about, recorded, *rounds)) == {}
    assert money(judged_with(TIERS, about, recorded)) == {}
    assert money(judged_with(TIERS, call(model="m"), recorded)) == {"price_tier": Decimal("0.00164")}


def test_the_price_of_the_hour_is_told_as_such() -> None:
    hours = entry("m", hours=["09:00-18:00"], input="2", output="4", time_zone="UTC")
    book = own_book(entry("m", input="1", output="2"), hours)
    about = call(model="m", started_at=when("2026-11-20T12:00:00Z"))
    found = judged_with(book, about, dify(2_000, 10, cost=usd("0.00202")), request(2_000, 10, "m"))
    assert millionths(money(found)) == {"price_hours": 2_020}


def test_thoughts_with_a_price_of_their_own_are_a_cause_of_their_own() -> None:
    book = own_book(entry("qwen-plus", "CNY", input="0.8", output="2", reasoning="8"))
    recorded = dify(1_000, 500, cost=usd("0.0018", "RMB"))
    about = call(provider="tongyi", model="qwen-plus", reasoning="…")
    found = judged_with(book, about, recorded, request(1_000, 500, "qwen-plus", reasoning=400))
    assert millionths(money(found)) == {"special_rates": 2_400}  # 400 x (8 - 2)
    assert "400 reasoning" in words(found, "special_rates")
    assert rest(found) == 0


def test_a_gateway_s_mark_up_is_told_in_percent() -> None:
    recorded = dify(100_000, 5_000, cost=usd("0.018"))
    found = judged_with(MINI, call(), recorded, request(100_000, 5_000, cost=usd("0.0216")))
    assert millionths(money(found)) == {"charge_differs": 3_600}
    assert "+20.0 %" in words(found, "charge_differs")
    assert found.vendor is not None
    assert found.vendor.cost == usd("0.0216")  # the gateway's own word, not the book's
    assert rest(found) == 0


def test_a_charge_rounded_by_the_gateway_is_no_difference() -> None:
    found = judged_with(
        MINI, call(), dify(12, 7, cost=usd("0.0000061")), request(12, 7, cost=usd("0.000006"))
    )
    assert money(found) == {}


def test_the_price_of_a_batch_is_recognised() -> None:
    book = own_book(entry("gpt-4o-mini", input="0.15", output="0.6", batch_factor="0.5"))
    recorded = dify(100_000, 5_000, cost=usd("0.018"))
    found = judged_with(book, call(), recorded, request(100_000, 5_000, cost=usd("0.009")))
    assert millionths(money(found)) == {"batch_charged": -9_000}


def test_the_price_of_a_service_tier_is_recognised() -> None:
    """openai.com/api/pricing (2025): gpt-4o priority $4.25 input, $17 output per million."""
    recorded = dify(100_000, 5_000, cost=usd("0.3"))
    seen = request(100_000, 5_000, "gpt-4o", cost=usd("0.51"))
    found = judged_with(LIST, call(model="gpt-4o"), recorded, seen)
    assert millionths(money(found)) == {"service_tier_charged": 210_000}
    assert "priority" in words(found, "service_tier_charged")


def test_two_currencies_claim_no_difference_until_the_operator_gives_a_rate() -> None:
    recorded = dify(1_000, 500, cost=usd("0.00324", "RMB"))  # 0.00045 USD at 7.2
    own = entry("gpt-4o-mini", input="0.15", output="0.6")
    apart = judged_with(own_book(own), call(), recorded, request(1_000, 500))
    assert money(apart) == {"currency_differs": None}
    assert unexplained_money(apart) is None
    book = own_book(own, rates=[{"currency": "CNY", "per": "USD", "rate": "7.2"}])
    found = judged_with(book, call(), recorded, request(1_000, 500))
    assert money(found) == {"currency_converted": None}
    assert "Dify's is taken as 0.00045 USD (converted from RMB at 7.2 CNY per USD)" in words(
        found, "currency_converted"
    )
    left = unexplained_money(found, book.exchange)
    assert left is not None
    assert left.amount == 0


def test_another_model_costs_the_difference_of_the_two_prices() -> None:
    recorded = dify(1_000, 100, cost=usd("0.0035"))  # gpt-4o: 2.5 and 10
    seen = request(1_000, 100, "gpt-4o", response_model="gpt-4o-mini-2024-07-18")
    found = judged_with(LIST, call(model="gpt-4o"), recorded, seen)
    assert millionths(money(found)) == {"model_substituted": -3_290}  # 1,000 x -2.35 + 100 x -9.4
    assert rest(found) == 0


def test_an_answer_from_a_gateway_s_cache_saves_all_that_dify_recorded() -> None:
    recorded = dify(100, 50, cost=usd("0.000045"))
    found = judged_with(MINI, call(), recorded, request(100, 50, is_cache_hit=True))
    assert millionths(money(found)) == {"gateway_cache_hit": -45}
    assert found.vendor is not None
    assert found.vendor.cost is not None
    assert found.vendor.cost.amount == 0
    assert rest(found) == 0


def test_an_agent_s_total_alone_has_its_tokens_and_its_price() -> None:
    recorded = dify(None, None, DifyKind.UNKNOWN, total=150, cost=usd("0.00009"))
    found = judged_with(MINI, call(), recorded, request(100, 50))
    assert millionths(money(found)) == {"agent_total_only": 0, "price_differs": -45}
    assert rest(found) == 0


def test_without_a_book_the_vendor_s_own_amount_stands_for_an_answer_that_dify_lost() -> None:
    lost = judged_with(
        PriceBook(), call(status=Status.STOPPED), dify(0, 0), request(100, 50, cost=usd("0.00012"))
    )
    assert millionths(money(lost)) == {"recorded_nothing_stopped": 120}
    recorded = dify(90, 50, DifyKind.ESTIMATE, cost=usd("0.0001"))
    estimated = judged_with(PriceBook(), call(), recorded, request(100, 50, cost=usd("0.00012")))
    assert money(estimated) == {"plugin_estimate": None}
    assert rest(estimated) == 20  # nobody can say what part of it the estimate is


def test_an_attempt_that_nobody_counted_leaves_the_cost_unknown() -> None:
    cut = replace(request(0, 0, id="a", status="aborted"), tokens=None)
    found = judged_with(MINI, call(), dify(100, 50, cost=usd("0.000045")), cut, request(100, 50, id="b"))
    assert found.vendor is not None
    assert found.vendor.cost is None


def test_a_refused_attempt_costs_nothing() -> None:
    refused = replace(request(0, 0, id="a", status="error", http_status=429), tokens=None)
    found = judged_with(MINI, call(), dify(100, 50, cost=usd("0.000045")), refused, request(100, 50, id="b"))
    assert found.vendor is not None
    assert found.vendor.cost is not None
    assert found.vendor.cost.amount.scaleb(6) == 45
    assert money(found) == {}


COUNT = st.integers(0, 20_000)
FACTOR = st.sampled_from(["0.5", "1", "1", "1.2"])


@given(COUNT, COUNT, COUNT, COUNT, COUNT, FACTOR, FACTOR, st.booleans())
def test_the_money_is_explained_as_far_as_the_tokens_are(
    given_in: int, written: int, read: int, thrown: int, missing: int, dify_times: str, charged_times: str, is_own: bool
) -> None:  # fmt: skip
    """Whatever retries, caches, prices and charges do: what stays unexplained is the unexplained tokens at their price, and
    less than what Dify and the gateway round."""
    read = min(read, given_in)
    seen_in = max(0, given_in - missing)
    plain = Decimal(seen_in) * Decimal("0.15") + Decimal(written) * Decimal("0.6")
    recorded = dify(seen_in, written, cost=Money((plain * Decimal(dify_times)).scaleb(-6), "USD"))
    listed = (given_in - read) * Decimal("0.15") + read * Decimal("0.075") + written * Decimal("0.6")
    own = Money((listed * Decimal(charged_times)).scaleb(-6), "USD") if is_own else None
    first = request(thrown, 7, id="a", status="aborted", cost=usd("0") if is_own else None)
    found = judged_with(
        MINI, call(), recorded, first, request(given_in, written, read=read, cost=own, id="b")
    )
    left, recorded_cost = unexplained_money(found), recorded.cost
    assert left is not None
    assert recorded_cost is not None
    tokens = (found.unexplained_input or 0) * Decimal("0.15") + (found.unexplained_output or 0) * Decimal(
        "0.6"
    )
    rounded = max(Decimal("0.0000004"), recorded_cost.amount / 900) + max(
        Decimal("0.000005"), listed.scaleb(-6) / 900
    )
    assert abs(left.amount - tokens.scaleb(-6)) <= rounded
    assert found.vendor is not None
    assert found.vendor.cost is not None
    held = total([item.cost.amount if item.cost else None for item in found.findings])
    assert held + left.amount == found.vendor.cost.amount - recorded_cost.amount


def test_amounts_are_written_without_exponents() -> None:
    assert shown(Money(Decimal("1E-7"), "USD")) == "0.0000001 USD"
    assert shown(Money(Decimal("-0.0"), "USD")) == "0 USD"
    assert shown(Money(Decimal("4850.000"), "CNY")) == "4850 CNY"


def test_without_a_rate_nothing_is_converted() -> None:
    assert Exchange().converted(usd("1"), "CNY", 0) is None
