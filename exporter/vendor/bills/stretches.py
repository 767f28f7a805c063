"""Reading a vendor's sums stretch by stretch: which one next, how far back again, and what was told whole.

Only stretches that have ended are read, `delay_seconds` after their end. Each cycle begins `reread_seconds` before the
end of the last one, so that late and amended rows are seen; what a second reading does not tell any more is gone. All
that it knows is in its position, so it goes on at the same stretch after a restart.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Protocol

from exporter.clock import micros
from exporter.config.bills import BillSettings
from exporter.model import SECOND, Micros
from exporter.vendor.bills.values import DAY_SECONDS, merged
from exporter.vendor.pullers.base import Bucket, Pulled, Refused, Told, Traits

_FIRST_DAYS = 90


@dataclass(frozen=True, slots=True)
class Span:
    """[since, until) in Unix seconds, at borders of stretches."""

    since: int
    until: int


@dataclass(frozen=True, slots=True)
class Cut:
    """How a report cuts time. `span_seconds` is how much of it is asked for at once; `offset_seconds` is how far its days
    begin before those of UTC (28800: UTC+8)."""

    width_seconds: int
    span_seconds: int
    delay_seconds: int
    reread_seconds: int
    offset_seconds: int = 0

    def floor(self, moment: int) -> int:
        """The border of a stretch at or before a moment."""
        return (moment + self.offset_seconds) // self.width_seconds * self.width_seconds - self.offset_seconds


@dataclass(frozen=True, slots=True)
class Read:
    """What a report told of a span. `is_whole`: nothing of it was left out, so rows that are not there are gone."""

    buckets: tuple[Bucket, ...] = ()
    refused: tuple[Refused, ...] = ()
    is_whole: bool = True


class Report(Protocol):
    """One report of one vendor. Raises Unreachable or Misconfigured, nothing else."""

    @property
    def name(self) -> str:
        """Its name in the position, and in the `report` of its rows."""

    @property
    def shape(self) -> str:
        """What its rows are cut and grouped by: with another shape everything is read anew."""

    @property
    def cut(self) -> Cut:
        """How it cuts time."""

    def read(self, span: Span) -> Read:
        """Everything that it tells of a span, all pages of it."""

    def check(self) -> str:
        """What was seen there, in words."""


@dataclass(frozen=True, slots=True)
class _Place:
    """`through`: everything before it was read; `at`, `target`: the cycle under way."""

    shape: str
    floor: int
    through: int
    at: int | None = None
    target: int | None = None


class BucketPuller:
    """A Puller over the reports of one account."""

    def __init__(self, settings: BillSettings, traits: Traits, reports: Sequence[Report]) -> None:
        self._name, self._start, self._every = settings.name, settings.start, settings.poll_interval
        self._reread = settings.reread
        self._traits, self._reports = traits, tuple(reports)
        self._failures = dict.fromkeys((report.name for report in self._reports), 0)

    @property
    def name(self) -> str:
        """The source's name."""
        return self._name

    @property
    def traits(self) -> Traits:
        """What the source declares."""
        return self._traits

    @property
    def every_seconds(self) -> float:
        """The pause between looks."""
        return self._every

    def pull(self, position: str | None, now: Micros) -> Pulled:
        """One span of the first report that has one due. A report that fails comes last next time, so that it holds up no other."""
        seconds = now // SECOND
        places = {report.name: self._place(report, position, seconds) for report in self._reports}
        due = [report for report in self._reports if places[report.name].at is not None]
        if not due:
            return Pulled(position=_text(places, position))
        report = min(due, key=lambda item: self._failures[item.name])
        place = places[report.name]
        span = _span(place, report.cut)
        self._failures[report.name] += 1
        read = report.read(span)
        self._failures[report.name] = 0
        places[report.name] = _after(place, span)
        told = Told(self._name, report.name, span.since * SECOND, span.until * SECOND)
        return Pulled(
            buckets=tuple(merged(read.buckets)),
            refused=read.refused,
            position=_text(places, position),
            is_caught_up=all(item.at is None for item in places.values()),
            told=(told,) if read.is_whole else (),
        )

    def check(self) -> str:
        """What was seen of each report."""
        return "; ".join(report.check() for report in self._reports)

    def close(self) -> None:
        """Nothing is held between requests but an idle connection."""

    def _place(self, report: Report, position: str | None, now: int) -> _Place:
        """Where a report stands, with a cycle under way if a stretch has ended since the last one."""
        cut = report.cut
        place = _read_places(position).get(report.name)
        if place is None or place.shape != report.shape:
            floor = cut.floor(self._first(now) if place is None else place.floor)
            place = _Place(report.shape, floor, floor)
        target = cut.floor(now - cut.delay_seconds)
        if place.at is not None or target <= place.through:
            return place
        reread = cut.reread_seconds if self._reread is None else int(self._reread)
        at = max(place.floor, cut.floor(place.through - reread))
        return replace(place, at=at, target=target)

    def _first(self, now: int) -> int:
        if isinstance(self._start, datetime):
            return micros(self._start) // SECOND
        return now if self._start == "now" else now - _FIRST_DAYS * DAY_SECONDS


def _span(place: _Place, cut: Cut) -> Span:
    assert place.at is not None
    assert place.target is not None
    return Span(place.at, min(place.target, place.at + cut.span_seconds))


def _after(place: _Place, span: Span) -> _Place:
    if span.until == place.target:
        return replace(place, through=span.until, at=None, target=None)
    return replace(place, at=span.until)


def _read_places(position: str | None) -> dict[str, _Place]:
    """None of them for no position and for one of another kind of source: reading twice is harmless."""
    try:
        return {name: _Place(**place) for name, place in json.loads(position or "{}").items()}
    except (ValueError, TypeError, AttributeError):
        return {}


def _text(places: dict[str, _Place], position: str | None) -> str:
    """Places of reports that are switched off are kept, so that they go on where they were."""
    return json.dumps({name: asdict(place) for name, place in (_read_places(position) | places).items()})
