"""History through the Console API: resumable after a kill, with progress, and the command line that does it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from exporter import backfill, clock
from exporter.errors import Unreachable
from exporter.state import records
from exporter.state.store import Store
from tests.contract.console_twin import ConsoleTwin
from tests.sources.console.console_sources import Sources, found
from tests.sources.console.restored import PASSWORD

DAY = 86_400 * 1_000_000


def test_a_killed_back_fill_goes_on_where_it_was(twin: ConsoleTwin, sources: Sources, tmp_path: Path) -> None:
    since, until = clock.now() - DAY, clock.now()
    everything = set(found(sources.open(twin)))
    store = Store(tmp_path / "s.db")
    states = []
    for number, state in enumerate(backfill.search(store, sources.open(twin), since, until, clock.now)):
        states.append(state)
        if number == 12:
            break  # killed
    twin.asked.clear()
    states += backfill.search(store, sources.open(twin), since, until, clock.now)
    with store.read() as connection:
        met = {row[0] for row in connection.execute("SELECT id FROM records")}
        assert records.due_count(connection) == len(everything)
    assert met == everything
    progress = [state.found for state in states]
    assert progress == sorted(progress)
    assert states[-1].found >= len(everything)
    assert 0 < states[0].expected <= states[-1].found
    assert twin.changes == []
    store.close()


def test_a_back_fill_leaves_nothing_out_in_silence(
    twin: ConsoleTwin, sources: Sources, tmp_path: Path
) -> None:
    app = next(row for row in twin.rows.tables["apps"] if row["mode"] == "workflow")
    twin.trouble.forbidden = {app["id"]}
    store = Store(tmp_path / "s.db")
    with pytest.raises(Unreachable, match="cannot be back-filled: HTTP 403") as caught:
        list(backfill.search(store, sources.open(twin), clock.now() - DAY, clock.now(), clock.now))
    assert app["id"] in str(caught.value.hint)
    store.close()


@pytest.mark.parametrize(
    ("command", "code", "words"),
    [
        (["check"], 0, "cannot see: prices"),
        (["backfill", "--since", "2020-01-01", "--dry-run"], 0, "/talks: "),
        (["run", "--once"], 0, ""),
    ],
)
def test_the_commands_work_without_a_settings_file(
    command: list[str], code: int, words: str, twin: ConsoleTwin, tmp_path: Path
) -> None:
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("DIFY", "LANG", "OTEL"))
    }
    result = subprocess.run(
        [sys.executable, "-m", "exporter", "--set", f"dify.console.url={twin.url}", *command],
        cwd=tmp_path,
        env={
            **environment,
            "PYTHONPATH": str(Path(__file__).parents[3]),
            "DIFY_EXPORTER_DIFY_CONSOLE_EMAIL": next(iter(twin.logins)),
            "DIFY_EXPORTER_DIFY_CONSOLE_PASSWORD": PASSWORD,
            "DIFY_EXPORTER_DIFY_CONSOLE_REQUESTS_PER_MINUTE": "100000",
        },
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert result.returncode == code, result.stderr
    assert words in result.stdout
    assert PASSWORD not in result.stdout + result.stderr
    assert twin.changes == []
