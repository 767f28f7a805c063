"""Azure Monitor, Bedrock's CloudWatch metrics and Tencent Cloud through their twins, signatures checked by other code."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from exporter.clock import micros
from exporter.errors import Misconfigured, Unreachable
from tests.contract import azure_metrics_twin as azure
from tests.contract import cloudwatch_twin as aws
from tests.contract import tencent_twin as tencent
from tests.contract.litellm_twin import SECRET
from tests.contract.spending import EXPIRED_KEY, SpendingTwin, Spent
from tests.vendor.bills.taking import NOON, SECOND, account, seconds, spending, total

START = (NOON - timedelta(days=5)).isoformat()


@pytest.fixture(autouse=True)
def _aws_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", aws.ACCESS_KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", aws.SECRET_KEY)


def azure_settings(twin: SpendingTwin, **values: Any) -> dict[str, Any]:
    return {
        "kind": "azure", "url": twin.url, "login_url": twin.url, "resource": azure.RESOURCE, "start": START,
        "tenant": azure.TENANT, "key": azure.CLIENT, "secret": azure.CLIENT_SECRET, **values,
    }  # fmt: skip


def bedrock_settings(twin: SpendingTwin, **values: Any) -> dict[str, Any]:
    return {"kind": "bedrock", "url": twin.url, "region": aws.REGION, "start": START, **values}


def tencent_settings(twin: SpendingTwin, **values: Any) -> dict[str, Any]:
    return {
        "kind": "tencent", "url": twin.url, "key": tencent.SECRET_ID, "secret": tencent.SECRET_KEY, "start": START,
        "reports": ["usage"], **values,
    }  # fmt: skip


CLOUDS: dict[str, tuple[type[SpendingTwin], Any]] = {
    "azure": (azure.AzureMetricsTwin, azure_settings),
    "bedrock": (aws.CloudWatchTwin, bedrock_settings),
    "tencent": (tencent.TencentTwin, tencent_settings),
}


@pytest.fixture(params=sorted(CLOUDS))
def cloud(request: pytest.FixtureRequest) -> Iterator[tuple[str, SpendingTwin, Any]]:
    make, settings = CLOUDS[request.param]
    spent = [replace(item, key=item.key or "key_other") for item in spending()]
    with make(spent) as twin:
        yield request.param, twin, settings


def read_until(rows: list[Any], twin: SpendingTwin) -> list[Spent]:
    """The requests in what was read."""
    first, last = min(row.starts_at for row in rows), max(row.ends_at for row in rows)
    return [item for item in twin.spent if first <= item.at * SECOND < last]


@pytest.mark.parametrize("width", ["1h", "1d"])
@pytest.mark.parametrize("page_size", [7, 10**6])
def test_sums_are_those_of_the_requests_one_by_one(
    tmp_path: Path, cloud: tuple[str, SpendingTwin, Any], width: str, page_size: int
) -> None:
    name, twin, settings = cloud
    twin.page_size = page_size
    with account(tmp_path, **settings(twin, width=width)) as source:
        assert source.take().failed == ()
        rows = source.rows()
    spent = read_until(rows, twin)
    assert len(spent) > 150
    assert total(rows, lambda row: row.tokens.input) == sum(item.input for item in spent)
    assert total(rows, lambda row: row.tokens.output) == sum(item.output for item in spent)
    assert total(rows, lambda row: row.requests) == len(spent)
    if name != "azure":
        assert total(rows, lambda row: row.tokens.cache_read) == sum(item.cached for item in spent)
    assert {row.model for row in rows} == {item.model for item in spent}
    assert {row.ends_at - row.starts_at for row in rows} == {(3_600 if width == "1h" else 86_400) * SECOND}


def test_a_late_request_and_one_taken_back_are_seen_again(
    tmp_path: Path, cloud: tuple[str, SpendingTwin, Any]
) -> None:
    _, twin, settings = cloud
    with account(tmp_path, **settings(twin)) as source:
        source.take()
        twin.spent[10] = replace(twin.spent[10], input=twin.spent[10].input + 900)
        gone = twin.spent.pop(20)
        source.now = NOON + timedelta(hours=2)
        source.take()
        (change,) = source.changes()
        assert total(source.rows(), lambda row: row.tokens.input) == sum(
            item.input for item in read_until(source.rows(), twin)
        )
    assert (change["gone"], change["input"]) == (1, 900 - gone.input)


def test_being_slowed_down_is_made_up_later_and_quotes_nothing(
    tmp_path: Path, cloud: tuple[str, SpendingTwin, Any]
) -> None:
    _, twin, settings = cloud
    with account(tmp_path, **settings(twin)) as source:
        twin.faults.throttle = 3
        ((_, problem),) = source.take().failed
        assert isinstance(problem, Unreachable)
        assert SECRET not in f"{problem} {problem.hint}"
        twin.faults.throttle = 0
        source.take()
        assert total(source.rows(), lambda row: row.requests) == len(read_until(source.rows(), twin))


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("azure", {"secret": EXPIRED_KEY}),
        ("azure", {"key": "another"}),
        ("azure", {"resource": "/subscriptions/s/none"}),
        ("tencent", {"key": EXPIRED_KEY}),
        ("tencent", {"secret": "wrong-secret"}),
    ],
)
def test_refused_credentials_are_a_matter_of_settings(tmp_path: Path, name: str, values: Any) -> None:
    make, settings = CLOUDS[name]
    with make(spending(5)) as twin, account(tmp_path, **settings(twin, **values)) as source:
        ((_, problem),) = source.take().failed
    assert isinstance(problem, Misconfigured)
    assert not any(value in f"{problem} {problem.hint}" for value in (EXPIRED_KEY, "wrong-secret"))


def test_a_wrong_aws_secret_is_refused_by_its_signature(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    with aws.CloudWatchTwin(spending(5)) as twin, account(tmp_path, **bedrock_settings(twin)) as source:
        ((_, problem),) = source.take().failed
    assert isinstance(problem, Misconfigured)
    assert "InvalidSignatureException" in str(problem)


def test_azure_uses_the_managed_identity_where_no_tenant_is_set(tmp_path: Path) -> None:
    with azure.AzureMetricsTwin(spending(30)) as twin:
        settings = azure_settings(twin, tenant="", key="", secret="", group_by="region")
        with account(tmp_path, **settings) as source:
            assert source.take().failed == ()
            assert {row.key for row in source.rows()} == {"proj_dify", "eastus"}


def test_azure_tells_more_than_ten_deployments_and_no_cache(tmp_path: Path) -> None:
    spent = [Spent(seconds(NOON) - 9_000, f"deployment-{number}", 10, 1) for number in range(30)]
    with azure.AzureMetricsTwin(spent) as twin, account(tmp_path, **azure_settings(twin)) as source:
        source.take()
        rows = source.rows()
    assert len(rows) == 30
    assert {(row.key, row.tokens.cache_read) for row in rows} == {("dify-openai", None)}


def test_tencent_tells_more_than_ten_models_of_a_key_and_counts_requests_by_key_only(tmp_path: Path) -> None:
    spent = [Spent(seconds(NOON) - 9_000, f"model-{number}", 10, 1, cached=3) for number in range(25)]
    with tencent.TencentTwin(spent) as twin:
        with account(tmp_path, **tencent_settings(twin)) as source:
            source.take()
            by_key = source.rows()
        folder = tmp_path / "by-model"
        folder.mkdir()
        with account(folder, **tencent_settings(twin, group_by="model")) as source:
            source.take()
            by_model = source.rows()
    assert {(row.model, row.key, row.requests) for row in by_key} == {(i.model, "key_dify", 1) for i in spent}
    assert {(row.model, row.key, row.requests) for row in by_model} == {(i.model, None, None) for i in spent}
    assert total(by_model, lambda row: row.tokens.cache_read) == 75


def test_a_series_that_is_cut_is_set_aside_and_not_taken_for_zero(tmp_path: Path) -> None:
    class Cut(tencent.TencentTwin):
        def ranks(self, asked: dict[str, Any]) -> dict[str, Any]:
            found = super().ranks(asked)
            for item in found["TopList"]:
                if "Series" in item:
                    item["Series"]["OutputTotalToken"] = "[1, null"
            return found

    cut = Cut([Spent(seconds(NOON) - 9_000, "m", 10, 1)])
    with cut as twin, account(tmp_path, **tencent_settings(twin)) as source:
        source.take()
        assert source.rows() == []
        ((_, reason),) = source.refused()
    assert reason == "OutputTotalToken is not a list as long as Timestamps"


def test_tencents_bill_is_days_of_china_and_leaves_other_products_out(tmp_path: Path) -> None:
    made = tencent.TencentTwin(spending())
    with made as twin, account(tmp_path, **tencent_settings(twin, reports=["bill"])) as source:
        assert source.take().failed == ()
        rows = source.rows()
    first = min(row.starts_at for row in rows)
    last = max(row.ends_at for row in rows)
    assert last == micros(datetime(2026, 11, 24, tzinfo=tencent.CHINA))
    spent = [item for item in twin.spent if first <= item.at * SECOND < last]
    assert sum((row.cost or Decimal(0)) for row in rows) == sum(item.cents for item in spent) / 100
    assert {row.currency for row in rows} == {"CNY"}
