"""Logs without texts: a request goes to the only call that can have sent it, or to none."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import pytest

from exporter.clock import rfc3339
from exporter.model import Call, PromptMessage, Recorded, Status, Tokens
from exporter.vendor.fingerprint import fingerprint_call
from exporter.vendor.matching.match import match
from exporter.vendor.record import VendorCall, parse

T0 = 1_795_461_600_123_456
SECOND = 1_000_000
ASKED = (PromptMessage("user", "How long is the warranty?"),)


def call(name: str, at: float = 0.0, lasts: float = 1.0, **changes: Any) -> Call:
    known: dict[str, Any] = {
        "call_id": name,
        "kind": "chat",
        "provider": "openai",
        "model": "gpt-4o-mini",
        "started_at": T0 + round(at * SECOND),
        "ended_at": T0 + round((at + lasts) * SECOND),
        "status": Status.OK,
        "recorded": recorded(32, 12),
        "prompt": ASKED,
        "answer": "Two years.",
        "user": "erika",
    }
    return Call(**{**known, **changes})


def failed_node(name: str, at: float, lasts: float = 1.0, **changes: Any) -> Call:
    """A node of which Dify kept no model, prompt or number."""
    nothing: dict[str, Any] = dict.fromkeys(("model", "provider", "recorded", "prompt", "answer"))
    return call(name, at, lasts, **{**nothing, "status": Status.ERROR, **changes})


def recorded(given: int, written: int) -> Recorded:
    return Recorded(Tokens(given, written), "messages", given + written)


def request(name: str, at: float = 0.1, lasts: float = 0.5, **changes: Any) -> VendorCall:
    record = {
        "id": name,
        "source": "gw",
        "started_at": rfc3339(T0 + round(at * SECOND)),
        "ended_at": rfc3339(T0 + round((at + lasts) * SECOND)),
        "model": "gpt-4o-mini-2024-07-18",
        "user": "erika",
        "stream": True,
        "usage": usage(32, 12),
    }
    record |= changes
    return parse({key: value for key, value in record.items() if value is not None}, "gw")


def failed(name: str, at: float, **changes: Any) -> VendorCall:
    return request(name, at, 0.01, **{"status": "error", "http_status": 503, "usage": None, **changes})


def usage(given: int, written: int, **details: int) -> dict[str, Any]:
    return {"prompt_tokens": given, "completion_tokens": written, **details}


def matched(calls: Sequence[Call], requests: Sequence[VendorCall]) -> dict[str, list[str]]:
    """Request ids per call id; asserts that the order of the input changes nothing."""
    prints = [fingerprint_call(item, app_id="app-1") for item in calls]
    found = match(prints, requests)
    for seed in range(5):
        order = random.Random(seed)
        assert match(order.sample(prints, len(prints)), order.sample(list(requests), len(requests))) == found
    return {name: [item.id for item in one.attempts] for name, one in found.items()}


def method(calls: Sequence[Call], requests: Sequence[VendorCall]) -> str:
    (found,) = match([fingerprint_call(item, app_id="app-1") for item in calls], requests).values()
    return found.method


# ── both numbers ────────────────────────────────────────────────────────────────────────────────────────────


def test_equal_numbers_of_the_same_user_are_a_match() -> None:
    assert method([call("c")], [request("r")]) == "tokens+user"


def test_equal_numbers_of_another_user_are_none() -> None:
    assert matched([call("c")], [request("r", user="franz")]) == {}


def test_equal_numbers_count_where_the_log_names_no_user() -> None:
    assert method([call("c")], [request("r", user=None)]) == "tokens+time"


def test_the_app_speaks_for_equal_numbers_and_another_app_against_them() -> None:
    assert method([call("c")], [request("r", user=None, dify_app_id="app-1")]) == "tokens+app"
    assert matched([call("c")], [request("r", dify_app_id="app-2")]) == {}


def test_the_price_weighted_number_of_the_anthropic_plugin_is_recognised() -> None:
    """Recorded: Dify kept 308 + 61 where the vendor counted 95 uncached and 2,139 read from its cache."""
    claude = call("c", provider="anthropic", model="claude-sonnet-4-5", recorded=recorded(308, 61))
    billed = {"input_tokens": 95, "cache_read_input_tokens": 2139, "output_tokens": 61}
    given = request("r", model="claude-sonnet-4-5", usage=billed, usage_shape="anthropic", user=None)
    assert matched([claude], [given]) == {"c": ["r"]}
    assert matched([call("c", recorded=recorded(308, 61))], [given]) == {}


def test_eight_calls_with_the_same_numbers_at_once_get_one_request_each() -> None:
    calls = [call(f"c{n}", n / 50) for n in range(8)]
    requests = [request(f"r{n}", 0.05 + n / 50) for n in range(8)]
    assert matched(calls, requests) == {f"c{n}": [f"r{n}"] for n in range(8)}


def test_seven_requests_of_eight_calls_alike_are_given_to_nobody() -> None:
    calls = [call(f"c{n}", n / 50) for n in range(8)]
    assert matched(calls, [request(f"r{n}", 0.05 + n / 50) for n in range(7)]) == {}


# ── one number, or none ─────────────────────────────────────────────────────────────────────────────────────


def test_a_plugin_that_counted_the_output_by_itself_is_found_by_the_user_and_the_input() -> None:
    assert method([call("c")], [request("r", usage=usage(32, 9))]) == "count+user"
    assert matched([call("c")], [request("r", usage=usage(32, 9), user=None)]) == {}


def test_two_other_numbers_are_no_match_for_a_plugin_that_asks_for_usage() -> None:
    assert matched([call("c")], [request("r", usage=usage(31, 9))]) == {}


def test_two_other_numbers_are_a_match_for_a_plugin_that_estimates() -> None:
    local = call("c", provider="openai_api_compatible")
    assert method([local], [request("r", usage=usage(61, 11))]) == "user+time"
    assert matched([local], [request("r", usage=usage(61, 40))]) == {}


def test_other_numbers_are_never_a_match_for_a_plugin_that_only_passes_on() -> None:
    assert matched([call("c", provider="tongyi")], [request("r", usage=usage(32, 9))]) == {}


def test_of_two_requests_the_one_with_a_number_in_common_is_taken() -> None:
    requests = [request("r", 0.1, 0.3, usage=usage(32, 9)), request("other", 0.5, 0.3, usage=usage(90, 40))]
    assert matched([call("c")], requests[:1]) == {"c": ["r"]}
    assert matched([call("c")], [requests[0], request("twin", 0.5, 0.3, usage=usage(32, 40))]) == {}


# ── attempts ────────────────────────────────────────────────────────────────────────────────────────────────


def test_what_failed_before_the_answer_joins_the_call() -> None:
    given = matched([call("c", lasts=2.0)], [failed("f1", 0.1), failed("f2", 0.6), request("r", 1.2)])
    assert given == {"c": ["f1", "f2", "r"]}


def test_what_failed_after_the_answer_does_not() -> None:
    assert matched([call("c", lasts=2.0)], [request("r"), failed("f", 1.0)]) == {"c": ["r"]}


def test_what_two_calls_could_have_tried_joins_neither() -> None:
    calls = [call("a", lasts=2.0), call("b", 0.1, 2.0, recorded=recorded(33, 12))]
    given = matched(calls, [failed("f", 0.2), request("r1", 0.8), request("r2", 1.2, usage=usage(33, 12))])
    assert given == {"a": ["r1"], "b": ["r2"]}


def test_the_number_of_the_attempt_tells_which_call_tried_before() -> None:
    calls = [call("a", lasts=2.0), call("b", 0.1, 2.0, recorded=recorded(33, 12))]
    first, second = request("r1", 0.8, attempt=0), request("r2", 1.2, usage=usage(33, 12), attempt=1)
    assert matched(calls, [failed("f", 0.2, attempt=0), first, second]) == {"a": ["r1"], "b": ["f", "r2"]}


def test_requests_of_one_group_belong_to_one_call() -> None:
    calls = [call("a", lasts=2.0), call("b", 0.1, 2.0, recorded=recorded(33, 12))]
    first, second = request("r1", 0.8, group="g1"), request("r2", 1.2, usage=usage(33, 12), group="g2")
    given = matched(calls, [failed("f", 0.2, group="g1", user=None), first, second])
    assert given == {"a": ["f", "r1"], "b": ["r2"]}


def test_a_group_that_lasts_a_whole_session_does_not_gather_its_failures() -> None:
    node = failed_node("n", 1.2, user="franz")
    session = {"group": "session", "user": None}
    given = matched([call("a"), node], [request("r", **session), failed("f", 1.3, **session)])
    assert given == {"a": ["r"]}


def test_a_group_goes_only_where_all_of_it_can_have_come_from() -> None:
    nodes = [failed_node("n1", 0.0, 1.0), failed_node("n2", 3.5, 1.0)]
    both = [failed("f1", 0.5, group="g"), failed("f2", 2.4, group="g")]
    assert matched(nodes, both) == {"n1": ["f1", "f2"]}


def test_a_group_that_two_calls_share_tells_nothing() -> None:
    calls = [call("a", lasts=2.0), call("b", 0.1, 2.0, recorded=recorded(33, 12))]
    first, second = request("r1", 0.8, group="g"), request("r2", 1.2, usage=usage(33, 12), group="g")
    assert matched(calls, [failed("f", 0.2, group="g"), first, second]) == {"a": ["r1"], "b": ["r2"]}


# ── calls of which Dify kept nothing ────────────────────────────────────────────────────────────────────────


def test_a_failed_node_gets_what_failed_for_its_user() -> None:
    assert matched([failed_node("n", 0.0)], [failed("f1", 0.1), failed("f2", 0.6)]) == {"n": ["f1", "f2"]}
    assert matched([failed_node("n", 0.0)], [failed("f1", 0.1, user=None)]) == {}
    assert matched([failed_node("n", 0.0)], [request("r")]) == {}


def test_failed_nodes_in_a_row_get_their_own_once_the_clock_has_proved_right() -> None:
    nodes = [failed_node("n1", 2.0), failed_node("n2", 3.5)]
    requests = [failed("f1", 2.8), failed("f2", 4.0)]
    assert matched(nodes, requests) == {}
    proof = [call("c", 0.0), request("r", 0.1)]
    assert matched([proof[0], *nodes], [proof[1], *requests]) == {"c": ["r"], "n1": ["f1"], "n2": ["f2"]}


def test_a_clock_that_proved_wrong_decides_nothing() -> None:
    nodes = [failed_node("n1", 2.0), failed_node("n2", 3.5)]
    requests = [request("r", 0.9), failed("f1", 2.8), failed("f2", 4.0)]
    assert matched([call("c", 0.0), *nodes], requests) == {"c": ["r"]}


def test_a_failed_chat_is_found_by_model_and_time_where_no_user_is_named() -> None:
    chat = call("c", status=Status.ERROR, prompt=None, answer=None, recorded=recorded(0, 0))
    assert method([chat], [failed("f", 0.3, user=None)]) == "model+time"
    assert matched([chat], [failed("f", 0.3, user=None, model="gpt-4o")]) == {}


@pytest.mark.parametrize("status", [Status.STOPPED, Status.UNFINISHED])
def test_a_stopped_or_unfinished_call_gets_the_one_stream_of_its_user(status: Status) -> None:
    stopped = call("c", status=status, answer="Two", recorded=recorded(0, 0))
    assert matched([stopped], [request("r", 0.2, 9.0)]) == {"c": ["r"]}
    assert matched([stopped], [request("r", 0.2, 9.0, stream=False)]) == {}
    assert matched([stopped], [request("r", 0.2, 9.0, user=None)]) == {}
    assert matched([stopped], [request("r1", 0.2, 0.3), request("r2", 0.6, 9.0)]) == {}


def test_requests_that_ran_side_by_side_are_not_one_call_s() -> None:
    assert matched([failed_node("n", 0.0)], [failed("f1", 0.1), failed("f2", 0.105)]) == {}


# ── agent nodes ─────────────────────────────────────────────────────────────────────────────────────────────


def agent(given: int | None, written: int | None, total: int, rounds: int) -> Call:
    known = Recorded(Tokens(given, written), "node.outputs.usage", total)
    return call(
        "n", lasts=3.0, prompt=None, query="Which day?", recorded=known, note=f"agent_rounds:{rounds}"
    )


def test_rounds_that_add_up_to_an_agent_node_s_numbers_are_its_own() -> None:
    rounds = [request("r1", 0.1, usage=usage(40, 8)), request("r2", 1.0, usage=usage(60, 12))]
    assert matched([agent(100, 20, 120, 2)], rounds) == {"n": ["r1", "r2"]}
    assert matched([agent(None, None, 120, 2)], rounds) == {"n": ["r1", "r2"]}
    assert matched([agent(100, 21, 121, 2)], rounds) == {}
    assert matched([agent(100, 20, 120, 3)], rounds) == {}


def test_of_more_requests_those_are_the_rounds_that_alone_add_up() -> None:
    rounds = [request("r1", 0.1, 0.4, usage=usage(40, 8)), request("r2", 1.0, 0.4, usage=usage(60, 12))]
    between = request("tool", 0.6, 0.3, usage=usage(11, 32))
    assert matched([agent(100, 20, 120, 2)], [*rounds, between]) == {"n": ["r1", "r2"]}
    twin = request("twin", 2.0, 0.4, usage=usage(60, 12))
    assert matched([agent(100, 20, 120, 2)], [*rounds, twin]) == {}
