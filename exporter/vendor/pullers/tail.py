"""The puller of a file that grows and is rotated: what an old file still held is read before the new one.

A file is followed by its inode and its first bytes, so renaming (`log.1`, `log-20261124`), copying and cutting in place,
and gzip on top of either lose nothing as long as the old file stands in the same folder. Several rotations between two
pulls are read in their order. The file before the present one is looked at again, because writers finish late.
"""

from __future__ import annotations

import json
import os
import re
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from stat import S_ISREG

from exporter.clock import micros
from exporter.config import VendorSettings
from exporter.errors import Misconfigured, Unreachable
from exporter.model import Micros
from exporter.vendor.pullers.base import Pulled, Refused, Traits
from exporter.vendor.pullers.files import (
    FileRead,
    file_known,
    is_empty,
    is_in_place,
    position_in,
    read_file,
)
from exporter.vendor.pullers.rows import zone_of
from exporter.vendor.record import VendorCall

LIMIT = 5_000
_SAMPLE = 1_000
_STAMP = r"[._-](?:\d[\dT:._-]*|old|bak)"


@dataclass(frozen=True, slots=True)
class _Place:
    """Positions in the file read now, wherever it stands, and in the one before it. Records before `since` are left
    out."""

    current: str | None = None
    previous: str | None = None
    since: Micros | None = None

    def text(self) -> str:
        return json.dumps(asdict(self))


@dataclass(frozen=True, slots=True)
class _Found:
    """What one pull has read so far."""

    records: list[VendorCall]
    refused: list[Refused]

    @property
    def room(self) -> int:
        return LIMIT - len(self.records) - len(self.refused)

    def pulled(self, place: _Place, *, is_caught_up: bool) -> Pulled:
        return Pulled(tuple(self.records), tuple(self.refused), (), place.text(), is_caught_up)


class FilePuller:
    """A Puller over one path."""

    def __init__(self, settings: VendorSettings) -> None:
        if settings.path is None:
            raise Misconfigured([f"vendor source {settings.name}: path is missing"])
        self._name, self._path, self._format = settings.name, settings.path, settings.format
        self._start, self._every_seconds = settings.start, settings.poll_interval
        self._zone = zone_of(settings.time_zone)
        self._traits = Traits(has_texts=True, has_users=True, has_cost=True, time_zone=settings.time_zone)

    @property
    def name(self) -> str:
        """The source's name."""
        return self._name

    @property
    def traits(self) -> Traits:
        """A file may hold all there is; what is in it is final."""
        return self._traits

    @property
    def every_seconds(self) -> float:
        """The pause between looks."""
        return self._every_seconds

    def pull(self, position: str | None, now: Micros) -> Pulled:
        """What was added since: to the file before, to the one being read, and in those that followed it."""
        place = _read_place(position) or _Place(since=self._since(now))
        found = _Found([], [])
        place = self._read_previous(place, found)
        upcoming: Path | None = None
        while found.room > 0:
            path, known = (upcoming, None) if upcoming else self._reading(place)
            if place.current and not path.exists():
                return found.pulled(place, is_caught_up=True)  # moved a moment ago and not made again yet
            part = self._read(path, known, place.since, found)
            previous = place.current if upcoming else place.previous
            place, upcoming = replace(place, current=part.position, previous=previous), None
            if part.is_at_end and is_in_place(self._path, part.position):
                return found.pulled(place, is_caught_up=True)
            if part.is_at_end:
                upcoming = self._after(file_known(part.position)[1], part.position)
        return found.pulled(place, is_caught_up=False)

    def check(self) -> str:
        """How the first records read. Raises Misconfigured when none of them can be used."""
        part = read_file(self._path, source=self._name, format=self._format, limit=_SAMPLE, zone=self._zone)
        if part.refused and not part.records:
            first = part.refused[0]
            raise Misconfigured(
                [f"{self._path}: no usable record; {first.place}: {first.reason}"],
                "check that format names the form of these records",
            )
        return f"{self._path}: {len(part.records)} of the first records usable, {len(part.refused)} refused"

    def close(self) -> None:
        """No file stays open between pulls."""

    def _since(self, now: Micros) -> Micros | None:
        if self._start == "beginning":
            return None
        return now if self._start == "now" else micros(self._start)

    def _read(self, path: Path, known: str | None, since: Micros | None, found: _Found) -> FileRead:
        part = read_file(
            path,
            known,
            source=self._name,
            format=self._format,
            limit=found.room,
            zone=self._zone,
            since=since,
        )
        found.records.extend(part.records)
        found.refused.extend(Refused(f"{self._path.name}: {bad.place}", bad.reason) for bad in part.refused)
        return part

    def _read_previous(self, place: _Place, found: _Found) -> _Place:
        if place.previous is None:
            return place
        path = self._file_of(place.previous)
        if path is None:
            return replace(place, previous=None)
        part = self._read(path, position_in(path, place.previous), place.since, found)
        return replace(place, previous=part.position)

    def _reading(self, place: _Place) -> tuple[Path, str | None]:
        """The file being read, wherever it stands now, with the position in it; else the oldest one that came after."""
        if place.current is None:
            return self._path, None
        if is_in_place(self._path, place.current):
            missed = self._filled_and_cut(place.current)
            return (missed, None) if missed else (self._path, place.current)
        path = self._file_of(place.current)
        if path is not None:
            return path, position_in(path, place.current)
        return self._after(file_known(place.current)[1], place.current), None

    def _filled_and_cut(self, position: str) -> Path | None:
        """The copy of what was written to an empty file and cut away again between two looks; an empty file cannot tell
        by its own bytes."""
        if not is_empty(position):
            return None
        _, changed_ns = file_known(position)
        later = [(stat.st_mtime_ns, path) for path, stat in self._folder() if self._is_rotated(path)]
        return next((path for at, path in sorted(later) if at > changed_ns), None)

    def _file_of(self, position: str) -> Path | None:
        """Where the file of a position stands now: by its inode, else a rotated file that begins with the same bytes."""
        inode, _ = file_known(position)
        folder = self._folder()
        moved = [path for path, stat in folder if stat.st_ino == inode]
        rotated = [path for path, _ in folder if self._is_rotated(path)]
        return next((path for path in moved + rotated if position_in(path, position) is not None), None)

    def _after(self, changed_ns: int, position: str) -> Path:
        """The rotated file that was written next after a time and is not the one of `position`; else the path itself."""
        later = sorted((stat.st_mtime_ns, path) for path, stat in self._folder() if self._is_rotated(path))
        followers = (path for at, path in later if at > changed_ns)
        return next((path for path in followers if position_in(path, position) is None), self._path)

    def _folder(self) -> list[tuple[Path, os.stat_result]]:
        """The files beside the path; one that goes away meanwhile is left out."""
        found = []
        try:
            for path in self._path.parent.iterdir():
                with suppress(FileNotFoundError):
                    found.append((path, path.stat()))
        except OSError as problem:
            raise Unreachable(
                f"the folder of {self._path.name} cannot be read: {type(problem).__name__}",
                f"check that {self._path.parent} may be listed",
            ) from problem
        return [(path, stat) for path, stat in found if S_ISREG(stat.st_mode)]

    def _is_rotated(self, path: Path) -> bool:
        """Whether a name is the path's with a number or a date behind it, or in front of its suffix."""
        stem, suffix = re.escape(self._path.stem), re.escape(self._path.suffix)
        pattern = rf"(?:{stem}{suffix}{_STAMP}|{stem}{_STAMP}{suffix})(?:\.gz)?|{stem}{suffix}\.gz"
        return re.fullmatch(pattern, path.name) is not None


def _read_place(position: str | None) -> _Place | None:
    """None for no position and for one of another kind of source: reading twice is harmless."""
    try:
        return _Place(**json.loads(position)) if position else None
    except (ValueError, TypeError):
        return None
