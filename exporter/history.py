"""`backfill`: the search of exporter.backfill, the reading and sending, and a progress bar with rate and time left."""

from __future__ import annotations

import sys
import time

import orjson
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from exporter import backfill, clock
from exporter.config import Settings
from exporter.daemon import App
from exporter.errors import Misconfigured
from exporter.model import Micros
from exporter.once import Drains
from exporter.sources.choice import open_source
from exporter.state.store import Store

_FOLLOW_SECONDS = 1.0
_PATIENCE_SECONDS = 60.0


def run_backfill(
    settings: Settings,
    since: Micros,
    until: Micros,
    *,
    dry_run: bool,
    as_json: bool,
    out: Console,
    err: Console,
) -> int:
    """Export [since, until); returns the exit code. Raises ExporterError when Dify cannot be read."""
    if since >= until:
        raise Misconfigured(["--since: must lie before --until"])
    if dry_run:
        return _count(settings, since, until, as_json, out)
    probe = Store(settings.state.path)
    busy = probe.is_locked_elsewhere()
    probe.close()
    with _bar(err) as progress:
        return (
            _follow(settings, since, until, progress)
            if busy
            else _work(settings, since, until, progress, err)
        )


def _count(settings: Settings, since: Micros, until: Micros, as_json: bool, out: Console) -> int:
    source = open_source(settings)
    counts = backfill.count(source, since, until)
    source.close()
    if as_json:
        sys.stdout.write(orjson.dumps(counts).decode() + "\n")
    else:
        for stream, number in counts.items():
            out.print(f"{stream}: {number:,}", highlight=False)
    return 0


def _work(settings: Settings, since: Micros, until: Micros, progress: Progress, err: Console) -> int:
    """No daemon is running: search, read and deliver here, side by side."""
    with App(settings) as app:
        app.take_evidence(at_once=True)
        source = app.source()
        task = progress.add_task("records", total=None)
        drains = Drains(app, _PATIENCE_SECONDS)
        try:
            for state in backfill.search(app.store, source, since, until, clock.now):
                _show(progress, task, state)
                drains.beside(lambda: app.process_due(hurry=True))
                _show(
                    progress,
                    task,
                    backfill.Progress(state.expected, state.found, backfill.waiting(app.store)),
                )
        finally:
            problems = drains.finish()
    for problem in problems:
        err.print(problem, style="red", highlight=False, markup=False)
    return 3 if problems else 0


def _follow(settings: Settings, since: Micros, until: Micros, progress: Progress) -> int:
    """A daemon works on this state: it reads and delivers what the search finds."""
    store = Store(settings.state.path)
    source = open_source(settings)
    task = progress.add_task("records (read by the running daemon)", total=None)
    state = None
    for state in backfill.search(store, source, since, until, clock.now):
        _show(progress, task, state)
        if state.waiting > backfill.MAX_DUE:
            time.sleep(_FOLLOW_SECONDS)
    while state is not None and (waiting := backfill.waiting(store)):
        _show(progress, task, backfill.Progress(state.expected, state.found, waiting))
        time.sleep(_FOLLOW_SECONDS)
    source.close()
    store.close()
    return 0


def _show(progress: Progress, task: TaskID, state: backfill.Progress) -> None:
    progress.update(
        task, total=max(state.expected, state.found), completed=max(0, state.found - state.waiting)
    )


class _Rate(ProgressColumn):
    """Records per second so far."""

    def render(self, task: Task) -> Text:
        return Text(f"{task.finished_speed or task.speed or 0:,.0f}/s", style="dim")


def _bar(err: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        _Rate(),
        TimeRemainingColumn(),
        console=err,
    )
