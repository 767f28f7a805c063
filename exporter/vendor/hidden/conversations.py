"""Titles and suggested questions: requests about a conversation's first message and about its last one."""

from __future__ import annotations

from collections.abc import Iterable

from exporter.model import SECOND, Micros
from exporter.vendor.hidden.known import Decided, Known, Told, possible, undisputed
from exporter.vendor.hidden.settle import settle, settle_one_each
from exporter.vendor.hidden.stretches import stretches
from exporter.vendor.hidden.traces import TracePrint
from exporter.vendor.matching.candidates import RequestId
from exporter.vendor.record import VendorCall

TITLE_LATE = 5 * SECOND
"""Dify asks for a title about a second after a conversation's first message came in, beside its answer."""

SUGGESTED_SOON = 30 * SECOND
"""A page asks for suggestions as soon as it has the answer."""

_EVER: Micros = 2**62


def titles(known: Known, decided: Decided) -> Told:
    """The query of a conversation's first message while it is answered (or its name, where only answers are logged)."""
    index = stretches(
        _firsts(known.traces.values()),
        lambda trace: [(word,) for word in (trace.titled, trace.title) if word],
        lambda trace: (known.opens(trace), known.closes(trace, TITLE_LATE)),
    )
    claims = {
        identity: _of_its_name(request, possible(index, request, request.about[:1]))
        for identity, request in known.undecided(decided, "title").items()
    }
    return Told(claims, settle_one_each(claims, known.requests), "words+time", 0.95)


def later_titles(known: Known, decided: Decided) -> Told:
    """Asked for again later: the query and the name together are those of one conversation."""
    index = stretches(
        _firsts(known.traces.values()),
        lambda trace: [(trace.titled, trace.title)] if trace.titled and trace.title else [],
        lambda trace: (known.closes(trace, TITLE_LATE), _EVER),
    )
    claims = {
        identity: possible(index, request, request.about)
        for identity, request in known.undecided(decided, "title").items()
        if len(request.about) == 2
    }
    return Told(claims, undisputed(claims), "words+title", 0.8)


def suggestions_soon(known: Known, decided: Decided) -> Told:
    """The last words of both sides, right after the answer. Dify puts the end of the conversation into the prompt,
    whichever of its messages was asked about, so the request belongs to the last message by then."""
    claims = _suggested(known, decided, SUGGESTED_SOON)
    return Told(claims, settle(claims, known.requests), "words+answer", 0.95)


def suggestions_later(known: Known, decided: Decided) -> Told:
    """The last words of both sides, at any time after the answer."""
    claims = _suggested(known, decided, _EVER)
    return Told(claims, undisputed(claims), "words+answer", 0.85)


def _of_its_name(request: VendorCall, traces: list[TracePrint]) -> list[TracePrint]:
    """Those whose conversation bears the name that this request answered with, if there are any."""
    named = [trace for trace in traces if len(request.about) == 2 and trace.title == request.about[1]]
    return named or traces


def _firsts(traces: Iterable[TracePrint]) -> Iterable[TracePrint]:
    """The first message of each conversation, which alone gives rise to a title; several within one rounded second."""
    traces = list(traces)
    first: dict[str | None, Micros] = {}
    for trace in traces:
        first[trace.session_id] = min(trace.started_at, first.get(trace.session_id, trace.started_at))
    return [t for t in traces if t.session_id is not None and t.started_at == first[t.session_id]]


def _suggested(known: Known, decided: Decided, late: Micros) -> dict[RequestId, list[TracePrint]]:
    """By both sides' words; by the question alone where the request does not show where the answer ends."""
    index = stretches(
        known.traces.values(),
        lambda trace: [
            (query, *answer) for query in trace.queries[:1] for answer in ((), *((a,) for a in trace.answers))
        ],
        lambda trace: (trace.ended_at - known.skew, known.closes(trace, late)),
    )
    return {
        identity: _latest_each(possible(index, request, request.about))
        for identity, request in known.undecided(decided, "suggested_questions").items()
        if request.about
    }


def _latest_each(traces: list[TracePrint]) -> list[TracePrint]:
    """The latest message of each conversation: the history in a prompt ends with it."""
    latest: dict[str | None, TracePrint] = {}
    for trace in sorted(traces, key=lambda trace: (trace.ended_at, trace.trace_id)):
        latest[trace.session_id] = trace
    return list(latest.values())
