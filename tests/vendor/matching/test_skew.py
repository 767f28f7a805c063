"""A source's clock is learnt from its traffic, and clocks that are wrong change nothing in the end."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from exporter.model import Status, Tokens
from exporter.vendor.fingerprint import AnswerPrint, CallPrint, PromptPrint, fingerprint_call
from exporter.vendor.matching.match import match
from exporter.vendor.matching.skew import Shift, learn, shifted
from exporter.vendor.record import VendorCall, parse
from tests.vendor import recorded_calls as recorded
from tests.vendor.convert_recording import canonical

T0 = 1_795_461_600_123_456
SECOND = 1_000_000
BARE = ("request", "response_text", "tool_calls")
POORER = {"everything": (), "no texts": BARE, "no texts, no users": (*BARE, "user")}


def call(number: int, at: float, lasts: float = 1.0) -> CallPrint:
    return CallPrint(
        call_id=f"c{number}",
        kind="chat",
        provider="openai",
        model="gpt-4o",
        app_id=None,
        status=Status.OK,
        started_at=T0 + round(at * SECOND),
        ended_at=T0 + round((at + lasts) * SECOND),
        recorded=Tokens(100 + number, 7),
        recorded_total=107 + number,
        prompt=PromptPrint((f"u{number}",)),
        answer=AnswerPrint(text=f"{number:032x}", chars=80),
    )


def request(number: int, at: float, source: str = "gw") -> VendorCall:
    return VendorCall(
        source=source,
        id=f"r{number}",
        started_at=T0 + round(at * SECOND),
        ended_at=T0 + round((at + 0.4) * SECOND),
        first_token_at=T0 + round((at + 0.2) * SECOND),
        operation="chat",
        model="gpt-4o",
        status="ok",
        tokens=Tokens(100 + number, 7),
        prompt=PromptPrint((f"u{number}",)),
        answer=AnswerPrint(text=f"{number:032x}", chars=80),
    )


CALLS = [call(n, n * 10) for n in range(8)]


def test_a_right_clock_is_left_alone() -> None:
    assert learn(CALLS, [request(n, n * 10 + 0.3) for n in range(8)])["gw"].micros == 0


@pytest.mark.parametrize("off", [-120.0, -2.5, 2.5, 120.0, 880.0])
def test_the_smallest_shift_that_puts_every_request_into_its_call_is_learnt(off: float) -> None:
    learnt = learn(CALLS, [request(n, n * 10 + 0.3 + off) for n in range(8)])["gw"]
    needed = (
        -off + 0.3 if off > 0 else -off - 0.3
    )  # inside a call of 1 s the request of 0.4 s has 0.3 s on either side
    assert learnt == Shift(round(needed * SECOND), 8, 600_000)


def test_zero_is_kept_where_it_fits_nearly_as_well() -> None:
    late = [request(n, n * 10 + (0.3 if n else 0.7)) for n in range(8)]
    assert (
        learn([*CALLS, call(8, 80), call(9, 90)], [*late, request(8, 80.1), request(9, 90.1)])["gw"].micros
        == 0
    )


def test_four_pairs_prove_no_difference_but_one_proves_none() -> None:
    assert learn(CALLS, [request(n, n * 10 + 60) for n in range(4)]) == {}
    assert learn(CALLS, [request(0, 0.3)])["gw"] == Shift(0, 1, 600_000)


def test_what_two_calls_or_two_requests_share_is_no_pair() -> None:
    twins = [
        replace(item, call_id=f"{item.call_id}-again", started_at=item.started_at + SECOND) for item in CALLS
    ]
    asked = [request(n, n * 10 + 60) for n in range(8)]
    assert learn([*CALLS, *twins], asked) == {}
    again = [replace(item, id=f"{item.id}-again") for item in asked]
    assert learn(CALLS, [*asked, *again]) == {}


def test_a_few_pairs_by_chance_do_not_outvote_the_others() -> None:
    right = [request(n, n * 10 + 60.3) for n in range(6)]
    chance = [request(6, 300.0), request(7, -200.0)]
    assert abs(learn(CALLS, [*right, *chance])["gw"].micros + 60 * SECOND) < SECOND


def test_shifting_moves_the_times_and_nothing_else() -> None:
    before = request(1, 5.0)
    after = shifted(before, -3 * SECOND)
    assert (after.start, after.end) == (before.start - 3 * SECOND, before.end - 3 * SECOND)
    assert after.first_token_at == before.first_token_at - 3 * SECOND if before.first_token_at else False
    assert shifted(after, 3 * SECOND) == before
    unknown = replace(before, started_at=None, first_token_at=None)
    assert shifted(unknown, SECOND).started_at is None


@pytest.fixture(scope="module", params=["1.12.1", "1.14.0"])
def recording(
    request: pytest.FixtureRequest, shared: Path
) -> tuple[list[CallPrint], list[dict[str, object]]]:
    instance = recorded.V1_12 if request.param == "1.12.1" else recorded.V1_14
    found = recorded.calls(recorded.traces(shared, instance))
    prints = [fingerprint_call(one, trace.app.id, trace.user_aliases) for trace, one in found]
    return prints, [canonical(line) for line in recorded.log_by_id(shared, instance).values()]


@pytest.mark.parametrize("poorer", POORER)
@pytest.mark.parametrize("off", [{"a": 120}, {"a": -120}, {"a": 120, "b": -45}, {"a": -1, "b": 1}])
def test_recorded_traffic_with_wrong_clocks_is_matched_as_with_right_ones(
    recording: tuple[list[CallPrint], list[dict[str, object]]], poorer: str, off: dict[str, int]
) -> None:
    prints, records = recording
    right = [
        parse({name: value for name, value in record.items() if name not in POORER[poorer]}, "unused")
        for record in records
    ]
    right = [replace(item, source="ab"["mini" in item.model] if len(off) > 1 else "a") for item in right]
    wrong = [shifted(item, off[item.source] * SECOND) for item in right]
    learnt = learn(prints, wrong)
    mended = [shifted(item, learnt[item.source].micros) for item in wrong]
    assert owners(prints, mended) == owners(prints, right)


def owners(prints: list[CallPrint], requests: list[VendorCall]) -> dict[str, str]:
    found = match(prints, requests)
    return {attempt.id: name for name, one in found.items() for attempt in one.attempts}
