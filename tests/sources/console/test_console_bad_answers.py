"""What goes wrong between us and the Console API is named, the rest goes on, and nothing is skipped for good."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from exporter.errors import SourceRefused, Unreachable
from exporter.model import RecordKind, RecordRef
from exporter.sources.console.source import ConsoleSource
from tests.contract.console_twin import ConsoleTwin
from tests.sources.console.console_sources import Sources, fetched, found


@pytest.fixture
def everything(twin: ConsoleTwin, sources: Sources) -> set[str]:
    """The ids of all records that can be found."""
    return set(found(sources.open(twin)))


def rest(source: ConsoleSource) -> None:
    """The pauses after failures are over."""
    for stream in source.known.values():
        stream.next_look = 0.0
    for key, (tries, _) in list(source.fetcher.stuck.items()):
        source.fetcher.stuck[key] = (tries, 0.0)


def app_with(twin: ConsoleTwin, mode: str) -> str:
    """The app of that mode with most messages or runs."""
    apps = [row["id"] for row in twin.rows.tables["apps"] if row["mode"] == mode]
    table = "workflow_runs" if mode == "workflow" else "messages"
    return max(apps, key=lambda app: len(twin.rows.group(table, "app_id", app)))


def records_of(twin: ConsoleTwin, app: str) -> set[str]:
    rows = [*twin.rows.group("messages", "app_id", app), *twin.rows.group("workflow_runs", "app_id", app)]
    return {row["id"] for row in rows}


def test_an_app_that_is_forbidden_is_named_and_the_others_are_read(
    twin: ConsoleTwin, sources: Sources, everything: set[str]
) -> None:
    app = app_with(twin, "chat")
    twin.trouble.forbidden = {app}
    source = sources.open(twin)
    cursors: dict[str, str] = {}
    assert set(found(source, cursors)) == everything - records_of(twin, app)
    name = next(row["name"] for row in twin.rows.tables["apps"] if row["id"] == app)
    troubles = [words for where, words in source.describe() if where.startswith("trouble") and name in where]
    assert troubles == ["HTTP 403 forbidden"]
    twin.trouble.forbidden = set()
    rest(source)
    assert set(found(source, cursors)) >= records_of(twin, app) & everything
    assert not [where for where, _ in source.describe() if where.startswith("trouble")]


def test_errors_of_the_server_are_outlasted(
    twin: ConsoleTwin, sources: Sources, everything: set[str]
) -> None:
    source = sources.open(twin)
    twin.trouble.broken = {"workflow-app-logs": 2, "chat-messages": 2, "node-executions": 2}
    twin.trouble.busy = 2
    refs = found(source)
    answer = fetched(source, refs)
    assert set(refs) == everything
    assert {trace.ref.id for trace in answer.traces} == everything
    assert answer.failed == answer.vanished == ()


def test_a_list_that_stays_broken_is_tried_again_later(
    twin: ConsoleTwin, sources: Sources, everything: set[str]
) -> None:
    app = app_with(twin, "workflow")
    twin.trouble.broken = {f"{app}/workflow-app-logs": 1000}
    source, cursors = sources.open(twin), dict[str, str]()
    first = set(found(source, cursors))
    missing = everything - first
    assert missing
    assert missing <= records_of(twin, app)
    twin.trouble.broken = {}
    rest(source)
    assert first | set(found(source, cursors)) == everything


def test_one_conversation_that_dify_cannot_tell_holds_up_no_other_and_is_not_forgotten(
    twin: ConsoleTwin, sources: Sources, everything: set[str]
) -> None:
    app = app_with(twin, "chat")
    talk = twin.rows.group("messages", "app_id", app)[0]["conversation_id"]
    mine = {row["id"] for row in twin.rows.group("messages", "conversation_id", talk)}
    twin.trouble.broken_query = {talk: 1000}
    cursors: dict[str, str] = {}
    first = set(found(sources.open(twin), cursors))
    assert first == everything - mine
    twin.trouble.broken_query = {}
    assert mine <= set(found(sources.open(twin), cursors))  # also after a restart


def test_half_answers_are_asked_again(twin: ConsoleTwin, sources: Sources, everything: set[str]) -> None:
    source = sources.open(twin)
    twin.trouble.half = 2
    assert set(found(source)) == everything


def test_a_proxys_page_in_the_middle_loses_nothing(
    twin: ConsoleTwin, sources: Sources, everything: set[str]
) -> None:
    source, cursors = sources.open(twin), dict[str, str]()
    twin.trouble.html = 12  # longer than any patience with one list
    met: set[str] = set()
    told: list[str] = []
    for _ in range(10):
        try:
            met |= set(found(source, cursors))
            break
        except Unreachable as error:
            told.append(str(error))
            rest(source)
    assert all("HTML" in words for words in told)
    twin.trouble.html = 0
    rest(source)
    assert met | set(found(source, cursors)) == everything


def test_a_dify_that_is_down_is_unreachable_and_goes_on_afterwards(
    twin: ConsoleTwin, sources: Sources, everything: set[str]
) -> None:
    source = sources.open(twin)
    streams = source.streams
    twin.down()
    with pytest.raises(Unreachable, match=r"connection (refused|broke)"):
        source.discover(streams[0], None)
    twin.up()
    assert set(found(source)) == everything


def test_an_app_that_is_deleted_in_the_middle_takes_only_its_own_records_along(
    twin: ConsoleTwin, sources: Sources, everything: set[str]
) -> None:
    source = sources.open(twin)
    refs = found(source)
    app = app_with(twin, "advanced-chat")
    twin.deleted_apps = {app}
    for opened in source.opened:
        opened.looked_at = float("-inf")  # long ago
    assert not any(app in stream for stream in source.streams)
    answer = fetched(source, refs)
    gone = records_of(twin, app) & everything
    assert {ref.id for ref in answer.vanished} == gone
    assert {trace.ref.id for trace in answer.traces} == everything - gone
    assert answer.failed == ()


def test_a_message_deleted_after_it_was_found_has_vanished(twin: ConsoleTwin, sources: Sources) -> None:
    source = sources.open(twin)
    refs = found(source)
    message = next(ref for ref in refs.values() if twin.rows.row("messages", ref.id))
    source.opened[0].memory.messages.take(message.id)
    for opened in source.opened:
        opened.memory.messages.take(message.id)
    del twin.rows.by_id["messages"][message.id]
    assert fetched(source, {message.id: message}).vanished == (message,)


def test_a_run_answered_with_nulls_has_vanished(twin: ConsoleTwin, sources: Sources) -> None:
    source = sources.open(twin)
    run = next(ref for ref in found(source).values() if ref.kind is RecordKind.RUN)
    del twin.rows.by_id["workflow_runs"][run.id]
    assert fetched(source, {run.id: run}).vanished == (run,)


def test_one_broken_run_is_set_aside_with_its_reason_and_the_others_are_read(
    twin: ConsoleTwin, sources: Sources
) -> None:
    source = sources.open(twin)
    refs = found(source)
    run = next(ref for ref in refs.values() if ref.kind is RecordKind.RUN)
    twin.trouble.broken = {f"{run.id}/node-executions": 1000}
    read = set()
    failed: tuple[tuple[RecordRef, str], ...] = ()
    for _ in range(5):
        rest(source)
        answer = fetched(source, {key: ref for key, ref in refs.items() if key not in read})
        read |= {trace.ref.id for trace in answer.traces}
        failed += answer.failed
    assert read == set(refs) - {run.id}
    assert failed == ((run, "Dify's Console API refuses it: HTTP 500 unknown"),)


def test_records_of_another_source_are_found_by_asking_the_apps(
    twin: ConsoleTwin, sources: Sources, everything: set[str]
) -> None:
    """As after a restart, or a switch from the database."""
    refs = found(sources.open(twin))
    answer = fetched(sources.open(twin), refs)
    assert {trace.ref.id for trace in answer.traces} == everything
    foreign = RecordRef(RecordKind.RUN, "00000000-0000-4000-8000-000000000000", 0)
    step = RecordRef(RecordKind.NODE, "00000000-0000-4000-8000-000000000001", 0)
    reasons = dict(fetched(sources.open(twin), {foreign.id: foreign, step.id: step}).failed)
    assert "no app that these accounts see" in reasons[foreign]
    assert "single-step" in reasons[step]


def test_a_chatflows_run_met_by_another_source_is_part_of_its_message(
    twin: ConsoleTwin, sources: Sources
) -> None:
    run = next(row for row in twin.rows.tables["workflow_runs"] if row["type"] == "chat")
    ref = RecordRef(RecordKind.RUN, run["id"], 0)
    (left_out,) = fetched(sources.open(twin), {ref.id: ref}).filtered
    message = twin.rows.group("messages", "workflow_run_id", run["id"])[0]
    assert left_out.reason == f"part of message {message['id']}"


@pytest.mark.parametrize(
    "path", ["workflow-app-logs", "chat-conversations", "chat-messages", "/console/api/apps"]
)
@pytest.mark.parametrize("answer", [{}, {"data": None}, {"error": "try later"}, []])
def test_json_that_is_not_difys_is_not_taken_for_an_empty_list(
    twin: ConsoleTwin, sources: Sources, everything: set[str], path: str, answer: object
) -> None:
    """As a gateway answers in Dify's place, with 200."""
    source, cursors = sources.open(twin), dict[str, str]()
    twin.trouble.foreign = (path, answer, 6)
    for opened in source.opened:
        opened.looked_at = float("-inf")
    refs = found(source, cursors)
    twin.trouble.foreign = None
    rest(source)
    refs |= found(source, cursors)
    assert set(refs) == everything
    assert {trace.ref.id for trace in fetched(source, refs).traces} == everything


@pytest.mark.parametrize("path", ["/workflow-runs/", "/messages/", "/node-executions"])
def test_json_that_is_not_difys_is_not_taken_for_a_record_that_is_gone(
    twin: ConsoleTwin, sources: Sources, everything: set[str], path: str
) -> None:
    refs = found(sources.open(twin))
    source = sources.open(twin)  # which remembers no message
    twin.trouble.foreign = (path, {"error": "try later"}, 10_000)
    first = fetched(source, refs)
    assert first.vanished == first.failed == ()
    twin.trouble.foreign = None
    rest(source)
    traces = {trace.ref.id: trace for trace in (*first.traces, *fetched(source, refs).traces)}
    assert set(traces) == everything
    assert all(
        len(trace.nodes) == len(twin.rows.group("workflow_node_executions", "workflow_run_id", trace.run.id))
        for trace in traces.values()
        if trace.run is not None
    )


def test_a_person_who_changes_the_accounts_workspace_makes_nothing_vanish(
    twin: ConsoleTwin, sources: Sources, everything: set[str]
) -> None:
    logins = list(twin.logins.values())
    first, second = logins[0].tenant_id, logins[1].tenant_id
    assert first != second
    source, cursors = sources.open(twin), dict[str, str]()
    refs = found(source, cursors)
    logins[0].tenant_id = second
    answer = fetched(source, refs)
    assert answer.vanished == answer.failed == ()
    assert answer.traces
    (words,) = source.troubles()
    assert "a person changed the account's current workspace" in words
    assert "change it back" in words
    found(source, cursors)
    logins[0].tenant_id = first
    for opened in source.opened:
        opened.looked_at = float("-inf")  # five minutes later
    found(source, cursors)
    rest(source)
    assert source.troubles() == ()
    traces = {trace.ref.id for trace in (*answer.traces, *fetched(source, refs).traces)}
    assert traces == everything


def test_the_only_account_that_left_its_workspace_ends_the_reading_until_it_is_back(
    twin: ConsoleTwin, sources: Sources
) -> None:
    (email, login), (_, other) = list(twin.logins.items())[:2]
    twin.logins = {email: login}
    source, home = sources.open(twin), login.tenant_id
    streams = source.streams
    login.tenant_id = other.tenant_id
    for opened in source.opened:
        opened.looked_at = float("-inf")
    with pytest.raises(SourceRefused, match="changed the account's current workspace"):
        _ = source.streams
    login.tenant_id = home
    for opened in source.opened:
        opened.looked_at = float("-inf")
    assert set(source.streams) == set(streams)


@pytest.mark.parametrize("is_date", [False, True])
def test_a_long_rest_that_is_asked_for_is_kept_to_and_told(
    twin: ConsoleTwin, sources: Sources, everything: set[str], is_date: bool
) -> None:
    source, cursors = sources.open(twin), dict[str, str]()
    later = format_datetime(datetime.now(UTC) + timedelta(seconds=300), usegmt=True)
    twin.trouble.busy, twin.trouble.retry_after = 1, later if is_date else "300"
    with pytest.raises(Unreachable, match="HTTP 429"):
        found(source, cursors)
    asked = twin.requests
    for _ in range(3):
        with pytest.raises(Unreachable, match=r"asked for a rest of (29\d|300) more seconds"):
            found(source, cursors)
    assert twin.requests == asked
    source.pace.rested_until = 0.0  # five minutes later
    assert set(found(source, cursors)) == everything
