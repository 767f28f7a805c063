"""Alibaba Cloud, Google Cloud Monitoring and Volcengine through their twins, signatures checked by other code."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from exporter.clock import micros
from exporter.config import BillSettings
from exporter.errors import Misconfigured, Unreachable
from exporter.vendor.bills.registry import build
from tests.contract import alibaba_twin as alibaba
from tests.contract import google_metrics_twin as google
from tests.contract import volcengine_twin as volcengine
from tests.contract.litellm_twin import SECRET
from tests.contract.spending import EXPIRED_KEY, SpendingTwin, Spent
from tests.vendor.bills.taking import NOON, SECOND, account, seconds, spending, total

START = (NOON - timedelta(days=5)).isoformat()


def alibaba_settings(twin: SpendingTwin, **values: Any) -> dict[str, Any]:
    keys = {"key": alibaba.KEY_ID, "secret": alibaba.KEY_SECRET}
    return {"kind": "alibaba", "url": twin.url, "start": START, **keys, **values}


def volcengine_settings(twin: SpendingTwin, **values: Any) -> dict[str, Any]:
    keys = {"key": volcengine.KEY_ID, "secret": volcengine.KEY_SECRET}
    return {"kind": "volcengine", "url": twin.url, "start": START, **keys, **values}


def google_settings(twin: google.GoogleMetricsTwin, folder: Path, **values: Any) -> dict[str, Any]:
    path = {"credentials": twin.key_file(folder), "project": google.PROJECT}
    return {"kind": "google", "url": twin.url, "start": START, **path, **values}


def inside(rows: list[Any], twin: SpendingTwin) -> list[Spent]:
    """The requests in what was read."""
    first, last = min(row.starts_at for row in rows), max(row.ends_at for row in rows)
    return [item for item in twin.spent if first <= item.at * SECOND < last]


def costs(rows: list[Any]) -> Decimal:
    return sum((row.cost or Decimal(0) for row in rows), Decimal(0))


@pytest.mark.parametrize("group_by", ["key", "workspace", "model"])
def test_alibabas_trend_is_the_money_of_each_model_and_key(tmp_path: Path, group_by: str) -> None:
    with (
        alibaba.AlibabaTwin(spending()) as twin,
        account(tmp_path, **alibaba_settings(twin, group_by=group_by)) as source,
    ):
        assert source.take().failed == ()
        rows = source.rows()
    spent = inside(rows, twin)
    assert costs(rows) == sum(item.cents for item in spent) / 100
    of = {
        "key": lambda i: i.key or "none",
        "workspace": lambda i: i.place or "default",
        "model": lambda i: None,
    }
    assert {(row.model, row.key) for row in rows} == {(item.model, of[group_by](item)) for item in spent}
    assert max(row.ends_at for row in rows) == micros(datetime(2026, 11, 24, tzinfo=alibaba.CHINA))
    assert {row.currency for row in rows} == {"CNY"}


def test_more_than_twenty_keys_and_models_lose_no_money(tmp_path: Path) -> None:
    at = seconds(NOON) - 2 * 86_400
    spent = [
        Spent(at, f"model-{number % 23}", key=f"key-{number % 29}", cents=Decimal(number + 1))
        for number in range(23 * 29)
    ]
    with alibaba.AlibabaTwin(spent) as twin, account(tmp_path, **alibaba_settings(twin)) as source:
        source.take()
        rows = source.rows()
    assert costs(rows) == sum(item.cents for item in spent) / 100
    assert len({row.key for row in rows if row.key}) == 20
    assert {row.group for row in rows if row.model is None} == {"others"}


@pytest.mark.parametrize("page_size", [2, 10**6])
def test_alibabas_bill_is_read_page_by_page_without_other_products(tmp_path: Path, page_size: int) -> None:
    with (
        alibaba.AlibabaTwin(spending(), page_size=page_size) as twin,
        account(tmp_path, **alibaba_settings(twin, reports=["bill"])) as source,
    ):
        assert source.take().failed == ()
        rows = source.rows()
    assert costs(rows) == pytest.approx(sum(item.cents for item in inside(rows, twin)) / 100)
    assert all(row.group.endswith("输入") for row in rows)


def test_trend_and_bill_together_would_count_the_money_twice(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="tell the same money"):
        build([BillSettings(kind="alibaba", key="k", secret="s", reports=["trend", "bill"])])  # type: ignore[arg-type, call-arg]


def test_a_bill_that_is_corrected_days_later_is_corrected_here(tmp_path: Path) -> None:
    with alibaba.AlibabaTwin(spending()) as twin, account(tmp_path, **alibaba_settings(twin)) as source:
        source.take()
        before = costs(source.rows())
        twin.spent[100] = replace(twin.spent[100], cents=twin.spent[100].cents + 50)
        source.now = NOON + timedelta(days=1)
        source.take()
        (change,) = source.changes()
        later = [i for i in twin.spent if alibaba.china_day(i) == "2026-11-24"]
        assert costs(source.rows()) == before + Decimal("0.5") + sum(item.cents for item in later) / 100
    assert (change["rows"], change["gone"], change["cost"]) == (1, 0, {"CNY": "0.5"})


@pytest.mark.parametrize("width", ["1h", "1d"])
@pytest.mark.parametrize("page_size", [1, 10**6])
def test_googles_two_metrics_become_one_row_of_tokens_and_requests(
    tmp_path: Path, width: str, page_size: int
) -> None:
    with (
        google.GoogleMetricsTwin(spending(), page_size=page_size) as twin,
        account(tmp_path, **google_settings(twin, tmp_path, width=width)) as source,
    ):
        assert source.take().failed == ()
        rows = source.rows()
    spent = inside(rows, twin)
    assert total(rows, lambda row: row.tokens.input) == sum(item.input for item in spent)
    assert total(rows, lambda row: row.tokens.output) == sum(item.output for item in spent)
    assert total(rows, lambda row: row.requests) == len(spent)
    assert {(row.model, row.key) for row in rows} == {(i.model, i.place or "us-central1") for i in spent}
    assert all(row.requests and row.tokens.input is not None for row in rows)


def test_a_service_account_of_another_key_is_refused_at_the_login(tmp_path: Path) -> None:
    other = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    with google.GoogleMetricsTwin(spending(5)) as twin:
        settings = google_settings(twin, tmp_path) | {"credentials": twin.key_file(tmp_path, other)}
        with account(tmp_path, **settings) as source:
            ((_, problem),) = source.take().failed
    assert isinstance(problem, Misconfigured)
    assert "GOOGLE_APPLICATION_CREDENTIALS" in str(problem.hint)


def test_volcengine_tells_models_apart_by_their_endpoints(tmp_path: Path) -> None:
    spent = [replace(item, place=f"ep-{number % 2}") for number, item in enumerate(spending())]
    endpoints = {"ep-0": "doubao-seed-1-6", "ep-1": "deepseek-v3"}
    with (
        volcengine.VolcengineTwin(spent) as twin,
        account(tmp_path, **volcengine_settings(twin, endpoints=endpoints)) as source,
    ):
        assert source.take().failed == ()
        rows = source.rows()
    for endpoint, model in endpoints.items():
        mine = [row for row in rows if row.key == endpoint]
        truth = [item for item in inside(rows, twin) if item.place == endpoint]
        assert {row.model for row in mine} == {model}
        assert total(mine, lambda row: row.tokens.input) == sum(item.input for item in truth)
        assert total(mine, lambda row: row.tokens.output) == sum(item.output for item in truth)


@pytest.mark.parametrize("width", ["1h", "1d"])
def test_volcengine_without_endpoints_tells_the_sum_and_no_model(tmp_path: Path, width: str) -> None:
    with (
        volcengine.VolcengineTwin(spending()) as twin,
        account(tmp_path, **volcengine_settings(twin, width=width)) as source,
    ):
        assert source.take().failed == ()
        rows = source.rows()
    assert total(rows, lambda row: row.tokens.input) == sum(item.input for item in inside(rows, twin))
    assert {(row.model, row.key, row.requests) for row in rows} == {(None, None, None)}
    if width == "1d":
        assert {row.starts_at % (86_400 * SECOND) for row in rows} == {16 * 3_600 * SECOND}


@pytest.mark.parametrize("values", [{"key": EXPIRED_KEY}, {"secret": "wrong-secret"}])
@pytest.mark.parametrize("cloud", ["alibaba", "volcengine"])
def test_refused_keys_and_signatures_are_a_matter_of_settings(
    tmp_path: Path, cloud: str, values: dict[str, str]
) -> None:
    make: type[SpendingTwin] = alibaba.AlibabaTwin if cloud == "alibaba" else volcengine.VolcengineTwin
    settings = alibaba_settings if cloud == "alibaba" else volcengine_settings
    with make(spending(5)) as twin, account(tmp_path, **settings(twin, **values)) as source:
        ((_, problem),) = source.take().failed
    assert isinstance(problem, Misconfigured)
    assert not any(word in f"{problem} {problem.hint}" for word in (EXPIRED_KEY, "wrong-secret", SECRET))


@pytest.mark.parametrize("cloud", ["alibaba", "volcengine", "google"])
def test_being_slowed_down_is_made_up_later(tmp_path: Path, cloud: str) -> None:
    makes: dict[str, type[SpendingTwin]] = {
        "alibaba": alibaba.AlibabaTwin, "volcengine": volcengine.VolcengineTwin, "google": google.GoogleMetricsTwin,
    }  # fmt: skip
    with makes[cloud](spending()) as twin:
        if isinstance(twin, google.GoogleMetricsTwin):
            settings = google_settings(twin, tmp_path)
        else:
            settings = (alibaba_settings if cloud == "alibaba" else volcengine_settings)(twin)
        with account(tmp_path, **settings) as source:
            source.take()
            source.now = NOON + timedelta(days=1)
            twin.faults.throttle = 1
            ((_, problem),) = source.take().failed or (("none", None),)
            assert problem is None or isinstance(problem, Unreachable)
            source.take()
            assert max(row.ends_at for row in source.rows()) >= micros(NOON) - 5 * 3_600 * SECOND
