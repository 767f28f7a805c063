"""What reading Dify through its Console API costs: requests per trace by kind of app, requests per hour of quiet, and an app with
very many conversations walked within its request budget, in how much memory.

Dify is the tests' Console twin: over the bundled recording for the first two, over generated conversations for the third, which a
real process reads (`run --once`, no destination) while its resident memory is read every second.

    python -m bench.console
"""

from __future__ import annotations

import argparse
import bisect
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from bench._common import (
    bare_environment,
    machine,
    median,
    print_json,
    print_table,
    resident_mb,
    say,
    settings_file,
    stay_on,
    two_cores,
)
from exporter import clock, config
from exporter.demo import recording, replay
from exporter.demo.database import dify_database
from exporter.sources.console import open_console
from exporter.sources.console.opened import APPS_AGAIN_SECONDS
from exporter.sources.console.source import ConsoleSource
from exporter.sources.console.streams import LONGEST_REST_SECONDS
from tests.contract.console_twin import ConsoleTwin, Login

AIM = "Aim: never more requests in a minute than the budget; memory flat."
_PASSWORD = "a-password-of-no-account"
_LONGEST_SECONDS = 3600.0


@dataclass(frozen=True, slots=True)
class Small:
    """Requests of the recording: per trace by mode, and per hour when nothing happens."""

    per_trace: dict[str, float]
    apps: int
    per_quiet_hour: float


@dataclass(frozen=True, slots=True)
class Walk:
    """The app with many conversations."""

    conversations: int
    requests: int
    most_in_a_minute: int
    seconds: float
    traces: int
    resident_mb: tuple[float, ...]


def main() -> None:
    """Measure, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--conversations", type=int, default=10_000)
    parser.add_argument("--budget", type=int, default=6_000, help="requests per minute")
    parser.add_argument("--json", action="store_true", help="print one line of JSON instead of the table")
    given = parser.parse_args()
    measured_core, other_core = two_cores()
    stay_on(other_core)
    say("the bundled recording …")
    small = _recording()
    say(f"{given.conversations:,} conversations …")
    walk = _walk(given.conversations, given.budget, measured_core)
    _report(small, walk, given.budget, as_json=given.json)


def _recording() -> Small:
    with dify_database() as url, tempfile.TemporaryDirectory() as folder:
        begin = clock.now() - 7200 * 1_000_000
        replay.play_at_once(url, recording.load("bench"), Path(folder) / "vendor.jsonl", begin)
        with _twin(url) as twin:
            source = open_console(
                config.load(None, {"DIFY_EXPORTER_CONFIG": "/dev/null"}, _flags(twin, 100_000)).settings.dify
            )
            per_trace = _per_trace(source, twin)
            twin.asked.clear()
            cursors = _all(source, {})
            for stream in source.known.values():
                stream.next_look = 0.0
            twin.asked.clear()
            _all(source, cursors)
            looks, apps = len(twin.asked), len(twin.rows.tables["apps"])
            source.close()
    again = 3 * len(twin.logins) * 3600 / APPS_AGAIN_SECONDS  # the account, its workspaces, their apps
    return Small(per_trace, apps, looks * 3600 / LONGEST_REST_SECONDS + again)


def _per_trace(source: ConsoleSource, twin: ConsoleTwin) -> dict[str, float]:
    """Everything found and read, and each request put down to the mode of the app it was for."""
    refs: dict[str, Any] = {}
    cursors: dict[str, str] = {}
    twin.asked.clear()
    for stream in source.streams:
        caught_up = False
        while not caught_up:
            page = source.discover(stream, cursors.get(stream))
            cursors[stream], caught_up = page.cursor, page.caught_up
            refs |= {ref.id: ref for ref in page.refs}
    traces: Counter[str] = Counter()
    waiting = list(refs.values())
    while waiting:
        answer = source.fetch(tuple(waiting))
        traces.update(trace.app.mode for trace in answer.traces)
        done = {trace.ref.id for trace in answer.traces} | {item.ref.id for item in answer.filtered}
        if not done:
            break
        waiting = [ref for ref in waiting if ref.id not in done]
    modes = {row["id"]: row["mode"] for row in twin.rows.tables["apps"]}
    asked = Counter(modes[path.split("/")[4]] for path, _ in twin.asked if "/apps/" in path)
    return {mode: asked[mode] / number for mode, number in sorted(traces.items())}


def _all(source: ConsoleSource, cursors: dict[str, str]) -> dict[str, str]:
    for stream in source.streams:
        caught_up = False
        while not caught_up:
            page = source.discover(stream, cursors.get(stream))
            cursors[stream], caught_up = page.cursor, page.caught_up
    return cursors


def _walk(conversations: int, budget: int, core: int) -> Walk:
    with dify_database() as url, tempfile.TemporaryDirectory() as name, _filled(url, conversations) as twin:
        folder = Path(name)
        file = settings_file(
            folder, {**_flags(twin, budget), "state.path": str(folder / "s.db"), "log.level": "error"}
        )
        seconds, seen = _watched(folder, file, core)
        with psycopg.connect(url) as connection:
            expected = connection.execute("SELECT count(*) FROM messages").fetchone()
        import sqlite3

        with sqlite3.connect(folder / "s.db") as state:
            traces = state.execute("SELECT count(*) FROM traces").fetchone()[0]
        if expected is None or traces != expected[0]:
            raise SystemExit(f"{traces} of {expected} messages were read")
        if twin.changes or twin.violations:
            raise SystemExit("Dify was changed")
        return Walk(conversations, twin.requests, _most_in_a_minute(twin.asked_at), seconds, traces, seen)


def _filled(url: str, conversations: int) -> ConsoleTwin:
    """One chat app; every third conversation has three messages. Spread over ten days."""
    with psycopg.connect(url) as connection:
        connection.execute(
            "INSERT INTO tenants (id, name) VALUES (md5('tenant')::uuid, 'Bench');"
            "INSERT INTO apps (id, tenant_id, name, mode) VALUES (md5('app')::uuid, md5('tenant')::uuid, 'Chat', 'chat');"
            "INSERT INTO end_users (id, session_id) SELECT md5('user' || n)::uuid, 'user-' || n FROM generate_series(0, 499) n"
        )
        connection.execute(
            "INSERT INTO conversations (id, name)"
            " SELECT md5('talk' || n)::uuid, 'Conversation ' || n FROM generate_series(1, %s) n",
            [conversations],
        )
        connection.execute(
            "INSERT INTO messages (id, app_id, conversation_id, model_provider, model_id, inputs, query, message, message_tokens,"
            " answer, answer_tokens, currency, provider_response_latency, status, message_metadata, invoke_from, from_source,"
            " from_end_user_id, app_mode, created_at, updated_at)"
            " SELECT md5('message' || n || '-' || k)::uuid, md5('app')::uuid, md5('talk' || n)::uuid, 'langgenius/openai/openai',"
            "  'gpt-4o-mini', '{}', 'What about ' || n || '?',"
            "  json_build_array(json_build_object('role', 'user', 'text', repeat('What about ' || n || '? ', 30), 'files', '[]'::json)),"
            "  200, repeat('It is like this. ', 20), 100, 'USD', 0.5, 'normal', '{\"usage\": null, \"retriever_resources\": []}',"
            "  'service-api', 'api', md5('user' || n %% 500)::uuid, 'chat', t, t"
            " FROM generate_series(1, %(n)s) n, generate_series(1, 3) k,"
            "  LATERAL (SELECT date_trunc('second', now() AT TIME ZONE 'UTC' - interval '11 days'"
            "   + n * interval '10 days' / %(n)s + k * interval '20 seconds') AS t) x"
            " WHERE k = 1 OR n %% 3 = 0",
            {"n": conversations},
        )
    return _twin(url)


def _twin(url: str) -> ConsoleTwin:
    with psycopg.connect(url) as connection:
        tenants = [str(row[0]) for row in connection.execute("SELECT id FROM tenants ORDER BY id")]
    logins = {f"bench{number}@example.com": Login(_PASSWORD, tenant) for number, tenant in enumerate(tenants)}
    return ConsoleTwin(url, version="1.14.0", logins=logins)


def _flags(twin: ConsoleTwin, budget: int) -> dict[str, Any]:
    return {
        "dify.console.url": twin.url,
        "dify.console.accounts": [{"email": email, "password": _PASSWORD} for email in twin.logins],
        "dify.console.requests_per_minute": budget,
    }


def _watched(folder: Path, file: Path, core: int) -> tuple[float, tuple[float, ...]]:
    command = [
        "taskset",
        "--cpu-list",
        str(core),
        sys.executable,
        "-m",
        "exporter",
        "--config",
        str(file),
        "run",
        "--once",
    ]
    seen: list[float] = []
    started = time.monotonic()
    complaints = folder / "stderr.txt"
    with (
        complaints.open("wb") as stderr,
        subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=stderr,
            env=bare_environment(),
        ) as process,
    ):
        while process.poll() is None:
            if time.monotonic() - started > _LONGEST_SECONDS:
                process.kill()
                raise SystemExit(f"not done after {_LONGEST_SECONDS:.0f} s")
            resident = resident_mb(process.pid)
            if resident is not None:
                seen.append(resident)
            time.sleep(1.0)
    if process.returncode:
        raise SystemExit(f"run --once ended with {process.returncode}:\n{complaints.read_text()[-2000:]}")
    return time.monotonic() - started, tuple(seen)


def _most_in_a_minute(times: list[float]) -> int:
    return max(bisect.bisect_left(times, start + 60.0) - number for number, start in enumerate(times))


def _report(small: Small, walk: Walk, budget: int, *, as_json: bool) -> None:
    seen = walk.resident_mb
    quarter = max(1, len(seen) // 4)
    first, last = median(seen[quarter : 2 * quarter]), median(seen[-quarter:])
    if as_json:
        print_json(
            {
                "benchmark": "console",
                "machine": machine(),
                "requests_per_trace": {mode: round(number, 2) for mode, number in small.per_trace.items()},
                "apps": small.apps,
                "requests_per_quiet_hour": round(small.per_quiet_hour),
                "conversations": walk.conversations,
                "traces": walk.traces,
                "requests": walk.requests,
                "requests_per_trace_walked": round(walk.requests / walk.traces, 2),
                "budget_per_minute": budget,
                "most_in_a_minute": walk.most_in_a_minute,
                "seconds": round(walk.seconds, 1),
                "peak_resident_mb": round(max(seen), 1),
                "second_quarter_resident_mb": round(first, 1),
                "last_quarter_resident_mb": round(last, 1),
            }
        )
        return
    print(AIM)
    rows = [(f"requests per trace, {mode}", f"{number:.2f}") for mode, number in small.per_trace.items()]
    rows += [
        (f"requests per hour of quiet, {small.apps} apps", f"{small.per_quiet_hour:,.0f}"),
        (f"{walk.conversations:,} conversations: traces", f"{walk.traces:,}"),
        ("requests", f"{walk.requests:,}"),
        (f"most in a minute, of {budget:,} allowed", f"{walk.most_in_a_minute:,}"),
        ("seconds", f"{walk.seconds:,.0f}"),
        ("resident MB: second quarter, last quarter, peak", f"{first:.0f}, {last:.0f}, {max(seen):.0f}"),
    ]
    print_table(("", ""), rows)


if __name__ == "__main__":
    main()
