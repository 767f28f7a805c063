"""The rules and alerts: accepted by promtool, each tested for firing and for staying quiet, each with a way out in the runbooks."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.dashboards.prometheus_server import promtool

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "dashboards"
CASES = Path(__file__).with_name("alerts.test.yml")
ALERTS: list[dict[str, Any]] = [
    rule
    for group in yaml.safe_load((FOLDER / "alerts.yml").read_text("utf-8"))["groups"]
    for rule in group["rules"]
]
EVERY_ALERT = pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert["alert"])


def test_promtool_accepts_rules_and_configuration(tmp_path: Path) -> None:
    done = promtool("check", "rules", str(FOLDER / "rules.yml"), str(FOLDER / "alerts.yml"))
    assert done.returncode == 0, done.stdout + done.stderr
    config = (FOLDER / "prometheus.yml").read_text("utf-8").replace("/etc/prometheus/rules", str(FOLDER))
    (tmp_path / "prometheus.yml").write_text(config, "utf-8")
    done = promtool("check", "config", str(tmp_path / "prometheus.yml"))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 rule files found" in done.stdout


def test_every_alert_fires_when_it_should_and_only_then() -> None:
    done = promtool("test", "rules", str(CASES))
    assert done.returncode == 0, done.stdout + done.stderr


@EVERY_ALERT
def test_an_alert_whose_condition_is_reversed_does_not_pass(tmp_path: Path, alert: dict[str, Any]) -> None:
    """So the cases do look at it."""
    copies = tmp_path / "tests" / "dashboards", tmp_path / "dashboards"
    for folder in copies:
        folder.mkdir(parents=True)
    shutil.copy(CASES, copies[0])
    shutil.copy(FOLDER / "rules.yml", copies[1])
    groups = yaml.safe_load((FOLDER / "alerts.yml").read_text("utf-8"))
    for group in groups["groups"]:
        for rule in group["rules"]:
            if rule["alert"] == alert["alert"]:
                rule["expr"] = f"({rule['expr']}) and on () vector(1) == 2"
    (copies[1] / "alerts.yml").write_text(yaml.safe_dump(groups), "utf-8")
    assert promtool("test", "rules", str(copies[0] / CASES.name)).returncode != 0


@EVERY_ALERT
def test_an_alert_says_what_happened_what_to_do_and_where_to_read_on(alert: dict[str, Any]) -> None:
    assert alert["labels"]["severity"] in ("critical", "warning", "info")
    notes = alert["annotations"]
    assert notes["summary"].endswith((".", "missing."))
    assert notes["description"].endswith(".")
    page, _, anchor = notes["runbook_url"].partition("#")
    headings = re.findall(r"^## (.+)$", (ROOT / page).read_text("utf-8"), re.MULTILINE)
    assert anchor == alert["alert"].lower()
    assert alert["alert"] in headings


def test_the_runbooks_tell_of_these_alerts_and_no_others() -> None:
    text = (ROOT / "docs" / "runbooks.md").read_text("utf-8")
    sections = re.findall(r"^## (Dify\w+)\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    assert sorted(name for name, _ in sections) == sorted(alert["alert"] for alert in ALERTS)
    for name, body in sections:
        for part in ("**Means.**", "**Look at.**", "**Do.**"):
            assert part in body, f"{name} lacks {part}"


def test_the_tolerance_of_the_alert_is_the_default_of_the_settings() -> None:
    from exporter.config import CompareSettings

    percent = CompareSettings().tolerance_percent  # type: ignore[call-arg]
    alert = next(item for item in ALERTS if item["alert"] == "DifyDiscrepancyAboveTolerance")
    assert f"> {percent / 100:g}\n" in alert["expr"]


def test_metrics_that_rules_read_are_served() -> None:
    """By the names of the catalogue behind /metrics."""
    from exporter.web import metrics_catalog

    text = "".join((FOLDER / name).read_text("utf-8") for name in ("rules.yml", "alerts.yml"))
    recorded = set(re.findall(r"\b\w+:\w+:\w+\b", text))
    expressions = re.sub(r"#.*|\b\w+:\w+:\w+\b", "", text)
    read = set(re.findall(r"\bdify_\w+", expressions))
    served = {item.shown for item in _families(metrics_catalog)}
    assert recorded
    assert read <= served


def _families(catalog: Any) -> list[Any]:
    found: list[Any] = []
    for value in vars(catalog).values():
        if isinstance(value, catalog.Family):
            found.append(value)
        elif isinstance(value, tuple):
            found += [item for item in value if isinstance(item, catalog.Family)]
    return found
