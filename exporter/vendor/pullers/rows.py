"""From a parsed row of any source to what is kept of it: the adapter's records, parsed, with the bad ones named.

Knows nothing of files or servers. A refusal says where the row stood and which field was wrong, never what it said.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import orjson

from exporter.model import Micros
from exporter.vendor.adapters import Adapter
from exporter.vendor.pullers.base import Refused
from exporter.vendor.record import BadRecord, VendorCall, parse

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_TIMES = ("started_at", "ended_at", "first_token_at")


@dataclass(frozen=True, slots=True)
class Found:
    """What one pull has found so far. Records that ended before `since` are left out; times without a zone are read in
    `zone` (None: as UTC)."""

    source: str
    adapter: Adapter
    zone: ZoneInfo | None = None
    since: Micros | None = None
    records: list[VendorCall] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)

    @property
    def count(self) -> int:
        """Records and refusals together."""
        return len(self.records) + len(self.refused)

    def keep(self, value: object, place: str) -> None:
        """Take in one row that stood at `place`."""
        for entry in self.adapter(value):
            try:
                record = parse(_in_zone(entry, self.zone), self.source)
            except BadRecord as problem:
                self.refused.append(Refused(place, str(problem)))
                continue
            if self.since is None or record.end >= self.since:
                self.records.append(record)


def zone_of(name: str) -> ZoneInfo | None:
    """The zone for `Found`, None for UTC itself."""
    return None if name == "UTC" else ZoneInfo(name)


def loads(body: bytes) -> object:
    """JSON with the strict parser first; the tolerant one for lone surrogates, which gateways make when they cut texts.

    Raises ValueError.
    """
    body = body.removeprefix(BYTE_ORDER_MARK)
    try:
        return orjson.loads(body)
    except ValueError:
        try:
            return json.loads(body, strict=False)
        except RecursionError:
            raise ValueError("nested too deeply") from None


def _in_zone(entry: object, zone: ZoneInfo | None) -> object:
    if zone is None or not isinstance(entry, Mapping):
        return entry
    times = {name: _with_zone(entry[name], zone) for name in _TIMES if isinstance(entry.get(name), str)}
    return {**entry, **times}


def _with_zone(text: Any, zone: ZoneInfo) -> str:
    """The time with its offset where it had none; what is no time is left for `parse` to refuse."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return str(text)
    return str(text) if moment.tzinfo else moment.replace(tzinfo=zone).isoformat()
