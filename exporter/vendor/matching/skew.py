"""How far an evidence source's clock differs from Dify's, learnt from pairs that no clock is needed to find.

A request and a call that share content nobody else has within a quarter of an hour tell between which shifts the request
lies inside its call. The shift that fits most pairs is the source's. Pure; nothing is applied here but by `shifted`.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from exporter.model import Micros, Status
from exporter.vendor.fingerprint import AnswerPrint, CallPrint
from exporter.vendor.matching.evidence import LONG_ANSWER, asks, is_asking, plain_model
from exporter.vendor.matching.passed_on import recorded_inputs
from exporter.vendor.matching.timing import CLOCK_SECOND
from exporter.vendor.record import VendorCall

REACH: Micros = 900_000_000
"""The largest clock difference that is looked for."""

FEWEST_PAIRS = 5
"""Fewer pairs prove no difference but none."""

_AS_GOOD_AS_NONE = 0.9
_MAJORITY = 0.5

Range = tuple[Micros, Micros]
Sign = tuple[object, ...]
Side = CallPrint | VendorCall
Signs = Callable[[Side], Iterator[Sign]]
"""A kind of content by which pairs are found."""


@dataclass(frozen=True, slots=True)
class Shift:
    """What to add to a source's times to read them by Dify's clock.

    `pairs` of its requests lie inside their calls then; `spread` is how much the shift could be changed with as many.
    """

    micros: Micros
    pairs: int
    spread: Micros


def learn(calls: Iterable[CallPrint], requests: Iterable[VendorCall]) -> dict[str, Shift]:
    """The shift of every source about whose clock these calls and requests tell something.

    Of shifts that fit equally many pairs the one nearest to zero; zero where it fits nearly as many. A source with too
    few pairs for a difference, and none that speaks for a right clock, is left out.
    """
    usable = [call for call in calls if asks(call) and call.status is Status.OK]
    by_source: dict[str, list[VendorCall]] = {}
    for request in requests:
        if is_asking(request) and request.status == "ok":
            by_source.setdefault(request.source, []).append(request)
    found = {source: _shift(_ranges(usable, by_source[source])) for source in sorted(by_source)}
    return {source: shift for source, shift in found.items() if shift is not None}


def shifted(request: VendorCall, micros: Micros) -> VendorCall:
    """The request with its times moved by so much, and nothing else changed."""
    if not micros:
        return request
    return replace(
        request,
        started_at=_moved(request.started_at, micros),
        ended_at=_moved(request.ended_at, micros),
        first_token_at=_moved(request.first_token_at, micros),
    )


def _moved(time: Micros | None, micros: Micros) -> Micros | None:
    return None if time is None else time + micros


def _shift(ranges: Sequence[Range]) -> Shift | None:
    best, most = _best(ranges)
    at_zero = sum(low <= 0 <= high for low, high in ranges)
    if at_zero and at_zero >= most * _AS_GOOD_AS_NONE:
        return Shift(0, at_zero, _width(ranges, 0))
    if most < FEWEST_PAIRS or most < len(ranges) * _MAJORITY:
        return None
    return Shift(best, most, _width(ranges, best))


def _best(ranges: Sequence[Range]) -> tuple[Micros, int]:
    """The shift inside most ranges, nearest to zero among equals, and how many they are."""
    edges = sorted({0, *(edge for one in ranges for edge in one)}, key=lambda edge: (abs(edge), edge))
    lows, highs = sorted(low for low, _ in ranges), sorted(high for _, high in ranges)
    best, most = 0, 0
    for edge in edges:
        count = bisect_right(lows, edge) - bisect_left(highs, edge)
        if count > most:
            best, most = edge, count
    return best, most


def _width(ranges: Iterable[Range], shift: Micros) -> Micros:
    fitting = [one for one in ranges if one[0] <= shift <= one[1]]
    return min(high for _, high in fitting) - max(low for low, _ in fitting)


def _ranges(calls: Sequence[CallPrint], requests: Sequence[VendorCall]) -> list[Range]:
    """Per pair the shifts that put the request inside its call; a call or request in no more than one pair."""
    ranges = []
    paired: set[int] = set()
    for kind in (_tool_ids, _words, _answers, _numbers):
        for mine, theirs in _unique_pairs(kind, calls, requests):
            if id(mine) in paired or id(theirs) in paired:
                continue
            paired |= {id(mine), id(theirs)}
            slack = CLOCK_SECOND // 2 if mine.started_at % CLOCK_SECOND == 0 else 0
            low, high = mine.started_at - slack - theirs.start, mine.ended_at + slack - theirs.end
            if low <= high:
                ranges.append((low, high))
    return ranges


def _unique_pairs(
    kind: Signs, calls: Sequence[CallPrint], requests: Sequence[VendorCall]
) -> Iterator[tuple[CallPrint, VendorCall]]:
    """Pairs that share a sign which no other call and no other request shows within reach."""
    asked: dict[Sign, list[CallPrint]] = {}
    for call in sorted(calls, key=lambda call: (call.started_at, call.call_id)):
        for sign in set(kind(call)):
            asked.setdefault(sign, []).append(call)
    served: dict[Sign, list[VendorCall]] = {}
    for request in sorted(requests, key=lambda request: (request.start, request.id)):
        for sign in set(kind(request)):
            if sign in asked:
                served.setdefault(sign, []).append(request)
    for sign, theirs in served.items():
        call_times = [call.started_at for call in asked[sign]]
        request_times = [request.start for request in theirs]
        for request in theirs:
            mine = _only_within_reach(call_times, request.start)
            if mine is not None and _only_within_reach(request_times, call_times[mine]) is not None:
                yield asked[sign][mine], request


def _only_within_reach(times: Sequence[Micros], time: Micros) -> int | None:
    first, behind = bisect_left(times, time - REACH), bisect_right(times, time + REACH)
    return first if behind - first == 1 else None


def _tool_ids(side: Side) -> Iterator[Sign]:
    answer = side.answer or AnswerPrint()
    yield from ((identity,) for identity in answer.tool_ids)


def _words(side: Side) -> Iterator[Sign]:
    answer, prompt = side.answer, side.prompt
    if answer and answer.text and prompt:
        yield (prompt.messages, answer.text)


def _answers(side: Side) -> Iterator[Sign]:
    if side.answer and side.answer.text and side.answer.chars >= LONG_ANSWER:
        yield (side.answer.text,)


def _numbers(side: Side) -> Iterator[Sign]:
    if isinstance(side, CallPrint):
        if side.model and side.recorded.total:
            yield (plain_model(side.model), side.recorded.input, side.recorded.output)
    elif side.tokens is not None:
        for given in recorded_inputs(side.tokens):
            yield (plain_model(side.response_model or side.model), given, side.tokens.output)
