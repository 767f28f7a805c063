"""The vendor reading sums what was billed, and says nothing when a billed attempt was not counted."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from exporter.model import Accuracy, DifyKind, DifyReading, LocalReading, Money, Tokens
from exporter.vendor.matching.match import Match
from exporter.vendor.reading import Owned, better_local, relayed, vendor_reading
from exporter.vendor.record import VendorCall, parse

USD = {"currency": "USD"}


def attempt(name: str, **changes: Any) -> VendorCall:
    record = {
        "id": name,
        "source": "litellm",
        "started_at": "2026-11-23T19:17:07Z",
        "model": "gpt-4o",
        "usage": {"prompt_tokens": 10, "completion_tokens": 5},
        **changes,
    }
    return parse({key: value for key, value in record.items() if value is not None}, "x")


def reading(*attempts: VendorCall) -> Any:
    return vendor_reading(Owned(Match(attempts, "response_text+prompt", 0.99)))


def test_all_billed_attempts_are_summed_and_kept_in_order() -> None:
    found = reading(
        attempt("a", status="aborted"),
        attempt(
            "b",
            usage={"prompt_tokens": 7, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 4}},
        ),
    )
    assert found.tokens == Tokens(17, 7, cache_read=4)
    assert [(item.id, item.status, item.tokens.input) for item in found.attempts] == [
        ("a", "aborted", 10),
        ("b", "ok", 7),
    ]
    assert (found.independent, found.provenance) == (True, "gateway:litellm")


def test_a_refused_request_was_free() -> None:
    found = reading(attempt("a", status="error", http_status=503, usage=None), attempt("b"))
    assert found.tokens == Tokens(10, 5)


def test_a_call_whose_every_attempt_was_refused_was_billed_nothing() -> None:
    found = reading(attempt("a", status="error", http_status=500, usage=None))
    assert found.tokens == Tokens(0, 0)


@pytest.mark.parametrize("lost", [{"status": "aborted"}, {"status": "error"}])
def test_an_attempt_that_nobody_counted_makes_the_sum_unknown(lost: dict[str, str]) -> None:
    found = reading(attempt("a", usage=None, **lost), attempt("b"))
    assert found.tokens == Tokens()


def test_an_answer_from_a_gateway_s_cache_cost_the_vendor_nothing() -> None:
    found = reading(attempt("a", cache_hit=True))
    assert (found.tokens, found.attempts[0].status) == (Tokens(0, 0), "cached")


def test_costs_of_one_currency_are_summed() -> None:
    found = reading(attempt("a", cost={"amount": "0.10", **USD}), attempt("b", cost={"amount": 0.2, **USD}))
    assert found.cost == Money(Decimal("0.30"), "USD")


@pytest.mark.parametrize("other", [None, {"amount": "1", "currency": "CNY"}])
def test_costs_that_do_not_add_up_are_not_shown(other: dict[str, str] | None) -> None:
    assert reading(attempt("a", cost={"amount": "0.10", **USD}), attempt("b", cost=other)).cost is None


def test_dify_s_number_is_relayed_only_where_the_plugin_passes_it_on() -> None:
    passed = DifyReading(Tokens(12, 7), "messages", DifyKind.VENDOR_PASSED)
    shown = relayed(passed)
    assert shown is not None
    assert (shown.tokens, shown.independent, shown.provenance) == (Tokens(12, 7), False, "relayed")
    for kind in DifyKind:
        if kind is not DifyKind.VENDOR_PASSED:
            assert relayed(DifyReading(Tokens(12, 7), "messages", kind)) is None
    assert relayed(None) is None


def test_a_logged_request_that_its_gateway_cut_is_not_counted_instead_of_difys_record() -> None:
    asked = {"messages": [{"role": "user", "content": "a few words"}]}
    whole, cut = (
        attempt("a", request=asked, response_text="yes"),
        attempt("b", request=asked, response_text="yes"),
    )
    of_dify = LocalReading(Tokens(5_000, 1), "o200k_base", Accuracy.LOWER_BOUND)
    taken = better_local(of_dify, [whole], 11)
    assert taken is not None
    assert taken.is_of_request
    assert better_local(of_dify, [cut], 20_000) is of_dify
