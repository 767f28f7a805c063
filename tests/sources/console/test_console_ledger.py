"""The ledger made through the Console API is the ledger made from the database, call by call, except what is named here."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
from ledgers import differing, seconds

from exporter import calls
from exporter.config import Settings
from exporter.daemon import App
from exporter.once import OnceReport
from exporter.sources.database import open_database
from exporter.sources.rows import TraceRows
from exporter.state import ledger
from tests.conftest import RecordedDify
from tests.contract.console_twin import ConsoleTwin
from tests.sources.console.console_sources import Sources, fetched, found
from tests.sources.console.restored import VERSIONS, console, restored, settings, twin_of

Document = dict[str, Any]

TIMES = {"started_at", "ended_at"}
"""Named difference 1: whole seconds."""

PRICES = {
    "readings.dify.cost", "readings.dify.currency", "readings.dify.unit_prices", "readings.vendor.cost",
    "readings.vendor.currency",
}  # fmt: skip
"""2: the price of a message; what Dify's own price says of the vendor's goes with it."""

OF_PRICES = frozenset({"price_differs", "price_tier", "price_hours", "price_missing"})
"""What is found by Dify's price, and cannot be found without it. Nothing is claimed in their place."""

ROUNDS = {
    "readings.dify.input", "readings.dify.output", "readings.dify.provenance", "readings.dify.kind", "readings.vendor",
    "readings.vendor.input", "readings.vendor.output", "readings.local.output", "findings",
}  # fmt: skip
"""3: an agent's message with several rounds tells each round's total, not its parts. The local count of a round's
output lacks the id of the tool that was called."""

MODEL = {
    "model", "provider", "findings", "readings.dify.kind", "readings.vendor",
    "readings.local.accuracy", "readings.local.error_pct", "readings.local.input", "readings.local.output",
    "readings.local.note", "readings.local.tokenizer", "readings.local.cost", "readings.local.currency",
    "readings.local.cost_from",
}  # fmt: skip
"""4: the model of a message that is older than its app's settings, or was made in the console; and what hangs on it."""

STOPPED = {"status", "findings", "readings.local.accuracy", "readings.local.note", "readings.dify.kind"}
"""5: a stopped answer is not told from a preset one."""

WORDS = {"readings.local.output"}
"""7: the words of an agent's round are told together with its thought, so the local count of them is of both."""

LOST = {"findings"}
"""8: of rounds that a message left out, the amount by sides, which the finding about them needs."""

DEBUG = {"debug"}
"""6: whether a message of an app without a graph was made in the editor."""


@dataclass
class Ledger:
    """What a run left."""

    report: OnceReport
    calls: dict[str, Document]
    traces: dict[str, Document]
    spans: dict[str, list[tuple[str, str | None, str, str | None, str | None]]]


@dataclass
class Both:
    """One Dify, read both ways."""

    url: str
    twin: ConsoleTwin
    database: Ledger
    console: Ledger


def exported(wanted: Settings) -> Ledger:
    """`run --once`, and what the ledger holds then."""
    with App(wanted) as app:
        report = app.run_once()
        with app.store.read() as connection:
            lines = list(calls.listing(connection, ledger.CallFilter(), app.settings.compare))
            traces = {
                row[0]: json.loads(row[1])
                for row in connection.execute("SELECT trace_id, document FROM traces")
            }
    documents = {item["call_id"]: item for item in map(json.loads, lines)}
    spans = {
        trace_id: [
            (step["span_id"], step["parent_id"], step["kind"], step["call_id"], step["link"])
            for step in trace["steps"]
        ]
        for trace_id, trace in traces.items()
    }
    return Ledger(report, documents, traces, spans)


def read_both_ways(url: str, version: str, folder: Path) -> Iterator[Both]:
    with twin_of(url, version) as twin:
        database = exported(settings(folder, "database", dify__database__url=url))
        by_console = exported(settings(folder, "console", dify__console=console(twin)))
        yield Both(url, twin, database, by_console)


@pytest.fixture(scope="module", params=["bundled", *VERSIONS])
def both(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    """The bundled recording, and the whole ones where they are."""
    folder = tmp_path_factory.mktemp("both")
    if request.param == "bundled":
        recorded: RecordedDify = request.getfixturevalue("recorded_dify")
        yield from read_both_ways(recorded.url, "1.14.0", folder)
        return
    with restored(request.getfixturevalue("shared"), request.param) as url:
        yield from read_both_ways(url, request.param, folder)


def ids(url: str, query: str) -> set[str]:
    with psycopg.connect(url) as connection:
        return {str(row[0]) for row in connection.execute(query.encode())}


def unread_completions(both: Both) -> set[str]:
    """Messages of completion apps whose entry nobody opened in Dify."""
    rows = both.twin.rows
    return {
        message["id"]
        for message in rows.tables["messages"]
        if (app := rows.row("apps", message["app_id"])) and app["mode"] == "completion"
        and (talk := rows.row("conversations", message["conversation_id"])) and talk["read_at"] is None
    }  # fmt: skip


def test_nothing_was_changed_in_dify(both: Both) -> None:
    assert both.twin.changes == []
    assert both.twin.violations == []
    assert both.twin.failed_logins == 0
    assert both.console.report.set_aside == 0


def test_only_what_the_api_does_not_show_is_missing(both: Both) -> None:
    single_steps = ids(both.url, "SELECT id FROM workflow_node_executions WHERE workflow_run_id IS NULL")
    missing = both.database.calls.keys() - both.console.calls.keys()
    expected = {f"node:{row}" for row in single_steps} | {
        f"message:{row}" for row in unread_completions(both)
    }
    assert missing == expected & both.database.calls.keys()
    assert both.console.calls.keys() <= both.database.calls.keys()


def test_every_call_is_equal_but_for_the_named_differences(both: Both) -> None:
    changed = messages_of_unknown_model(both)
    debug = ids(
        both.url, "SELECT id FROM messages WHERE invoke_from = 'debugger' AND workflow_run_id IS NULL"
    )
    several = ids(both.url, "SELECT message_id FROM message_agent_thoughts GROUP BY 1 HAVING count(*) > 1")
    for call_id, by_console in both.console.calls.items():
        by_database = both.database.calls[call_id]
        allowed = set(TIMES)
        if not call_id.startswith("node:"):
            allowed |= PRICES | (WORDS if call_id.startswith("thought:") else set())
            allowed |= ROUNDS if by_database["message_id"] in several else set()
            allowed |= MODEL if by_database["message_id"] in changed else set()
            allowed |= STOPPED if by_database["status"] == "stopped" else set()
            lost = {item["code"] for item in by_database["findings"]} & {"rounds_not_in_message"}
            allowed |= LOST if lost else set()
            allowed |= DEBUG if by_database["message_id"] in debug else set()
        priced = by_database
        if not call_id.startswith("node:"):
            assert not {item["code"] for item in by_console["findings"]} & OF_PRICES, call_id
            kept = [item for item in by_database["findings"] if item["code"] not in OF_PRICES]
            priced = {**by_database, "findings": kept}
        assert set(differing(priced, by_console)) <= allowed, call_id
        assert abs(seconds(by_database["started_at"]) - seconds(by_console["started_at"])) < 1


def messages_of_unknown_model(both: Both) -> set[str]:
    rows = both.twin.rows
    if not rows.tables["app_model_configs"]:
        return {row["id"] for row in rows.tables["messages"] if row["workflow_run_id"] is None}
    return ids(
        both.url,
        "SELECT m.id FROM messages m JOIN apps a ON a.id = m.app_id JOIN app_model_configs c ON c.id = a.app_model_config_id"
        " WHERE date_trunc('second', c.created_at) > m.created_at OR m.from_source = 'console'",
    )


def test_rounds_of_an_agent_keep_their_totals(both: Both) -> None:
    compared = 0
    for call_id, by_console in both.console.calls.items():
        reading, other = by_console["readings"]["dify"], both.database.calls[call_id]["readings"]["dify"]
        if call_id.startswith("thought:") and reading["input"] is None:
            assert reading["total"] == other["input"] + other["output"]
            compared += 1
    assert compared


def test_traces_and_spans_have_the_same_ids_places_and_links_to_child_runs(both: Both) -> None:
    linked = 0
    for trace_id, spans in both.console.spans.items():
        assert sorted(spans, key=str) == sorted(both.database.spans[trace_id], key=str)
        linked += sum(link is not None for *_, link in spans)
    assert linked


def test_every_trace_says_what_it_lacks(both: Both) -> None:
    for trace in both.console.traces.values():
        assert any("whole seconds" in note for note in trace["notes"])
        is_plain = trace["workflow_run_id"] is None
        assert any("no price" in note for note in trace["notes"]) is is_plain


def test_traces_of_runs_have_the_same_sums_and_verdicts(both: Both) -> None:
    for trace_id, trace in both.console.traces.items():
        other = both.database.traces[trace_id]
        if trace["workflow_run_id"] is not None:
            assert trace["sums"] == other["sums"]
            assert trace["verdict"] == other["verdict"]
            assert trace["findings"] == other["findings"]


def test_users_and_conversations_are_those_of_the_database(both: Both) -> None:
    with_console = Sources()
    source = with_console.open(both.twin)
    rows = {trace.ref.id: trace for trace in fetched(source, found(source)).traces}
    with_console.close()
    database = open_database(settings(Path("/nowhere"), dify__database__url=both.url).dify)
    others = {trace.ref.id: trace for trace in fetched(database, {key: rows[key].ref for key in rows}).traces}
    database.close()
    assert rows.keys() == others.keys()
    for key, trace in rows.items():
        assert trace.user == others[key].user
        if trace.message and trace.app.mode != "completion" and not is_from_editor(others[key]):
            assert trace.message.conversation_name == others[key].message.conversation_name  # type: ignore[union-attr]


def is_from_editor(trace: TraceRows) -> bool:
    """Conversations of the editor are not listed for chatflows."""
    return trace.message is not None and trace.message.invoke_from == "debugger"
