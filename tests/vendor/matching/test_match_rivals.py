"""Equal words asked again within seconds: a request is not given to a neighbour of the call that sent it."""

from __future__ import annotations

from dataclasses import replace

from exporter.model import Status, Tokens
from exporter.vendor.fingerprint import AnswerPrint, CallPrint, PromptPrint
from exporter.vendor.matching.match import match
from exporter.vendor.record import VendorCall

T0 = 1_795_461_600_123_456
SECOND = 1_000_000
ANSWER = AnswerPrint(text="a" * 32, chars=60, beginnings=("b" * 16, "c" * 16))


def call(name: str, at: float, lasts: float = 0.5, status: Status = Status.OK) -> CallPrint:
    is_ok = status is Status.OK
    return CallPrint(
        call_id=name, kind="chat", provider="openai", model="gpt-4o", app_id=None, status=status,
        started_at=T0 + round(at * SECOND), ended_at=T0 + round((at + lasts) * SECOND),
        recorded=Tokens(9, 5) if is_ok else Tokens(0, 0), recorded_total=14 if is_ok else 0,
        prompt=PromptPrint(("u1",)) if is_ok else None, query="u1", answer=ANSWER if is_ok else AnswerPrint(),
        users=("erika",),
    )  # fmt: skip


def request(name: str, at: float, lasts: float = 0.3, status: str = "ok") -> VendorCall:
    return VendorCall(
        source="gw", id=name, started_at=T0 + round(at * SECOND), ended_at=T0 + round((at + lasts) * SECOND),
        operation="chat", model="gpt-4o", status=status, users=("erika",), prompt=PromptPrint(("u1",)),
        tokens=Tokens(9, 5) if status == "ok" else None, answer=ANSWER if status == "ok" else None,
    )  # fmt: skip


def matched(calls: list[CallPrint], requests: list[VendorCall]) -> dict[str, list[str]]:
    return {name: [item.id for item in one.attempts] for name, one in match(calls, requests).items()}


def test_the_request_of_a_stopped_call_is_not_given_to_the_next_one_whose_own_was_not_logged() -> None:
    stopped, asked_again = call("a", 0.0, 1.0, Status.STOPPED), call("b", 1.1)
    assert matched([stopped, asked_again], [request("r", 0.1)]) == {"a": ["r"]}


def test_an_unfinished_call_does_not_take_what_was_asked_later_by_another_unfinished_one() -> None:
    first = call("a", 0.0, 0.4, Status.UNFINISHED)
    later = replace(call("b", 9.0, 0.4, Status.UNFINISHED), query=None)
    assert matched([first, later], [request("r1", 0.05), request("r2", 9.05)]) == {"a": ["r1"], "b": ["r2"]}


def test_what_failed_for_a_failed_node_is_no_first_try_of_the_next_node() -> None:
    node = replace(call("a", 0.0, 0.4, Status.ERROR), model=None, query=None)
    found = matched([node, call("b", 0.5)], [request("f", 0.1, 0.01, "error"), request("r", 0.6)])
    assert found == {"a": ["f"], "b": ["r"]}


def test_two_answers_to_one_conversation_are_not_both_the_failed_call_s() -> None:
    failed = call("a", 0.0, 2.0, Status.ERROR)
    requests = [request("r1", 0.1), request("r2", 0.9), request("f", 1.5, 0.01, "error")]
    assert matched([failed], requests) == {"a": ["f"]}


def test_another_user_s_equal_words_and_answer_are_given_only_to_who_has_no_request_of_his_own() -> None:
    franz = replace(call("f", 0.0), users=("franz",))
    assert matched([call("e", 0.0), franz], [request("r", 0.1)]) == {"e": ["r"]}
