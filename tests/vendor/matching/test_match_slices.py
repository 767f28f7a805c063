"""Matching slice by slice, in any slices and any order, gives what matching everything at once gives."""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from exporter.model import Status, Tokens
from exporter.vendor.fingerprint import AnswerPrint, CallPrint, PromptPrint, fingerprint_call
from exporter.vendor.matching.match import PADDING, Match, match, padding
from exporter.vendor.record import VendorCall, parse
from tests.vendor import recorded_calls as recorded
from tests.vendor.convert_recording import canonical

SECOND = 1_000_000
BEGIN = 1_795_461_600_123_456
BARE = ("request", "response_text", "tool_calls")

Sides = tuple[list[CallPrint], list[VendorCall]]


def by_slices(
    calls: Sequence[CallPrint], requests: Sequence[VendorCall], borders: Sequence[int]
) -> dict[str, Match]:
    """Every call as its own slice decides it, with no more around the slice than `PADDING`."""
    found: dict[str, Match] = {}
    edges = [-(10**18), *sorted(set(borders)), 10**18]
    for since, until in pairwise(edges):
        inner = {call.call_id for call in calls if since <= call.started_at < until}
        if not inner:
            continue
        near = [
            call for call in calls if call.ended_at >= since - PADDING and call.started_at <= until + PADDING
        ]
        first = min([since, *(call.started_at for call in near)]) - PADDING
        last = max([until, *(call.ended_at for call in near)]) + PADDING
        some = match(near, [request for request in requests if first <= request.start <= last])
        found |= {call_id: one for call_id, one in some.items() if call_id in inner}
    return found


@pytest.fixture(scope="module", params=["1.12.1", "1.14.0"])
def prints(request: pytest.FixtureRequest, shared: Path) -> tuple[list[CallPrint], recorded.Instance, Path]:
    instance = recorded.V1_12 if request.param == "1.12.1" else recorded.V1_14
    found = recorded.calls(recorded.traces(shared, instance))
    return [fingerprint_call(call, t.app.id, t.user_aliases) for t, call in found], instance, shared


@pytest.mark.parametrize("left_out", [(), BARE, (*BARE, "user")])
def test_recorded_traffic_matched_in_slices_of_any_size_gives_the_same(
    prints: tuple[list[CallPrint], recorded.Instance, Path], left_out: tuple[str, ...]
) -> None:
    calls, instance, shared = prints
    lines = recorded.log_by_id(shared, instance).values()
    records = [{k: v for k, v in canonical(line).items() if k not in left_out} for line in lines]
    requests = [parse(record, "gw") for record in records]
    whole = match(calls, requests)
    begin, end = min(c.started_at for c in calls), max(c.ended_at for c in calls)
    for size_seconds in (7, 61, 600):
        assert by_slices(calls, requests, range(begin, end, size_seconds * SECOND)) == whole


@st.composite
def traffic(draw: st.DrawFn) -> Sides:
    """Busy hours of few users, words and numbers, so that almost everything could be confused with something."""
    chance = random.Random(draw(st.integers(0, 2**32)))
    pace = draw(st.sampled_from((0.4, 3.0, 9.0, 40.0)))
    users, words = draw(st.integers(1, 3)), draw(st.integers(1, 4))
    has_texts = draw(st.booleans())
    calls, requests, at = [], [], 0.0
    for number in range(draw(st.integers(20, 160))):
        at += chance.expovariate(1 / pace)
        calls.append(some_call(chance, number, at, users, words))
        if chance.random() < 0.9:
            requests += some_requests(chance, calls[-1], has_texts)
    return calls, requests


def some_call(chance: random.Random, number: int, at: float, users: int, words: int) -> CallPrint:
    status = chance.choice((Status.OK,) * 6 + (Status.ERROR, Status.STOPPED, Status.UNFINISHED))
    started_at = BEGIN + round(at * SECOND)
    is_long = chance.random() < 0.02
    word = chance.randrange(words)
    return CallPrint(
        call_id=f"c{number}",
        kind="chat",
        provider="openai",
        model="gpt-4o" if status is Status.OK or chance.random() < 0.5 else None,
        app_id=None,
        status=status,
        started_at=started_at,
        ended_at=started_at + (400 if is_long else 1) * chance.randrange(1, 2 * SECOND),
        recorded=Tokens(20 + word, 5) if status is Status.OK else Tokens(0, 0),
        recorded_total=25 + word if status is Status.OK else 0,
        prompt=PromptPrint(("s1", f"u{word}")) if status in (Status.OK, Status.STOPPED) else None,
        query=f"u{word}" if chance.random() < 0.5 else None,
        answer=AnswerPrint(f"{word:032x}", 60) if status is Status.OK else AnswerPrint(),
        users=(f"{chance.randrange(users):032x}",),
    )


def some_requests(chance: random.Random, call: CallPrint, has_texts: bool) -> list[VendorCall]:
    word = int((call.query or "u0")[1:]) if call.prompt is None else int(call.prompt.messages[1][1:])
    begun = call.started_at + chance.randrange(0, 200_000)
    known: dict[str, Any] = {
        "source": "gw",
        "operation": "chat",
        "model": "gpt-4o",
        "users": call.users if chance.random() < 0.8 else (),
        "prompt": PromptPrint(("s1", f"u{word}")) if has_texts else None,
        "group": f"g{call.call_id}" if chance.random() < 0.3 else None,
    }
    failed = [
        VendorCall(id=f"{call.call_id}f{n}", started_at=begun, ended_at=begun + 1, status="error", **known)
        for n in range(chance.choice((0, 0, 0, 1, 2)))
    ]
    if call.status is Status.ERROR:
        return failed
    answer = AnswerPrint(f"{word:032x}", 60) if has_texts else None
    ended = max(begun + 2, call.ended_at - 1000)
    tokens = Tokens(20 + word, 5)
    done = VendorCall(
        id=f"{call.call_id}r",
        started_at=begun + 2,
        ended_at=ended,
        status="ok",
        tokens=tokens,
        answer=answer,
        **known,
    )
    return [*failed, done]


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(traffic(), st.lists(st.floats(0, 1), max_size=12), st.randoms(use_true_random=False))
def test_slices_and_the_order_of_arrival_change_nothing(
    sides: Sides, shares: list[float], order: random.Random
) -> None:
    calls, requests = sides
    whole = match(calls, requests)
    span = calls[-1].started_at - calls[0].started_at + 1
    borders = [calls[0].started_at + round(share * span) for share in shares]
    some_calls, some_requests = order.sample(calls, len(calls)), order.sample(requests, len(requests))
    assert by_slices(some_calls, some_requests, borders) == whole


def test_a_known_longest_call_makes_the_padding_shorter() -> None:
    assert padding(10 * SECOND) < padding(60 * SECOND) < PADDING == padding(3600 * SECOND)
