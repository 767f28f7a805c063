"""The whole recorded Dify into a real Phoenix and a real MLflow: their own sums are those of the ledger."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
import requests

from tests.destinations.recorded_run import audited, deliver, recorded_app, run_recorded
from tests.real.real_server import RealServer, only_if_asked
from tests.real.test_mlflow import experiment, mlflow
from tests.real.test_phoenix import phoenix, spans, tokens

__all__ = ["mlflow", "phoenix"]  # fixtures

pytestmark = only_if_asked

_FRESH_SECONDS = 121.0  # the audit does not judge what was sent less than two minutes ago


def test_phoenix_and_mlflow_sum_what_the_ledger_chose(
    shared: Path, tmp_path: Path, phoenix: RealServer, mlflow: RealServer
) -> None:
    number = experiment(mlflow, "recorded")
    found = run_recorded(
        shared,
        tmp_path,
        [
            {"kind": "phoenix", "endpoint": phoenix.url, "project": "recorded", "confirm_after": "1s"},
            {"kind": "mlflow", "endpoint": mlflow.url, "experiment": number},
        ],
    )
    prompt, completion = found.chosen(only_llm=True)
    assert tokens(phoenix, "recorded") == (prompt, completion, prompt + completion)
    held = spans(phoenix, "recorded")
    known = {item["context"]["span_id"] for item in held}
    assert [item for item in held if item["parent_id"] and item["parent_id"] not in known] == []
    assert len({item["context"]["trace_id"] for item in held}) == found.traces

    counted = [item["attributes"].get("llm.token_count.prompt", 0) for item in held]
    prompt, completion = found.chosen()
    assert sum(counted) == prompt
    traces = _traces(mlflow, number)
    assert len(traces) == found.traces
    assert {trace["state"] for trace in traces} <= {"OK", "ERROR"}
    used = [json.loads(trace["trace_metadata"].get("mlflow.trace.tokenUsage", "{}")) for trace in traces]
    assert sum(item.get("input_tokens", 0) for item in used) == prompt
    assert sum(item.get("output_tokens", 0) for item in used) == completion


def test_the_audit_finds_and_repairs_what_a_killed_phoenix_lost(
    shared: Path, tmp_path: Path, phoenix: RealServer
) -> None:
    entry = {"kind": "phoenix", "endpoint": phoenix.url, "project": "killed", "confirm": "at_once"}
    with recorded_app(shared, tmp_path, [entry]) as app:
        deliver(app)
        phoenix.kill()
        phoenix.up()
        time.sleep(_FRESH_SECONDS)
        missing, doubled, again = audited(app, repair=True)
        assert (doubled, again) == (0, len(missing))
        deliver(app)
        time.sleep(_FRESH_SECONDS)
        assert audited(app) == (set(), 0, 0)


def _traces(mlflow: RealServer, number: str) -> list[dict[str, dict[str, str]]]:
    found: list[dict[str, dict[str, str]]] = []
    asked = {
        "locations": [{"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": number}}],
        "max_results": 500,
    }
    while True:
        reply = requests.post(f"{mlflow.url}/api/3.0/mlflow/traces/search", json=asked, timeout=60)
        reply.raise_for_status()
        page = reply.json()
        found += page["traces"]
        if not page.get("next_page_token"):
            return found
        asked["page_token"] = page["next_page_token"]


@pytest.fixture(scope="module", autouse=True)
def _has_the_recording(shared: Path) -> None:
    """Skip before servers start where the recording is not."""
