"""All calls that are Dify's: those of the ledger, and those that only the vendor knows of and that belong to no trace."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from heapq import merge
from itertools import islice

import orjson

from exporter.clock import rfc3339
from exporter.config import CompareSettings
from exporter.documents import Document, lone_call_document
from exporter.model import Micros
from exporter.readings import read_lone
from exporter.state import ledger, standings
from exporter.state.ledger import CallFilter
from exporter.state.standings import Unattached


def listing(connection: sqlite3.Connection, wanted: CallFilter, settings: CompareSettings) -> Iterator[str]:
    """Call documents (JSON text) in order of time. Raises ValueError when the trace is not an id."""
    known = ledger.calls(connection, wanted)
    lone = () if wanted.trace is not None else _lone(connection, wanted, settings)
    both = merge(known, lone, key=lambda item: item[0])
    for _, document in islice(both, wanted.limit):
        yield document


def _lone(
    connection: sqlite3.Connection, wanted: CallFilter, settings: CompareSettings
) -> Iterator[tuple[Micros, str]]:
    for item in standings.unattached(connection, wanted.since, wanted.until):
        document = lone_document(item, settings)
        if _fits(document, wanted):
            yield item.request.start, orjson.dumps(document).decode()


def lone_document(item: Unattached, settings: CompareSettings) -> Document:
    """The document of a request that belongs to no trace."""
    assessment = read_lone(item.request, item.purpose, item.method, item.confidence, settings)
    return lone_call_document(assessment, item.app_id, item.app_name)


def _fits(document: Document, wanted: CallFilter) -> bool:
    return (
        wanted.app in (None, document["app_id"], document["app_name"])
        and wanted.model in (None, document["model"])
        and wanted.verdict in (None, document["verdict"])
        and (wanted.since is None or document["started_at"] >= rfc3339(wanted.since))
    )
