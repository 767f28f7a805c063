"""Settings values that people write: durations, sizes, times; and addresses fit for logs."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import Annotated, Literal
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BeforeValidator

_DURATION = re.compile(r"^\s*(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)?\s*$")
_DURATION_UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}
_SIZE = re.compile(r"^\s*(\d+(?:\.\d+)?)\s*(B|KB|MB|GB|KiB|MiB|GiB)?\s*$")
_SIZE_UNITS = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}


def _seconds(value: object) -> object:
    match = _DURATION.match(str(value))
    if not match or isinstance(value, bool):
        raise ValueError("expected a duration such as 500ms, 30s, 15m, 12h or 7d")
    return float(match[1]) * _DURATION_UNITS[match[2] or "s"]


def _bytes(value: object) -> object:
    match = _SIZE.match(str(value))
    if not match or isinstance(value, bool):
        raise ValueError("expected a size such as 512MiB or 2GiB")
    return int(float(match[1]) * _SIZE_UNITS[match[2] or "B"])


def _when(value: object) -> object:
    if value in ("beginning", "now") or isinstance(value, datetime):
        return value
    try:
        return parse_time(str(value))
    except ValueError:
        raise ValueError("expected 'beginning', 'now' or a time such as 2026-11-23T19:00:00Z") from None


def parse_time(text: str) -> datetime:
    """An aware UTC datetime from ISO 8601 text; a time without an offset is taken as UTC. Raises ValueError."""
    moment = datetime.fromisoformat(text)
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


Seconds = Annotated[float, BeforeValidator(_seconds)]
ByteSize = Annotated[int, BeforeValidator(_bytes)]
StartTime = Annotated[Literal["beginning", "now"] | datetime, BeforeValidator(_when)]


def masked_url(url: str) -> str:
    """A database address fit for logs: user, password and options are left out."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or "local socket"
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return "(unreadable address)"
    return f"{parts.scheme}://{host}{port}{parts.path}"


def time_zone(name: str) -> tzinfo:
    """A time zone by its IANA name (Asia/Shanghai) or offset (+08:00, UTC+8). Raises ValueError."""
    offset = re.fullmatch(r"(?:UTC|GMT)?([+-])(\d{1,2})(?::?(\d{2}))?", name.strip(), re.IGNORECASE)
    if offset is not None:
        minutes = int(offset[2]) * 60 + int(offset[3] or 0)
        return timezone(timedelta(minutes=-minutes if offset[1] == "-" else minutes))
    try:
        return ZoneInfo(name.strip())
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(
            f"unknown time zone {name!r}; expected such as Asia/Shanghai, UTC or +08:00"
        ) from None
