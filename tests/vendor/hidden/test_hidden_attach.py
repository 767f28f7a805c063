"""A hidden request goes to a trace only when the evidence leaves no other choice; the order of the input is nothing."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.model import Step, StepKind, Trace
from exporter.vendor.hidden.attach import Attached, attach
from exporter.vendor.hidden.traces import TracePrint, fingerprint_trace
from exporter.vendor.record import VendorCall
from tests.vendor.hidden.hidden_by_hand import (
    SALES,
    SUGGEST,
    embedding,
    message,
    request,
    title,
    trace,
    unfinished,
)


def attached(traces: Sequence[Trace], *requests: VendorCall) -> dict[str, Attached]:
    found = attach([fingerprint_trace(one) for one in traces], requests)
    return {identity: one for (_, identity), one in found.items()}


def owners(traces: Sequence[Trace], *requests: VendorCall) -> dict[str, int | None]:
    """The number of the trace that each request was given to."""
    return {
        identity: int(one.trace_id, 16) if one.trace_id else None
        for identity, one in attached(traces, *requests).items()
    }


# ── titles ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_title_goes_to_the_first_message_of_its_conversation() -> None:
    traces = [trace(1, session="c"), trace(2, session="c", at=1.5)]
    assert owners(traces, title("t", at=2)) == {"t": 1}


def test_a_title_of_other_words_or_of_another_hour_goes_to_nobody() -> None:
    traces = [trace(1)]
    assert owners(traces, title("t", "bye"), title("late", at=3600)) == {"t": None, "late": None}


def test_a_workflow_run_has_no_title() -> None:
    run = replace(fingerprint_trace(trace(1)), session_id=None)
    assert attach([run], [title("t")])["gateway", "t"].trace_id is None


def test_an_abandoned_message_without_an_end_has_its_title() -> None:
    assert owners([unfinished(trace(1))], title("t")) == {"t": 1}


def test_two_titles_of_the_same_words_are_told_apart_by_the_conversations_names() -> None:
    traces = [trace(1, name="Greeting"), trace(2, name="Saying hi")]
    found = owners(traces, title("a", name="Saying hi"), title("b", name="Greeting"))
    assert found == {"a": 2, "b": 1}


def test_titles_of_the_same_words_and_numbers_are_given_out_in_order() -> None:
    traces = [trace(1), trace(2, at=0.5)]
    assert owners(traces, title("a", at=1), title("b", at=1.5)) == {"a": 1, "b": 2}


def test_titles_of_the_same_words_and_other_numbers_go_to_the_app() -> None:
    traces = [trace(1), trace(2, at=0.5)]
    usage = {"prompt_tokens": 200, "completion_tokens": 31}
    found = attached(traces, title("a", at=1), title("b", at=1.5, usage=usage))
    assert {one.trace_id for one in found.values()} == {None}
    assert {one.app_id for one in found.values()} == {"app-support"}


def test_one_title_for_two_conversations_of_two_apps_goes_to_the_instance() -> None:
    found = attached([trace(1), trace(2, app=SALES)], title("t"))["t"]
    assert (found.trace_id, found.app_id, found.purpose) == (None, None, "title")


def test_the_app_that_a_request_names_decides() -> None:
    found = attached([trace(1), trace(2, app=SALES)], title("t", dify_app_id="app-sales"))["t"]
    assert found.trace_id == f"{2:032x}"


def test_titles_one_after_the_other_in_equal_number_are_a_sequence() -> None:
    traces = [trace(1, at=0, lasts=1.5), trace(2, at=2, lasts=1.5), trace(3, at=4, lasts=1.5)]
    usages = [{"prompt_tokens": 200, "completion_tokens": number} for number in (20, 21, 22)]
    requests = [title(str(n), at=2 * n + 1, usage=usage) for n, usage in enumerate(usages)]
    assert owners(traces, *requests) == {"0": 1, "1": 2, "2": 3}


def test_a_failed_attempt_at_a_title_stays_with_the_one_that_succeeded() -> None:
    failed = title("f", at=0.9, status="error", usage=None)
    assert owners([trace(1)], failed, title("t")) == {"f": 1, "t": 1}


def test_a_second_title_in_the_same_moment_is_not_the_trace_s() -> None:
    found = attached([trace(1)], title("t"), title("of a deleted conversation", at=1.2))
    assert {identity for identity, one in found.items() if one.trace_id} == {"t"}


def test_a_title_asked_for_again_much_later_needs_the_conversation_s_name_too() -> None:
    traces = [trace(1, name="Greeting")]
    again = title("again", at=900, name="Greeting")
    assert attached(traces, again)["again"].trace_id is not None
    assert attached(traces, again)["again"].confidence < 0.9
    assert owners(traces, title("again", at=900, name="Other")) == {"again": None}
    assert owners([*traces, trace(2, at=300, name="Greeting")], again) == {"again": None}


# ── suggested questions ─────────────────────────────────────────────────────────────────────────────────────


def suggested(identity: str, answer: str = "Hello!", *, at: float = 3) -> VendorCall:
    return request(identity, f"Human: hi\nAssistant: {answer}{SUGGEST}", at=at)


def test_suggestions_go_to_the_answer_that_their_history_ends_with() -> None:
    traces = [trace(1), trace(2, answer="Good day!")]
    assert owners(traces, suggested("a"), suggested("b", "Good day!")) == {"a": 1, "b": 2}


def test_each_look_at_the_suggestions_is_a_request_of_its_own() -> None:
    assert owners([trace(1)], suggested("a"), suggested("b", at=4), suggested("c", at=900)) == {
        "a": 1,
        "b": 1,
        "c": 1,
    }


def test_suggestions_before_the_answer_are_not_its_own() -> None:
    assert owners([trace(1, lasts=60)], suggested("a", at=3)) == {"a": None}


def test_of_two_equal_exchanges_the_one_that_just_ended_is_meant() -> None:
    assert owners([trace(1), trace(2, at=600)], suggested("a", at=603)) == {"a": 2}
    assert owners([trace(1), trace(2, at=1)], suggested("a", at=4)) == {"a": None}
    same = [trace(1, session="c"), trace(2, session="c", at=3)]
    assert owners(same, suggested("a", at=6)) == {"a": 2}


# ── embeddings, reranks, routers ────────────────────────────────────────────────────────────────────────────


def test_an_embedding_goes_to_the_trace_that_searched_for_its_text() -> None:
    traces = [trace(1, searches="How long?"), trace(2, "How much?", at=0.1)]
    assert owners(traces, embedding("a", "How long?"), embedding("b", "How much?")) == {"a": 1, "b": 2}


def test_an_embedding_of_documents_belongs_to_no_trace() -> None:
    found = attached([trace(1, "a")], embedding("e", "a", "b"), embedding("f", "A whole document."))
    assert {(one.trace_id, one.app_id) for one in found.values()} == {(None, None)}


def test_the_same_query_by_two_datasets_models_is_two_requests_of_one_trace() -> None:
    requests = [embedding("a", "hi"), embedding("b", "hi", model="bge-m3")]
    assert owners([trace(1)], *requests) == {"a": 1, "b": 1}


def test_a_second_trace_with_the_same_query_may_have_been_answered_from_the_cache() -> None:
    traces = [trace(1), trace(2, at=0.1)]
    found = attached(traces, embedding("a", "hi", at=0.5))["a"]
    assert (found.trace_id, found.app_id) == (None, "app-support")
    assert owners(traces, embedding("a", "hi", at=0.5), embedding("b", "hi", at=0.6)) == {"a": 1, "b": 2}


def test_an_equal_text_embedded_just_before_the_trace_is_somebody_else_s() -> None:
    requests = [embedding("annotation saved", "hi", at=-1.9), embedding("query", "hi", at=0.3)]
    assert owners([trace(1, at=0.1)], *requests) == {"annotation saved": None, "query": 1}


def test_clocks_may_differ_by_the_skew() -> None:
    assert owners([trace(1, at=0.1)], embedding("e", "hi", at=-1.5)) == {"e": 1}
    assert owners([trace(1, at=0.1)], embedding("e", "hi", at=-2.5)) == {"e": None}


def test_an_abandoned_trace_without_an_end_keeps_its_embedding() -> None:
    assert owners([unfinished(trace(1))], embedding("e", "hi", at=12)) == {"e": 1}


def test_another_end_user_s_embedding_is_not_this_trace_s() -> None:
    traces = [trace(1, user="alice"), trace(2, user="bob")]
    requests = [embedding("a", "hi", user="alice"), embedding("b", "hi", user="bob")]
    assert owners(traces, *requests) == {"a": 1, "b": 2}
    assert owners(traces, embedding("m", "hi", user="mallory")) == {"m": None}


def test_a_rerank_goes_to_the_trace_that_searched_for_its_query() -> None:
    body = {"query": "hi", "documents": ["a", "b"]}
    found = request("r", body=body, operation="rerank", usage={"total_tokens": 9})
    assert owners([trace(1), trace(2, "other")], found) == {"r": 1}


def test_a_router_s_request_is_an_attempt_of_the_call_that_dify_recorded() -> None:
    one = trace(1, searches="hi")
    retrieval = next(step for step in one.steps if step.kind is StepKind.RETRIEVAL)
    call = one.calls[0]
    step = Step(
        "f" * 16, retrieval.span_id, StepKind.MODEL, "retrieval model", one.started_at, one.ended_at, one.status,
        call=replace(call, call_id="node:7", kind="hidden:retrieval"),
    )  # fmt: skip
    recorded = replace(one, steps=(*one.steps, step))
    tools = [
        {"type": "function", "function": {"name": f"0f6a1c2e-8a41-4d55-9c1b-5d2f9f6a1b0{n}"}} for n in "12"
    ]
    routed = request("r", message("You are a helpful AI assistant.", "system"), "hi", body={"tools": tools})
    assert attached([recorded], routed)["r"].call_id == "node:7"
    assert attached([one], routed)["r"].call_id is None


# ── without texts ───────────────────────────────────────────────────────────────────────────────────────────


def test_without_texts_an_embedding_goes_to_the_one_trace_of_its_user_that_searched() -> None:
    traces = [
        trace(1, searches="x", user="alice"),
        trace(2, searches="y", user="bob"),
        trace(3, user="alice"),
    ]
    assert owners(traces, embedding("e", user="alice")) == {"e": 1}
    assert owners([*traces, trace(4, searches="z", user="alice")], embedding("e", user="alice")) == {
        "e": None
    }


def test_without_texts_and_user_only_a_trace_that_was_alone_can_be_meant() -> None:
    alone = [trace(1, searches="x"), trace(2, searches="y", at=60)]
    assert owners(alone, embedding("e", at=60.2)) == {"e": 2}
    assert owners([*alone, trace(3, at=59)], embedding("e", at=60.2)) == {"e": None}
    assert owners([trace(1)], embedding("e")) == {"e": None}


def test_the_user_named_unknown_is_nobody() -> None:
    assert owners([trace(1, searches="x")], embedding("e", user="unknown")) == {"e": 1}
    assert owners([trace(1)], title("t", user="unknown")) == {"t": 1}


# ── the rest ────────────────────────────────────────────────────────────────────────────────────────────────


def test_editor_requests_belong_to_the_instance_and_others_are_left_alone() -> None:
    code = (
        "You are an expert programmer. Generate code based on the following instructions:\n\nInstructions: x"
    )
    found = attached([trace(1)], request("code", code), request("answer", "hi"))
    assert list(found) == ["code"]
    assert (found["code"].trace_id, found["code"].app_id, found["code"].method) == (None, None, "words")


def test_a_print_survives_being_stored() -> None:
    one = fingerprint_trace(trace(1, name="Greeting", searches="x"))
    assert TracePrint.from_json(one.to_json()) == one
    assert b"Greeting" not in one.to_json()
    assert b"hi" not in one.to_json()


def test_a_burst_of_equal_questions_is_handled_at_once() -> None:
    """Every pair of 4,000 is possible: looked at one by one they would be 16 million."""
    traces = [trace(number, lasts=3600) for number in range(4000)]
    found = owners(traces, *(title(str(number), at=1 + number / 10) for number in range(4000)))
    assert set(found.values()) == {None}


WORDS = st.sampled_from(["hi", "Hello there", "How long?"])
TIMES = st.integers(0, 40).map(lambda tenths: tenths / 4)


@st.composite
def worlds(draw: st.DrawFn) -> tuple[list[Trace], list[VendorCall]]:
    traces = [
        trace(
            number, draw(WORDS), at=draw(TIMES), session=draw(st.sampled_from(["c", "d", None])),
            name=draw(st.sampled_from(["N", "M", None])), app=draw(st.sampled_from([SALES, trace(1).app])),
            searches=draw(st.one_of(st.none(), WORDS)),
        )
        for number in range(1, draw(st.integers(2, 6)))
    ]  # fmt: skip
    requests = []
    for number in range(draw(st.integers(1, 6))):
        words, at = draw(WORDS), draw(TIMES)
        kind = draw(st.integers(0, 3))
        if kind == 0:
            requests.append(title(str(number), words, at=at, name=draw(st.sampled_from(["N", None]))))
        elif kind == 1:
            requests.append(embedding(str(number), words, at=at))
        elif kind == 2:
            requests.append(embedding(str(number), at=at))
        else:
            requests.append(request(str(number), f"Human: {words}\nAssistant: Hello!{SUGGEST}", at=at))
    return traces, requests


@settings(max_examples=150, deadline=None)
@given(worlds(), st.randoms(use_true_random=False))
def test_the_order_of_the_input_changes_nothing(
    world: tuple[list[Trace], list[VendorCall]], chance: random.Random
) -> None:
    traces, requests = [fingerprint_trace(one) for one in world[0]], world[1]
    found = attach(traces, requests)
    shuffled = chance.sample(traces, len(traces)), chance.sample(requests, len(requests))
    assert attach(*shuffled) == found
    assert set(found) == {(one.source, one.id) for one in requests}
