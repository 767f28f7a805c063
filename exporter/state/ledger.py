"""The ledger: every call with its readings, findings and verdict; the one truth behind spans, metrics, pages, reports.

No text is kept here: documents hold numbers, names and ids; fingerprints hold hashes for evidence that comes late.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import orjson

from exporter.documents import call_document, trace_document
from exporter.model import AssessedTrace, Micros
from exporter.state import sums, totals, windows

Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class CallFilter:
    """What `calls` asks for; None means no restriction. `app` is an id or a name."""

    since: Micros | None = None
    until: Micros | None = None
    app: str | None = None
    model: str | None = None
    verdict: str | None = None
    trace: str | None = None
    limit: int | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """A trace to store: `exported_at` is None while it only waits; `fingerprint` is the trace's own, `fingerprints` are
    those of its calls by id; `users` are the hashes of its end user's names."""

    assessed: AssessedTrace
    fingerprint: bytes
    fingerprints: Mapping[str, bytes]
    users: tuple[str, ...]
    exported_at: Micros | None


def put(connection: sqlite3.Connection, entries: Sequence[Entry], *, match_new: bool = False) -> None:
    """Store traces and their calls as they are known now.

    An exported trace counts into the totals (a later export only by what grew), and its revision grows. `match_new`
    lets matching look at the times of what is new or looks different now.
    """
    known = _known(connection, [entry.assessed.trace.trace_id for entry in entries])
    if match_new:
        windows.mark(connection, _new_times(connection, entries, known))
    growth, change = totals.Growth(), sums.Change()
    calls: list[tuple[Any, ...]] = []
    traces: list[tuple[Any, ...]] = []
    for entry in entries:
        trace = entry.assessed.trace
        documents = [call_document(trace, assessment) for assessment in entry.assessed.assessments]
        before = _timed(connection, trace.trace_id) if trace.trace_id in known else []
        if entry.exported_at is not None:
            growth.add(
                trace.app.name, documents, [item for _, item in before] if known.get(trace.trace_id) else []
            )
        change.remove(before)
        change.add(
            [
                (item.call.started_at, document)
                for item, document in zip(entry.assessed.assessments, documents, strict=True)
            ],
            trace.app.tenant_id,
        )
        calls += _call_rows(entry, documents)
        traces.append(_trace_row(entry, sums.gap(documents)))
    connection.executemany("DELETE FROM calls WHERE trace_id = ?", [(trace_id,) for trace_id in known])
    connection.executemany(
        "INSERT OR REPLACE INTO calls VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", calls
    )
    connection.executemany(
        "INSERT INTO traces VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
        " ON CONFLICT (trace_id) DO UPDATE SET app_name = excluded.app_name, name = excluded.name,"
        " message_id = excluded.message_id, workflow_run_id = excluded.workflow_run_id, status = excluded.status,"
        " verdict = excluded.verdict, started_at = excluded.started_at, ended_at = excluded.ended_at,"
        " revision = traces.revision + excluded.revision,"
        " exported_at = coalesce(excluded.exported_at, exported_at), document = excluded.document,"
        " fingerprint = excluded.fingerprint, gap = excluded.gap",
        traces,
    )
    connection.executemany("INSERT INTO familiar VALUES (?) ON CONFLICT DO NOTHING", _names(entries))
    growth.store(connection)
    change.store(connection)


def _names(entries: Sequence[Entry]) -> set[tuple[str]]:
    """What later requests will be recognised by as Dify's."""
    apps = {(f"app:{entry.assessed.trace.app.id}",) for entry in entries}
    return apps | {(f"user:{user}",) for entry in entries for user in entry.users}


def _new_times(
    connection: sqlite3.Connection, entries: Sequence[Entry], known: Mapping[str, int]
) -> list[windows.Times]:
    """When the traces ran of which matching knows nothing yet, or something else."""
    marks = ",".join("?" * len(known))
    rows = connection.execute(
        f"SELECT call_id, fingerprint FROM calls WHERE trace_id IN ({marks})"
        f" UNION ALL SELECT trace_id, fingerprint FROM traces WHERE trace_id IN ({marks})",
        (*known, *known),
    )
    before = dict(rows)
    found = []
    for entry in entries:
        prints = {entry.assessed.trace.trace_id: entry.fingerprint, **entry.fingerprints}
        if any(before.get(name) != value for name, value in prints.items()):
            trace = entry.assessed.trace
            times = [(call.started_at, call.ended_at) for call in trace.calls]
            found.append(
                (
                    min([trace.started_at, *(t for t, _ in times)]),
                    max([trace.started_at, *(t for _, t in times)]),
                )
            )
    return found


def _known(connection: sqlite3.Connection, trace_ids: Sequence[str]) -> dict[str, int]:
    """The revisions of those of these traces that the ledger has."""
    marks = ",".join("?" * len(trace_ids))
    rows = connection.execute(
        f"SELECT trace_id, revision FROM traces WHERE trace_id IN ({marks})", tuple(trace_ids)
    )
    return dict(rows)


def written(assessed: AssessedTrace) -> list[str]:
    """The call documents of a trace as they are stored."""
    return [
        orjson.dumps(call_document(assessed.trace, assessment)).decode()
        for assessment in assessed.assessments
    ]


def documents(connection: sqlite3.Connection, traces: Sequence[AssessedTrace]) -> dict[str, list[str]]:
    """The stored call documents (JSON text) of these traces, in order."""
    return {item.trace.trace_id: _stored(connection, item.trace.trace_id) for item in traces}


def _stored(connection: sqlite3.Connection, trace_id: str) -> list[str]:
    rows = connection.execute("SELECT document FROM calls WHERE trace_id = ? ORDER BY position", (trace_id,))
    return [document for (document,) in rows]


def _timed(connection: sqlite3.Connection, trace_id: str) -> list[tuple[Micros, Document]]:
    rows = connection.execute(
        "SELECT started_at, document FROM calls WHERE trace_id = ? ORDER BY position", (trace_id,)
    )
    return [(started_at, orjson.loads(text)) for started_at, text in rows]


def _call_rows(entry: Entry, documents: Sequence[Document]) -> list[tuple[Any, ...]]:
    trace = entry.assessed.trace
    return [
        (
            document["call_id"], trace.trace_id, position, trace.app.id, trace.app.name,
            document["provider"], document["model"], document["verdict"],
            assessment.call.started_at, assessment.call.ended_at,
            int(assessment.vendor is not None and assessment.vendor.independent),
            entry.fingerprints.get(assessment.call.call_id, b""), orjson.dumps(document).decode(),
        )
        for position, (assessment, document) in enumerate(zip(entry.assessed.assessments, documents, strict=True))
    ]  # fmt: skip


def _trace_row(entry: Entry, gap: int | None) -> tuple[Any, ...]:
    trace = entry.assessed.trace
    return (
        trace.trace_id, trace.ref.kind.value, trace.ref.id, trace.ref.created_at,
        trace.app.id, trace.app.name, trace.app.mode, trace.name, trace.message_id, trace.workflow_run_id,
        trace.status.value, entry.assessed.verdict.value, trace.started_at, trace.ended_at,
        int(entry.exported_at is not None), entry.exported_at, orjson.dumps(trace_document(entry.assessed)).decode(),
        entry.fingerprint, gap,
    )  # fmt: skip


def revisions(connection: sqlite3.Connection, trace_ids: Sequence[str]) -> dict[str, int]:
    """`revision` of many traces; those never exported are left out."""
    marks = ",".join("?" * len(trace_ids))
    rows = connection.execute(
        f"SELECT trace_id, revision FROM traces WHERE revision > 0 AND trace_id IN ({marks})",
        tuple(trace_ids),
    )
    return dict(rows)


def calls(connection: sqlite3.Connection, wanted: CallFilter) -> Iterator[tuple[Micros, str]]:
    """Call documents (JSON text) in order of time, each with its start. Raises ValueError when the trace is not an id."""
    conditions, values = _conditions(wanted)
    where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
    limit = f" LIMIT {int(wanted.limit)}" if wanted.limit is not None else ""
    query = f"SELECT started_at, document FROM calls{where} ORDER BY started_at, trace_id, position{limit}"
    yield from connection.execute(query, values)


def _conditions(wanted: CallFilter) -> tuple[list[str], list[Any]]:
    conditions: list[str] = []
    values: list[Any] = []
    for condition, value in (
        ("started_at >= ?", wanted.since),
        ("started_at < ?", wanted.until),
        ("model = ?", wanted.model),
        ("verdict = ?", wanted.verdict),
    ):
        if value is not None:
            conditions.append(condition)
            values.append(value)
    if wanted.app is not None:
        conditions.append("(app_id = ? OR app_name = ?)")
        values += [wanted.app, wanted.app]
    if wanted.trace is not None:
        conditions.append(
            "trace_id IN (SELECT trace_id FROM traces WHERE trace_id = ? OR message_id = ? OR workflow_run_id = ?)"
        )
        values += _ids(wanted.trace)
    return conditions, values


def _ids(text: str) -> list[str]:
    """A trace, message or run id in any spelling, as the three columns hold it. Raises ValueError."""
    identity = UUID(text.strip())
    return [identity.hex, str(identity), str(identity)]


def trace(connection: sqlite3.Connection, text: str) -> Document | None:
    """The trace document with `calls` in it, found by trace, message, run or node id. Raises ValueError."""
    row = connection.execute(
        "SELECT trace_id, revision, exported_at, document FROM traces WHERE trace_id = ? OR message_id = ? OR workflow_run_id = ?"
        " ORDER BY trace_id = ? DESC LIMIT 1",
        (*_ids(text), UUID(text.strip()).hex),
    ).fetchone()
    if row is None:
        return None
    document: Document = orjson.loads(row[3])
    document["revision"] = row[1]
    document["exported"] = row[2] is not None
    document["calls"] = [orjson.loads(text) for text in _stored(connection, row[0])]
    return document


def newest(connection: sqlite3.Connection, limit: int, before: Micros | None = None) -> list[Document]:
    """Trace documents with their calls, newest first, for the page."""
    rows = connection.execute(
        "SELECT trace_id FROM traces WHERE started_at < ? ORDER BY started_at DESC, trace_id LIMIT ?",
        (before if before is not None else 2**62, limit),
    ).fetchall()
    found = (trace(connection, trace_id) for (trace_id,) in rows)
    return [document for document in found if document is not None]
