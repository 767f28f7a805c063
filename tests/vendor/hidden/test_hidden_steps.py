"""Hidden requests become calls of their trace: one leaf each, at its place, with nothing that Dify did not record."""

from __future__ import annotations

import random
from dataclasses import replace

from exporter.model import Status, StepKind, Trace
from exporter.vendor.hidden.attach import Attached, attach
from exporter.vendor.hidden.steps import with_hidden
from exporter.vendor.hidden.traces import fingerprint_trace
from exporter.vendor.record import VendorCall
from tests.vendor.hidden.hidden_by_hand import SECOND, T0, embedding, title, trace


def found(one: Trace, *requests: VendorCall) -> list[tuple[VendorCall, Attached]]:
    placed = attach([fingerprint_trace(one)], requests)
    return [(request, placed[request.source, request.id]) for request in requests]


def test_a_title_is_one_more_call_below_the_root() -> None:
    one = trace(1)
    whole = with_hidden(one, found(one, title("t", at=1.5)))
    (step,) = [step for step in whole.steps if step.call and step.call.kind == "hidden:title"]
    assert (step.kind, step.name, step.parent_id) == (StepKind.MODEL, "title", one.steps[0].span_id)
    assert step.call is not None
    assert step.call.call_id == "hidden:gateway:t"
    assert (step.call.provider, step.call.model, step.call.status) == ("openai", "gpt-4", Status.OK)
    assert (step.call.recorded, step.call.prompt, step.call.answer, step.call.query) == (
        None,
        None,
        None,
        None,
    )
    assert step.call.message_id == "message-1"
    assert (step.started_at, step.ended_at) == (T0 + 1_500_000, T0 + 2_000_000)


def test_everything_else_of_the_trace_stays_as_it_was() -> None:
    one = trace(1, searches="hi")
    whole = with_hidden(one, found(one, title("t"), embedding("e", "hi")))
    assert tuple(s for s in whole.steps if not (s.call and s.call.kind.startswith("hidden"))) == one.steps
    assert replace(whole, steps=one.steps) == one


def test_an_embedding_hangs_under_the_retrieval_whose_query_it_is() -> None:
    one = trace(1, searches="How long?")
    whole = with_hidden(one, found(one, embedding("e", "How long?"), embedding("f", "hi")))
    retrieval = next(step for step in whole.steps if step.kind is StepKind.RETRIEVAL)
    parents = {step.call.call_id: step.parent_id for step in whole.steps if step.call}
    assert parents["hidden:gateway:e"] == retrieval.span_id
    assert parents["hidden:gateway:f"] == one.steps[0].span_id


def test_steps_stay_in_the_order_they_started() -> None:
    one = trace(1, searches="How long?")
    requests = [title("late", at=1.4), embedding("e", "How long?", at=0.3), embedding("f", "hi", at=0.05)]
    whole = with_hidden(one, found(one, *requests))
    assert [step.name for step in whole.steps] == [
        "chat",
        "embedding",
        "Search",
        "embedding",
        "gpt-4o",
        "title",
    ]


def test_nothing_begins_before_the_root_and_a_title_may_end_after_it() -> None:
    one = trace(1, lasts=1)
    whole = with_hidden(one, found(one, embedding("early", "hi", at=-1), title("t", at=0.9)))
    hidden = {s.name: s for s in whole.steps if s.call and s.call.kind.startswith("hidden")}
    assert hidden["embedding"].started_at == hidden["embedding"].ended_at == one.started_at
    assert hidden["title"].ended_at == T0 + round(1.4 * SECOND)
    assert whole.ended_at == one.ended_at


def test_a_failed_or_broken_request_says_so() -> None:
    one = trace(1)
    failed = title("f", at=0.9, status="error", usage=None)
    broken = title("b", at=1, status="aborted")
    whole = with_hidden(one, found(one, failed, broken))
    statuses = {step.call.call_id: step.status for step in whole.steps if step.call}
    assert statuses["hidden:gateway:f"] is Status.ERROR
    assert statuses["hidden:gateway:b"] is Status.STOPPED


def test_requests_of_other_traces_and_of_recorded_calls_are_left_out() -> None:
    one = trace(1)
    request = title("t")
    elsewhere = Attached("0" * 32, None, "title", "words+time", 0.95)
    recorded = Attached(one.trace_id, None, "knowledge_router", "words+time", 0.95, call_id="node:7")
    nowhere = Attached(None, "app-support", "title", "words+time", 0.95)
    assert with_hidden(one, [(request, elsewhere), (request, recorded), (request, nowhere)]) is one


def test_the_same_requests_in_any_order_or_twice_give_the_same_trace() -> None:
    one = trace(1, searches="How long?")
    pairs = found(one, title("t"), embedding("e", "How long?"), embedding("f", "hi"))
    whole = with_hidden(one, pairs)
    assert with_hidden(one, [*random.Random(7).sample(pairs, 3), pairs[0]]) == whole
    spans = [step.span_id for step in whole.steps]
    assert len(set(spans)) == len(spans) == len(one.steps) + 3
