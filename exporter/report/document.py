"""The report as one document: what text, JSON, CSV and HTML all show. Reads the state file, changes nothing."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from exporter.clock import at, rfc3339
from exporter.config import Settings
from exporter.model import Micros
from exporter.report import bill, gather, table
from exporter.report.appnames import ids_of
from exporter.report.borders import across
from exporter.report.scopes import scopes
from exporter.report.window import Window
from exporter.state import buckets as told
from exporter.state import health, names, records, sums

Document = dict[str, Any]

BY = ("app", "model")
ABOVE = "above"


@dataclass(frozen=True, slots=True)
class Question:
    """What to report on. `by` names dimensions of `table.DIMENSIONS`; `app` (id or name) and `model` restrict. What knows no
    app or belongs to all of them, bills and the traffic of others, is left out of a restricted report."""

    window: Window
    by: tuple[str, ...]
    tolerance_percent: float
    now: Micros
    app: str | None = None
    model: str | None = None


def build(connection: sqlite3.Connection, settings: Settings, question: Question) -> Document:
    """The report. `verdict` is `above` when the rest that nobody can explain, of the calls or of a bill, is above the
    tolerance; `unverified` when no vendor's number is there at all; else `within`."""
    window, tolerance = question.window, question.tolerance_percent
    everything = list(gather.lines(connection, window, settings.compare))
    other = list(gather.foreign(connection, window))
    is_whole = question.app is None and question.model is None
    is_wanted = _restriction(connection, everything, question)
    buckets = list(told.between(connection, window.since, window.until)) if is_whole else []
    wanted = [line for line in everything if is_wanted(line.group.app_id, line.group.model)]
    measures = table.total(wanted)
    bills = bill.bills(buckets, everything, other, window, scopes(settings.report.scopes), tolerance)
    summary = table.row(measures, tolerance)
    return {
        "instance": settings.dify.name,
        "window": _window(window),
        "made_at": rfc3339(question.now),
        "tolerance_percent": tolerance,
        "only": {"app": question.app, "model": question.model},
        "verdict": _verdict(summary, bills),
        "total": summary,
        "waterfall": table.waterfall(measures, other if is_whole else ()),
        "by": list(question.by),
        "rows": table.rows(wanted, question.by, tolerance),
        "days": table.rows(wanted, ("day",), tolerance),
        "foreign": table.foreign_rows(other) if is_whole else [],
        "bills": bills,
        "bill_stretches": bill.stretches(buckets),
        "bill_changes": told.changes(connection, window.since, window.until) if is_whole else [],
        "borders": across(connection, window, is_wanted),
        "completeness": _completeness(connection, window),
    }


def _restriction(
    connection: sqlite3.Connection, lines: Sequence[gather.Line], question: Question
) -> Callable[[str, str], bool]:
    """Whether a call of an (app id, model) is asked for. An app that has had no calls but lone requests is known by those alone."""
    ids: set[str] | None = None
    if question.app is not None:
        ids = {question.app, *ids_of(names.apps(connection).values(), question.app)}
        ids |= {line.group.app_id for line in lines if line.group.app_name == question.app}

    def is_wanted(app_id: str, model: str) -> bool:
        return (ids is None or app_id in ids) and question.model in (None, model)

    return is_wanted


def _window(window: Window) -> Document:
    return {
        "since": rfc3339(window.since),
        "until": rfc3339(window.until),
        "local_since": at(window.since, window.zone).isoformat(timespec="seconds"),
        "local_until": at(window.until, window.zone).isoformat(timespec="seconds"),
        "time_zone": window.zone_name,
    }


def _verdict(summary: Document, bills: Sequence[Document]) -> str:
    found = {summary["verdict"], *(item["verdict"] for item in bills)} - {"foreign"}
    if ABOVE in found:
        return ABOVE
    return "within" if "within" in found else "unverified"


def _completeness(connection: sqlite3.Connection, window: Window) -> Document:
    """What may still be missing: records that wait, records that could not be read, and how far the ledger reaches."""
    waiting, aside = records.between(connection, window.since, window.until)
    reach = sums.first_and_last(connection)
    return {
        "waiting_records": waiting,
        "set_aside_records": aside,
        "ledger_first": rfc3339(reach[0]) if reach else None,
        "ledger_last": rfc3339(reach[1]) if reach else None,
        "last_read": _last_read(connection),
    }


def _last_read(connection: sqlite3.Connection) -> str | None:
    job = health.jobs(connection).get("poll")
    return rfc3339(job.succeeded_at) if job is not None and job.succeeded_at is not None else None


def exit_code(document: Document) -> int:
    """1 when the report found more than the tolerance, else 0."""
    return int(document["verdict"] == ABOVE)
