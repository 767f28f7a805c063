"""Traces of the ledger as rows of a list, and what the rows add up to. Pure: documents in, views out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from exporter.model import Verdict
from exporter.web.language import ENGLISH, Language
from exporter.web.readings import independent
from exporter.web.words import duration, moment_of, number, signed, timestamp

Document = dict[str, Any]
_PARTS = ("input", "output")


@dataclass(frozen=True, slots=True)
class Pair:
    """Input and output, summed over the calls where they are known; `note` says when some are not.

    `total` is set instead where nothing but totals is known (Dify keeps no more for ReAct agents).
    """

    input: str
    output: str
    note: str | None = None
    total: str | None = None


@dataclass(frozen=True, slots=True)
class TraceRow:
    """One trace in the list. `difference` is vendor − dify over the calls that the vendor speaks of, else None."""

    trace_id: str
    started_at: str
    day: str
    time: str
    took: str
    app: str
    mode: str
    status: str
    verdict: str
    is_debug: bool
    is_sent: bool
    calls: int
    dify: Pair | None
    local: Pair | None
    vendor: Pair | None
    difference: Pair | None
    is_equal: bool
    causes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Cause:
    """One finding code over many calls; amounts are vendor − dify."""

    title: str
    calls: int
    input: str
    output: str


@dataclass(frozen=True, slots=True)
class Share:
    """Calls with one verdict; `start` and `width` place it on a bar of 100."""

    verdict: str
    calls: int
    start: float
    width: float


@dataclass(frozen=True, slots=True)
class Summary:
    """What the shown traces add up to."""

    traces: str
    calls: str
    shares: tuple[Share, ...]
    compared: str
    difference: Pair | None
    is_equal: bool
    causes: tuple[Cause, ...]


def trace_row(document: Document, say: Language = ENGLISH) -> TraceRow:
    """The row of one trace document."""
    calls = document["calls"]
    started_at, ended_at = moment_of(document["started_at"]), moment_of(document["ended_at"])
    day, time = timestamp(started_at).split(" ")
    difference = _difference(calls)
    findings = [finding for call in calls for finding in call["findings"]] + document["findings"]
    return TraceRow(
        trace_id=document["trace_id"],
        started_at=document["started_at"],
        day=day,
        time=time,
        took=duration(ended_at - started_at),
        app=document["app_name"],
        mode=document["app_mode"],
        status=document["status"],
        verdict=document["verdict"],
        is_debug=document["debug"],
        is_sent=document["exported"],
        calls=len(calls),
        dify=_sum([call["readings"]["dify"] for call in calls], say),
        local=_sum([call["readings"]["local"] for call in calls], say),
        vendor=_sum([independent(call) for call in calls], say),
        difference=_signed(difference),
        is_equal=difference is not None and not any(difference),
        causes=tuple(dict.fromkeys(say.title(finding["code"]) for finding in findings)),
    )


def summary(documents: Sequence[Document], say: Language) -> Summary:
    """What these traces add up to."""
    calls = [call for document in documents for call in document["calls"]]
    difference = _difference(calls)
    both = sum(call["unexplained"] is not None for call in calls)
    return Summary(
        traces=say.count("trace", len(documents)),
        calls=say.count("model_call", len(calls)),
        shares=shares(Counter(call["verdict"] for call in calls)),
        compared=say.count("call", both),
        difference=_signed(difference),
        is_equal=difference is not None and not any(difference),
        causes=_causes(calls, say),
    )


def _sum(readings: Sequence[Document | None], say: Language) -> Pair | None:
    """Known parts summed. Where a total alone is known it is named apart, never added to a part."""
    present = [reading for reading in readings if reading is not None]
    known = [reading for reading in present if any(reading[part] is not None for part in _PARTS)]
    totals = _total(reading.get("total") for reading in present if reading not in known)
    notes = []
    if len(known) < len(readings):
        notes.append(say("of.calls", known=len(known), calls=say.count("call", len(readings))))
    if not known:
        return None if totals is None else Pair("", "", total=number(totals))
    if totals is not None:
        notes.append(say("more.in.total", n=number(totals)))
    given, answered = (_total(reading[part] for reading in known) for part in _PARTS)
    return Pair(number(given), number(answered), ", ".join(notes) or None)


def _total(values: Iterable[int | None]) -> int | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None


def _difference(calls: Sequence[Document]) -> tuple[int, int] | None:
    """Vendor − dify, over the calls that the vendor itself speaks of (where Dify recorded nothing, its 0 counts); None
    when there is no such call. The findings of a call and its unexplained rest add up to its difference."""
    judged = [call for call in calls if call["unexplained"] is not None]
    if not judged:
        return None
    given, answered = (
        sum(call["unexplained"][part] + sum(found[part] for found in call["findings"]) for call in judged)
        for part in _PARTS
    )
    return given, answered


def _signed(difference: tuple[int, int] | None) -> Pair | None:
    return None if difference is None else Pair(signed(difference[0]), signed(difference[1]))


def shares(counted: Mapping[str, int]) -> tuple[Share, ...]:
    """Calls by verdict as stretches of a bar, in the order of the verdicts."""
    whole = sum(counted.values())
    found, start = [], 0.0
    for verdict in Verdict:
        if calls := counted.get(verdict.value, 0):
            width = 100 * calls / whole
            found.append(Share(verdict.value, calls, round(start, 3), round(width, 3)))
            start += width
    return tuple(found)


def _causes(calls: Sequence[Document], say: Language) -> tuple[Cause, ...]:
    """The finding codes that move the most tokens, at most four."""
    sums: dict[str, Counter[str]] = {}
    for call in calls:
        for finding in call["findings"]:
            counted = sums.setdefault(finding["code"], Counter())
            counted.update(calls=1, moved=abs(finding["input"]) + abs(finding["output"]))
            counted.update({part: finding[part] for part in _PARTS})
    largest = sorted(
        ((code, s) for code, s in sums.items() if s["moved"]), key=lambda item: (-item[1]["moved"], item[0])
    )
    return tuple(
        Cause(say.title(code), s["calls"], signed(s["input"]), signed(s["output"])) for code, s in largest[:4]
    )
