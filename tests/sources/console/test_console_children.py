"""The run that a workflow tool started, found through the Console API: the same one as in the database, or none."""

from __future__ import annotations

import copy
import json
import uuid
from datetime import datetime, timedelta
from typing import Any

import pytest

from exporter import ids
from exporter.sources.assemble import assemble
from exporter.sources.console.source import ConsoleSource
from exporter.sources.rows import TraceRows
from tests.contract.console_rows import Row
from tests.contract.console_twin import ConsoleTwin
from tests.sources.console.console_sources import Sources, fetched, found
from tests.sources.console.test_console_lists import Patterns, pattern, refresh

NOON = datetime(2026, 6, 1, 12, 0, 0)
PROVIDER = "10000000-0000-4000-8000-000000000001"


class Tools:
    """An emptied Dify with a workflow and a second one that is its tool."""

    def __init__(self, twin: ConsoleTwin) -> None:
        self.twin, self.rows = twin, twin.rows
        self.node_row = pattern(twin, "workflow_node_executions", node_type="llm")
        self.patterns = Patterns(twin)
        self.inner = next(
            row for row in self.rows.tables["apps"]
            if row["mode"] == "workflow" and row["id"] != self.patterns.flow["id"]
            and row["tenant_id"] == self.patterns.flow["tenant_id"]
        )  # fmt: skip
        self.rows.tables["tool_workflow_providers"] = [{"id": PROVIDER, "app_id": self.inner["id"]}]
        refresh(twin)

    def outer(self, begun: datetime = NOON, seconds: float = 5.0, trigger: str = "app-run") -> str:
        """A run of the outer workflow that lasted so long."""
        return self._change(self.patterns.run(begun, trigger), seconds, {})

    def inner_run(
        self, begun: datetime, seconds: float = 0.1, trigger: str = "app-run", **inputs: object
    ) -> str:
        """A run of the tool's workflow."""
        run = self._change(self.patterns.run(begun, trigger), seconds, {"sys.x": 1, **inputs})
        self.rows.row("workflow_runs", run)["app_id"] = self.inner["id"]  # type: ignore[index]
        for log in self.rows.group("workflow_app_logs", "workflow_run_id", run):
            log["app_id"] = self.inner["id"]
        refresh(self.twin)
        return run

    def call(self, run: str, begun: datetime, seconds: float = 0.2, **inputs: object) -> str:
        """A node of the outer run that calls the tool."""
        info = {"tool_info": {"provider_type": "workflow", "provider_id": PROVIDER}, "total_tokens": 1}
        node = {
            **copy.deepcopy(self.node_row), "id": str(uuid.uuid4()), "workflow_run_id": run, "created_at": begun,
            "app_id": self.patterns.flow["id"], "node_type": "tool", "status": "succeeded", "inputs": json.dumps(inputs),
            "finished_at": begun + timedelta(seconds=seconds), "elapsed_time": seconds, "process_data": None, "outputs": "{}",
            "execution_metadata": json.dumps(info),
        }  # fmt: skip
        self.rows.tables["workflow_node_executions"].append(node)
        refresh(self.twin)
        return str(node["id"])

    def _change(self, run: str, seconds: float, inputs: dict[str, object]) -> str:
        row: Row = self.rows.row("workflow_runs", run) or {}
        end = row["created_at"] + timedelta(seconds=seconds)
        row.update(status="succeeded", inputs=json.dumps(inputs), elapsed_time=seconds, finished_at=end)
        return run


@pytest.fixture
def tools(twin: ConsoleTwin) -> Tools:
    return Tools(twin)


def read(source: ConsoleSource, run: str) -> TraceRows:
    return next(trace for trace in fetched(source, found(source)).traces if trace.ref.id == run)


def links(trace: TraceRows) -> dict[str, str | None]:
    """Tool node → the trace that it is linked to."""
    steps = {step.span_id: step.link for step in assemble(trace).steps}
    return {
        node.id: steps[ids.span_id(node.id)]
        for node in trace.nodes
        if "workflow" in (node.execution_metadata or "")
    }


def test_the_run_with_the_tools_inputs_by_the_same_user_in_its_time_is_its_child(
    tools: Tools, sources: Sources
) -> None:
    outer = tools.outer()
    node = tools.call(outer, NOON + timedelta(seconds=2.1), q="x")
    child = tools.inner_run(NOON + timedelta(seconds=2.2), q="x")
    tools.inner_run(NOON + timedelta(seconds=2.2), q="another")
    tools.inner_run(NOON + timedelta(seconds=4), q="x")
    of_another_user = tools.inner_run(NOON + timedelta(seconds=2.2), q="x")
    tools.rows.by_id["workflow_runs"][of_another_user]["created_by"] = str(uuid.uuid4())
    for log in tools.rows.group("workflow_app_logs", "workflow_run_id", of_another_user):
        log["created_by"] = tools.rows.tables["end_users"][0]["id"]
    trace = read(sources.open(tools.twin), outer)
    assert trace.tool_apps == ((PROVIDER, tools.inner["id"]),)
    assert links(trace) == {node: ids.trace_id(child)}
    assert tools.twin.changes == []
    assert tools.twin.violations == []


@pytest.mark.parametrize("is_followed", [False, True])
def test_a_child_that_shows_the_next_second_is_found_though_its_tool_seems_to_have_ended_before(
    tools: Tools, sources: Sources, is_followed: bool
) -> None:
    outer = tools.outer()
    node = tools.call(outer, NOON + timedelta(seconds=1.95), seconds=0.3, q="x")
    child = tools.inner_run(NOON + timedelta(seconds=2.05), q="x")
    expected = {node: ids.trace_id(child)}
    if is_followed:
        later = tools.call(outer, NOON + timedelta(seconds=2.3), seconds=0.3, q="y")
        expected[later] = ids.trace_id(tools.inner_run(NOON + timedelta(seconds=2.35), q="y"))
    assert links(read(sources.open(tools.twin), outer)) == expected


def test_nothing_is_claimed_where_two_runs_fit_within_the_second(tools: Tools, sources: Sources) -> None:
    outer = tools.outer()
    nodes = [tools.call(outer, NOON + timedelta(seconds=1, milliseconds=at), q="x") for at in (100, 600)]
    for at in (150, 650):
        tools.inner_run(NOON + timedelta(seconds=1, milliseconds=at), q="x")
    assert links(read(sources.open(tools.twin), outer)) == dict.fromkeys(nodes)


def test_a_run_made_in_the_editor_has_a_child_made_in_the_editor(tools: Tools, sources: Sources) -> None:
    outer = tools.outer(trigger="debugging")
    node = tools.call(outer, NOON + timedelta(seconds=1), q="x")
    child = tools.inner_run(NOON + timedelta(seconds=1.05), trigger="debugging", q="x")
    for run in (outer, child):
        tools.rows.by_id["workflow_runs"][run].update(created_by_role="account", created_by="an-account")
    source = sources.open(tools.twin, dify={"debug_runs": True})
    assert links(read(source, outer)) == {node: ids.trace_id(child)}


def test_a_log_that_cannot_be_filtered_by_time_is_read_down_to_the_tool(
    tools: Tools, sources: Sources
) -> None:
    tools.twin.version = "1.0.0"
    outer = tools.outer()
    node = tools.call(outer, NOON + timedelta(seconds=1), q="x")
    child = tools.inner_run(NOON + timedelta(seconds=1.05), q="x")
    for minutes in range(150):
        tools.inner_run(NOON + timedelta(minutes=1 + minutes), q="x")
    assert links(read(sources.open(tools.twin), outer)) == {node: ids.trace_id(child)}


def test_a_child_is_asked_for_once_whether_it_or_its_parent_is_read_first(
    tools: Tools, sources: Sources
) -> None:
    outer = tools.outer()
    tools.call(outer, NOON + timedelta(seconds=1), q="x")
    child = tools.inner_run(NOON + timedelta(seconds=1.05), q="x")
    for order in ((outer, child), (child, outer)):
        source = sources.open(tools.twin)
        refs = found(source)
        tools.twin.asked.clear()
        for run in order:
            (trace,) = source.fetch((refs[run],)).traces
            assert trace.run is not None
            assert trace.run.triggered_from == "app-run"
        assert [path for path in tools.twin.paths(child) if path.endswith(child)] == [
            f"/console/api/apps/{tools.inner['id']}/workflow-runs/{child}"
        ]
        assert len(tools.twin.asked) == 6  # two runs, two lists of steps, the tool, the log of its app


def test_another_call_of_a_known_tool_costs_one_request(tools: Tools, sources: Sources) -> None:
    first = tools.outer()
    second = tools.outer(NOON + timedelta(minutes=1))
    for run, begun in ((first, NOON), (second, NOON + timedelta(minutes=1))):
        tools.call(run, begun + timedelta(seconds=1), q="x")
    source = sources.open(tools.twin)
    refs = found(source)
    source.fetch((refs[first],))
    tools.twin.asked.clear()
    source.fetch((refs[second],))
    assert len(tools.twin.asked) == 3


def test_a_trace_is_read_without_its_link_where_tools_may_not_be_looked_at_and_says_so(
    tools: Tools, sources: Sources
) -> None:
    outer = tools.outer()
    node = tools.call(outer, NOON + timedelta(seconds=1), q="x")
    tools.inner_run(NOON + timedelta(seconds=1.05), q="x")
    tools.twin.trouble.keeps_tools = True
    trace = read(sources.open(tools.twin), outer)
    assert links(trace) == {node: None}
    assert any("not linked to the run it started" in note and "403" in note for note in trace.notes)


@pytest.mark.parametrize("what", ["tool-provider", "workflow-app-logs"])
def test_a_link_that_dify_fails_to_tell_is_asked_for_again(tools: Tools, sources: Sources, what: str) -> None:
    outer = tools.outer()
    node = tools.call(outer, NOON + timedelta(seconds=1), q="x")
    child = tools.inner_run(NOON + timedelta(seconds=1.05), q="x")
    source = sources.open(tools.twin)
    refs = found(source)
    tools.twin.trouble.broken[what] = 3
    (trace,) = source.fetch((refs[outer],)).traces
    assert links(trace) == {node: None}
    assert any("HTTP 500" in note for note in trace.notes)
    (trace,) = source.fetch((refs[outer],)).traces
    assert links(trace) == {node: ids.trace_id(child)}


@pytest.mark.parametrize("gone", ["tool", "app"])
def test_a_deleted_tool_or_app_has_no_child_and_nothing_is_wrong(
    tools: Tools, sources: Sources, gone: str
) -> None:
    outer = tools.outer()
    node = tools.call(outer, NOON + timedelta(seconds=1), q="x")
    if gone == "tool":
        tools.rows.tables["tool_workflow_providers"].clear()
        refresh(tools.twin)
    else:
        tools.twin.deleted_apps.add(tools.inner["id"])
    trace = read(sources.open(tools.twin), outer)
    assert links(trace) == {node: None}
    assert not any("not linked" in note for note in trace.notes)


def test_a_tool_that_is_still_running_is_linked_to_nothing(tools: Tools, sources: Sources) -> None:
    outer = tools.outer()
    node = tools.call(outer, NOON + timedelta(seconds=1), q="x")
    tools.rows.by_id["workflow_node_executions"][node].update(
        status="running", finished_at=None, elapsed_time=0.0
    )
    tools.inner_run(NOON + timedelta(seconds=1.05), q="x")
    assert links(read(sources.open(tools.twin), outer)) == {node: None}


def test_more_runs_than_prove_anything_are_not_asked_for(tools: Tools, sources: Sources) -> None:
    outer = tools.outer()
    node = tools.call(outer, NOON + timedelta(seconds=1), q="x")
    for _ in range(51):
        tools.inner_run(NOON + timedelta(seconds=1.05), q="x")
    source = sources.open(tools.twin)
    refs: dict[str, Any] = found(source)
    tools.twin.asked.clear()
    (trace,) = source.fetch((refs[outer],)).traces
    assert links(trace) == {node: None}
    assert len(tools.twin.asked) == 4
