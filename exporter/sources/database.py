"""The source that reads Dify's own database, PostgreSQL or MySQL.

Promises: read-only transactions, small pages, no row skipped (see `cursor`), one consistent moment per answer.
Never asks for more than the byte limit at a time, and rests after slow queries so that a slow Dify is not made slower.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

import sqlalchemy as sa

from exporter.config import DifySettings
from exporter.errors import ExporterError
from exporter.model import Micros, RecordRef
from exporter.sources import discovery, tracing
from exporter.sources.connection import connect, read_catalogue, reading
from exporter.sources.describe import described, long_values
from exporter.sources.dialects import dialect_of
from exporter.sources.dialects.base import SchemaChanged, Unreadable
from exporter.sources.discovery import Stream
from exporter.sources.fetch import Reader, fetch
from exporter.sources.heads import head_selects
from exporter.sources.names import Names
from exporter.sources.row_reading import row_selects
from exporter.sources.rows import Fetched, Found, Source
from exporter.sources.schema import ALL_TABLES, Schema, judge, with_known_clock
from exporter.sources.storage.store import Store, open_store
from exporter.sources.storage.values import cut_nodes, places_of, with_values

PROBE_AGAIN_SECONDS = 300.0
"""Dify may be upgraded while we run; its shape is read again this often."""

SLOW_SECONDS = 0.5
REST_FACTOR = 20
LONGEST_REST_SECONDS = 300.0

Answer = TypeVar("Answer")


def open_database(dify: DifySettings) -> Source:
    """Connect, and look at the schema. Raises `Misconfigured`, `Unreachable` or `SourceRefused`."""
    store = open_store(dify.storage)
    engine = connect(dify.database)
    try:
        return DatabaseSource(dify, engine, _probe(engine, dify, Names()), store)
    except ExporterError:
        engine.dispose()
        raise


@dataclass(frozen=True, slots=True)
class _Probe:
    """What one look at the schema gave."""

    reader: Reader
    streams: Mapping[str, Stream]
    at_seconds: float


@dataclass(slots=True)
class DatabaseSource:
    """A `Source`. May be used by two threads at once (one for each connection)."""

    dify: DifySettings
    engine: sa.Engine
    probe: _Probe
    store: Store | None = None
    rest_until: dict[str, float] = field(default_factory=dict)

    @property
    def streams(self) -> tuple[str, ...]:
        """messages, runs, nodes."""
        return discovery.STREAMS

    def discover(self, stream: str, cursor: str | None) -> Found:
        """The next page. After a slow look that found nothing more, the same answer for a while, without asking."""
        if cursor is not None and time.monotonic() < self.rest_until.get(stream, 0.0):
            return Found((), cursor, caught_up=True)
        started = time.monotonic()
        found = self._read(
            f"looking for new {stream}",
            lambda connection, probe: discovery.next_page(
                connection, probe.streams[stream], probe.reader.schema, self.dify, cursor
            ),
        )
        if found.caught_up:
            ended = time.monotonic()
            self.rest_until[stream] = ended + rest_seconds(ended - started)
        return found

    def discover_range(self, stream: str, since: Micros, until: Micros, after: str | None) -> Found:
        """One page of the records created in [since, until), oldest first."""
        return self._read(
            f"looking for {stream} to back-fill",
            lambda connection, probe: discovery.range_page(
                connection, probe.streams[stream], probe.reader.schema, since, until, after
            ),
        )

    def count_range(self, stream: str, since: Micros, until: Micros) -> int:
        """How many records were created in [since, until)."""
        return self._read(
            f"counting {stream}",
            lambda connection, probe: discovery.count_range(
                connection, probe.streams[stream], probe.reader.schema, since, until
            ),
        )

    def fetch(self, refs: tuple[RecordRef, ...]) -> Fetched:
        """The rows of these records, or of the first of them. A record that cannot be read is found by halving: the
        answer is then for fewer refs, and for the unreadable one alone it says why."""
        if not refs:
            return Fetched()
        try:
            return self._whole(
                self._read("reading traces", lambda connection, probe: fetch(connection, probe.reader, refs))
            )
        except Unreadable as error:
            if len(refs) == 1:
                return Fetched(failed=((refs[0], str(error)),))
        return self.fetch(refs[: len(refs) // 2])

    def _whole(self, fetched: Fetched) -> Fetched:
        """With the values that Dify keeps elsewhere. The database is not kept waiting for their store."""
        cut = cut_nodes(fetched) if self.store is not None else []
        if self.store is None or not cut:
            return fetched
        places = self._read(
            "looking for long values",
            lambda connection, probe: places_of(connection, probe.reader.schema, cut),
        )
        return with_values(fetched, places, self.store, 2 * self.dify.storage.max_bytes)

    def describe(self) -> Iterator[tuple[str, str]]:
        """Server, role, version range, and whatever is missing and what that costs; each name once."""
        probe = self.probe
        with reading(self.engine, "describing the database") as connection:
            facts = [
                *described(connection, probe.reader.schema, probe.streams),
                *long_values(connection, probe.reader.schema, self.store),
            ]
        words: dict[str, list[str]] = {}
        for name, text in facts:
            words.setdefault(name, []).append(text)
        yield from ((name, "; ".join(texts)) for name, texts in words.items())

    def tracing(self) -> tracing.Tracing:
        """For which apps Dify's own tracing is on."""
        return self._read(
            "looking for Dify's own tracing", lambda connection, _: tracing.read(connection, self.dify)
        )

    def close(self) -> None:
        """Close the pool."""
        self.engine.dispose()

    def _read(self, doing: str, work: Callable[[sa.Connection, _Probe], Answer]) -> Answer:
        """Run in one transaction; look at the schema again when it is old, and at once when it turns out to be wrong."""
        now = time.monotonic()
        if now - self.probe.at_seconds > PROBE_AGAIN_SECONDS:
            self._probe_again()
        self.probe.reader.names.forget_old(now)
        try:
            with reading(self.engine, doing) as connection:
                return work(connection, self.probe)
        except SchemaChanged:
            self._probe_again()
        with reading(self.engine, doing) as connection:
            return work(connection, self.probe)

    def _probe_again(self) -> None:
        before = self.probe.reader
        self.probe = _probe(self.engine, self.dify, before.names, before.schema)


def rest_seconds(cost_seconds: float) -> float:
    """How long to leave the database alone after a look that cost this much: nothing unless it was slow."""
    return min(cost_seconds * REST_FACTOR, LONGEST_REST_SECONDS) if cost_seconds > SLOW_SECONDS else 0.0


def _probe(engine: sa.Engine, dify: DifySettings, names: Names, before: Schema | None = None) -> _Probe:
    schema = read_schema(engine, dify)
    if before is not None:
        schema = with_known_clock(schema, before)
    reader = Reader(schema, head_selects(schema), row_selects(schema), dify, names)
    return _Probe(reader, discovery.streams(schema), time.monotonic())


def read_schema(engine: sa.Engine, dify: DifySettings) -> Schema:
    """The schema as it is now. Raises `SourceRefused` when it is not Dify's or not ours to read."""
    with reading(engine, "looking at Dify's tables") as connection:
        return judge(read_catalogue(connection, dify.database, ALL_TABLES), dialect_of(connection))
