"""Situations in which a request could be given to the wrong call: it goes to the right one, or to none."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

from exporter.clock import rfc3339
from exporter.model import Call, PromptMessage, Recorded, Status, Tokens, ToolCall
from exporter.vendor.fingerprint import fingerprint_call
from exporter.vendor.matching.match import Match, match
from exporter.vendor.record import VendorCall, parse

T0 = 1_795_461_600_123_456
SECOND = 1_000_000
SYSTEM = "You are a helpful support assistant of Aurora Devices."
LONG = "The warranty covers parts and labour for twenty-four months."
TITLE = (
    "You are asked to generate a concise chat title by decomposing the user’s input into two parts: “Intention” and"
    " “Subject”.\nUser Input:\nHow long is the warranty?"
)


def prompt(*words: str) -> tuple[PromptMessage, ...]:
    return (PromptMessage("system", SYSTEM), *(PromptMessage("user", word) for word in words))


def call(name: str, at: float = 0.0, lasts: float = 0.5, **changes: Any) -> Call:
    known: dict[str, Any] = {
        "call_id": name,
        "kind": "chat",
        "provider": "openai",
        "model": "gpt-4o-mini",
        "started_at": T0 + round(at * SECOND),
        "ended_at": T0 + round((at + lasts) * SECOND),
        "status": Status.OK,
        "recorded": Recorded(Tokens(32, 12), "node.process_data.usage", 44),
        "prompt": prompt("How long is the warranty?"),
        "answer": LONG,
        "user": "erika",
    }
    return Call(**{**known, **changes})


def lost(name: str, at: float = 0.0, lasts: float = 0.5, **changes: Any) -> Call:
    """A call of which Dify kept nothing but who asked."""
    nothing: dict[str, Any] = {
        "model": None,
        "provider": None,
        "recorded": None,
        "prompt": None,
        "answer": None,
    }
    return call(name, at, lasts, **{**nothing, "status": Status.ERROR, **changes})


def abandoned(name: str) -> Call:
    """A message whose client hung up: only the query is kept."""
    return lost(
        name, 0.0, 0.0, status=Status.UNFINISHED, model="gpt-4o-mini", query="How long is the warranty?"
    )


def request(name: str, at: float = 0.1, lasts: float = 0.3, **changes: Any) -> VendorCall:
    words = changes.pop("words", ("How long is the warranty?",))
    record = {
        "id": name,
        "started_at": moment(at),
        "ended_at": moment(at + lasts),
        "model": "gpt-4o-mini-2024-07-18",
        "user": "erika",
        "request": {
            "messages": [
                {"role": "system", "content": SYSTEM + "\n"},
                *({"role": "user", "content": word} for word in words),
            ]
        },
        "response_text": LONG,
        "usage": {"prompt_tokens": 32, "completion_tokens": 12},
    }
    record |= changes
    return parse({key: value for key, value in record.items() if value is not None}, "gw")


def failed(name: str, at: float, **changes: Any) -> VendorCall:
    return request(
        name,
        at,
        0.01,
        **{"status": "error", "http_status": 503, "usage": None, "response_text": None, **changes},
    )


def moment(at: float) -> str:
    return rfc3339(T0 + round(at * SECOND))


def matched(calls: Sequence[Call], requests: Sequence[VendorCall], skew: float = 2.0) -> dict[str, list[str]]:
    """Request ids per call id; asserts that the order of the input changes nothing."""
    prints = [fingerprint_call(item) for item in calls]
    found = match(prints, requests, skew)
    for seed in range(5):
        order = random.Random(seed)
        again = match(order.sample(prints, len(prints)), order.sample(list(requests), len(requests)), skew)
        assert again == found
    return {name: [item.id for item in one.attempts] for name, one in found.items()}


def only(calls: Sequence[Call], requests: Sequence[VendorCall]) -> Match:
    (found,) = match([fingerprint_call(item) for item in calls], requests).values()
    return found


def test_the_same_words_and_answer_are_a_match() -> None:
    found = only([call("c")], [request("r")])
    assert (found.method, found.attempts[0].id) == ("response_text+prompt", "r")
    assert found.confidence > 0.9


def test_nothing_is_matched_outside_the_call_s_time() -> None:
    assert matched([call("c")], [request("early", -3.0), request("late", 2.4)]) == {}
    assert matched([call("c")], [request("r", -3.0)], skew=5.0) == {"c": ["r"]}


def test_times_that_dify_rounds_to_seconds_are_given_a_second_more() -> None:
    message = call("m", started_at=T0 - T0 % SECOND + SECOND, ended_at=T0 + SECOND)
    assert matched([message], [request("r", -1.5)]) == {"m": ["r"]}


def test_another_conversation_with_the_same_long_answer_is_not_matched() -> None:
    assert matched([call("c")], [request("r", words=("Something else?",), usage=usage(50, 12))]) == {}


def test_a_short_answer_alone_is_no_proof() -> None:
    without_prompt = call("c", prompt=None, answer="Yes")
    assert (
        matched([without_prompt], [request("r", request=None, response_text="Yes", usage=usage(1, 1))]) == {}
    )


def test_a_long_answer_alone_is_proof_when_the_prompt_was_not_logged() -> None:
    found = only([call("c")], [request("r", request=None, usage=usage(99, 9))])
    assert (found.method, found.confidence) == ("response_text", 0.85)


def test_dify_s_own_requests_are_never_matched() -> None:
    title = request("t", request={"messages": [{"role": "user", "content": TITLE}]}, response_text=LONG)
    embedding = request("e", operation="embeddings", response_text=None)
    assert matched([call("c", prompt=None, query=TITLE)], [title, embedding]) == {}


def test_eight_equal_chats_in_one_second_get_one_request_each() -> None:
    calls = [call(f"c{n}", n / 100) for n in range(8)]
    requests = [request(f"r{n}", 0.05 + n / 100) for n in range(8)]
    found = matched(calls, requests)
    assert found == {f"c{n}": [f"r{n}"] for n in range(8)}


def test_equal_calls_at_the_same_time_stay_unmatched_when_their_numbers_differ() -> None:
    calls = [call("a", 0.0), call("b", 0.05)]
    requests = [request("r1", 0.1), request("r2", 0.12, usage=usage(32, 12, cached=16))]
    assert matched(calls, requests) == {}


def test_equal_calls_one_after_the_other_are_matched_in_order_whatever_the_clocks_say() -> None:
    calls = [call(f"c{n}", n * 0.6) for n in range(3)]
    for shift in (-1.5, 0.0, 1.1):
        requests = [request(f"r{n}", n * 0.6 + 0.1 + shift, usage=usage(32, 12, cached=n)) for n in range(3)]
        assert matched(calls, requests) == {f"c{n}": [f"r{n}"] for n in range(3)}


def test_one_request_for_two_equal_calls_is_given_to_neither() -> None:
    assert matched([call("a"), call("b", 0.02)], [request("r")]) == {}


def test_tokens_alone_match_when_the_gateway_logs_no_text() -> None:
    bare = {"request": None, "response_text": None, "user": None}
    found = only([call("c")], [request("r", **bare), request("other", 0.2, usage=usage(33, 12), **bare)])
    assert (found.method, [item.id for item in found.attempts]) == ("tokens+time", ["r"])


def test_tokens_alone_do_not_match_another_model() -> None:
    bare = {"request": None, "response_text": None, "model": "gpt-4o"}
    assert matched([call("c")], [request("r", **bare)]) == {}


def test_a_served_model_under_another_name_needs_words_and_prompt() -> None:
    assert matched([call("c", model="our-alias")], [request("r")]) == {"c": ["r"]}
    assert matched([call("c", model="our-alias", answer=None)], [request("r")]) == {}
    routed = request("r", model="azure/gpt-4o-mini", response_text=None)
    assert matched([call("c", answer=None)], [routed]) == {"c": ["r"]}


def test_a_failed_try_before_the_answer_joins_the_call() -> None:
    found = matched([call("c", lasts=2.0)], [failed("f1", 0.1), failed("f2", 0.6), request("r", 1.2)])
    assert found == {"c": ["f1", "f2", "r"]}


def test_a_failed_try_that_two_calls_could_own_joins_neither() -> None:
    calls = [call("a", lasts=2.0), call("b", 0.1, lasts=2.0)]
    found = matched(calls, [failed("f", 0.2), request("r1", 0.8), request("r2", 1.2)])
    assert sorted(found) == ["a", "b"]
    assert "f" not in {name for ids in found.values() for name in ids}


def test_an_answer_that_was_thrown_away_and_asked_again_joins_the_node() -> None:
    found = matched(
        [call("c", lasts=2.0)], [request("w", 0.1, response_text="not JSON at all"), request("r", 1.2)]
    )
    assert found == {"c": ["w", "r"]}


def test_a_stopped_answer_is_found_by_its_beginning_though_the_vendor_went_on() -> None:
    stopped = call(
        "c",
        lasts=1.0,
        status=Status.STOPPED,
        answer=LONG[:33],
        recorded=Recorded(Tokens(0, 0), "messages", 0),
    )
    found = only([stopped], [request("r", 0.2, lasts=9.0)])
    assert (found.method, found.attempts[0].id) == ("response_beginning+prompt", "r")


def test_a_finished_answer_is_not_found_by_its_beginning() -> None:
    assert matched([call("c", answer=LONG[:33])], [request("r", usage=usage(32, 13))]) == {}


def test_an_abandoned_message_is_found_by_its_query_though_nothing_else_was_kept() -> None:
    found = only([abandoned("m")], [request("r", 5.0, lasts=9.0)])
    assert (found.method, found.attempts[0].id) == ("query+user", "r")


def test_the_query_of_somebody_else_is_not_taken() -> None:
    assert matched([abandoned("m")], [request("r", user="franz")]) == {}
    assert matched([abandoned("m")], [request("r", user=None)]) == {"m": ["r"]}


def test_a_failed_node_that_kept_nothing_is_found_by_user_and_time() -> None:
    found = only([lost("n", lasts=1.5)], [failed("f1", 0.1), failed("f2", 0.7)])
    assert (found.method, [item.id for item in found.attempts]) == ("user+time", ["f1", "f2"])


def test_a_failed_node_gets_nothing_when_two_conversations_failed() -> None:
    assert matched([lost("n")], [failed("f1", 0.1), failed("f2", 0.2, words=("Something else?",))]) == {}


def test_a_failed_node_gets_nothing_of_other_users_or_of_unknown_ones() -> None:
    assert matched([lost("n")], [failed("f", 0.1, user="franz")]) == {}
    assert matched([lost("n")], [failed("f", 0.1, user=None)]) == {}


def test_a_failed_node_is_not_given_an_answer_that_was_received() -> None:
    assert matched([lost("n")], [request("r")]) == {}


def test_two_failed_nodes_in_a_row_get_their_own_requests() -> None:
    calls = [lost("n1", 0.0, 0.4), lost("n2", 0.4, 0.4)]
    requests = [failed("f1", 0.3), failed("f2", 0.7, words=("and again",))]
    assert matched(calls, requests) == {"n1": ["f1"], "n2": ["f2"]}


def test_failed_nodes_side_by_side_get_nothing() -> None:
    calls = [lost("n1"), lost("n2", 0.1)]
    assert matched(calls, [failed("f1", 0.3), failed("f2", 0.35, words=("and again",))]) == {}


def test_the_rounds_of_an_agent_node_come_together() -> None:
    node = call(
        "n",
        lasts=3.0,
        prompt=None,
        query="What time is it?",
        answer="\nIt is noon, and the office is open until six.",
        note="agent_rounds:2",
        recorded=Recorded(Tokens(100, 20), "node.outputs.usage", 120),
    )
    first = request(
        "r1",
        words=("What time is it?",),
        response_text="",
        tool_calls=[tool("call_1")],
        usage=usage(40, 8),
    )
    second = request(
        "r2",
        1.0,
        request={
            "messages": [
                {"role": "system", "content": SYSTEM},
                {"role": "user", "content": "What time is it?"},
                {"role": "assistant", "content": None, "tool_calls": [tool("call_1")]},
                {"role": "tool", "tool_call_id": "call_1", "content": "12:00"},
            ]
        },
        response_text="It is noon, and the office is open until six.",
        usage=usage(60, 12),
    )
    assert matched([node], [first, second]) == {"n": ["r1", "r2"]}


def test_an_agent_node_whose_answer_is_rewritten_is_found_by_its_query() -> None:
    node = call("n", lasts=3.0, prompt=None, query="What time is it?", answer="Noon.", note="agent_rounds:1")
    react = request("r", words=("What time is it?",), response_text="Thought: I know.\nFinalAnswer: Noon.")
    assert matched([node], [react]) == {"n": ["r"]}


def test_rounds_of_an_agent_app_keep_their_own_requests() -> None:
    calls = [
        call(
            f"t{n}",
            n * 0.5,
            prompt=None,
            query="What time is it?",
            answer="I need a tool.",
            recorded=Recorded(Tokens(40 + n, 8), "message_agent_thoughts", 48 + n),
        )
        for n in range(2)
    ]
    requests = [
        request(
            f"r{n}",
            0.1 + n * 0.5,
            words=("What time is it?", "continue")[: n + 1],
            response_text=f"Thought: round {n}.\nAction: look",
            usage=usage(40 + n, 8),
        )
        for n in range(2)
    ]
    assert matched(calls, requests) == {"t0": ["r0"], "t1": ["r1"]}


def test_tool_call_ids_prove_a_match_without_any_text() -> None:
    asking = call("c", prompt=None, answer=None, tool_calls=(ToolCall("call_7", "find", "{}"),))
    found = only([asking], [request("r", response_text=None, request=None, tool_calls=[tool("call_7")])])
    assert (found.method, found.confidence) == ("tool_call_id", 0.999)


def test_a_request_of_another_app_is_not_taken() -> None:
    printed = fingerprint_call(call("c"), app_id="app-1")
    assert match([printed], [request("r", dify_app_id="app-2")]) == {}
    assert list(match([printed], [request("r", dify_app_id="app-1")])) == ["c"]


def test_a_request_known_only_by_its_end_is_matched() -> None:
    found = matched([call("c")], [request("r", started_at=None)])
    assert found == {"c": ["r"]}


def usage(given: int, written: int, cached: int | None = None) -> dict[str, Any]:
    details = {} if cached is None else {"prompt_tokens_details": {"cached_tokens": cached}}
    return {"prompt_tokens": given, "completion_tokens": written, **details}


def tool(identity: str) -> dict[str, Any]:
    return {"id": identity, "type": "function", "function": {"name": "current_time", "arguments": "{}"}}
