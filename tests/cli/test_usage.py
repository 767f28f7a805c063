"""What a person sees who mistypes: usage errors with exit 2 that say why, names that are near, and output that stays whole."""

from __future__ import annotations

import json
import os
import pty
import re
import struct
import sys
from contextlib import suppress
from fcntl import ioctl
from pathlib import Path
from termios import TIOCSWINSZ

import pytest
from command import CLEAN, run

from exporter.state import outbox
from exporter.state.outbox import Parcel
from exporter.state.store import Store
from tests.web.traces_by_hand import NOON, build_trace, keep


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Calls of an app with an odd name, and a dead letter of a destination that is not in the settings any more."""
    folder = tmp_path_factory.mktemp("usage")
    store = Store(folder / "dify-exporter.db")
    keep(store, build_trace(1, app="[prod] Help[/]desk", started_at=NOON, calls=[{"model": "gpt-4o"}, {}]))
    store.close()
    (folder / "dify-exporter.yaml").write_text(
        "destinations: [{kind: otlp, name: 'tempo[1]', endpoint: 'http://127.0.0.1:9/v1/traces'}]\n"
        "vendor: [{kind: push, name: 'gate[way]'}]\n",
        "utf-8",
    )
    return folder


def plain(text: str) -> str:
    """Without the frame around messages, and in one line."""
    return " ".join(re.sub("[╭╮╰╯│─]", " ", text).split())


def on_terminal(columns: int, cwd: Path, *arguments: str) -> list[str]:
    """The lines of a command on a terminal of that width, without colours."""
    child, screen = pty.fork()
    if child == 0:
        os.chdir(cwd)
        env = {name: value for name, value in CLEAN.items() if name != "COLUMNS"}
        os.execve(
            sys.executable, [sys.executable, "-m", "exporter", *arguments], {**env, "TERM": "xterm-256color"}
        )
    ioctl(screen, TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    told = b""
    with suppress(OSError):  # the end of a terminal is an error on Linux
        while part := os.read(screen, 65536):
            told += part
    os.waitpid(child, 0)
    return re.sub(r"\x1b\[[0-9;]*m", "", told.decode()).replace("\r\n", "\n").splitlines()


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (["calls", "--since", "yesterday"], "--since: 'yesterday' is not a time"),
        (["calls", "--until", "2026-13-01"], "--until: '2026-13-01' is not a time"),
        (["calls", "--since", "0001-01-01T00:00+08:00"], "expected a year from 1970 to 2099"),
        (["calls", "--since", "2026-11-24", "--until", "2026-11-23"], "--since 2026-11-24 is not before --until 2026-11-23"),
        (["calls", "--verdict", "fine"], "'fine' is none of agree"),
        (["calls", "--trace", "nonsense"], "'nonsense' is not an id"),
        (["calls", "--app", "helpdesk"], "no app 'helpdesk' was ever seen; there is '[prod] Help[/]desk'"),
        (["calls", "--model", "gpt4o"], "no model 'gpt4o' was ever seen; there is 'gpt-4o'"),
        (["calls", "--app", "zzz", "--json"], "no app 'zzz' was ever seen"),
        (["evidence", "--since", "9999-12-31T23:59-08:00"], "expected a year from 1970 to 2099"),
        (["audit", "--since", "noon"], "--since: 'noon' is not a time"),
        (["audit", "--since", "2026-11-01", "--destination", "tempo"], "no destination 'tempo'; there is tempo[1]"),
        (["backfill", "--since", "2098-01-01"], "--since 2098-01-01 lies in the future"),
        (["backfill", "--since", "2026-11-02", "--until", "2026-11-01"], "is not before --until"),
        (["replay", "--destination", "tempo"], "no destination 'tempo'; there is tempo[1]"),
        (["explain", "nonsense"], "'nonsense' is not an id"),
        (["report", "--month", "2098-01"], "--month 2098-01 lies in the future"),
        (["doctor", "--since", "yesterday"], "--since: 'yesterday' is not a time"),
        (["record", "--listen", "nowhere"], "--listen nowhere: expected host:port"),
        (["bills", "import", "nofile.csv", "--preset", "deepseek"], "cannot be read"),
        (["--set", "dify.poll_interval", "status"], "expected name=value"),
    ],
)  # fmt: skip
def test_what_cannot_be_done_as_asked_is_a_usage_error(folder: Path, command: list[str], words: str) -> None:
    done = run(*command, cwd=folder)
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    assert words in plain(done.stderr)
    assert "Usage:" in done.stderr
    assert "settings" not in done.stderr


def test_wrong_settings_are_still_called_that(folder: Path) -> None:
    done = run("--set", "dify.poll_interval=soon", "status", cwd=folder)
    assert done.returncode == 2
    assert done.stderr.startswith("1 problem in the settings:\n  dify.poll_interval")


def test_a_name_that_was_seen_but_not_in_that_time_is_no_mistake(folder: Path) -> None:
    asked = ["calls", "--app", "[prod] Help[/]desk", "--until", "2020-01-01"]
    done = run(*asked, cwd=folder)
    assert (done.returncode, done.stdout) == (0, "no such call is in the ledger\n")
    as_json = run(*asked, "--json", cwd=folder)
    assert (as_json.returncode, as_json.stdout, as_json.stderr) == (0, "", "")


def test_an_app_that_never_asked_a_model_is_known(tmp_path: Path) -> None:
    store = Store(tmp_path / "dify-exporter.db")
    keep(store, build_trace(1, app="Quiet", calls=[]))
    store.close()
    done = run("calls", "--app", "Quiet", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "no such call is in the ledger\n"), done.stderr


def test_dead_letters_of_a_destination_taken_out_of_the_settings_can_be_sent_again(tmp_path: Path) -> None:
    store = Store(tmp_path / "dify-exporter.db")
    with store.transaction("test") as connection:
        outbox.put(connection, [Parcel("old", "0" * 32, 1, b"spans", 1, NOON, NOON)], NOON)
        (unit,) = outbox.take(connection, "old", NOON, 10)
        outbox.bury(connection, unit, "refused")
    store.close()
    done = run("replay", "--destination", "old", cwd=tmp_path)
    assert (done.returncode, done.stdout.startswith("1 dead letters")) == (0, True), done.stderr


def test_names_with_brackets_are_shown_as_they_are(folder: Path) -> None:
    trace = build_trace(1).trace.trace_id
    explained = run("explain", trace, cwd=folder).stdout
    assert explained.splitlines()[0].startswith("[prod] Help[/]desk  chat  ok")
    checked = run("check", cwd=folder, env={"DIFY_DATABASE_URL": "postgresql://127.0.0.1:9/dify"}).stdout
    assert "vendor gate[way]" in checked


def test_no_setting_is_folded_or_cut_however_narrow_the_terminal(folder: Path) -> None:
    shown = run("config", "show", cwd=folder, env={"COLUMNS": "40"}).stdout
    names = json.loads(run("config", "show", "--json", cwd=folder).stdout)
    assert len(names) > 50
    for name in names:
        assert f"\n{name} = " in f"\n{shown}", name


COMMANDS = [["status"], ["calls"], ["models"], ["evidence"], ["report", "--since", "2026-11-01", "--until", "2026-12-01"],
            ["explain", build_trace(1).trace.trace_id], ["doctor", "--since", "2026-11-01", "--until", "2026-12-01"], ["config", "show"]]  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_nothing_is_coloured_cut_or_folded_when_it_is_piped(folder: Path, command: list[str]) -> None:
    narrow, wide = (run(*command, cwd=folder, env={"COLUMNS": columns}) for columns in ("40", "400"))
    assert "\x1b" not in narrow.stdout + narrow.stderr
    assert "…" not in narrow.stdout
    assert narrow.stdout.split() == wide.stdout.split()
    assert len(narrow.stdout.splitlines()) == len(wide.stdout.splitlines())


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_json_stands_alone_on_standard_output(folder: Path, command: list[str]) -> None:
    done = run(*command, "--json", cwd=folder)
    documents = [done.stdout] if done.stdout.startswith("{\n") else done.stdout.splitlines()
    assert all(isinstance(json.loads(text), dict) for text in documents)
    assert done.stderr == ""


def test_on_a_narrow_terminal_words_go_on_below_each_other_and_none_is_broken(folder: Path) -> None:
    shown = on_terminal(60, folder, "doctor", "--since", "2026-11-01", "--until", "2026-12-01")
    assert all(len(line) <= 60 for line in shown)
    assert any(line.startswith(" " * 11) and line.strip() for line in shown)
    assert not any(
        line[:1].isspace() and len(line) - len(line.lstrip()) < 11 for line in shown if line.strip()
    )


def test_words_below_a_table_wider_than_the_terminal_keep_to_the_terminal(folder: Path) -> None:
    shown = on_terminal(60, folder, "models")
    assert max(map(len, shown)) > 60  # the table, whole
    note = shown.index(next(line for line in shown if line.startswith("observed: ")))
    assert all(len(line) <= 60 for line in shown[note:])
