"""A real MLflow: what is sent is there, as a tree, with the tokens and cost of the chosen readings, and is corrected."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from exporter.config import ContentSettings, DestinationSettings
from exporter.destinations.base import Outcome
from exporter.destinations.otlp import Otlp
from exporter.model import AssessedTrace
from tests.destinations.destination_units import RESOURCE, unit
from tests.destinations.test_presets import TRACES, chosen_tokens
from tests.real.real_server import RealServer, free_port, only_if_asked, program
from tests.spans import assessed_traces as traces

pytestmark = only_if_asked


@pytest.fixture(scope="module")
def mlflow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealServer]:
    folder: Path = tmp_path_factory.mktemp("mlflow")
    port = free_port()
    command = [
        *(program("mlflow"), "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"),
        *("--backend-store-uri", f"sqlite:///{folder}/mlflow.db"),
        *("--default-artifact-root", str(folder / "artifacts")),
    ]
    server = RealServer(command, {"MLFLOW_DISABLE_TELEMETRY": "true"}, port, "/health", folder)
    server.up()
    yield server
    server.kill()


def experiment(mlflow: RealServer, name: str) -> str:
    reply = requests.post(f"{mlflow.url}/api/2.0/mlflow/experiments/create", json={"name": name}, timeout=30)
    return str(reply.json()["experiment_id"])


def destination(mlflow: RealServer, experiment_id: str) -> Otlp:
    settings = DestinationSettings(kind="mlflow", endpoint=mlflow.url, experiment=experiment_id)
    return Otlp(settings, ContentSettings(), RESOURCE)


def info(mlflow: RealServer, trace: AssessedTrace) -> dict[str, Any]:
    reply = requests.get(f"{mlflow.url}/api/3.0/mlflow/traces/tr-{trace.trace.trace_id}", timeout=30)
    reply.raise_for_status()
    return dict(reply.json()["trace"]["trace_info"])


def usage(mlflow: RealServer, trace: AssessedTrace) -> tuple[int, int]:
    """Input and output tokens as MLflow sums its trace; nothing known is nothing."""
    said = info(mlflow, trace)["trace_metadata"].get("mlflow.trace.tokenUsage")
    counts = json.loads(said) if said else {"input_tokens": 0, "output_tokens": 0}
    return counts["input_tokens"], counts["output_tokens"]


def spans(mlflow: RealServer, trace: AssessedTrace) -> list[dict[str, Any]]:
    reply = requests.get(
        f"{mlflow.url}/api/3.0/mlflow/traces/get", {"trace_id": f"tr-{trace.trace.trace_id}"}, timeout=30
    )
    reply.raise_for_status()
    return list(reply.json()["trace"]["spans"])


def test_the_tree_the_types_and_the_tokens_are_those_of_the_ledger(mlflow: RealServer) -> None:
    to = destination(mlflow, experiment(mlflow, "tree"))
    assert to.check()[0].ok
    sent = [unit(to, assessed, number) for number, assessed in enumerate(TRACES, 1)]
    assert to.send(sent).outcome is Outcome.ACCEPTED
    for trace in TRACES:
        assert info(mlflow, trace)["state"] == "OK"
        assert len(spans(mlflow, trace)) == len(trace.trace.steps)
    found = [usage(mlflow, trace) for trace in TRACES]
    assert (sum(pair[0] for pair in found), sum(pair[1] for pair in found)) == chosen_tokens()


def found_by(mlflow: RealServer, number: str, condition: str) -> list[str]:
    """The ids of the traces that MLflow's search finds."""
    place = {"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": number}}
    asked = {"locations": [place], "filter": condition, "max_results": 100}
    reply = requests.post(f"{mlflow.url}/api/3.0/mlflow/traces/search", json=asked, timeout=30)
    reply.raise_for_status()
    return [trace["trace_id"] for trace in reply.json().get("traces", ())]


def test_a_trace_shows_verdict_session_and_the_vendors_cost(mlflow: RealServer) -> None:
    number = experiment(mlflow, "cost")
    to = destination(mlflow, number)
    trace = traces.chatflow(20_000)
    assert to.send([unit(to, trace)]).outcome is Outcome.ACCEPTED
    told = info(mlflow, trace)
    assert told["tags"]["verdict"] == "explained"
    assert found_by(mlflow, number, "tags.verdict = 'explained'") == [f"tr-{trace.trace.trace_id}"]
    assert found_by(mlflow, number, "tags.verdict = 'agree'") == []
    assert told["trace_metadata"]["mlflow.trace.session"] == traces.uuid(900)
    assert told["trace_metadata"]["mlflow.trace.user"] == "user-17"
    assert json.loads(told["trace_metadata"]["mlflow.trace.cost"])["total_cost"] == pytest.approx(
        4 * 0.0000612
    )


def test_late_evidence_corrects_tokens_and_cost(mlflow: RealServer) -> None:
    to = destination(mlflow, experiment(mlflow, "late"))
    early, late = traces.one_call(21_000, vendor=None), traces.one_call(21_000)
    assert to.send([unit(to, early)]).outcome is Outcome.ACCEPTED
    assert usage(mlflow, early) == (120, 30)
    assert to.send([unit(to, late, revision=2)]).outcome is Outcome.ACCEPTED
    assert usage(mlflow, late) == (240, 42)
    assert len(spans(mlflow, late)) == 2


def test_nothing_that_was_acknowledged_is_lost_by_a_crash(mlflow: RealServer) -> None:
    to = destination(mlflow, experiment(mlflow, "crash"))
    many = [traces.chatflow(300_000 + 1000 * number) for number in range(1, 21)]
    sent = [unit(to, trace, number) for number, trace in enumerate(many, 1)]
    assert to.send(sent).outcome is Outcome.ACCEPTED
    mlflow.kill()
    mlflow.up()
    assert [usage(mlflow, trace) for trace in many] == [(4 * 240, 4 * 42)] * 20


def test_an_experiment_that_does_not_exist_holds_the_traces(mlflow: RealServer) -> None:
    to = destination(mlflow, "999999")
    assert to.send([unit(to, traces.one_call(22_000))]).outcome is Outcome.HOLD
