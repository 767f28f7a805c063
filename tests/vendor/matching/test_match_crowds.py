"""So many alike that pairs cannot be judged one by one: still in linear time, still the same result, still no wrong pair.

What would be quadratic does not end here in the time a test run has.
"""

from __future__ import annotations

import random
from typing import Any

import pytest

from exporter.model import Status, Tokens
from exporter.vendor.fingerprint import AnswerPrint, CallPrint, PromptPrint
from exporter.vendor.matching.match import match
from exporter.vendor.record import VendorCall

T0 = 1_795_461_600_123_456
SECOND = 1_000_000
HI = PromptPrint(("s1", "uhi"))
HELLO = AnswerPrint(text="a" * 32, chars=20, beginnings=("b" * 16,))
BARE: dict[str, Any] = {"prompt": None, "answer": None}
FAILED: dict[str, Any] = {"status": "error", "tokens": None, "answer": None}
MANY = 10_000


def call(number: int, at: float, lasts: float = 0.5, **changes: Any) -> CallPrint:
    known: dict[str, Any] = {
        "call_id": f"c{number}",
        "kind": "chat",
        "provider": "openai",
        "model": "gpt-4o",
        "app_id": None,
        "status": Status.OK,
        "started_at": T0 + round(at * SECOND),
        "ended_at": T0 + round((at + lasts) * SECOND),
        "recorded": Tokens(20, 5),
        "recorded_total": 25,
        "prompt": HI,
        "answer": HELLO,
        "users": ("erika",),
    }
    return CallPrint(**{**known, **changes})


def request(number: int, at: float, lasts: float = 0.3, **changes: Any) -> VendorCall:
    known: dict[str, Any] = {
        "source": "gw",
        "id": f"r{number}",
        "started_at": T0 + round(at * SECOND),
        "ended_at": T0 + round((at + lasts) * SECOND),
        "operation": "chat",
        "model": "gpt-4o",
        "status": "ok",
        "users": ("erika",),
        "tokens": Tokens(20, 5),
        "prompt": HI,
        "answer": HELLO,
    }
    return VendorCall(**{**known, **changes})


def matched(calls: list[CallPrint], requests: list[VendorCall]) -> dict[str, list[str]]:
    found = match(calls, requests)
    order = random.Random(1)
    assert match(order.sample(calls, len(calls)), order.sample(requests, len(requests))) == found
    return {name: [item.id for item in one.attempts] for name, one in found.items()}


@pytest.mark.parametrize("bare", [{}, BARE], ids=["words", "no words"])
def test_ten_thousand_equal_calls_in_a_second_get_one_request_each(bare: dict[str, Any]) -> None:
    calls = [call(n, n / MANY) for n in range(MANY)]
    requests = [request(n, 0.05 + n / MANY, **bare) for n in range(MANY)]
    assert matched(calls, requests) == {f"c{n}": [f"r{n}"] for n in range(MANY)}


def test_equal_calls_with_a_pause_between_them_are_matched_however_many_they_are() -> None:
    calls = [call(n, n * 2) for n in range(MANY)]
    requests = [request(n, n * 2 + 0.1) for n in range(MANY)]
    assert matched(calls, requests) == {f"c{n}": [f"r{n}"] for n in range(MANY)}


def test_requests_that_differ_in_numbers_are_given_to_none_of_so_many_equal_calls() -> None:
    calls = [call(n, n / MANY) for n in range(MANY)]
    requests = [request(n, 0.05 + n / MANY, tokens=Tokens(20, 5, cache_read=n % 3)) for n in range(MANY)]
    assert matched(calls, requests) == {}


def test_half_as_many_requests_are_given_to_none_of_so_many_equal_calls() -> None:
    calls = [call(n, n / MANY) for n in range(MANY)]
    assert matched(calls, [request(n, 0.05 + n / MANY) for n in range(0, MANY, 2)]) == {}


def test_one_user_s_many_requests_find_their_calls_by_their_words() -> None:
    many = 3 * MANY
    calls, requests = [], []
    for n in range(many):
        prompt, answer = PromptPrint(("s1", f"u{n:015}")), AnswerPrint(text=f"{n:032}", chars=60)
        calls.append(call(n, n / 20, prompt=prompt, answer=answer))
        requests.append(request(n, 0.1 + n / 20, prompt=prompt, answer=answer))
    found = match(calls, requests)
    assert {name: one.attempts[0].id for name, one in found.items()} == {
        f"c{n}": f"r{n}" for n in range(many)
    }


def test_failures_of_one_user_without_words_are_given_to_nobody_when_there_are_so_many() -> None:
    nothing: dict[str, Any] = {
        "prompt": None,
        "answer": AnswerPrint(),
        "recorded": Tokens(0, 0),
        "recorded_total": 0,
        "model": None,
        "status": Status.ERROR,
    }
    calls = [call(n, n / 50, **nothing) for n in range(MANY)]
    assert matched(calls, [request(n, 0.1 + n / 50, prompt=None, **FAILED) for n in range(MANY)]) == {}


def test_calls_and_requests_that_show_nothing_at_all_are_not_matched() -> None:
    calls = [
        call(n, n / 50, prompt=None, answer=AnswerPrint(), users=(), recorded=Tokens(), recorded_total=None)
        for n in range(MANY)
    ]
    bare = {**BARE, "users": (), "tokens": Tokens(20, 5)}
    assert matched(calls, [request(n, 0.1 + n / 50, **bare) for n in range(MANY)]) == {}


def test_retries_of_many_equal_calls_are_given_to_nobody() -> None:
    calls = [call(n, n / 50, lasts=1.0) for n in range(1000)]
    tries = [request(MANY + n, 0.1 + n / 50, 0.01, **FAILED) for n in range(1000)]
    answers = [request(n, 0.5 + n / 50) for n in range(1000)]
    found = matched(calls, [*tries, *answers])
    assert all(int(identity[1:]) < MANY for ids in found.values() for identity in ids)
