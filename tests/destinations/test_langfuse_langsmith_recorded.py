"""The whole recorded Dify into every kind of Langfuse and into LangSmith, by a program that is killed on the way, while they
lose what they acknowledged: each holds the ledger once, as trees, with its readings, verdicts, sessions and users."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest

from exporter import config
from exporter.daemon import App
from exporter.state import ledger
from tests.contract import langfuse_twin, langsmith_twin
from tests.contract.langfuse_rules import shown
from tests.contract.langfuse_twin import LangfuseTwin
from tests.contract.langsmith_twin import LangSmithTwin
from tests.destinations.recorded_run import Ledger, audited, deliver, listed, recorded_settings

Document = dict[str, Any]
MODES = ("legacy", "dual", "events_only")
KILLS = (["before answered", 1], ["before answered", 7], ["after answered", 3])
"""With the platform's 200 in hand and no note of it, twice; and just after the note."""
LOST = 60
"""So many spans and scores each platform acknowledges after that and never stores."""
CALL_ID = "dify_exporter.call.id"


@dataclass
class Sent:
    """What the ledger has, what Dify's own rows say of people, and the platforms that got it."""

    app: App
    ledger: Ledger
    traces: dict[str, Document]
    people: dict[str, tuple[str, str, bool]]
    langfuse: dict[str, LangfuseTwin]
    langsmith: LangSmithTwin

    def of_trace(self) -> dict[str, list[Document]]:
        """The calls of each trace that has some."""
        found = defaultdict(list)
        for call in self.ledger.calls:
            found[call["trace_id"]].append(call)
        return found

    def runs(self) -> dict[str, list[Document]]:
        """LangSmith's runs by the trace of the ledger that they are of."""
        ids = {trace["record"]["id"]: trace_id for trace_id, trace in self.traces.items()}
        runs = list(self.langsmith.runs.values())
        roots = {
            run["id"]: ids[run["metadata"]["dify_exporter.source.record_id"]]
            for run in runs
            if run["parent_run_id"] is None
        }
        found = defaultdict(list)
        for run in runs:
            found[roots[run["trace_id"]]].append(run)
        return found


@pytest.fixture(scope="module")
def sent(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sent]:
    folder = tmp_path_factory.mktemp("recorded")
    with ExitStack() as stack:
        langfuse = {mode: stack.enter_context(LangfuseTwin(mode)) for mode in MODES}
        langsmith = stack.enter_context(LangSmithTwin())
        wanted = stack.enter_context(recorded_settings(shared, folder, _destinations(langfuse, langsmith)))
        _kill(folder, wanted)
        for twin in (*langfuse.values(), langsmith):
            twin.faults.lose_spans = LOST
        app = stack.enter_context(App(config.load(Path(os.devnull), {}, wanted).settings))
        deliver(app)
        people = _people(wanted["dify.database.url"])
        traces = _traces(app)
        yield Sent(app, Ledger(listed(app), len(traces)), traces, people, langfuse, langsmith)


def _destinations(langfuse: dict[str, LangfuseTwin], langsmith: LangSmithTwin) -> list[Document]:
    found: list[Document] = [
        {
            "kind": "langfuse", "name": mode, "endpoint": twin.url, "public_key": langfuse_twin.PUBLIC_KEY,
            "secret_key": langfuse_twin.SECRET_KEY, "confirm_after": "50ms",
        }
        for mode, twin in langfuse.items()
    ]  # fmt: skip
    smith = {"endpoint": langsmith.url, "api_key": langsmith_twin.API_KEY, "requests_per_second": 5000}
    return [*found, {"kind": "langsmith", "confirm_after": "50ms", **smith}]


def _kill(folder: Path, wanted: Document) -> None:
    """Start the program, and kill it (SIGKILL) at these moments, one start after the other."""
    orders = [
        {"settings": wanted, "kill_at": moment, "boundaries": str(folder / "boundaries")} for moment in KILLS
    ]
    done = subprocess.run(
        [sys.executable, "-m", "tests.faults.zygote"],
        input="".join(json.dumps(order) + "\n" for order in orders),
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert answers == [{"killed": True, "code": -signal.SIGKILL}] * len(KILLS), done.stderr


def _traces(app: App) -> dict[str, Document]:
    """Every exported trace, as `explain --json` tells it."""
    with app.store.read() as connection:
        ids = connection.execute("SELECT trace_id FROM traces WHERE exported_at IS NOT NULL").fetchall()
        return {trace_id: ledger.trace(connection, trace_id) or {} for (trace_id,) in ids}


def _people(url: str) -> dict[str, tuple[str, str, bool]]:
    """Conversation, user and whether it was a debug run, of every message of the database."""
    with psycopg.connect(url.replace("postgresql+psycopg", "postgresql")) as connection:
        rows = connection.execute(
            "SELECT m.id::text, m.conversation_id::text, coalesce(e.session_id, m.from_account_id::text),"
            " m.invoke_from = 'debugger' FROM messages m LEFT JOIN end_users e ON e.id = m.from_end_user_id"
        )
        return {message: (conversation, user, debug) for message, conversation, user, debug in rows}


def _total(reading: Document | None) -> int | None:
    """Input and output, or the lone total that Dify keeps of some calls."""
    if reading is None:
        return None
    if reading["input"] is None or reading["output"] is None:
        return reading.get("total")
    return int(reading["input"] + reading["output"])


def _totals(call: Document) -> dict[str, int]:
    """The three readings of a call; what the vendor's side only relays from Dify is no reading of its own."""
    readings = dict(call["readings"])
    if readings["vendor"] and not readings["vendor"]["independent"]:
        readings["vendor"] = None
    return {name: total for name in readings if (total := _total(readings[name])) is not None}


def _scores(trace: Document, calls: list[Document]) -> dict[str, float | str]:
    """What the scores of a trace must say, from its rows of the ledger; without the one of money."""
    if not calls:
        return {}
    judged = [call for call in calls if call["unexplained"]]
    vendor = sum(_total(call["readings"]["vendor"]) or 0 for call in judged)
    found: dict[str, float | str] = {"token_verdict": trace["verdict"]}
    if judged:
        found["tokens_unexplained"] = sum(
            call["unexplained"]["input"] + call["unexplained"]["output"] for call in judged
        )
    if vendor:
        found["tokens_dify_vs_vendor"] = sum(_totals(call).get("dify", 0) for call in judged) / vendor
    counted = [call for call in judged if "local" in _totals(call)]
    of_counted = sum(_totals(call)["vendor"] for call in counted)
    if of_counted:
        found["tokens_local_vs_vendor"] = sum(_totals(call)["local"] for call in counted) / of_counted
    return found


def _same(held: dict[str, Any], expected: dict[str, float | str]) -> bool:
    return held.keys() == expected.keys() and all(
        held[name] == value if isinstance(value, str) else math.isclose(held[name], value, abs_tol=1e-4)
        for name, value in expected.items()
    )


def test_nobodys_rule_was_broken_and_the_recording_is_large_enough_to_tell(sent: Sent) -> None:
    assert [twin.violations for twin in (*sent.langfuse.values(), sent.langsmith)] == [[], [], [], []]
    assert sent.ledger.traces > 100
    assert len(sent.ledger.calls) > 150
    assert {call["verdict"] for call in sent.ledger.calls} >= {"agree", "explained", "unverified"}


@pytest.mark.parametrize("mode", MODES)
def test_langfuse_holds_every_step_of_the_ledger_once_below_its_parent(sent: Sent, mode: str) -> None:
    held = [(row["traceId"], row["id"], row["parentObservationId"]) for row in sent.langfuse[mode].rows()]
    steps = [
        (trace_id, step["span_id"], step["parent_id"])
        for trace_id, trace in sent.traces.items()
        for step in trace["steps"]
    ]
    assert sorted(held, key=str) == sorted(steps, key=str)
    assert sum(parent is None for _, _, parent in held) == sent.ledger.traces
    known = {(trace_id, span) for trace_id, span, _ in held}
    assert [row for row in held if row[2] and (row[0], row[2]) not in known] == []


def test_langsmith_holds_every_step_of_the_ledger_once_below_its_parent(sent: Sent) -> None:
    runs = sent.runs()
    assert runs.keys() == sent.traces.keys()
    assert sent.langsmith.waiting == {}
    for trace_id, trace in sent.traces.items():
        names = {step["span_id"]: step["name"] for step in trace["steps"]}
        names[trace["steps"][0]["span_id"]] = trace["name"]
        branches = Counter((names[step["span_id"]], names.get(step["parent_id"])) for step in trace["steps"])
        shown_names = {run["id"]: run["name"] for run in runs[trace_id]}
        held = Counter((run["name"], shown_names.get(run["parent_run_id"])) for run in runs[trace_id])
        assert held == branches


@pytest.mark.parametrize("mode", MODES)
def test_langfuse_adds_up_the_chosen_readings_and_shows_all_three_beside_them(sent: Sent, mode: str) -> None:
    rows = sent.langfuse[mode].rows()
    usages = [shown(row["usageDetails"]) for row in rows]
    assert (sum(usage[0] for usage in usages), sum(usage[1] for usage in usages)) == sent.ledger.chosen()
    by_call = {
        row["attributes"][CALL_ID]: row["usageDetails"] for row in rows if CALL_ID in row["attributes"]
    }
    assert by_call.keys() == {call["call_id"] for call in sent.ledger.calls}
    for call in sent.ledger.calls:
        totals, usage = _totals(call), by_call[call["call_id"]]
        assert {name: usage[name] for name in ("dify", "local", "vendor") if name in usage} == totals
        assert usage.get("total") in ({None} if not totals else set(totals.values()))
    assert [row["name"] for row in rows if row["usageDetails"] and CALL_ID not in row["attributes"]] == []


def test_langsmith_adds_up_the_chosen_readings(sent: Sent) -> None:
    used = [run["usage_metadata"] for run in sent.langsmith.runs.values() if run["usage_metadata"]]
    assert (
        sum(u["input_tokens"] for u in used),
        sum(u["output_tokens"] for u in used),
    ) == sent.ledger.chosen()
    assert all(u["total_tokens"] == u["input_tokens"] + u["output_tokens"] for u in used)
    held = [run["metadata"].get(CALL_ID) for run in sent.langsmith.runs.values()]
    assert sorted(filter(None, held)) == sorted(call["call_id"] for call in sent.ledger.calls)


@pytest.mark.parametrize("mode", MODES)
def test_every_trace_has_its_scores_at_langfuse_once(sent: Sent, mode: str) -> None:
    scores, calls = sent.langfuse[mode].scores, sent.of_trace()
    rows = Counter((row["traceId"], row["name"]) for row in scores.rows.values())
    assert set(rows.values()) == {1}
    assert {trace_id for trace_id, _ in rows} == calls.keys()
    for trace_id, trace in sent.traces.items():
        held = scores.of_trace(trace_id)
        held.pop("cost_dify_vs_vendor", None)
        assert _same(held, _scores(trace, calls.get(trace_id, []))), trace_id


def test_every_trace_has_its_feedback_at_langsmith_once(sent: Sent) -> None:
    feedback, calls = sent.langsmith.feedback, sent.of_trace()
    assert set(Counter((row["run_id"], row["key"]) for row in feedback.rows.values()).values()) == {1}
    assert {row["extend_trace_retention"] for row in feedback.rows.values()} == {False}
    for trace_id, runs in sent.runs().items():
        (root,) = (run["id"] for run in runs if run["parent_run_id"] is None)
        held = feedback.of_run(root)
        held.pop("cost_dify_vs_vendor", None)
        assert _same(held, _scores(sent.traces[trace_id], calls.get(trace_id, []))), trace_id


@pytest.mark.parametrize("mode", MODES)
def test_langfuse_groups_by_conversation_and_user_and_keeps_debug_runs_apart(sent: Sent, mode: str) -> None:
    seen = Counter[str]()
    for row in sent.langfuse[mode].rows():
        message = sent.traces[row["traceId"]]["message_id"]
        if message is None:
            continue
        conversation, user, is_debug = sent.people[message]
        environment = "debug" if is_debug else "production"
        assert (row["sessionId"], row["userId"], row["environment"]) == (conversation, user, environment)
        seen[environment] += 1
    assert seen.keys() == {"debug", "production"}


def test_langsmith_groups_by_conversation_and_user_on_every_run(sent: Sent) -> None:
    for trace_id, runs in sent.runs().items():
        message = sent.traces[trace_id]["message_id"]
        if message is None:
            continue
        conversation, user, is_debug = sent.people[message]
        for run in runs:
            told = run["metadata"]
            assert (told["thread_id"], told["user_id"]) == (conversation, user)
            assert told.get("dify_exporter.debug", False) is is_debug


def test_after_three_kills_and_losses_nothing_is_missing_or_doubled(sent: Sent) -> None:
    assert {twin.faults.lose_spans for twin in (*sent.langfuse.values(), sent.langsmith)} == {0}
    assert audited(sent.app) == (set(), 0, 0)


def test_what_the_platforms_lost_later_is_found_and_sent_again_with_its_scores(sent: Sent) -> None:
    before = _held(sent)
    lost = sorted(sent.of_trace())[::9]
    for twin in sent.langfuse.values():
        _forget(twin, lost)
    for trace_id, runs in sent.runs().items():
        for run in runs if trace_id in lost else ():
            del sent.langsmith.runs[run["id"]]
            for feedback in [
                row for row in sent.langsmith.feedback.rows.values() if row["run_id"] == run["id"]
            ]:
                del sent.langsmith.feedback.rows[feedback["id"]]
    assert _held(sent) != before
    missing, doubled, _ = audited(sent.app)
    assert (missing, doubled) == (set(lost), 0)
    _, _, queued = audited(sent.app, repair=True)
    assert queued >= len(lost)
    deliver(sent.app)
    assert audited(sent.app) == (set(), 0, 0)
    assert _held(sent) == before
    assert [twin.violations for twin in (*sent.langfuse.values(), sent.langsmith)] == [[], [], [], []]


def _forget(twin: LangfuseTwin, lost: list[str]) -> None:
    """Of each of these traces the server loses every other span, and every score."""
    for store in (twin.events, twin.observations):
        mine = [key for key, row in store.items() if row["traceId"] in lost]
        for key in mine[::2]:
            del store[key]  # type: ignore[arg-type]
    for score in [key for key, row in twin.scores.rows.items() if row["traceId"] in lost]:
        del twin.scores.rows[score]


def _held(sent: Sent) -> Document:
    """What every platform shows, without the moments at which it took it."""
    found: Document = {
        mode: (
            {row["traceId"] + row["id"]: _lasting(row) for row in twin.rows()},
            {key[0]: (row["name"], row["value"]) for key, row in twin.scores.rows.items()},
        )
        for mode, twin in sent.langfuse.items()
    }
    runs = {run_id: _lasting(run) for run_id, run in sent.langsmith.runs.items()}
    feedback = {
        key: (row["key"], row.get("score"), row.get("value"))
        for key, row in sent.langsmith.feedback.rows.items()
    }
    return {**found, "langsmith": (runs, feedback)}


def _lasting(row: Document) -> Document:
    return {name: value for name, value in row.items() if name not in ("visible_at", "expires_at")}
