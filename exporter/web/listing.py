"""The newest traces of the ledger, filtered and page by page. Looks at a bounded number of traces per question."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from exporter.model import Micros
from exporter.state import ledger
from exporter.web.words import moment_of

Document = dict[str, Any]

MOST_LOOKED = 1000
"""Traces looked at for one page; a rare verdict in a long history is found by going on from there."""
_PAGE = 100


@dataclass(frozen=True, slots=True)
class Place:
    """A trace's place in the order newest first (traces of one microsecond: by id)."""

    started_at: Micros
    trace_id: str

    @classmethod
    def parse(cls, text: str) -> Place:
        """From `str(place)`. Raises ValueError."""
        moment, _, trace_id = text.partition(".")
        return cls(int(moment), bytes.fromhex(trace_id).hex())

    def __str__(self) -> str:
        return f"{self.started_at}.{self.trace_id}"

    def is_before(self, other: Place) -> bool:
        """True when this one stands nearer to the top."""
        return (-self.started_at, self.trace_id) < (-other.started_at, other.trace_id)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a page asks for; None means no restriction. `app` is an id or a name."""

    limit: int
    app: str | None = None
    verdict: str | None = None
    after: Place | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """Trace documents with their calls, newest first. `older` is where to go on; None at the end of the ledger."""

    traces: tuple[Document, ...]
    older: Place | None
    looked_at: int


def find(connection: sqlite3.Connection, wanted: Wanted) -> Found:
    """The next traces that match, from at most `MOST_LOOKED`."""
    matching: list[Document] = []
    last, looked_at = wanted.after, 0
    for document in islice(_in_order(connection, wanted), MOST_LOOKED):
        if len(matching) == wanted.limit:
            return Found(tuple(matching), last, looked_at)
        last, looked_at = _place(document), looked_at + 1
        if _matches(document, wanted):
            matching.append(document)
    return Found(tuple(matching), last if looked_at == MOST_LOOKED else None, looked_at)


def _in_order(connection: sqlite3.Connection, wanted: Wanted) -> Iterator[Document]:
    """Every trace once, newest first. The ledger pages by time alone, so a page begins with the last one's ties."""
    last, size = wanted.after, min(_PAGE, wanted.limit + 1)
    while True:
        page = ledger.newest(connection, size, None if last is None else last.started_at + 1)
        unseen = [document for document in page if last is None or last.is_before(_place(document))]
        yield from unseen
        if len(page) < size:
            return
        if unseen:
            last = _place(page[-1])
        else:
            size *= 2


def _place(document: Document) -> Place:
    return Place(moment_of(document["started_at"]), document["trace_id"])


def _matches(document: Document, wanted: Wanted) -> bool:
    if wanted.verdict is not None and document["verdict"] != wanted.verdict:
        return False
    return wanted.app is None or wanted.app in (document["app_id"], document["app_name"])
