"""Reports that are made by themselves when their day, week or month has ended: files in a folder, or a post to a webhook.

What was made is remembered with the stretch it covered, so that a restart neither skips nor repeats one. Stretches that ended
while nothing ran are made up for, oldest first.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, tzinfo
from pathlib import Path
from typing import Any

import orjson
import requests
import structlog

from exporter.clock import at, micros
from exporter.config import ScheduleSettings, Settings, time_zone
from exporter.errors import ExporterError, Misconfigured, Unreachable
from exporter.model import Micros
from exporter.outgoing import failure
from exporter.report import document as reports
from exporter.report.csv_rows import csv_text
from exporter.report.html import html_text
from exporter.report.pace import with_pace
from exporter.report.window import Window
from exporter.state import health
from exporter.state.store import Store

Document = dict[str, Any]
_MOST_MISSED = 31
"""Stretches that are made up for; older ones are what `report` is for."""

_WEBHOOK_SECONDS = 30.0

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Due:
    """A report that should exist by now: an entry of the schedule over that window."""

    entry: ScheduleSettings
    window: Window

    @property
    def key(self) -> str:
        """Under which it is remembered that it was made, up to the end of its window."""
        return f"report.{self.entry.name}"


def make_due(store: Store, settings: Settings, now: Micros, stopping: Callable[[], bool]) -> int:
    """Make every report that is due; returns how many. One that cannot be delivered keeps back the later ones of its own entry
    and no others; it is tried again at the next call. Raises the first such Misconfigured or Unreachable, at the end."""
    made, failed = 0, dict[str, ExporterError]()
    with store.read() as connection:
        known = health.facts(connection, "report.")
    for due in due_reports(settings, {f"report.{name}": value for name, value in known.items()}, now):
        if stopping():
            break
        if due.key in failed:
            continue
        try:
            _make(store, settings, due, now)
        except (Misconfigured, Unreachable) as error:
            failed[due.key] = error
        else:
            made += 1
    for first in failed.values():
        raise first
    return made


def _make(store: Store, settings: Settings, due: Due, now: Micros) -> None:
    question = reports.Question(due.window, tuple(due.entry.by), settings.compare.tolerance_percent, now)
    with store.read() as connection:
        document = with_pace(reports.build(connection, settings, question))
    _deliver(document, due, settings.report.language)
    with store.transaction("report") as connection:
        health.remember(connection, due.key, str(due.window.until))
    log.info(
        "report",
        every=due.entry.every,
        since=document["window"]["local_since"],
        verdict=document["verdict"],
    )


def due_reports(settings: Settings, made_until: dict[str, str], now: Micros) -> list[Due]:
    """The reports whose stretch and waiting time have ended and that were not made yet, oldest first. Of an entry that never made
    one, only the last."""
    zone = time_zone(settings.report.time_zone)
    found: list[Due] = []
    for entry in settings.report.schedule:
        missed: list[Due] = []
        for begins, ends in _ended(entry, zone, now):
            due = Due(entry, Window(begins, ends, zone, settings.report.time_zone))
            last = made_until.get(due.key)
            if last is not None and ends <= int(last):
                break
            missed.append(due)
            if last is None:
                break
        found += reversed(missed)
    return found


def _ended(entry: ScheduleSettings, zone: tzinfo, now: Micros) -> Iterator[tuple[Micros, Micros]]:
    """The stretches that are over for long enough, the last one first."""
    hours, minutes = map(int, entry.after.split(":"))
    ends = _first_day(at(now, zone).date(), entry.every)
    for _ in range(_MOST_MISSED):
        begins = _first_day(ends - timedelta(days=1), entry.every)
        if micros(datetime.combine(ends, time(hours, minutes), zone)) <= now:
            yield micros(datetime.combine(begins, time(), zone)), micros(datetime.combine(ends, time(), zone))
        ends = begins


def _first_day(day: date, every: str) -> date:
    """The first day of the stretch that a day lies in; weeks begin on Monday (ISO 8601)."""
    if every == "week":
        return day - timedelta(days=day.weekday())
    return day.replace(day=1) if every == "month" else day


def _deliver(document: Document, due: Due, language: str) -> None:
    if due.entry.folder is not None:
        _write(document, due, due.entry.folder, language)
    if due.entry.webhook is not None:
        _post(document, due.entry.webhook.get_secret_value())


def _write(document: Document, due: Due, folder: Path, language: str) -> None:
    """One file a format; a half-written one is never seen under its name."""
    texts: dict[str, Callable[[], str]] = {
        "html": lambda: html_text(document, language),
        "json": lambda: orjson.dumps(document, option=orjson.OPT_INDENT_2).decode(),
        "csv": lambda: csv_text(document),
    }
    first = at(due.window.since, due.window.zone).date()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for form in due.entry.formats:
            target = folder / f"dify-tokens-{due.entry.name}-{first.isoformat()}.{form}"
            draft = target.with_name(f".{target.name}.part")
            draft.write_text(texts[form](), encoding="utf-8")
            os.replace(draft, target)
    except OSError as error:
        raise Misconfigured(
            [f"report.schedule: {folder} cannot be written ({error.strerror})"],
            "check the folder and its rights",
        ) from None


def _post(document: Document, address: str) -> None:
    try:
        answer = requests.post(
            address, data=orjson.dumps(document), headers={"Content-Type": "application/json"},
            timeout=_WEBHOOK_SECONDS, allow_redirects=False,
        )  # fmt: skip
    except requests.RequestException as error:
        raise Unreachable(
            f"the report's webhook does not answer: {failure(error)}", "check report.schedule"
        ) from None
    if answer.status_code >= 300:
        raise Unreachable(f"the report's webhook answered {answer.status_code}", "check report.schedule")
