"""The bundled recording: episodes of a real Dify 1.14.0 with the vendor's own log, made to happen at another time.

Every run gives all ids anew (the same recorded id always becomes the same new id within a run), because Langfuse takes
a trace id that comes again at another time for a second trace. Times move by whole seconds, because Dify rounds some of
them to whole seconds and the exporter knows that. Texts stay as they were recorded.
"""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from typing import Any
from uuid import UUID, uuid5

import orjson

from exporter.clock import micros, rfc3339
from exporter.demo.tables import TIMES
from exporter.model import Micros

_NAMESPACE = UUID("6f1d6a0e-1c0f-4c63-9b55-0b8b1c1f5d0a")
_IDS = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")

Row = tuple[str, str]
"""Table and the row as a JSON object."""


@dataclass(frozen=True, slots=True)
class Episode:
    """What one message, run or single step left behind; `shows` says why it was chosen. Times are as recorded."""

    shows: str
    ended_at: Micros
    _rows: tuple[tuple[str, dict[str, Any]], ...]
    _vendor: tuple[dict[str, Any], ...]

    def rows(self, seconds: int) -> list[Row]:
        """Its rows in Dify's database, that many seconds later."""
        return [
            (
                table,
                orjson.dumps({name: _column(name, value, seconds) for name, value in row.items()}).decode(),
            )
            for table, row in self._rows
        ]

    def vendor_records(self, seconds: int) -> list[str]:
        """Its requests in the vendor's log as canonical records, that many seconds later."""
        return [
            orjson.dumps({name: _field(name, value, seconds) for name, value in record.items()}).decode()
            for record in self._vendor
        ]


@dataclass(frozen=True, slots=True)
class Recording:
    """Rows that do not change (apps, workspaces, users) and the episodes in the order they ended."""

    standing: tuple[Row, ...]
    episodes: tuple[Episode, ...]


def load(run: str) -> Recording:
    """The recording with the ids of this run: the same `run` gives the same ids."""
    packed = files("exporter.demo").joinpath("recording.json.gz").read_bytes()
    document = orjson.loads(_fresh_ids(gzip.decompress(packed).decode(), run))
    standing = tuple(
        (table, orjson.dumps(row).decode()) for table, rows in document["tables"].items() for row in rows
    )
    episodes = sorted((_episode(entry) for entry in document["episodes"]), key=lambda item: item.ended_at)
    return Recording(standing, tuple(episodes))


def _fresh_ids(text: str, run: str) -> str:
    namespace = uuid5(_NAMESPACE, run)
    return _IDS.sub(lambda found: str(uuid5(namespace, found[0])), text)


def _episode(entry: dict[str, Any]) -> Episode:
    rows = tuple((table, row) for table, found in entry["tables"].items() for row in found)
    vendor = tuple(entry["vendor"])
    return Episode(entry["shows"], max(_moments(rows, vendor)), rows, vendor)


def _moments(
    rows: tuple[tuple[str, dict[str, Any]], ...], vendor: tuple[dict[str, Any], ...]
) -> Iterator[Micros]:
    for _, row in rows:
        yield from (
            micros(datetime.fromisoformat(row[name]).replace(tzinfo=UTC)) for name in TIMES & row.keys()
        )
    yield from (micros(datetime.fromisoformat(record["ended_at"])) for record in vendor)


def _column(name: str, value: Any, seconds: int) -> Any:
    if name not in TIMES:
        return value
    return (datetime.fromisoformat(value) + timedelta(seconds=seconds)).isoformat()


def _field(name: str, value: Any, seconds: int) -> Any:
    if name not in ("started_at", "ended_at"):
        return value
    return rfc3339(micros(datetime.fromisoformat(value)) + seconds * 1_000_000)
