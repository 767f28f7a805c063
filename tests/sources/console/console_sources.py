"""Driving a Console source in tests: everything found, everything read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from exporter import config
from exporter.model import RecordRef
from exporter.sources.console import open_console
from exporter.sources.console.refusals import _refused
from exporter.sources.console.source import ConsoleSource
from exporter.sources.rows import Fetched, Source, TraceRows
from tests.contract.console_twin import ConsoleTwin
from tests.sources.console.restored import PASSWORD


class Sources:
    """Opens sources; a new one is what a restarted program has."""

    def __init__(self) -> None:
        self.opened: list[Source] = []

    def open(self, twin: ConsoleTwin, refusals: Path | None = None, **more: Any) -> ConsoleSource:
        """As a program that has just started: no failed login is remembered but in the file."""
        _refused.clear()
        dify = more.pop("dify", {})
        accounts = [{"email": email, "password": PASSWORD} for email in twin.logins]
        given = {"url": twin.url, "accounts": accounts, "requests_per_minute": 100_000} | more
        given = {name: value for name, value in given.items() if value is not None}
        flags = {"dify.console": given} | {f"dify.{name}": value for name, value in dify.items()}
        settings = config.load(Path("/dev/null"), {}, flags).settings
        source = open_console(settings.dify, refusals)
        self.opened.append(source)
        return source

    def close(self) -> None:
        for source in self.opened:
            source.close()


def found(source: Source, cursors: dict[str, str] | None = None) -> dict[str, RecordRef]:
    """All records by id, from the cursors on, which are moved. Rounds go on until one finds nothing."""
    cursors = {} if cursors is None else cursors
    met: dict[str, RecordRef] = {}
    while True:
        before = len(met)
        for stream in source.streams:
            caught_up = False
            while not caught_up:
                page = source.discover(stream, cursors.get(stream))
                cursors[stream], caught_up = page.cursor, page.caught_up
                met.update({ref.id: ref for ref in page.refs})
        if len(met) == before:
            return met


def fetched(source: Source, refs: dict[str, RecordRef]) -> Fetched:
    """All of them, asked for until each is answered or none is any more."""
    traces: list[TraceRows] = []
    total = Fetched()
    waiting = dict(refs)
    while waiting:
        answer = source.fetch(tuple(waiting.values())[:50])
        traces += answer.traces
        total = Fetched(
            tuple(traces),
            total.filtered + answer.filtered,
            total.vanished + answer.vanished,
            total.failed + answer.failed,
        )
        done = [item.ref for item in answer.traces] + [item.ref for item in answer.filtered]
        done += [*answer.vanished, *(ref for ref, _ in answer.failed)]
        if not done:
            return total
        for ref in done:
            waiting.pop(ref.id, None)
    return total
