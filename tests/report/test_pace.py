"""What causes of money alone make in a month: the window's amounts taken for 30 days, of the time there is data of."""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from exporter.cli import app as program
from exporter.clock import rfc3339
from exporter.model import Confidence, Finding, Verdict
from exporter.report.html import html_text
from exporter.state.store import Store
from tests.web.traces_by_hand import NOON, SECOND, build_trace, keep, usd

DAY = 86_400 * SECOND
TEN_DAYS_AGO = NOON - 10 * DAY


def cause(code: str, cost: str | None, tokens: int = 0) -> Finding:
    told = Finding(code, tokens, 0, Confidence.LIKELY, "seen", "do")
    return told if cost is None else replace(told, cost=usd(cost))


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """A call a day over ten days, each with a price that differs by 0.02 dollars and a retry."""
    store = Store(tmp_path / "state.db")
    found = (cause("price_differs", "-0.02"), cause("retry_billed", "0.5", 12), cause("price_missing", None))
    calls: list[dict[str, object]] = [{"vendor": (24, 7), "findings": found, "verdict": Verdict.EXPLAINED}]
    keep(store, *(build_trace(n + 1, started_at=TEN_DAYS_AGO + n * DAY, calls=calls) for n in range(10)))
    store.close()
    return store.path


def report(state: Path, since: int, until: int, *more: str) -> str:
    window = ["--since", rfc3339(since), "--until", rfc3339(until), "--zone", "UTC"]
    done = CliRunner().invoke(program, ["--state", str(state), "report", *window, *more])
    assert done.exit_code in (0, 1), done.output
    return done.stdout


def told(state: Path, since: int, until: int, *more: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(report(state, since, until, "--json", *more))
    return found


def per_month(row: dict[str, Any]) -> dict[str, Any]:
    return {item["code"]: item["per_month"] for item in row["findings"]}


def test_ten_days_of_a_wrong_price_are_taken_for_thirty(state: Path) -> None:
    document = told(state, TEN_DAYS_AGO, NOON)
    assert document["pace"] == {"days": 10.0, "month_days": 30}
    expected = {"price_differs": {"USD": "-0.6"}, "retry_billed": None, "price_missing": {}}  # 10 x -0.02 x 3
    assert per_month(document["total"]) == expected
    assert per_month(document["rows"][0]) == expected


def test_the_time_before_the_ledger_began_is_not_taken_for_time_without_calls(state: Path) -> None:
    assert told(state, NOON - 40 * DAY, NOON)["pace"] == {"days": 10.0, "month_days": 30}


def test_of_less_than_a_day_nothing_is_extrapolated(state: Path) -> None:
    document = told(state, TEN_DAYS_AGO, TEN_DAYS_AGO + DAY // 2)
    assert document["pace"] is None
    assert per_month(document["total"])["price_differs"] is None
    assert "In a month" not in report(state, TEN_DAYS_AGO, TEN_DAYS_AGO + DAY // 2)


def test_rows_of_single_days_are_not_extrapolated(state: Path) -> None:
    document = told(state, TEN_DAYS_AGO, NOON, "--by", "day")
    assert per_month(document["total"])["price_differs"] == {"USD": "-0.6"}
    for row in (*document["rows"], *document["days"]):
        assert per_month(row)["price_differs"] is None


def test_text_and_page_say_it_as_an_extrapolation(state: Path) -> None:
    text = " ".join(report(state, TEN_DAYS_AGO, NOON).split())
    assert "In a month (30 days), extrapolated from 10 days" in text
    assert "Dify's price differs -0.6000 USD" in text
    document = told(state, TEN_DAYS_AGO, NOON)
    assert "<li>Dify&#39;s price differs: -0.6000 USD</li>" in html_text(document, "en")
    assert "extrapolated from 10 days; no forecast" in html_text(document, "en")
    assert "<li>Dify 的价格不同: -0.6000 USD</li>" in html_text(document, "zh")
    assert Decimal(document["total"]["findings"][0]["cost"]["USD"]) == 5  # the retries, in the window itself
