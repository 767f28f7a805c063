"""A real Phoenix: what is sent is there, as a tree, with the tokens of the chosen readings, also after a crash."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import requests

from exporter.config import ContentSettings, DestinationSettings
from exporter.destinations.base import Outcome, Unit
from exporter.destinations.otlp import Otlp
from exporter.model import Verdict
from exporter.spans import otlp
from tests.destinations.destination_units import RESOURCE, unit
from tests.destinations.test_presets import TRACES, chosen_tokens
from tests.real.real_server import RealServer, free_port, only_if_asked, program
from tests.spans import assessed_traces as traces

pytestmark = only_if_asked


@pytest.fixture(scope="module")
def phoenix(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealServer]:
    folder: Path = tmp_path_factory.mktemp("phoenix")
    port, grpc_port = free_port(), free_port()
    environment = {
        "PHOENIX_HOST": "127.0.0.1",
        "PHOENIX_PORT": str(port),
        "PHOENIX_GRPC_PORT": str(grpc_port),
        "PHOENIX_WORKING_DIR": str(folder),
        "PHOENIX_TELEMETRY_ENABLED": "false",
    }
    server = RealServer([program("phoenix"), "serve"], environment, port, "/healthz", folder)
    server.grpc_url = f"http://127.0.0.1:{grpc_port}"
    server.up()
    yield server
    server.kill()


def destination(phoenix: RealServer, project: str, **more: Any) -> Otlp:
    settings = DestinationSettings(kind="phoenix", endpoint=phoenix.url, project=project, **more)
    return Otlp(settings, ContentSettings(), RESOURCE)


def units(to: Otlp) -> list[Unit]:
    return [unit(to, assessed, number) for number, assessed in enumerate(TRACES, 1)]


def wait_for(to: Otlp, sent: list[Unit]) -> None:
    until = time.monotonic() + 120
    while to.missing(sent) != set():
        assert time.monotonic() < until, "not all spans became visible"
        time.sleep(0.2)


def spans(phoenix: RealServer, project: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    asked = {"limit": "1000"}
    while True:
        reply = requests.get(f"{phoenix.url}/v1/projects/{project}/spans", asked, timeout=30)
        reply.raise_for_status()
        found += reply.json()["data"]
        if not reply.json().get("next_cursor"):
            return found
        asked["cursor"] = reply.json()["next_cursor"]


def tokens(phoenix: RealServer, project: str) -> tuple[int, int, int]:
    """Prompt, completion and total as Phoenix sums its project."""
    query = "{projects{edges{node{name tokenCountPrompt tokenCountCompletion tokenCountTotal}}}}"
    reply = requests.post(f"{phoenix.url}/graphql", json={"query": query}, timeout=30)
    nodes = [edge["node"] for edge in reply.json()["data"]["projects"]["edges"]]
    (node,) = [node for node in nodes if node["name"] == project]
    return node["tokenCountPrompt"], node["tokenCountCompletion"], node["tokenCountTotal"]


def test_the_tree_the_kinds_and_the_tokens_are_those_of_the_ledger(phoenix: RealServer) -> None:
    to = destination(phoenix, "dify-tree")
    assert to.check()[0].ok
    sent = units(to)
    assert to.send(sent).outcome is Outcome.ACCEPTED
    wait_for(to, sent)
    found = spans(phoenix, "dify-tree")
    assert {(item["context"]["span_id"], item["parent_id"]) for item in found} == {
        (step.span_id, step.parent_id) for trace in TRACES for step in trace.trace.steps
    }
    assert len(found) == sum(len(trace.trace.steps) for trace in TRACES)
    assert "UNKNOWN" not in {item["span_kind"] for item in found}
    prompt, completion = chosen_tokens()
    assert tokens(phoenix, "dify-tree") == (prompt, completion, prompt + completion)


def test_over_grpc_it_is_the_same(phoenix: RealServer) -> None:
    to = destination(phoenix, "dify-grpc", protocol="grpc", grpc_endpoint=phoenix.grpc_url)
    assert to.check()[0].ok
    made = [
        traces.chatflow(20_000),
        traces.one_call(21_000),
    ]  # a span that Phoenix has in any project is ignored
    sent = [unit(to, assessed, number) for number, assessed in enumerate(made, 1)]
    assert to.send(sent).outcome is Outcome.ACCEPTED
    wait_for(to, sent)
    assert {(item["context"]["span_id"], item["parent_id"]) for item in spans(phoenix, "dify-grpc")} == {
        (step.span_id, step.parent_id) for trace in made for step in trace.trace.steps
    }
    prompt, completion = chosen_tokens(made)
    assert tokens(phoenix, "dify-grpc") == (prompt, completion, prompt + completion)


def test_each_app_has_its_own_project(phoenix: RealServer) -> None:
    to = destination(phoenix, "of {app_id}")
    mine, other = traces.one_call(30_000), traces.one_call(31_000)
    app = replace(other.trace.app, id="another-app")
    sent = [unit(to, mine, 1), unit(to, replace(other, trace=replace(other.trace, app=app)), 2)]
    assert to.send(sent).outcome is Outcome.ACCEPTED
    wait_for(to, sent)
    for project, trace in ((f"of {mine.trace.app.id}", mine), ("of another-app", other)):
        found = {item["context"]["trace_id"] for item in spans(phoenix, project)}
        assert found == {trace.trace.trace_id}


def test_a_trace_stays_in_the_project_of_its_first_span_and_is_found_there(phoenix: RealServer) -> None:
    to = destination(phoenix, "named {app}")
    early = traces.chatflow(40_000)
    app = replace(early.trace.app, name="Renamed")
    late = unit(to, replace(early, trace=replace(early.trace, app=app)), revision=2)
    first, *_ = otlp.split(unit(to, early).spans)
    assert to.send([replace(late, spans=otlp.frame([first]), span_count=1)]).outcome is Outcome.ACCEPTED
    wait_for(to, [replace(late, spans=otlp.frame([first]), span_count=1)])
    assert to.send([late]).outcome is Outcome.ACCEPTED
    wait_for(to, [late])
    found = spans(phoenix, f"named {early.trace.app.name}")
    assert len(found) == len(early.trace.steps)


def test_a_call_shows_its_messages_parts_and_readings(phoenix: RealServer) -> None:
    to = destination(phoenix, "dify-call")
    written = traces.one_call(7000, vendor=traces.vendor(tokens=traces.Tokens(900, 70, 300, 200, 40)))
    sent = [unit(to, written)]
    assert to.send(sent).outcome is Outcome.ACCEPTED
    wait_for(to, sent)
    (leaf,) = [item for item in spans(phoenix, "dify-call") if item["span_kind"] == "LLM"]
    told = leaf["attributes"]
    assert told["llm.model_name"] == "gpt-4o-mini"
    assert told["llm.input_messages.1.message.role"] == "user"
    assert told["llm.output_messages.0.message.content"] == "Because the second request was a retry."
    assert told["llm.token_count.prompt_details.cache_read"] == 300
    assert told["llm.token_count.prompt_details.cache_write"] == 200
    assert told["llm.token_count.completion_details.reasoning"] == 40
    assert told["dify_exporter.tokens.dify.input"] == 120
    assert told["dify_exporter.verdict"] == "explained"
    assert told["session.id"] == traces.uuid(900)


def test_the_verdict_is_a_filter(phoenix: RealServer) -> None:
    to = destination(phoenix, "dify-filter")
    sent = [
        unit(to, traces.one_call(9000)),
        unit(to, traces.one_call(9100, vendor=None, verdict=Verdict.UNVERIFIED)),
    ]
    assert to.send(sent).outcome is Outcome.ACCEPTED
    wait_for(to, sent)
    condition = "metadata['verdict'] == 'unverified' and span_kind == 'LLM'"
    query = "query($f:String!){projects{edges{node{name spans(first:100,filterCondition:$f){edges{node{context:spanId}}}}}}}"
    asked = {"query": query, "variables": {"f": condition}}
    answer = requests.post(f"{phoenix.url}/graphql", json=asked, timeout=30).json()
    assert "errors" not in answer
    (project,) = [
        edge["node"] for edge in answer["data"]["projects"]["edges"] if edge["node"]["name"] == "dify-filter"
    ]
    assert len(project["spans"]["edges"]) == 1


def test_the_same_again_changes_nothing(phoenix: RealServer) -> None:
    to = destination(phoenix, "dify-twice")
    early, late = traces.one_call(8000, vendor=None), traces.one_call(8000)
    sent = [unit(to, early)]
    assert to.send(sent).outcome is Outcome.ACCEPTED
    wait_for(to, sent)
    assert to.send([unit(to, late, revision=2)]).outcome is Outcome.ACCEPTED
    marker = [unit(to, traces.one_call(8100, vendor=None))]
    assert to.send(marker).outcome is Outcome.ACCEPTED
    wait_for(to, marker)  # the queue is served in order, so the one before was looked at
    assert tokens(phoenix, "dify-twice") == (240, 60, 300)


def test_what_a_crash_took_after_the_200_is_found_and_repaired(phoenix: RealServer) -> None:
    to = destination(phoenix, "dify-crash")
    many = [unit(to, traces.chatflow(100_000 + 1000 * number), number) for number in range(1, 101)]
    assert to.send(many).outcome is Outcome.ACCEPTED
    phoenix.kill()
    phoenix.up()
    missing = to.missing(many)
    assert missing is not None
    if missing:
        again = [item for item in many if item.seq in missing]
        assert to.send(again).outcome is Outcome.ACCEPTED
    wait_for(to, many)
    prompt, completion = 100 * 4 * 240, 100 * 4 * 42
    assert tokens(phoenix, "dify-crash") == (prompt, completion, prompt + completion)
