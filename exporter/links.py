"""Where a person finds a trace at each destination: ours, or the one of Dify's own tracing that ours was added to."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from datetime import datetime

from exporter.clock import micros
from exporter.config import Settings
from exporter.destinations import registry
from exporter.destinations.base import Destination, Homes, RunPages, Way
from exporter.model import RecordKind
from exporter.spans.dify_traces import dify_id
from exporter.state import ledger, sent_as


def learn(destinations: Iterable[Destination]) -> None:
    """Ask the platforms whose links name a project which one it is; one that does not answer has no links. Takes a second."""
    for item in destinations:
        if isinstance(item, Homes):
            item.home()
        if isinstance(item, RunPages):
            item.learn_pages()


def links(
    connection: sqlite3.Connection,
    settings: Settings,
    destinations: Sequence[Destination],
    document: ledger.Document,
) -> list[tuple[str, str]]:
    """Destination and address of the page of a trace (as `ledger.trace` tells it) there, as far as they are known. Asks
    nobody."""
    trace_id = document["trace_id"]
    ways = sent_as.of(connection, [trace_id])
    entries = registry.entry_names(settings)
    found = []
    for item in destinations:
        way = ways.get((trace_id, entries.get(item.name, item.name)), Way.OWN)
        address = _address(item, document, way)
        if address is not None:
            found.append((item.name, address))
    return found


def _address(item: Destination, document: ledger.Document, way: Way) -> str | None:
    if way is Way.SKIPPED:
        return None
    if way is Way.ENRICHED:
        record = document["record"]
        shown = dify_id(RecordKind(record["kind"]), record["id"], document["app_mode"])
        return item.link(shown) if shown is not None else None
    if isinstance(item, RunPages):
        root = document["steps"][0]
        began = micros(datetime.fromisoformat(root["started_at"]))
        return item.run_page(document["trace_id"], root["span_id"], began)
    return item.link(document["trace_id"])
