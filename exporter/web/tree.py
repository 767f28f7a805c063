"""One trace as a tree of steps on a time line, with its calls in it. Pure: a trace document in, a view out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from exporter.model import Micros
from exporter.web.language import Language
from exporter.web.readings import CallView, FindingView, call_view, finding_view
from exporter.web.words import UNKNOWN, duration, moment_of, number, timestamp

Document = dict[str, Any]

MOST_STEPS = 2000
"""Steps drawn on one page; the JSON has all of them."""
_DEEPEST = 40
_NARROWEST = 0.6


@dataclass(frozen=True, slots=True)
class StepView:
    """A step with what ran inside it. `start` and `width` are percent of the trace's time."""

    span_id: str
    kind: str
    name: str
    status: str
    took: str
    after: str
    start: float
    width: float
    call: CallView | None
    link: str | None
    children: tuple[StepView, ...]


@dataclass(frozen=True, slots=True)
class DifySum:
    """One of the sums that Dify keeps about the same trace."""

    name: str
    input: str
    output: str
    total: str


@dataclass(frozen=True, slots=True)
class TraceView:
    """The page of one trace."""

    trace_id: str
    name: str
    app: str
    mode: str
    workspace: str
    status: str
    verdict: str
    is_debug: bool
    is_final: bool
    is_sent: bool
    revision: int
    started_at: str
    started: str
    took: str
    ids: tuple[tuple[str, str], ...]
    sums: tuple[DifySum, ...]
    sums_word: str | None
    containers: str | None
    findings: tuple[FindingView, ...]
    notes: tuple[str, ...]
    steps: tuple[StepView, ...]
    left_out: int


def trace_view(document: Document, say: Language) -> TraceView:
    """The view of a trace document with its calls."""
    started_at, ended_at = moment_of(document["started_at"]), moment_of(document["ended_at"])
    sums = _sums(document["sums"], say)
    containers = document["sums"]["containers_total"]
    return TraceView(
        trace_id=document["trace_id"],
        name=document["name"],
        app=document["app_name"],
        mode=document["app_mode"],
        workspace=document["workspace_name"] or document["workspace_id"],
        status=document["status"],
        verdict=document["verdict"],
        is_debug=document["debug"],
        is_final=document["final"],
        is_sent=document["exported"],
        revision=document["revision"],
        started_at=document["started_at"],
        started=timestamp(started_at),
        took=duration(ended_at - started_at),
        ids=_ids(document, say),
        sums=sums,
        sums_word=_agreement(sums),
        containers=number(containers) if containers else None,
        findings=tuple(finding_view(finding, say) for finding in document["findings"]),
        notes=tuple(document["notes"]),
        steps=_tree(document, started_at, ended_at, say),
        left_out=max(0, len(document["steps"]) - MOST_STEPS),
    )


def _ids(document: Document, say: Language) -> tuple[tuple[str, str], ...]:
    record = document["record"]
    named = (
        (say("id.trace"), document["trace_id"]),
        (say("id.message"), document["message_id"]),
        (say("id.run"), document["workflow_run_id"]),
        (say("id.node"), record["id"] if record["kind"] == "node" else None),
        (say("id.session"), document["session_id"]),
    )
    return tuple((name, value) for name, value in named if value)


def _sums(sums: Document, say: Language) -> tuple[DifySum, ...]:
    found = [_tokens_sum(say("sum.calls"), sums["leaves"])]
    if sums["message"] is not None:
        found.append(_tokens_sum(say("sum.message"), sums["message"]))
    if sums["run_total"] is not None:
        found.append(DifySum(say("sum.run"), number(None), number(None), number(sums["run_total"])))
    return tuple(found)


def _agreement(sums: tuple[DifySum, ...]) -> str | None:
    """`equal` or `differ`; None when fewer than two totals are known."""
    known = [item.total for item in sums if item.total != UNKNOWN]
    if len(known) < 2:
        return None
    return "equal" if len(set(known)) == 1 else "differ"


def _tokens_sum(name: str, tokens: Document) -> DifySum:
    given, answered = tokens["input"], tokens["output"]
    total = None if given is None or answered is None else given + answered
    return DifySum(name, number(given), number(answered), number(total))


def _tree(document: Document, started_at: Micros, ended_at: Micros, say: Language) -> tuple[StepView, ...]:
    """Children inside their parents, without recursion: a parent stands before its children, so build from the end."""
    steps = document["steps"][:MOST_STEPS]
    calls = {call["call_id"]: call for call in document["calls"]}
    parents = _parents(steps)
    children: dict[int | None, list[StepView]] = {}
    for place in reversed(range(len(steps))):
        step = steps[place]
        inner = tuple(reversed(children.pop(place, [])))
        view = _step(step, calls.get(step["call_id"]), inner, (started_at, ended_at), say)
        children.setdefault(parents[place], []).append(view)
    return tuple(reversed(children.pop(None, [])))


def _parents(steps: list[Document]) -> list[int | None]:
    """The place of each step's parent, always an earlier one; what is nested too deep hangs on the deepest drawn."""
    parents: list[int | None] = []
    depths: list[int] = []
    places: dict[str, int] = {}
    for step in steps:
        parent = places.get(step["parent_id"] or "")
        if parent is not None and depths[parent] >= _DEEPEST:
            parent = parents[parent]
        parents.append(parent)
        depths.append(0 if parent is None else depths[parent] + 1)
        places[step["span_id"]] = len(parents) - 1
    return parents


def _step(
    step: Document,
    call: Document | None,
    children: tuple[StepView, ...],
    times: tuple[Micros, Micros],
    say: Language,
) -> StepView:
    begins, ends = moment_of(step["started_at"]), moment_of(step["ended_at"])
    start, width = _place(begins, ends, *times)
    return StepView(
        span_id=step["span_id"],
        kind=step["kind"],
        name=step["name"],
        status=step["status"],
        took=duration(max(0, ends - begins)),
        after=duration(max(0, begins - times[0])),
        start=start,
        width=width,
        call=call_view(call, say) if call is not None else None,
        link=step["link"],
        children=children,
    )


def _place(begins: Micros, ends: Micros, started_at: Micros, ended_at: Micros) -> tuple[float, float]:
    """Start and width in percent, inside 0…100 and wide enough to be seen."""
    whole = ended_at - started_at
    if whole <= 0:
        return 0.0, 100.0
    start = min(max(0.0, 100 * (begins - started_at) / whole), 100 - _NARROWEST)
    width = min(max(_NARROWEST, 100 * (ends - begins) / whole), 100 - start)
    return round(start, 2), round(width, 2)
