"""Numbers, times and codes as a person reads them. Pure; unknown is a dash, never a zero."""

from __future__ import annotations

from datetime import UTC, datetime

from exporter.clock import micros
from exporter.model import Micros

UNKNOWN = "–"
_SECOND = 1_000_000

VERDICTS = {
    "agree": "The vendor and Dify counted the same, to the token.",
    "explained": "They differ, and the findings account for all of it.",
    "unexplained": "They differ, and a rest remains that no finding accounts for.",
    "unverified": "No number of the vendor's own is known; Dify's record is compared with the local count.",
    "pending": "Vendor evidence may still come.",
}

DIFY_KINDS = {
    "vendor_passed": "the vendor's number, passed on by the plugin",
    "estimate": "Dify's own estimate, not the vendor's number",
    "price_weighted": "weighted by price, not a count of tokens",
    "zero": "Dify stored 0, which says nothing about what was used",
    "unknown": "it is not known what kind of number this is",
}

ACCURACIES = {
    "exact": "exact: the vendor's own vocabulary and format",
    "template": "exact up to the chat template",
    "near": "near: a close relative of the vendor's vocabulary",
    "approximate": "approximate: another vocabulary",
    "lower_bound": "lower bound: part of the request was not kept",
    "none": "no usable count",
}

STATUSES = {"ok": "ok", "error": "error", "stopped": "stopped", "unfinished": "unfinished"}


def number(value: int | None) -> str:
    """`12,345`; a dash when unknown."""
    return UNKNOWN if value is None else f"{value:,}".replace("-", "−")


def signed(value: int | None) -> str:
    """`+12`, `−3`, `0`; a dash when unknown."""
    if value is None:
        return UNKNOWN
    return f"+{value:,}" if value > 0 else number(value)


def compared(value: int, reference: int, what: str, whose: str) -> str:
    """`12 fewer input than the vendor`, or `input equal to the vendor's`."""
    if value == reference:
        return f"{what} equal to {whose}'s"
    word = "fewer" if value < reference else "more"
    return f"{abs(value - reference):,} {word} {what} than {whose}"


def plural(count: int, word: str) -> str:
    """`1 call`, `2 calls`."""
    return f"{count:,} {word}" if count == 1 else f"{count:,} {word}s"


def title(code: str) -> str:
    """A finding's or mode's code as a heading: `retry_billed` → `Retry billed`."""
    return code.replace("_", " ").replace("-", " ").capitalize()


def duration(length: Micros) -> str:
    """`83 ms`, `1.24 s`, `2 min 03 s`, `3 h 05 min`, `2 d 4 h`."""
    if length < _SECOND:
        return f"{length / 1000:.0f} ms"
    if length < 60 * _SECOND:
        return f"{length / _SECOND:.2f} s"
    seconds = length // _SECOND
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60:02} s"
    if seconds < 86_400:
        return f"{seconds // 3600} h {seconds % 3600 // 60:02} min"
    return f"{seconds // 86_400} d {seconds % 86_400 // 3600} h"


def age(length: Micros) -> str:
    """A duration for which seconds are fine enough: `12 s`, `2 min 03 s`."""
    return f"{length // _SECOND} s" if length < 60 * _SECOND else duration(length)


def ago(moment: Micros | None, now: Micros) -> str:
    """`12 s ago`, `never`."""
    return "never" if moment is None else f"{age(max(0, now - moment))} ago"


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
    return datetime.fromtimestamp(moment // _SECOND, UTC).strftime("%Y-%m-%d %H:%M:%S")
