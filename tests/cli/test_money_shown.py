"""What `calls`, `explain` and `doctor` say of money on a terminal: amounts, who made them, what findings cost, what is unknown."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from exporter.model import AssessedTrace, Confidence, Finding, Money, UnitPrices, Verdict
from exporter.state.store import Store
from tests.cli.command import run
from tests.web.traces_by_hand import build_trace, keep, usd

BOOK = "operator: prices.entries[0]"


def by_book(amount: str) -> Money:
    return Money(Decimal(amount), "USD", BOOK)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "state.db")


def said(store: Store, *arguments: str) -> str:
    done = run("--state", str(store.path), *arguments, cwd=store.path.parent, env={"COLUMNS": "240"})
    assert done.returncode == 0, done.stderr
    return " ".join(done.stdout.split())


def with_readings(trace: AssessedTrace, rates: UnitPrices | None, local: Money | None) -> AssessedTrace:
    [one] = trace.assessments
    assert one.dify is not None
    assert one.local is not None
    told = replace(one, dify=replace(one.dify, rates=rates), local=replace(one.local, cost=local))
    return replace(trace, assessments=(told,))


def retried(vendor_cost: Money | None = None) -> AssessedTrace:
    """Dify says 0.00006 USD; the vendor counted twelve tokens more, which cost 0.00003 USD."""
    cause = Finding("retry_billed", 12, 0, Confidence.CERTAIN, "seen", "do", by_book("0.00003"))
    told = {"vendor": (24, 7), "cost": usd("0.00006"), "vendor_cost": vendor_cost, "findings": (cause,)}
    trace = build_trace(1, calls=[{**told, "verdict": Verdict.EXPLAINED}])
    return with_readings(trace, UnitPrices(Decimal(5), Decimal(15), "USD"), by_book("0.00006"))


def test_calls_show_three_costs_and_mark_those_of_the_price_book(store: Store) -> None:
    keep(store, retried(usd("0.00009")))
    text = said(store, "calls")
    assert "0.00006 / 0.00006* / 0.00009 USD" in text
    assert "* made by the price book" in text


def test_calls_show_a_dash_for_what_has_no_price_and_each_currency_where_there_are_two(store: Store) -> None:
    yuan = Money(Decimal("0.0018"), "RMB")
    keep(store, build_trace(1, calls=[{"cost": yuan, "vendor_cost": usd("0.0003")}]))
    text = said(store, "calls")
    assert "0.0018 RMB / – / 0.0003 USD" in text
    assert "price book" not in text


def test_explain_shows_amounts_their_makers_and_what_findings_cost(store: Store) -> None:
    keep(store, retried(usd("0.0001")))
    text = said(store, "explain", retried().trace.trace_id)
    assert "cost of dify: as recorded, at 5 for input and 15 for output, USD per 1,000,000 tokens" in text
    assert f"cost of local: {BOOK}" in text
    assert "cost of vendor: as charged" in text
    assert "retry_billed +12 input, +0 output, +0.00003 USD (certain)" in text
    assert "unexplained rest: +0.00001 USD" in text  # 0.0001 - 0.00006 - 0.00003


def test_explain_says_that_a_reading_has_no_price(store: Store) -> None:
    keep(store, retried())
    text = said(store, "explain", retried().trace.trace_id)
    assert "no price for vendor; `dify-exporter doctor` says why" in text
    assert "unexplained rest" not in text
