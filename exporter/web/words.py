"""Numbers and times as a person reads them, in every language the same. Pure; unknown is a dash, never a zero."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

from exporter.clock import micros
from exporter.model import SECOND, Micros
from exporter.web.language import Language

UNKNOWN = "–"


def number(value: int | None) -> str:
    """`12,345`; a dash when unknown."""
    return UNKNOWN if value is None else f"{value:,}".replace("-", "−")


def signed(value: int | None) -> str:
    """`+12`, `−3`, `0`; a dash when unknown."""
    if value is None:
        return UNKNOWN
    return f"+{value:,}" if value > 0 else number(value)


def duration(length: Micros) -> str:
    """`83 ms`, `1.24 s`, `2 min 03 s`, `3 h 05 min`, `2 d 4 h`."""
    if length < SECOND:
        return f"{length / 1000:.0f} ms"
    if length < 60 * SECOND:
        return f"{length / SECOND:.2f} s"
    seconds = length // SECOND
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60:02} s"
    if seconds < 86_400:
        return f"{seconds // 3600} h {seconds % 3600 // 60:02} min"
    return f"{seconds // 86_400} d {seconds % 86_400 // 3600} h"


def age(length: Micros) -> str:
    """A duration for which seconds are fine enough: `12 s`, `2 min 03 s`."""
    return f"{length // SECOND} s" if length < 60 * SECOND else duration(length)


def ago(moment: Micros | None, now: Micros, say: Language) -> str:
    """`12 s ago`, `never`."""
    return say("never") if moment is None else say("ago", age=age(max(0, now - moment)))


def size(count: int) -> str:
    """Bytes: `512 B`, `3.4 MiB`."""
    value = float(count)
    for unit in ("B", "KiB", "MiB"):
        if value < 1024:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} GiB"


def moment_of(text: str) -> Micros:
    """The time in a document (RFC 3339). Raises ValueError."""
    return micros(datetime.fromisoformat(text))


def timestamp(moment: Micros) -> str:
    """`2026-11-23 19:17:07`, UTC."""
    return datetime.fromtimestamp(moment // SECOND, UTC).strftime("%Y-%m-%d %H:%M:%S")


def day_of(moment: Micros) -> str:
    """`2026-11-23`, UTC."""
    return timestamp(moment)[:10]


def percent(part: float, whole: float) -> str:
    """`+41.3%`, `−0.04%`, `0%`; two digits where there is little."""
    share = 100 * part / whole
    text = f"{abs(share):.1f}" if abs(share) >= 1 else f"{abs(share):.2g}"
    return f"{'+' if share > 0 else '−' if share < 0 else ''}{text}%"


def amount(value: Decimal) -> str:
    """Money with as many digits as it takes: `1,234.57`, `0.0312`, `0.000021`."""
    if value == 0:
        return "0"
    digits = 2 if abs(value) >= 1 else min(10, 1 - value.adjusted() + 1)
    return f"{value:,.{digits}f}".replace("-", "−")
