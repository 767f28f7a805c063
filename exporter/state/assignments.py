"""What became of every vendor request: whose attempt it is, or which trace it belongs to, or that it is nobody's."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from exporter.model import RecordKind, RecordRef
from exporter.state.windows import Shifts, shifts
from exporter.vendor.hidden.attach import Attached
from exporter.vendor.matching.match import Match
from exporter.vendor.matching.skew import shifted
from exporter.vendor.reading import Owned
from exporter.vendor.record import VendorCall

_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class Assignment:
    """What became of the request (source, id). `original` is `source/id` of the request that it is a copy of; `purpose` is
    set where only matching could tell what a hidden request was for."""

    source: str
    id: str
    standing: str
    call_id: str | None = None
    trace_id: str | None = None
    app_id: str | None = None
    method: str | None = None
    confidence: float | None = None
    original: str | None = None
    purpose: str | None = None


def store(connection: sqlite3.Connection, assignments: Sequence[Assignment]) -> None:
    """Replace what is said of these requests; the keys of matched ones are Dify's from now on."""
    connection.executemany(
        "UPDATE evidence SET standing = ?, call_id = ?, trace_id = ?, app_id = ?, method = ?, confidence = ?,"
        " original = ?, purpose = coalesce(?, purpose) WHERE source = ? AND id = ?",
        [
            (
                item.standing, item.call_id, item.trace_id, item.app_id, item.method, item.confidence, item.original,
                item.purpose, item.source, item.id,
            )
            for item in assignments
        ],
    )  # fmt: skip
    connection.executemany(
        "INSERT INTO familiar SELECT 'key:' || key FROM evidence WHERE source = ? AND id = ? AND key IS NOT NULL"
        " ON CONFLICT DO NOTHING",
        [(item.source, item.id) for item in assignments if item.standing == "matched"],
    )


def of_calls(connection: sqlite3.Connection, call_ids: Sequence[str]) -> dict[str, Owned]:
    """The requests of each of these calls, with the copies that other sources logged."""
    known = shifts(connection)
    found: dict[str, list[tuple[VendorCall, str, float]]] = {}
    for part in _parts(call_ids):
        rows = connection.execute(
            f"SELECT record, call_id, method, confidence FROM evidence WHERE call_id IN ({_marks(part)})"
            " AND standing = 'matched'",
            part,
        )
        for record, call_id, method, confidence in rows:
            found.setdefault(call_id, []).append((_loaded(record, known), method, confidence))
    copies = _copies(connection, [request for mine in found.values() for request, _, _ in mine])
    return {call_id: _owned(mine, copies) for call_id, mine in found.items()}


def of_traces(
    connection: sqlite3.Connection, trace_ids: Sequence[str]
) -> dict[str, list[tuple[VendorCall, Attached]]]:
    """The hidden requests that belong to each of these traces, in the order they began."""
    known = shifts(connection)
    found: dict[str, list[tuple[VendorCall, Attached]]] = {}
    for part in _parts(trace_ids):
        rows = connection.execute(
            "SELECT record, trace_id, app_id, purpose, method, confidence FROM evidence"
            f" WHERE trace_id IN ({_marks(part)}) AND standing = 'hidden' ORDER BY at, source, id",
            part,
        )
        for record, trace_id, app_id, purpose, method, confidence in rows:
            attached = Attached(trace_id, app_id, purpose, method, confidence)
            found.setdefault(trace_id, []).append((_loaded(record, known), attached))
    return found


def traces_of(connection: sqlite3.Connection, call_ids: Sequence[str]) -> set[str]:
    """The traces of these calls."""
    found: set[str] = set()
    for part in _parts(call_ids):
        rows = connection.execute(
            f"SELECT DISTINCT trace_id FROM calls WHERE call_id IN ({_marks(part)})", part
        )
        found.update(trace_id for (trace_id,) in rows)
    return found


def records_of(connection: sqlite3.Connection, trace_ids: Sequence[str]) -> list[RecordRef]:
    """The Dify records of these traces."""
    found = []
    for part in _parts(trace_ids):
        rows = connection.execute(
            f"SELECT kind, record_id, created_at FROM traces WHERE trace_id IN ({_marks(part)})", part
        )
        found += [RecordRef(RecordKind(kind), id_, created_at) for kind, id_, created_at in rows]
    return found


def _owned(mine: list[tuple[VendorCall, str, float]], copies: dict[str, list[str]]) -> Owned:
    ordered = sorted((request for request, _, _ in mine), key=lambda r: (r.start, r.end, r.source, r.id))
    _, method, confidence = mine[0]
    logged = {
        (request.source, request.id): tuple(sorted(copies[_name(request)]))
        for request in ordered
        if _name(request) in copies
    }
    return Owned(Match(tuple(ordered), method, confidence), logged)


def _copies(connection: sqlite3.Connection, requests: Sequence[VendorCall]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for part in _parts([_name(request) for request in requests]):
        rows = connection.execute(
            f"SELECT original, source FROM evidence WHERE original IN ({_marks(part)}) AND standing = 'copy'",
            part,
        )
        for original, source in rows:
            found.setdefault(original, []).append(source)
    return found


def _loaded(record: bytes, known: Shifts) -> VendorCall:
    request = VendorCall.from_json(record)
    return shifted(request, known.at(request.source, request.start))


def _name(request: VendorCall) -> str:
    return f"{request.source}/{request.id}"


def _parts(values: Sequence[str]) -> Iterator[tuple[str, ...]]:
    for start in range(0, len(values), _AT_ONCE):
        yield tuple(values[start : start + _AT_ONCE])


def _marks(values: Sequence[object]) -> str:
    return ",".join("?" * len(values))
