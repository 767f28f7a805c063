"""The vendor's stretches beside the ledger: money alone, models untold, borders, days of UTC+8, and what was revised."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from io import StringIO
from typing import Any

import pytest
from rich.console import Console

from exporter.clock import micros
from exporter.config import ScopeSettings
from exporter.model import Tokens
from exporter.report import bill as bills
from exporter.report.gather import Foreign, Line
from exporter.report.scopes import scopes
from exporter.report.window import Window, read_window
from exporter.state.sums import Group
from exporter.vendor.pullers.base import Bucket

CHINA = timezone(timedelta(hours=8))
UNIT = 10**10
"""What the ledger counts money in."""


def day(number: int, zone: timezone = UTC, **values: Any) -> Bucket:
    begins = datetime(2026, 11, number, tzinfo=zone)
    ends = begins + timedelta(days=1)
    return replace(Bucket("vendor", micros(begins), micros(ends), "qwen-plus", None, Tokens()), **values)


def line(model: str = "qwen-plus", app: str = "helpdesk", **measures: int) -> Line:
    group = Group(app, "tongyi", model, "", "llm", app, "w-1")
    told = Counter({name.replace("__", "."): n for name, n in measures.items()})
    return Line("2026-11-23", group, told, app)


def window(since: str = "2026-11-23", until: str = "2026-11-24", zone: str = "UTC") -> Window:
    return read_window(since, until, zone, micros(datetime(2026, 12, 1, tzinfo=UTC)))


def compared(
    buckets: list[Bucket],
    lines: list[Line],
    rules: list[ScopeSettings] | None = None,
    other: list[Foreign] | None = None,
    when: Window | None = None,
) -> list[dict[str, Any]]:
    return bills.bills(buckets, lines, other or [], when or window(), scopes(rules or []), 5.0)


@pytest.mark.parametrize(("billed", "verdict"), [("1.04", "within"), ("1.06", "above"), ("-1", "above")])
def test_a_bill_of_money_alone_is_held_against_what_the_ledger_prices(billed: str, verdict: str) -> None:
    ledger = line(chosen__requests=3, chosen__input=100, chosen__cost__CNY=UNIT)
    (bill,) = compared([day(23, cost=Decimal(billed), currency="CNY")], [ledger])
    assert bill["bill"]["cost"] == {"CNY": billed}
    assert (bill["bill"]["input"], bill["bill"]["requests"], bill["rest"]["input"]) == (None, None, None)
    assert Decimal(bill["rest_cost"]["CNY"]) == Decimal(billed) - 1
    assert bill["verdict"] == verdict


def test_money_whose_other_side_nobody_knows_leaves_no_rest_and_no_verdict() -> None:
    ledger = line(chosen__requests=3, chosen__cost__USD=UNIT)
    (bill,) = compared([day(23, cost=Decimal(1), currency="CNY")], [ledger])
    assert (bill["rest_cost"], bill["verdict"]) == ({}, "unverified")


def test_others_under_the_same_key_leave_a_bill_of_money_alone_unverified() -> None:
    ledger = line(chosen__requests=3, chosen__cost__CNY=UNIT)
    other = Foreign("2026-11-23", "gateway", "qwen-plus", "", 5, 10, 10, 0, is_shared=True)
    (bill,) = compared([day(23, cost=Decimal(2), currency="CNY")], [ledger], other=[other])
    assert bill["verdict"] == "unverified"


def test_rows_of_money_do_not_make_the_counts_beside_them_unknown() -> None:
    rows = [
        day(23, tokens=Tokens(100, 10, 40), requests=3, report="usage"),
        day(23, cost=Decimal("0.5"), currency="usd", group="input tokens", report="costs"),
    ]
    (bill,) = compared(rows, [line(chosen__requests=3, chosen__input=100, chosen__output=10)])
    assert bill["not_told"] == ["cache_write", "reasoning"]
    assert (bill["bill"]["requests"], bill["bill"]["cache_read"], bill["bill"]["reasoning"]) == (3, 40, None)
    assert (bill["rest"], bill["verdict"]) == ({"requests": 0, "input": 0, "output": 0}, "within")
    assert bill["bill"]["cost"] == {"USD": "0.5"}


def test_money_in_another_scope_than_the_counts_is_not_judged_alone() -> None:
    rows = [
        day(23, key="key-dify", tokens=Tokens(100, 10), requests=3),
        day(23, key="workspace", cost=Decimal(9), currency="USD"),
    ]
    rule = ScopeSettings(name="dify", key="key-*", apps=["helpdesk"])  # type: ignore[call-arg]
    ledger = [
        line(chosen__requests=3, chosen__input=100, chosen__output=10),
        line(app="another", chosen__requests=1, chosen__cost__USD=UNIT),
    ]
    verdicts = {bill["scope"]: bill["verdict"] for bill in compared(rows, ledger, [rule])}
    assert verdicts == {"dify": "within", None: "unverified"}


def test_requests_that_are_not_told_are_unknown_and_not_zero() -> None:
    (bill,) = compared([day(23, tokens=Tokens(100, 10))], [line(chosen__requests=3, chosen__input=100)])
    assert (bill["bill"]["requests"], bill["rest"]["requests"]) == (None, None)
    assert "requests" in bill["not_told"]


def test_requests_without_tokens_are_counted() -> None:
    rows = [day(23, model="tts-1", requests=4)]
    (bill,) = compared(rows, [line("tts-1", chosen__requests=4)])
    assert (bill["bill"]["requests"], bill["rest"]["requests"], bill["bill"]["input"]) == (4, 0, None)


def test_usage_of_no_model_is_held_against_a_scope_and_without_one_against_nothing() -> None:
    rows = [day(23, model=None, tokens=Tokens(150, 10))]
    ledger = [line(chosen__input=100, chosen__output=10), line("doubao", chosen__input=50)]
    (unmapped,) = compared(rows, ledger)
    assert (unmapped["verdict"], unmapped["ledger"]["input"]) == ("unverified", 0)
    rule = ScopeSettings(name="dify", apps=["helpdesk"])  # type: ignore[call-arg]
    (mapped,) = compared(rows, ledger, [rule])
    assert (mapped["verdict"], mapped["rest"]["input"], mapped["rest"]["output"]) == ("within", 0, 0)


def test_days_of_china_fit_a_window_of_china_and_are_cut_by_one_of_utc() -> None:
    rows = [
        day(number, CHINA, cost=Decimal(1), currency="CNY", tokens=Tokens(10, 1)) for number in (22, 23, 24)
    ]
    (whole,) = compared(rows, [], when=window(zone="Asia/Shanghai"))
    assert (whole["bill"]["cost"], whole["bill"]["input"]) == ({"CNY": "1"}, 10)
    touching = [row for row in rows if row.ends_at > window().since and row.starts_at < window().until]
    (cut,) = compared(touching, [])
    assert (cut["bill"]["cost"], cut["bill"]["input"]) == ({}, None)
    assert cut["cut_by_border"] == {"input": 20, "output": 2}
    assert cut["cut_cost_by_border"] == {"CNY": "2"}


def test_each_report_of_a_source_says_how_far_it_reaches() -> None:
    rows = [day(22, report="costs"), day(22, report="usage"), day(23, report="usage")]
    told = {item["report"]: item["last"] for item in bills.stretches(rows)}
    assert told == {"costs": "2026-11-23T00:00:00.000000Z", "usage": "2026-11-24T00:00:00.000000Z"}


def test_the_text_says_what_was_revised_what_is_cut_and_how_far_a_source_reaches() -> None:
    from exporter.report import text

    written = StringIO()
    (cut,) = compared([day(22, CHINA, cost=Decimal(2), currency="CNY")], [])
    nothing = {"calls": 0, "input": 0, "output": 0}
    document = {
        "window": {"until": "2026-11-24T00:00:00.000000Z"},
        "completeness": {"waiting_records": 0, "set_aside_records": 0},
        "borders": {"since": nothing, "until": nothing},
        "bills": [cut],
        "bill_stretches": [{"source": "vendor", "report": "costs", "last": "2026-11-23T00:00:00.000000Z"}],
        "bill_changes": [{"source": "vendor", "report": "costs", "stretches": 2, "input": -5, "output": 1}],
    }
    text._remarks(Console(file=written, width=200), document)
    assert "vendor (costs) tells nothing after 2026-11-23" in written.getvalue()
    assert "vendor (costs) told 2 stretches otherwise before (-5 → +1 tokens since)" in written.getvalue()
