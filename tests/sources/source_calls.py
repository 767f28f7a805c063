"""Calling a source the way the pipeline does."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest
from dify_tables import ago

from exporter.config import DatabaseSettings, DifySettings
from exporter.errors import ExporterError
from exporter.model import RecordRef
from exporter.sources import cursor as cursors
from exporter.sources.database import open_database
from exporter.sources.rows import Fetched, Source, TraceRows
from exporter.sources.timestamps import to_micros


def settings(url: str, database: dict[str, Any] | None = None, **dify: Any) -> DifySettings:
    """Settings with everything else left at its default."""
    return DifySettings(database=DatabaseSettings(url=url, **(database or {})), **dify)


def until_caught_up(source: Source, stream: str, cursor: str | None = None) -> tuple[list[RecordRef], str]:
    """All refs of all pages, repeated ones included, until nothing newer is there."""
    refs: list[RecordRef] = []
    for _ in range(10_000):
        found = source.discover(stream, cursor)
        refs += found.refs
        cursor = found.cursor
        if found.caught_up:
            return refs, cursor
    raise AssertionError(f"{stream} never caught up")


def ids(refs: list[RecordRef]) -> list[str]:
    """Their ids, in order."""
    return [ref.id for ref in refs]


def fetch_all(source: Source, refs: list[RecordRef]) -> Fetched:
    """The answers for all refs, asking again for those not answered."""
    whole = Fetched()
    left = list(refs)
    while left:
        part = source.fetch(tuple(left))
        answered = {
            *(trace.ref for trace in part.traces),
            *(one.ref for one in part.filtered),
            *part.vanished,
            *(ref for ref, _ in part.failed),
        }
        assert answered, "a fetch must answer for at least one ref"
        left = [ref for ref in left if ref not in answered]
        whole = Fetched(
            whole.traces + part.traces,
            whole.filtered + part.filtered,
            whole.vanished + part.vanished,
            whole.failed + part.failed,
        )
    return whole


def follow(source: Source, cursor: str | None, times: int = 3) -> tuple[list[RecordRef], str]:
    """Several rounds of reading; with `sweep_interval=0` each has one sweep."""
    refs: list[RecordRef] = []
    for _ in range(times):
        more, cursor = until_caught_up(source, "messages", cursor)
        refs += more
    assert cursor is not None
    return refs, cursor


def begun_long_ago(source: Source, stream: str = "messages") -> str:
    """A cursor that has caught up, of a source that first looked at the database half an hour ago."""
    _, text = until_caught_up(source, stream)
    then = to_micros(minutes(30))
    return cursors.to_text(replace(cursors.from_text(text), closed=then, reach=then))


def minutes(number: float) -> datetime:
    return ago(minutes=number).replace(microsecond=0)


def only_trace(source: Source, stream: str) -> TraceRows:
    """The single trace of a stream that holds exactly one."""
    refs, _ = until_caught_up(source, stream)
    fetched = source.fetch(tuple(refs))
    assert len(refs) == 1
    assert len(fetched.traces) == 1
    return fetched.traces[0]


PASSWORD = "s3cret-Pass/word"
ENCODED = "s3cret-Pass%2Fword"


def refusal(url: str, kind: type[ExporterError], **database: Any) -> ExporterError:
    """The error that opening this address gives; checks that it keeps the password to itself."""
    with pytest.raises(kind) as caught:
        open_database(settings(url, database)).close()
    said = f"{caught.value} {caught.value.hint} {caught.value.__cause__!r}"
    assert PASSWORD not in said
    assert ENCODED not in said
    assert caught.value.hint
    return caught.value


def found_at_once(source: Source, readers: int) -> list[int]:
    """How many messages each of so many readers found that used the source at the same time."""
    with ThreadPoolExecutor(readers) as pool:
        return list(pool.map(lambda _: len(until_caught_up(source, "messages")[0]), range(readers)))
