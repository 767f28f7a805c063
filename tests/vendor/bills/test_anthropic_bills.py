"""Anthropic's usage and cost, and their analytics successor, through their twin."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from exporter.config import BillSettings
from exporter.errors import Misconfigured
from exporter.vendor.bills.registry import build
from tests.contract.anthropic_usage_twin import ADMIN_KEY, AnthropicUsageTwin
from tests.contract.spending import EXPIRED_KEY
from tests.vendor.bills.taking import NOON, SECOND, account, seconds, spending, total


@pytest.fixture
def twin() -> Iterator[AnthropicUsageTwin]:
    with AnthropicUsageTwin(spending()) as found:
        yield found


def of(twin: AnthropicUsageTwin, folder: Path, **values: Any) -> Any:
    return account(folder, **{"kind": "anthropic", "key": ADMIN_KEY, "url": twin.url, **values})


@pytest.mark.parametrize("report", ["usage_report", "analytics_usage"])
@pytest.mark.parametrize("width", ["1m", "1h", "1d"])
@pytest.mark.parametrize("page_size", [5, 10**6])
def test_input_is_told_with_what_the_cache_gave_and_took(
    tmp_path: Path, twin: AnthropicUsageTwin, report: str, width: str, page_size: int
) -> None:
    twin.page_size = page_size
    start = (NOON - timedelta(days=4)).isoformat()
    with of(twin, tmp_path, width=width, start=start, reports=[report]) as anthropic:
        assert anthropic.take().failed == ()
        rows = anthropic.rows()
    first = (
        seconds(NOON - timedelta(days=4)) // 86_400 * 86_400 if width == "1d" else seconds(NOON) - 4 * 86_400
    )
    last = max(row.ends_at for row in rows) // SECOND
    spent = [item for item in twin.spent if first <= item.at < last]
    assert len(spent) > 100
    assert total(rows, lambda row: row.tokens.input) == sum(item.input for item in spent)
    assert total(rows, lambda row: row.tokens.output) == sum(item.output for item in spent)
    assert total(rows, lambda row: row.tokens.cache_read) == sum(item.cached for item in spent)
    assert total(rows, lambda row: row.tokens.cache_write) == sum(item.written for item in spent)
    requests = len(spent) if report == "analytics_usage" else 0
    assert total(rows, lambda row: row.requests) == requests
    assert {row.requests for row in rows} != {0}
    assert {row.key for row in rows} == {item.key for item in spent}


def test_the_classic_report_knows_no_requests_and_says_so(tmp_path: Path, twin: AnthropicUsageTwin) -> None:
    with of(twin, tmp_path, reports=["usage_report"]) as anthropic:
        anthropic.take()
        assert {row.requests for row in anthropic.rows()} == {None}


@pytest.mark.parametrize("report", ["cost_report", "analytics_cost"])
def test_cents_written_as_text_become_dollars_to_the_last_digit(
    tmp_path: Path, twin: AnthropicUsageTwin, report: str
) -> None:
    twin.page_size = 4
    with of(twin, tmp_path, reports=[report], group_by="workspace") as anthropic:
        anthropic.take()
        rows = anthropic.rows()
    spent = [item for item in twin.spent if item.at < seconds(NOON.replace(hour=0))]
    assert sum((row.cost or Decimal(0)) for row in rows) == sum(item.cents for item in spent) / 100
    assert {row.currency for row in rows} == {"USD"}
    assert {row.key for row in rows} == {"proj_dify", None}
    assert {row.model for row in rows} == {item.model for item in spent}


def test_usage_and_cost_of_one_account_are_one_source(tmp_path: Path, twin: AnthropicUsageTwin) -> None:
    with of(twin, tmp_path) as anthropic:
        anthropic.take()
        assert {row.report for row in anthropic.rows()} == {"usage_report", "cost_report"}
        assert {row.source for row in anthropic.rows()} == {"anthropic"}


def test_two_reports_that_tell_the_same_are_refused(twin: AnthropicUsageTwin) -> None:
    settings = BillSettings(kind="anthropic", key=ADMIN_KEY, reports=["usage_report", "analytics_usage"])  # type: ignore[arg-type, call-arg]
    with pytest.raises(Misconfigured, match="tell the same"):
        build([settings])


def test_a_late_row_and_one_that_is_gone_are_seen_within_the_reread(
    tmp_path: Path, twin: AnthropicUsageTwin
) -> None:
    with of(twin, tmp_path, reports=["usage_report"]) as anthropic:
        anthropic.take()
        gone = twin.spent.pop(40)
        anthropic.now = NOON + timedelta(hours=1, minutes=10)
        anthropic.take()
        (change,) = anthropic.changes()
        assert total(anthropic.rows(), lambda row: row.tokens.input) == sum(i.input for i in twin.spent)
    assert (change["gone"], change["input"], change["output"]) == (1, -gone.input, -gone.output)


@pytest.mark.parametrize("key", [EXPIRED_KEY, "sk-ant-api-1"])
def test_a_key_that_is_no_admins_is_named_as_the_problem(
    tmp_path: Path, twin: AnthropicUsageTwin, key: str
) -> None:
    with of(twin, tmp_path, key=key) as anthropic:
        ((_, problem),) = anthropic.take().failed
    assert isinstance(problem, Misconfigured)
    assert "ANTHROPIC_ADMIN_KEY" in str(problem.hint)
    assert key not in f"{problem} {problem.hint}"
