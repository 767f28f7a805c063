"""What one call document counts: every amount that goes into the counters, by metric, provider, model and own label.

Pure. An unknown number counts nothing; whether it is unknown is counted instead.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any

Document = dict[str, Any]
Key = tuple[str, str, str, str]
"""Metric, provider, model, own label."""

BOUNDS = (
    0.0, 0.5, 0.8, 0.9, 0.95, 0.98, 0.99, 0.999, 1.0, 1.001, 1.01, 1.02, 1.05, 1.1, 1.25, 1.5, 2.0, 5.0, 10.0, float("inf"),
)  # fmt: skip
"""Upper bounds of the discrepancy histogram, dense around 1. 0 holds the calls that the vendor answered for nothing; what
is above 0.999 and not above 1 is equal but for a token in a thousand."""

RATIO_CALLS, RATIO_BUCKET, RATIO_SUM, JUDGED = "ratio_calls", "ratio_bucket", "ratio_sum", "judged_calls"
NO_READING = "none"
_DIRECTIONS = ("input", "output")


def sums(documents: Iterable[Document]) -> dict[Key, float]:
    """The amounts of these calls together."""
    summed: defaultdict[Key, float] = defaultdict(float)
    for document in documents:
        provider, model = names(document)
        for metric, label, value in _amounts(document):
            summed[(metric, provider, model, label)] += value
    return dict(summed)


def names(document: Document) -> tuple[str, str]:
    """Provider and model as labels."""
    return document["provider"] or "unknown", document["model"] or "unknown"


def ratio(document: Document) -> float | None:
    """Vendor total / Dify total; None without an independent vendor reading, or where Dify counted nothing."""
    vendor, dify = _vendor(document), document["readings"]["dify"]
    if vendor is None or dify is None or vendor["input"] is None or vendor["output"] is None:
        return None
    recorded = dify["total"]
    return float((vendor["input"] + vendor["output"]) / recorded) if recorded else None


def bucket(value: float) -> str:
    """The upper bound, as text, of the bucket that a ratio falls into."""
    return str(BOUNDS[bisect_left(BOUNDS, value)])


def _vendor(document: Document) -> Document | None:
    vendor: Document | None = document["readings"]["vendor"]
    return vendor if vendor is not None and vendor["independent"] else None


def _amounts(document: Document) -> Iterator[tuple[str, str, float]]:
    dify, local, vendor = document["readings"]["dify"], document["readings"]["local"], _vendor(document)
    for name, reading, label in (
        ("recorded", dify, "dify"), ("local", local, "local"), ("vendor", vendor, "vendor"),
    ):  # fmt: skip
        if reading is not None:
            yield from _tokens(name, reading)
            yield from _money(name, label, reading)
    if vendor is not None and dify is not None:
        yield from _tokens("compared", dify)
        if vendor["cost"] is not None and dify["cost"] is not None:
            yield "compared_cost", dify["currency"], float(dify["cost"])
    for finding in document["findings"]:
        yield from _finding(finding, is_judged=vendor is not None)
    for direction in _DIRECTIONS:
        rest = (document["unexplained"] or {}).get(direction)
        if rest:
            yield "unexplained_tokens", direction, abs(rest)
    yield "calls", document["verdict"], 1
    yield "calls_by_kind", dify["kind"] if dify is not None else NO_READING, 1
    yield "calls_by_accuracy", local["accuracy"] if local is not None else NO_READING, 1
    if ratio(document) is not None:
        yield RATIO_CALLS, "", 1


def _tokens(name: str, reading: Document) -> Iterator[tuple[str, str, float]]:
    for direction in _DIRECTIONS:
        if reading[direction] is not None:
            yield f"{name}_tokens", direction, reading[direction]


def _money(name: str, label: str, reading: Document) -> Iterator[tuple[str, str, float]]:
    if reading["cost"] is not None:
        yield f"{name}_cost", reading["currency"], float(reading["cost"])
    elif any(reading[direction] for direction in _DIRECTIONS):
        yield "unpriced_calls", label, 1


def _finding(finding: Document, *, is_judged: bool) -> Iterator[tuple[str, str, float]]:
    """Tokens and money on the side of whoever counted more. Where no vendor was heard of, money is only what the price
    book would say, and is not counted."""
    for direction in _DIRECTIONS:
        if amount := finding[direction]:
            yield f"{_side(amount)}_tokens", f"{direction}/{finding['code']}", abs(amount)
    if is_judged and finding.get("cost") is not None and (money := float(finding["cost"])):
        yield f"{_side(money)}_cost", f"{finding['currency']}/{finding['code']}", abs(money)


def _side(amount: float) -> str:
    return "unrecorded" if amount > 0 else "overrecorded"
