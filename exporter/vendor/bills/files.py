"""Exported files of a folder, read when they are new or have changed, oldest first: a later export has the last word."""

from __future__ import annotations

import glob
import json
from pathlib import Path

from exporter.config.bills import BillSettings
from exporter.errors import Misconfigured
from exporter.model import Micros
from exporter.vendor.bills.imports import read_file
from exporter.vendor.pullers.base import Pulled, Traits

TRAITS = Traits(per_request=False, has_cost=True)
_MOST_REMEMBERED = 10_000


class FilePuller:
    """All files that a glob names."""

    def __init__(self, settings: BillSettings) -> None:
        self._settings = settings

    @property
    def name(self) -> str:
        """The source's name."""
        return self._settings.name

    @property
    def traits(self) -> Traits:
        """What the source declares."""
        return TRAITS

    @property
    def every_seconds(self) -> float:
        """The pause between looks."""
        return self._settings.poll_interval

    def pull(self, position: str | None, now: Micros) -> Pulled:
        """The next file that is new or has changed. One that cannot be read is tried again when the others are done."""
        known = _known(position)
        waiting = [(stamp, path) for stamp, path in self._files() if known.get(str(path)) != list(stamp)]
        if not waiting:
            return Pulled(position=position or "{}")
        problems: list[Misconfigured] = []
        for stamp, path in sorted(waiting):
            try:
                found = read_file(path, self._settings)
            except Misconfigured as problem:
                problems.append(problem)
                continue
            known[str(path)] = list(stamp)
            kept = dict(list(known.items())[-_MOST_REMEMBERED:])
            return Pulled((), found.refused, found.buckets, json.dumps(kept), len(waiting) == 1, found.told)
        raise problems[0]

    def check(self) -> str:
        """How many files there are, and what the newest came to."""
        files = sorted(self._files())
        if not files:
            raise Misconfigured(
                [f"bills {self.name}: no file is named by {self._settings.path}"],
                "check path; it may be a glob",
            )
        found = read_file(files[-1][1], self._settings)
        return f"{len(files)} files; {files[-1][1].name} holds {found.rows} rows, {len(found.refused)} of them refused"

    def close(self) -> None:
        """Nothing is held."""

    def _files(self) -> list[tuple[tuple[int, int], Path]]:
        found = []
        for name in glob.glob(self._settings.path, recursive=True):
            path = Path(name)
            try:
                stat = path.stat()
            except OSError:
                continue  # gone since it was listed
            if path.is_file():
                found.append(((stat.st_mtime_ns, stat.st_size), path))
        return found


def _known(position: str | None) -> dict[str, list[int]]:
    """Nothing for no position and for one of another kind of source."""
    try:
        known = json.loads(position or "{}")
    except ValueError:
        return {}
    return known if isinstance(known, dict) else {}
