"""The window of a report: a stretch of time in somebody's time zone, and the days in it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo

from exporter.clock import at, micros
from exporter.config import time_zone
from exporter.errors import Misconfigured
from exporter.model import Micros


@dataclass(frozen=True, slots=True)
class Window:
    """[since, until) in a time zone; `zone_name` as the user wrote it."""

    since: Micros
    until: Micros
    zone: tzinfo
    zone_name: str

    def days(self) -> Iterator[tuple[str, Micros, Micros]]:
        """Each day of the zone that the window touches: its date, and the part of it that lies in the window."""
        begins = self.since
        while begins < self.until:
            local = at(begins, self.zone)
            ends = min(self.until, micros(_midnight(local.date() + timedelta(days=1), self.zone)))
            yield local.date().isoformat(), begins, ends
            begins = ends


def read_window(since: str | None, until: str | None, zone_name: str, now: Micros) -> Window:
    """A window from what a user wrote: dates or times, without an offset in that zone. `until` is the first moment (or day)
    that is not in it any more, by default now; `since` by default the first of until's month. Raises Misconfigured."""
    zone = time_zone(zone_name)
    end = now if until is None else _moment(until, "--until", zone)
    start = _month_of(end, zone) if since is None else _moment(since, "--since", zone)
    if start >= end:
        raise Misconfigured(["--since must be before --until"])
    return Window(start, end, zone, zone_name)


def month_window(month: str, zone_name: str) -> Window:
    """A calendar month (2026-11). Raises Misconfigured."""
    zone = time_zone(zone_name)
    try:
        first = datetime.strptime(month, "%Y-%m").replace(tzinfo=zone)
    except ValueError:
        first = None
    if first is None or not _is_in_reach(first):
        raise Misconfigured([f"--month: expected a month such as 2026-11, not {month!r}"])
    after = _midnight((first + timedelta(days=32)).date().replace(day=1), zone)
    return Window(micros(first), micros(after), zone, zone_name)


def _moment(text: str, name: str, zone: tzinfo) -> Micros:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or not _is_in_reach(moment):
        raise Misconfigured([f"{name}: expected a time such as 2026-11-23 or 2026-11-23T19:00:00Z"])
    return micros(moment.replace(tzinfo=zone) if moment.tzinfo is None else moment)


def _is_in_reach(moment: datetime) -> bool:
    """A year with four digits that is a slip of the pen would be walked through day by day."""
    return 1970 <= moment.year < 2100


def _month_of(moment: Micros, zone: tzinfo) -> Micros:
    last = at(moment - 1, zone)
    return micros(_midnight(last.date().replace(day=1), zone))


def _midnight(day: object, zone: tzinfo) -> datetime:
    return datetime.fromisoformat(f"{day}T00:00:00").replace(tzinfo=zone)
