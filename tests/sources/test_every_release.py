"""Every release's tables, filled as that release fills them, through the whole program: calls, tokens, sums, findings.

Nothing in the settings names the version.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
from dify_tables import new_id
from release_manners import (
    AGENT_ROUNDS,
    AGENT_TOOK,
    BROKEN_SUM,
    CHAT,
    CLASSIFIED,
    FAILED,
    INNER,
    MODEL,
    OUTER,
    REPEATED,
    ROUND,
    ROUNDS,
    ROUTED,
    Version,
    Written,
    total,
    write,
)
from release_shapes import VERSIONS, Writer, build

from exporter import config
from exporter.calls import listing
from exporter.daemon import App
from exporter.sources.versions import PROBED_TABLES, numbers
from exporter.state import ledger
from tests.cli.command import run

DEVELOPMENT = """
    ALTER TABLE apps ADD tracing_revision integer NOT NULL DEFAULT 0;
    ALTER TABLE workflow_node_executions ADD triggered_from_workflow_id uuid, ADD triggered_from_node_execution_id varchar(255);
    ALTER TABLE workflow_runs ADD handoff_duration double precision;
    CREATE TABLE ops_trace_deliveries (id uuid, trace_id varchar(255), message_id uuid, workflow_run_id uuid, status varchar(16));
    UPDATE alembic_version SET version_num = '74f13a2c08b9';
"""
"""Dify's main branch of September 2026: tracing rewritten, the engine with one path of adding up, an unknown migration."""

CASES = (
    *((version, version, "") for version in VERSIONS),
    ("1.3.1", "1.2.0", ""),  # the same tables as 1.3.1, an older habit
    ("1.17.1", "1.18", DEVELOPMENT),
)


@dataclass
class Exported:
    """What the program made of one release's rows."""

    written: Written
    described: list[tuple[str, str]]
    calls: dict[str, dict[str, Any]]
    traces: dict[str, dict[str, Any]]

    @property
    def version(self) -> Version:
        return self.written.version

    def trace(self, name: str) -> dict[str, Any]:
        return self.traces[self.written.ids[name]]

    def call(self, name: str) -> dict[str, Any]:
        return self.calls[self.written.ids[name]]

    def tokens(self, name: str) -> tuple[int | None, int | None, int | None]:
        reading = self.call(name)["readings"]["dify"]
        return reading["input"], reading["output"], reading["total"]

    def codes(self, name: str) -> list[str]:
        return sorted(finding["code"] for finding in self.trace(name)["findings"])

    def sums(self, name: str) -> tuple[int, int | None, int | None]:
        """Of the model calls, the message, the run."""
        sums = self.trace(name)["sums"]
        pairs = [sums["leaves"], sums["message"]]
        leaves, message = (None if p is None else (p["input"] or 0) + (p["output"] or 0) for p in pairs)
        assert leaves is not None
        return leaves, message, sums["run_total"]

    def is_told(self, words: str) -> bool:
        return any(words in text for _, text in self.described)


@pytest.fixture(scope="module", params=CASES, ids=lambda case: f"{case[1]} in the tables of {case[0]}")
def release(
    request: pytest.FixtureRequest, shapes: dict[str, Any], server: Any, tmp_path_factory: Any
) -> Iterator[Exported]:
    shape, version, more = request.param
    name = server.create(f"every_{new_id()[:8]}")
    with psycopg.connect(server.dsn(name)) as connection:
        build(connection, shapes[shape], frozenset(PROBED_TABLES))
        connection.execute(more)
        written = write(Writer(connection, shapes[shape]), numbers(version))
    yield export(server.url(name), written, tmp_path_factory.mktemp("state") / "s.db")
    server.drop(name)


def export(url: str, written: Written, state: Path) -> Exported:
    """`run --once`, and what the ledger holds then."""
    wanted = {"dify.database.url": url, "state.path": str(state)}
    with App(config.load(Path(os.devnull), {}, wanted).settings) as app:
        described = list(app.source().describe())
        report = app.run_once()
        assert (report.set_aside, report.problems) == (0, ())
        with app.store.read() as connection:
            documents = [
                json.loads(line) for line in listing(connection, ledger.CallFilter(), app.settings.compare)
            ]
            traces = [ledger.trace(connection, name) for name in {call["trace_id"] for call in documents}]
    calls = {call["node_execution_id"] or call["call_id"]: call for call in documents}
    assert len(calls) == len(documents)
    return Exported(
        written, described, calls, {trace["record"]["id"]: trace for trace in traces if trace is not None}
    )


def test_apps_without_a_graph_are_read_alike_in_every_release(release: Exported) -> None:
    chat = release.calls[f"message:{release.written.ids['chat']}"]
    assert (chat["provider"], chat["model"]) == ("openai", MODEL)
    assert (chat["readings"]["dify"]["input"], chat["readings"]["dify"]["output"]) == CHAT
    agent = release.trace("agent")
    assert [
        (call["readings"]["dify"]["input"], call["readings"]["dify"]["output"]) for call in agent["calls"]
    ] == list(AGENT_ROUNDS)
    assert release.codes("chat") == release.codes("agent") == []
    assert release.trace("agent")["app_mode"] == "agent-chat"


def test_the_calls_of_a_chatflow_are_right_whatever_its_sums_say(release: Exported) -> None:
    assert release.tokens("classifier") == (*CLASSIFIED, total(CLASSIFIED))
    assert [release.tokens(f"round {number}") for number in range(ROUNDS)] == [(*ROUND, sum(ROUND))] * ROUNDS
    assert {release.call(name)["model"] for name in ("classifier", "round 0")} == {MODEL}
    trace = release.trace("flow")
    assert len(trace["calls"]) == 1 + ROUNDS
    names = {step["span_id"]: step["name"] for step in trace["steps"]}
    above = [names.get(step["parent_id"]) for step in trace["steps"] if step["name"] == "inside"]
    assert above == ["round 1", "round 2"]


def test_the_sums_of_a_chatflow_are_judged_by_what_they_hold(release: Exported) -> None:
    inside = ROUNDS * sum(ROUND)
    leaves = total(CLASSIFIED) + inside
    version = release.version
    if version < (1, 2, 0):
        expected = (total(CLASSIFIED), BROKEN_SUM), ["message_total_differs", "run_total_differs"]
    elif version < (1, 9, 0):
        expected = (total(CLASSIFIED), leaves), ["message_total_differs"]
    elif version < (1, 9, 2):
        expected = (0, 0), ["message_total_zero", "run_total_zero"]
    elif version < (1, 10, 1):
        expected = (leaves + inside, leaves + inside), ["containers_counted_twice"] * 2
    elif version < (1, 18):
        expected = (leaves + inside, leaves), ["containers_counted_twice"]
    else:
        expected = (leaves, leaves), []
    assert release.sums("flow") == (leaves, *expected[0])
    assert release.codes("flow") == expected[1]


def test_a_repeated_call_is_two_calls_where_the_engine_keeps_both(release: Exported) -> None:
    assert release.tokens("repeated") == (*REPEATED, total(REPEATED))
    assert release.call("repeated")["status"] == "ok"
    if release.version < (1, 9, 0):
        first = release.call("try")
        assert (first["status"], first["model"], first["readings"]["dify"]) == ("error", MODEL, None)
    assert release.trace("report")["status"] == "ok"


def test_an_agents_tokens_are_taken_from_where_the_release_keeps_them(release: Exported) -> None:
    version = release.version
    if version < (1, 0, 0):
        assert "agent node" not in release.written.ids
        assert release.codes("report") == []
        return
    known = AGENT_TOOK if version >= (1, 8, 0) else (None, None)
    assert release.tokens("agent node") == (*known, total(AGENT_TOOK))
    assert release.call("agent node")["model"] == MODEL
    run = release.sums("report")[2]
    if version < (1, 6, 0):
        assert (run, release.codes("report")) == (total(REPEATED), ["run_total_differs"])
    elif (1, 9, 0) <= version < (1, 9, 2):
        assert (run, release.codes("report")) == (0, ["run_total_zero"])
    else:
        assert (run, release.codes("report")) == (total(REPEATED, AGENT_TOOK), [])


def test_workflow_tools_and_retrievals_are_counted_once(release: Exported) -> None:
    version = release.version
    leaves = total(OUTER, ROUTED) if version >= (1, 9, 2) else total(OUTER)
    assert release.tokens("outer model") == (*OUTER, total(OUTER))
    assert release.tokens("inner model") == (*INNER, total(INNER))
    if (1, 9, 0) <= version < (1, 9, 2):
        assert release.codes("outer") == ["run_total_zero"]
    elif version < (1, 9, 2):
        assert (release.sums("outer"), release.codes("outer")) == ((leaves, None, leaves), [])
    elif version < (1, 18):
        assert release.sums("outer") == (leaves, None, leaves + total(INNER))
        assert release.codes("outer") == ["workflow_tool_counted_twice"]
    else:
        assert release.sums("outer") == (leaves + total(INNER), None, leaves + total(INNER))
        assert release.codes("outer") == []
    if version >= (1, 9, 2):
        assert release.tokens("retrieval") == (*ROUTED, total(ROUTED))
        assert release.call("retrieval")["kind"] == "hidden:retrieval"
    (tool,) = [step for step in release.trace("outer")["steps"] if step["kind"] == "tool"]
    is_linked = (1, 11, 3) <= version < (1, 18)
    assert tool["link"] == (release.trace("inner")["trace_id"] if is_linked else None)


def test_what_a_failed_call_kept_is_read(release: Exported) -> None:
    call = release.call("failed model")
    assert (call["status"], call["model"]) == ("error", MODEL)
    if release.version >= (1, 11, 0):
        assert release.tokens("failed model") == (*FAILED, total(FAILED))
    else:
        assert call["readings"]["dify"] is None


def test_a_run_that_waited_for_a_person_is_one_trace(release: Exported) -> None:
    if release.version < (1, 13, 0):
        assert "waited" not in release.written.ids
        return
    assert release.sums("waited") == (total(OUTER, INNER),) * 3
    assert release.codes("waited") == []
    assert release.written.ids["waited run"] not in release.traces


def test_nothing_is_counted_that_is_no_call(release: Exported) -> None:
    agents, tries = release.version >= (1, 0, 0), release.version < (1, 9, 0)
    retrievals, waits = release.version >= (1, 9, 2), release.version >= (1, 13, 0)
    expected = 1 + len(AGENT_ROUNDS) + 1 + ROUNDS + 1 + tries + agents + 1 + retrievals + 1 + 1 + 2 * waits
    assert len(release.calls) == expected


def test_cut_values_are_said_on_the_trace(release: Exported) -> None:
    notes = release.trace("report")["notes"]
    is_cut = release.version >= (1, 9, 0)
    assert any("process_data is cut" in note for note in notes) is is_cut


_TOLD: tuple[tuple[str, Callable[[Version], bool]], ...] = (
    ("runs and chatflow messages show 0 tokens", lambda v: (1, 9, 0) <= v < (1, 9, 2)),
    ("runs and chatflow messages count iterations and loops twice", lambda v: (1, 9, 2) <= v < (1, 10, 1)),
    ("chatflow messages lack the tokens inside iterations", lambda v: v < (1, 9, 0)),
    ("far too large sum", lambda v: v < (1, 2, 0)),
    ("agent nodes have a total only, which run and message lack", lambda v: (1, 0, 0) <= v < (1, 6, 0)),
    ("failed tries of a node that is repeated leave nothing", lambda v: v >= (1, 9, 0)),
    ("has no index by created_at: workflow tools are not linked", lambda v: v < (1, 11, 3)),
    ("a later start than its message", lambda v: (1, 13, 0) <= v < (1, 13, 1)),
    ("agents of the new kind", lambda v: v >= (1, 15, 0)),
)


def test_what_degrades_is_said_before_a_trace_is_read(release: Exported) -> None:
    for words, is_so in _TOLD:
        assert release.is_told(words) is is_so(release.version), words


def test_the_command_itself_says_and_exports_it(shapes: dict[str, Any], server: Any, tmp_path: Path) -> None:
    name = server.create(f"every_{new_id()[:8]}")
    with psycopg.connect(server.dsn(name)) as connection:
        build(connection, shapes["1.9.1"], frozenset(PROBED_TABLES))
        written = write(Writer(connection, shapes["1.9.1"]), (1, 9, 1))
    settings = ("--database-url", server.url(name), "--state", str(tmp_path / "s.db"))
    checked = run(*settings, "check", cwd=tmp_path)
    assert "1.9.0–1.9.1" in checked.stdout
    assert "runs and chatflow messages show 0 tokens" in checked.stdout
    done = run(*settings, "run", "--once", cwd=tmp_path)
    assert (done.returncode, done.stdout[:18]) == (0, "7 traces exported,")
    found = [json.loads(line) for line in run(*settings, "calls", "--json", cwd=tmp_path).stdout.splitlines()]
    known = [call["readings"]["dify"] for call in found if call["readings"]["dify"]]
    expected = total(CHAT, *AGENT_ROUNDS, CLASSIFIED, *[ROUND] * ROUNDS, REPEATED, AGENT_TOOK, OUTER, INNER)
    assert sum(reading["total"] for reading in known) == expected
    pages = ("--set", "dify.pages_url=https://dify.example.com")
    shown = run(*settings, *pages, "explain", written.ids["chat"], cwd=tmp_path).stdout
    assert "Dify: https://dify.example.com/app/" in shown
    assert "Dify: " not in run(*settings, "explain", written.ids["chat"], cwd=tmp_path).stdout
    server.drop(name)
