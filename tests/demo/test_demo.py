"""`dify-exporter demo` as a person runs it, and its ledger against the recording's table of truth.

The truth (tests/demo/truth.json) was written down when the traffic was recorded: what Dify stored and what the vendor
billed for each message or run. It does not come from this program.
"""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from exporter import clock
from exporter.daemon import App
from exporter.demo import recording, replay
from exporter.demo.database import dify_database
from exporter.demo.settings import demo_settings, make_room, vendor_log
from exporter.state import ledger

Document = dict[str, Any]
TRUTH: dict[str, dict[str, list[int]]] = json.loads(Path(__file__).with_name("truth.json").read_text("utf-8"))
PARTS = ("input", "output")
HIDDEN = {
    "title": ("30", "6,034", "1,016"),
    "suggested questions": ("2", "299", "38"),
    "embedding": ("6", "43", "0"),
}
"""Requests, input and output of what Dify asked on its own, as the stand-in vendor labelled and counted it."""
UNPROVABLE = {"42": 1}
"""Rows with calls of which neither side kept anything to tell them by: a node that Dify left running, asked of a vendor
that is not told the user."""
ROOT = Path(__file__).parents[2]


def episode_rows() -> dict[str, str]:
    """What an episode shows → its row in the table of truth."""
    import gzip

    packed = (Path(recording.__file__).with_name("recording.json.gz")).read_bytes()
    return {entry["shows"]: str(entry["row"]) for entry in json.loads(gzip.decompress(packed))["episodes"]}


@pytest.fixture(scope="module")
def traces(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Document]]:
    """Trace documents of a demo's ledger by row of the table of truth."""
    flags = {"state.path": str(tmp_path_factory.mktemp("demo") / "demo.db"), "web.port": 0}
    recorded, now = recording.load("truth"), clock.now()
    make_room(flags, {})
    with dify_database() as url:
        settings = demo_settings(flags, {}, url)
        replay.play_at_once(url, recorded, vendor_log(settings.state.path), now - 60_000_000)
        with App(settings) as app:
            report = app.run_once()
            with app.store.read() as connection:
                found = ledger.newest(connection, 1000)
    assert report.problems == ()
    assert report.set_aside == 0
    by_id = {trace["trace_id"]: trace for trace in found}
    rows, mine = episode_rows(), {}
    for episode in recorded.episodes:
        ids = [json.loads(row)["id"].replace("-", "") for _, row in episode.rows(0)]
        mine[rows[episode.shows]] = [by_id.pop(identity) for identity in ids if identity in by_id]
    assert by_id == {}
    return mine


def calls_of(traces: list[Document]) -> Iterator[Document]:
    """The calls that Dify records; the truth of an episode speaks of these."""
    for trace in traces:
        yield from (call for call in trace["calls"] if not call["kind"].startswith("hidden:"))


def test_the_title_of_a_conversation_is_a_hidden_call_of_its_first_message(
    traces: dict[str, list[Document]],
) -> None:
    kinds = [call["kind"] for trace in traces["1"] for call in trace["calls"]]
    assert kinds == ["chat", "hidden:title"]


def summed(traces: list[Document], source: str) -> list[int]:
    readings = [call["readings"][source] for call in calls_of(traces)]
    known = [reading for reading in readings if reading is not None and reading.get("independent", True)]
    return [sum(reading[part] or 0 for reading in known) for part in PARTS]


@pytest.mark.parametrize("row", TRUTH)
def test_dify_reading_is_what_dify_recorded(traces: dict[str, list[Document]], row: str) -> None:
    assert summed(traces[row], "dify") == TRUTH[row]["dify"]


@pytest.mark.parametrize("row", sorted(TRUTH.keys() - UNPROVABLE.keys(), key=int))
def test_vendor_reading_is_what_the_vendor_billed(traces: dict[str, list[Document]], row: str) -> None:
    assert summed(traces[row], "vendor") == TRUTH[row]["billed"]


@pytest.mark.parametrize("row", UNPROVABLE)
def test_what_cannot_be_proven_is_said_to_be_unverified(traces: dict[str, list[Document]], row: str) -> None:
    unproven = [call for call in calls_of(traces[row]) if call["verdict"] in ("unverified", "pending")]
    assert len(unproven) == UNPROVABLE[row]
    assert all(call["readings"]["vendor"] is None for call in unproven)
    assert summed(traces[row], "vendor") == TRUTH[row]["dify"]


@pytest.mark.parametrize("row", sorted(TRUTH.keys() - UNPROVABLE.keys(), key=int))
def test_verdict_says_whether_vendor_and_dify_agree(traces: dict[str, list[Document]], row: str) -> None:
    verdicts = {call["verdict"] for call in calls_of(traces[row])}
    if TRUTH[row]["dify"] == TRUTH[row]["billed"]:
        assert verdicts == {"agree"}
    else:
        assert "explained" in verdicts
        assert verdicts <= {"agree", "explained"}


@pytest.mark.parametrize("row", sorted(TRUTH.keys() - UNPROVABLE.keys(), key=int))
def test_findings_add_up_to_the_difference(traces: dict[str, list[Document]], row: str) -> None:
    for place, part in enumerate(PARTS):
        found = sum(finding[part] for call in calls_of(traces[row]) for finding in call["findings"])
        rest = sum((call["unexplained"] or {part: 0})[part] or 0 for call in calls_of(traces[row]))
        assert found + rest == TRUTH[row]["billed"][place] - TRUTH[row]["dify"][place]


# ── the command ──


def environment(tmp_path: Path, **more: str) -> dict[str, str]:
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("LANGFUSE", "LANGSMITH", "OTEL", "DIFY"))
    }
    return kept | {"XDG_CACHE_HOME": str(tmp_path), "PYTHONPATH": str(ROOT), "COLUMNS": "200"} | more


def exporter(*words: str) -> list[str]:
    return [sys.executable, "-m", "exporter", *words]


def run(tmp_path: Path, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        exporter(*words),
        cwd=tmp_path,
        env=environment(tmp_path, **more),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture
def temporary() -> Iterator[Path]:
    """A folder for the demo's temporary files, with a name short enough for a socket in it."""
    with tempfile.TemporaryDirectory(prefix="dx") as folder:
        yield Path(folder)


def leftovers(temporary: Path) -> list[Path]:
    return list(temporary.glob("dify-exporter-demo-*"))


def postgres_of(temporary: Path) -> list[str]:
    """Command lines of PostgreSQL servers whose data lies there."""
    lines = (
        path.read_bytes().replace(b"\0", b" ").decode()
        for path in Path("/proc").glob("[0-9]*/cmdline")
        if path.exists()
    )
    return [line for line in lines if str(temporary) in line and "postgres" in line]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(url: str, process: subprocess.Popen[str]) -> str:
    for _ in range(300):
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                return str(answer.read().decode())
        except OSError:
            assert process.poll() is None, process.communicate()
            time.sleep(0.1)
    raise AssertionError(f"nothing at {url}")


def test_once_prints_a_summary_and_leaves_a_ledger(tmp_path: Path) -> None:
    done = run(tmp_path, "demo", "--once")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert "Support chat (gpt-4o-mini)" in done.stdout
    for hidden, numbers in HIDDEN.items():
        assert re.search(rf"^{hidden} +{' +'.join(numbers)}$", done.stdout, re.MULTILINE), hidden
    state = tmp_path / "dify-exporter" / "demo.db"
    assert str(state) in done.stdout
    listed = run(tmp_path, "--state", str(state), "calls", "--json")
    calls = [json.loads(line) for line in listed.stdout.splitlines()]
    for place, part in enumerate(PARTS):
        recorded = sum(call["readings"]["dify"][part] or 0 for call in calls if call["readings"]["dify"])
        assert recorded == sum(row["dify"][place] for row in TRUTH.values())
    verdicts = Counter(call["verdict"] for call in calls)
    assert len(calls) - verdicts["agree"] - verdicts["explained"] == sum(UNPROVABLE.values())


def test_a_second_demo_begins_with_an_empty_ledger_and_new_ids(tmp_path: Path) -> None:
    state = tmp_path / "dify-exporter" / "demo.db"
    seen = []
    for _ in range(2):
        assert run(tmp_path, "demo", "--once").returncode == 0
        lines = run(tmp_path, "--state", str(state), "calls", "--json").stdout.splitlines()
        seen.append({json.loads(line)["trace_id"] for line in lines})
    assert len(seen[0]) == len(seen[1])
    assert seen[0].isdisjoint(seen[1])


def test_on_a_narrow_terminal_the_summary_loses_no_digit(tmp_path: Path) -> None:
    """The sum of each reading stands in the last line, however narrow it is."""
    sums = []
    for columns in ("40", "200"):
        done = run(tmp_path, "demo", "--once", COLUMNS=columns)
        last = next(line for line in done.stdout.splitlines() if line.startswith("all "))
        sums.append(last.split()[:5])
    assert sums[0] == sums[1]


def test_a_state_file_that_the_user_named_is_not_emptied(tmp_path: Path) -> None:
    mine = tmp_path / "mine.db"
    mine.write_text("precious")
    done = run(tmp_path, "--state", str(mine), "demo", "--once")
    assert done.returncode == 2
    assert mine.read_text() == "precious"


def test_settings_of_the_real_dify_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "dify-exporter.yaml").write_text(
        "destinations: [{kind: otlp, endpoint: 'http://127.0.0.1:9'}]\n"
    )
    done = run(tmp_path, "demo", "--once", DIFY_DATABASE_URL="postgresql://nobody@127.0.0.1:9/dify")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_live_demo_serves_its_page_and_ends_in_order(
    tmp_path: Path, temporary: Path, number: signal.Signals
) -> None:
    port = free_port()
    process = subprocess.Popen(
        exporter("--set", f"web.port={port}", "demo"), cwd=tmp_path, env=environment(tmp_path, TMPDIR=str(temporary)),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert "<html" in wait_for(f"http://127.0.0.1:{port}/", process)
        assert wait_for(f"http://127.0.0.1:{port}/healthz", process) == "ok\n"
        process.send_signal(number)
        out, errors = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 0, out + errors
    assert "Traceback" not in errors
    assert leftovers(temporary) == []
    assert postgres_of(temporary) == []


def test_the_last_ledger_is_shown_again_without_a_replay(tmp_path: Path) -> None:
    assert run(tmp_path, "demo", "--once").returncode == 0
    port = free_port()
    again = f"from exporter.demo.demo import run_demo; raise SystemExit(run_demo(serve=True, flags={{'web.port': {port}}}))"
    process = subprocess.Popen(
        [sys.executable, "-c", again], cwd=tmp_path, env=environment(tmp_path),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert "Support chat" in wait_for(f"http://127.0.0.1:{port}/", process)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=30)
    finally:
        process.kill()
    assert process.returncode == 0
    assert errors == ""


def test_there_is_nothing_to_show_before_the_first_demo(tmp_path: Path) -> None:
    again = "from exporter.demo.demo import run_demo; run_demo(serve=True)"
    done = subprocess.run(
        [sys.executable, "-c", again],
        cwd=tmp_path,
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        check=False,
    )
    assert "run `dify-exporter demo` first" in done.stderr or "no demo has left its ledger" in done.stderr


def test_a_demo_that_is_ended_early_leaves_no_database_behind(tmp_path: Path, temporary: Path) -> None:
    process = subprocess.Popen(
        exporter("demo", "--once"),
        cwd=tmp_path,
        env=environment(tmp_path, TMPDIR=str(temporary)),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    while leftovers(temporary) == [] and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert process.returncode != 0
    assert leftovers(temporary) == []
    assert postgres_of(temporary) == []
