"""What Dify refuses while the program runs is told as long as it is refused, with what to do, and not a look longer."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from exporter.errors import SourceRefused
from exporter.model import RecordKind
from exporter.sources.console.refusals import LOCK_SECONDS, _refused
from exporter.sources.console.source import ConsoleSource
from exporter.sources.http.troubles import TellsTroubles
from tests.contract.console_twin import ConsoleTwin
from tests.sources.console.console_sources import Sources, fetched, found
from tests.sources.console.test_console_bad_answers import app_with, rest


def look_at_apps(source: ConsoleSource) -> None:
    """As after five minutes."""
    for opened in source.opened:
        opened.looked_at = float("-inf")
    _ = source.streams


def test_a_list_refused_later_is_told_with_what_to_do_until_it_is_given(
    twin: ConsoleTwin, sources: Sources
) -> None:
    source, cursors = sources.open(twin), dict[str, str]()
    assert isinstance(source, TellsTroubles)
    found(source, cursors)
    assert source.troubles() == ()
    app = app_with(twin, "chat")
    twin.trouble.forbidden = {app}
    rest(source)
    found(source, cursors)
    (words,) = source.troubles()
    name = next(row["name"] for row in twin.rows.tables["apps"] if row["id"] == app)
    assert words.startswith(f"Dify's Console API refuses app '{name}' (talks), in workspace ")
    assert "HTTP 403 forbidden; give the account the role editor" in words
    twin.trouble.forbidden = set()
    rest(source)
    found(source, cursors)
    assert source.troubles() == ()


def test_the_trouble_with_an_app_is_gone_with_the_app(twin: ConsoleTwin, sources: Sources) -> None:
    app = app_with(twin, "workflow")
    twin.trouble.broken = {f"{app}/workflow-app-logs": 1000}
    source = sources.open(twin)
    found(source)
    assert len(source.troubles()) == 1
    twin.deleted_apps = {app}
    look_at_apps(source)
    assert source.troubles() == ()


def test_the_list_of_apps_is_a_trouble_while_it_is_refused(twin: ConsoleTwin, sources: Sources) -> None:
    source = sources.open(twin)
    twin.trouble.broken = {"/workspaces": 3}
    look_at_apps(source)
    (words,) = source.troubles()
    assert "refuses the list of apps" in words
    assert "look at the log of Dify's API" in words
    look_at_apps(source)
    assert source.troubles() == ()


@pytest.mark.parametrize("is_deleted", [False, True])
def test_a_conversation_is_a_trouble_until_it_is_read_or_deleted(
    twin: ConsoleTwin, sources: Sources, is_deleted: bool
) -> None:
    app = app_with(twin, "chat")
    talk = twin.rows.group("messages", "app_id", app)[0]["conversation_id"]
    twin.trouble.broken_query = {talk: 1000}
    source, cursors = sources.open(twin), dict[str, str]()
    found(source, cursors)
    assert [talk in words for words in source.troubles()] == [True]
    if is_deleted:
        twin.rows.tables["conversations"] = [
            row for row in twin.rows.tables["conversations"] if row["id"] != talk
        ]
        twin.rows.of.clear()
    else:
        twin.trouble.broken_query = {}
    rest(source)
    found(source, cursors)
    assert source.troubles() == ()


def test_a_record_that_cannot_be_read_is_a_trouble_until_it_is_read_or_set_aside(
    twin: ConsoleTwin, sources: Sources
) -> None:
    source = sources.open(twin)
    refs = found(source)
    run = next(ref for ref in refs.values() if ref.kind is RecordKind.RUN)
    twin.trouble.broken = {f"{run.id}/node-executions": 3}
    assert fetched(source, {run.id: run}).traces == ()
    assert ["records of app" in words for words in source.troubles()] == [True]
    rest(source)
    assert fetched(source, {run.id: run}).traces
    assert source.troubles() == ()
    for opened in source.opened:
        opened.memory.traces.take(run.id)
    twin.trouble.broken = {f"{run.id}/node-executions": 1000}
    for _ in range(5):
        rest(source)
        answer = fetched(source, {run.id: run})
    assert answer.failed
    assert source.troubles() == ()


def test_an_account_that_is_locked_out_is_told_and_let_in_again_after_the_lock(
    twin: ConsoleTwin, sources: Sources, tmp_path: Path
) -> None:
    """One of two workspaces; as its pass ends, its account is locked because of somebody else's failures."""
    file = tmp_path / "logins"
    source, cursors = sources.open(twin, file), dict[str, str]()
    assert len(source.opened) > 1
    found(source, cursors)
    locked = source.opened[0]
    twin.passes = {token: email for token, email in twin.passes.items() if email != min(twin.logins)}
    twin.refreshes.clear()
    twin.trouble.locked = True
    rest(source)
    found(source, cursors)
    (words,) = source.troubles()
    assert words.startswith(f"Dify's workspace {locked.workspace.name} is not read any more: login as ")
    assert "Dify unlocks it after a day, and it is tried then" in words
    twin.trouble.locked = False
    rest(source)
    found(source, cursors)
    assert source.troubles()  # not tried while the lock may last
    asked = twin.good_logins
    for mark, (reason, until) in _refused.items():
        assert until is not None
        assert until - time.time() > LOCK_SECONDS - 60
        _refused[mark] = reason, time.time() - 1
    rest(source)
    found(source, cursors)
    assert twin.good_logins == asked + 1
    assert source.troubles() == ()


def test_a_lock_is_kept_over_a_restart_and_no_longer_than_it_lasts(
    twin: ConsoleTwin, sources: Sources, tmp_path: Path
) -> None:
    file = tmp_path / "logins"
    twin.trouble.locked = True
    with pytest.raises(SourceRefused, match="locked"):
        sources.open(twin, file)
    twin.trouble.locked = False
    with pytest.raises(SourceRefused, match="is not tried again"):
        sources.open(twin, file)
    held = json.loads(file.read_text("utf-8"))
    file.write_text(json.dumps({mark: [reason, 0] for mark, (reason, _) in held.items()}), "utf-8")
    assert sources.open(twin, file).streams


def test_a_refusal_written_by_an_older_version_holds(
    twin: ConsoleTwin, sources: Sources, tmp_path: Path
) -> None:
    file = tmp_path / "logins"
    wrong = {"accounts": [], "email": min(twin.logins), "password": "wrong"}
    with pytest.raises(SourceRefused):
        sources.open(twin, file, **wrong)
    held = json.loads(file.read_text("utf-8"))
    file.write_text(json.dumps({mark: reason for mark, (reason, _) in held.items()}), "utf-8")
    with pytest.raises(SourceRefused, match="wrong e-mail or password"):
        sources.open(twin, file, **wrong)
    assert twin.failed_logins == 1


def test_a_workspace_that_did_not_let_us_in_at_the_start_is_told_with_what_to_do(
    twin: ConsoleTwin, sources: Sources
) -> None:
    source = sources.open(twin, email="nobody@example.com", password="wrong")
    (words,) = source.troubles()
    assert words.startswith(
        "A workspace of Dify is not read: login as nobody@example.com failed: wrong e-mail"
    )
    assert "correct dify.console.email and password" in words
    assert words.endswith(". Then restart")
