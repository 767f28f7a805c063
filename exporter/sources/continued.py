"""A source whose rows begin when they were sent to have begun: for a trace that goes out again after the source was changed.

The Console API tells whole seconds and the database microseconds, and Langfuse takes a span that comes again with another start for a second
span and counts it twice. So of a trace that was sent, a start that differs by less than a second is kept as it was sent.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TypeVar

from exporter import ids
from exporter.model import SECOND, Micros, RecordRef
from exporter.sources.http.troubles import TellsTroubles
from exporter.sources.rows import Fetched, Found, NodeRow, RunRow, Source, ThoughtRow, TraceRows
from exporter.sources.tracing import TellsTracing, Tracing
from exporter.state import starts
from exporter.state.store import Store

Row = TypeVar("Row", RunRow, NodeRow, ThoughtRow)


@dataclass(frozen=True, slots=True)
class Continued:
    """A `Source` in front of another one."""

    source: Source
    store: Store

    @property
    def streams(self) -> tuple[str, ...]:
        """Those of the source."""
        return self.source.streams

    def discover(self, stream: str, cursor: str | None) -> Found:
        """As the source."""
        return self.source.discover(stream, cursor)

    def discover_range(self, stream: str, since: Micros, until: Micros, after: str | None) -> Found:
        """As the source."""
        return self.source.discover_range(stream, since, until, after)

    def count_range(self, stream: str, since: Micros, until: Micros) -> int:
        """As the source."""
        return self.source.count_range(stream, since, until)

    def fetch(self, refs: tuple[RecordRef, ...]) -> Fetched:
        """The source's rows, with the starts that were sent."""
        fetched = self.source.fetch(refs)
        with self.store.read() as connection:
            known = starts.sent(connection, [ids.trace_id(rows.ref.id) for rows in fetched.traces])
        if not known:
            return fetched
        traces = [_as_sent(rows, known.get(ids.trace_id(rows.ref.id), {})) for rows in fetched.traces]
        return replace(fetched, traces=tuple(traces))

    def describe(self) -> Iterator[tuple[str, str]]:
        """As the source."""
        return self.source.describe()

    def tracing(self) -> Tracing:
        """Dify's own tracing, as far as the source tells it."""
        if isinstance(self.source, TellsTracing):
            return self.source.tracing()
        return Tracing(unknown="the Service API does not tell it; Dify's database and its Console API do")

    def present(self) -> tuple[tuple[tuple[str, str], ...], tuple[str, ...]] | None:
        """What the source says of itself now, and its troubles in sentences, where it knows them without asking Dify; else None."""
        if not isinstance(self.source, TellsTroubles):
            return None
        return tuple(self.source.describe()), self.source.troubles()

    def close(self) -> None:
        """Close the source."""
        self.source.close()


def _as_sent(rows: TraceRows, known: Mapping[str, Micros]) -> TraceRows:
    if not known:
        return rows
    return replace(
        rows,
        run=None if rows.run is None else _begun(rows.run, known),
        nodes=_all_begun(rows.nodes, known),
        thoughts=_all_begun(rows.thoughts, known),
    )


def _all_begun(rows: Iterable[Row], known: Mapping[str, Micros]) -> tuple[Row, ...]:
    return tuple(_begun(row, known) for row in rows)


def _begun(row: Row, known: Mapping[str, Micros]) -> Row:
    """Messages need no such care: Dify itself rounds their start to the second."""
    start = known.get(ids.span_id(row.id))
    if start is None or start == row.created_at or abs(start - row.created_at) >= SECOND:
        return row
    return replace(row, created_at=start)
