"""The window of a report: a stretch of time in somebody's time zone, and the days in it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo

from exporter.clock import at, micros
from exporter.config import time_zone
from exporter.errors import Misconfigured
from exporter.model import Micros
from exporter.moments import is_in_reach, read_moment


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
    end = now if until is None else read_moment(until, "--until", zone)
    start = _month_of(end, zone) if since is None else read_moment(since, "--since", zone)
    if start >= end:
        late = "lies in the future" if until is None else f"is not before --until {until}"
        raise Misconfigured([f"--since {since} {late} (times without an offset are {zone_name})"])
    return Window(start, end, zone, zone_name)


def month_window(month: str, zone_name: str) -> Window:
    """A calendar month (2026-11). Raises Misconfigured."""
    zone = time_zone(zone_name)
    try:
        first = datetime.strptime(month, "%Y-%m").replace(tzinfo=zone)
    except ValueError:
        first = None
    if first is None or not is_in_reach(first):
        raise Misconfigured([f"--month: expected a month such as 2026-11, not {month!r}"])
    after = _midnight((first + timedelta(days=32)).date().replace(day=1), zone)
    return Window(micros(first), micros(after), zone, zone_name)


def _month_of(moment: Micros, zone: tzinfo) -> Micros:
    last = at(moment - 1, zone)
    return micros(_midnight(last.date().replace(day=1), zone))


def _midnight(day: object, zone: tzinfo) -> datetime:
    return datetime.fromisoformat(f"{day}T00:00:00").replace(tzinfo=zone)
