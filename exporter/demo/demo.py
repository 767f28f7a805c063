"""`dify-exporter demo`: the whole program on recorded traffic, on this machine alone.

An embedded PostgreSQL plays Dify's database, a growing file the vendor's log; everything behind them is the program as
`run` runs it. Traces leave this machine only when a destination is named in the environment.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from rich.console import Console

from exporter import clock
from exporter.config import Settings
from exporter.demo import recording, replay
from exporter.demo.database import dify_database
from exporter.demo.settings import Flags, demo_settings, make_room, state_path, vendor_log
from exporter.demo.summary import by_app_and_model, by_cause, by_purpose
from exporter.errors import Misconfigured
from exporter.logs import configure
from exporter.model import Micros
from exporter.terminal import at_least

LIVE_SECONDS = 75.0
"""How long the live replay takes; the recording itself is half an hour long."""

SHUTDOWN_SECONDS = 35.0
"""Longer than a request to a destination may take, so that the embedded database is always stopped in order."""

_BEHIND: Micros = 60_000_000
"""`--once` lets everything have ended a minute ago, so that nothing counts as just finished or still running."""

_ALL = 100_000

_TABLE_COLUMNS = 80
"""In fewer the summary would lose digits."""


def run_demo(
    *,
    once: bool = False,
    serve: bool = False,
    flags: Flags | None = None,
    environ: Mapping[str, str] | None = None,
    out: Console | None = None,
) -> int:
    """Replay the recording and show what came of it; returns the exit code.

    By default it plays live and serves the page until Ctrl-C; with `once` everything is there at once and a summary is
    printed; with `serve` nothing is replayed and the page of the last demo is served again. Raises ExporterError.
    """
    out = out or Console()
    given = {name: value for name, value in (flags or {}).items() if value is not None}
    environ = os.environ if environ is None else environ
    if serve:
        return _serve_again(given, environ, out)
    make_room(given, environ)
    with _ending_in_order(), dify_database() as url:
        settings = demo_settings(given, environ, url)
        configure(settings.log)
        return _at_once(settings, url, out) if once else _live(settings, url, out)


def _at_once(settings: Settings, url: str, out: Console) -> int:
    from exporter.daemon import App
    from exporter.state import ledger, standings

    now = clock.now()
    recorded = recording.load(str(now))
    out.print(
        f"{len(recorded.episodes)} episodes recorded from a real Dify 1.14.0 and its vendor's log\n",
        highlight=False,
    )
    replay.play_at_once(url, recorded, vendor_log(settings.state.path), now - _BEHIND)
    with App(settings) as app:
        report = app.run_once()
        with app.store.read() as connection:
            traces = ledger.newest(connection, _ALL)
            requests = standings.groups(connection)
    for table in (by_app_and_model(traces), by_cause(traces), by_purpose(requests)):
        at_least(out, table, _TABLE_COLUMNS)
        out.print()
    out.print("– no call has this reading, * some calls have none", style="dim", highlight=False)
    for name, count in report.delivered.items():
        out.print(f"{name}: {count} traces delivered", highlight=False)
    for problem in report.problems:
        out.print(problem, style="red", highlight=False, markup=False)
    _say_how_to_look_again(settings, out)
    return 3 if report.problems else 0


def _live(settings: Settings, url: str, out: Console) -> int:
    from exporter.service import serve

    ended = threading.Event()
    player = threading.Thread(target=_play, args=(settings, url, ended, out), name="replay", daemon=True)
    out.print(f"{_address(settings)}  Ctrl-C ends the demo.\n", highlight=False)
    player.start()
    try:
        return serve(settings, SHUTDOWN_SECONDS)
    finally:
        ended.set()
        player.join()
        _say_how_to_look_again(settings, out)


def _play(settings: Settings, url: str, ended: threading.Event, out: Console) -> None:
    recorded = recording.load(str(clock.now()))
    beat_seconds = LIVE_SECONDS / len(recorded.episodes)

    def pause() -> bool:
        return not ended.wait(beat_seconds)

    for shows in replay.play_live(url, recorded, vendor_log(settings.state.path), pause, clock.now):
        out.print(f"  {shows}", style="dim", highlight=False)
    if not ended.is_set():
        out.print("\nThe recording is over. The page stays until Ctrl-C.", highlight=False)


def _serve_again(flags: Flags, environ: Mapping[str, str], out: Console) -> int:
    """The page alone: no source, no destination, only what the ledger kept."""
    from exporter.state.store import Store
    from exporter.web.app import build_app
    from exporter.web.readiness import Readiness
    from exporter.web.server import WebServer

    state = state_path(flags, environ)
    if not state.exists():
        raise Misconfigured([f"no demo has left its ledger in {state}"], "run `dify-exporter demo` first")
    settings = demo_settings(flags, environ, None)
    configure(settings.log)
    store = Store(state)
    over = Readiness(warnings=("The demo is over; this is what its ledger kept.",), is_reading=False)
    web = WebServer(build_app(store, lambda: over, settings.web))
    try:
        web.start(settings.web.host, settings.web.port)
        out.print(f"{_address(settings)}  Ctrl-C ends.", highlight=False)
        _until_signal()
    finally:
        web.stop()
        store.close()
    return 0


def _until_signal() -> None:
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    ended.wait()


@contextmanager
def _ending_in_order() -> Iterator[None]:
    """SIGTERM ends the block like an exception, so that what was started in it is stopped."""
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _say_how_to_look_again(settings: Settings, out: Console) -> None:
    state = settings.state.path
    for what, command in (
        ("its page", f"{_address(settings)}  (dify-exporter demo --serve)"),
        ("its calls", f"dify-exporter --state {state} calls"),
        ("one trace", f"dify-exporter --state {state} explain ID"),
    ):
        out.print(f"{what}:  {command}", highlight=False, soft_wrap=True)


def _address(settings: Settings) -> str:
    return f"http://{settings.web.host}:{settings.web.port}/"
