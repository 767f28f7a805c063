"""`bills` in the settings: what each kind needs, where its keys come from, and the way to a missing extra."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, get_args

import pytest

from exporter import config
from exporter.config.bills import BillKind
from exporter.errors import Misconfigured
from exporter.vendor.bills.presets import FIELDS, PRESETS
from exporter.vendor.bills.registry import build
from tests.contract.openrouter_twin import MANAGEMENT_KEY, OpenRouterTwin, activity_rows
from tests.vendor.bills.taking import NOON, account, total
from tests.vendor.pullers.pulling import recorded

BILLS_DOC = (Path(__file__).parents[3] / "docs" / "bills.md").read_text("utf-8")
NEEDS: dict[str, dict[str, Any]] = {
    "openai": {"key": "k"},
    "anthropic": {"key": "k"},
    "openrouter": {"key": "k"},
    "azure": {"resource": "/subscriptions/s"},
    "bedrock": {"region": "us-east-1"},
    "google": {"project": "p"},
    "tencent": {"key": "k", "secret": "s"},
    "alibaba": {"key": "k", "secret": "s"},
    "volcengine": {"key": "k", "secret": "s"},
    "file": {"path": "*.csv", "preset": "deepseek"},
}
EXTRAS = {
    "tencent": ("tencentcloud.common", "dify-exporter[tencent]"),
    "alibaba": ("alibabacloud_openapi_util.client", "dify-exporter[alibaba]"),
    "volcengine": ("volcenginesdkcore.signv4", "dify-exporter[volcengine]"),
    "google": ("google.oauth2.service_account", "dify-exporter[google]"),
}


def load(entry: dict[str, Any]) -> config.BillSettings:
    return config.load(Path("/dev/null"), {}, {"bills": [entry]}).settings.bills[0]


@pytest.mark.parametrize("kind", get_args(BillKind))
def test_every_kind_becomes_a_puller_named_as_itself_and_connects_to_nothing(kind: str) -> None:
    (puller,) = build([config.BillSettings(kind=kind, **NEEDS[kind])])
    assert puller.name == ("deepseek" if kind == "file" else kind)
    assert not puller.traits.per_request
    assert puller.every_seconds >= 900


@pytest.mark.parametrize("kind", get_args(BillKind))
def test_what_a_kind_cannot_do_without_is_named(kind: str) -> None:
    for name in NEEDS[kind]:
        given = {key: value for key, value in NEEDS[kind].items() if key != name}
        with pytest.raises(Misconfigured, match=name):
            load({"kind": kind, **given})


@pytest.mark.parametrize(
    ("kind", "variables"),
    [
        ("openai", {"key": "OPENAI_ADMIN_KEY"}),
        ("anthropic", {"key": "ANTHROPIC_ADMIN_KEY"}),
        ("tencent", {"key": "TENCENTCLOUD_SECRET_ID", "secret": "TENCENTCLOUD_SECRET_KEY"}),
        ("alibaba", {"key": "ALIBABA_CLOUD_ACCESS_KEY_ID", "secret": "ALIBABA_CLOUD_ACCESS_KEY_SECRET"}),
        ("volcengine", {"key": "VOLC_ACCESSKEY", "secret": "VOLC_SECRETKEY"}),
    ],
)
def test_the_vendors_own_variables_fill_what_is_left_open(
    tmp_path: Path, kind: str, variables: dict[str, str]
) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text(f"bills: [{{kind: {kind}}}]")
    environ = {name: f"of {name}" for name in variables.values()}
    found = config.load(file, environ).settings.bills[0]
    for field, name in variables.items():
        assert getattr(found, field).get_secret_value() == f"of {name}"


def test_a_variable_alone_reads_no_bill() -> None:
    assert config.load(Path("/dev/null"), {"OPENAI_ADMIN_KEY": "sk-admin"}).settings.bills == []


def test_two_sources_may_not_have_one_name() -> None:
    entries = [{"kind": "openai", "key": "a"}, {"kind": "openai", "key": "b"}]
    with pytest.raises(Misconfigured, match="two vendor sources are named 'openai'"):
        config.load(Path("/dev/null"), {}, {"bills": entries})


@pytest.mark.parametrize("kind", sorted(EXTRAS))
def test_a_missing_extra_is_named_with_the_line_that_installs_it(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    module, extra = EXTRAS[kind]
    for name in [name for name in sys.modules if name == module or name.startswith(module + ".")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(Misconfigured) as caught:
        build([config.BillSettings(kind=kind, **NEEDS[kind])])  # type: ignore[arg-type]
    assert extra in str(caught.value.hint)


def test_the_document_names_every_kind_preset_and_field() -> None:
    for name in (*get_args(BillKind), *PRESETS, *FIELDS):
        assert f"`{name}`" in BILLS_DOC or f"**{name}**" in BILLS_DOC or f"kind: {name}" in BILLS_DOC, name


def test_openrouters_activity_is_read_as_a_bill_and_takes_back_what_is_gone(tmp_path: Path) -> None:
    rows = activity_rows(recorded())
    with (
        OpenRouterTwin(rows, NOON.date()) as twin,
        account(tmp_path, kind="openrouter", key=MANAGEMENT_KEY, url=twin.url) as source,
    ):
        source.take()
        assert total(source.rows(), lambda row: row.requests) == len(recorded())
        gone = twin.rows.pop()
        source.take()
        (change,) = source.changes()
    assert (change["gone"], change["input"]) == (1, -gone["prompt_tokens"])
