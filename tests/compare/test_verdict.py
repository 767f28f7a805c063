"""A trace is as good as its worst call, and its own sums are held against its model calls."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from exporter.compare.verdict import compare_trace, trace_verdict
from exporter.model import (
    App,
    Assessment,
    Call,
    Money,
    Recorded,
    RecordKind,
    RecordRef,
    Status,
    Step,
    StepKind,
    Sums,
    Tokens,
    Trace,
    Verdict,
)

NODE = "8e1b41b1-cc7b-4002-8486-50fef8049ab8"


def call(given: int | None, written: int | None, total: int | None = None) -> Call:
    recorded = Recorded(Tokens(given, written), "node.process_data.usage", total)
    return Call("node:1", "chat", "openai", "gpt-4o", 0, 1, Status.OK, recorded)


def trace(sums: Sums, *calls: Call, tools: tuple[int, ...] = (), **changes: Any) -> Trace:
    """`tools` are the tokens of child runs that workflow-tool nodes carry."""
    root = Step("0" * 15 + "1", None, StepKind.WORKFLOW, "flow", 0, 1, Status.OK)
    steps = [
        Step(f"{n:016x}", root.span_id, StepKind.NODE, "llm", 0, 1, Status.OK, call=one)
        for n, one in enumerate(calls, 2)
    ]
    steps += [
        Step(
            f"{n:016x}",
            root.span_id,
            StepKind.TOOL,
            "translate",
            0,
            1,
            Status.OK,
            facts=(("recorded.total_tokens", total),),
        )
        for n, total in enumerate(tools, 100)
    ]
    known: dict[str, Any] = {
        "trace_id": NODE.replace("-", ""),
        "ref": RecordRef(RecordKind.RUN, NODE, 0),
        "app": App("a", "flow", "workflow", "t"),
        "name": "flow",
        "started_at": 0,
        "ended_at": 1,
        "status": Status.OK,
        "steps": (root, *steps),
        "sums": sums,
    }
    return Trace(**{**known, **changes})


def codes(about: Trace) -> list[str]:
    found = compare_trace(about, []).findings
    assert all((item.input, item.output) == (0, 0) for item in found)
    return [item.code for item in found]


@pytest.mark.parametrize(
    ("verdicts", "worst"),
    [
        ([], Verdict.AGREE),
        ([Verdict.AGREE, Verdict.EXPLAINED], Verdict.EXPLAINED),
        ([Verdict.EXPLAINED, Verdict.UNVERIFIED], Verdict.UNVERIFIED),
        ([Verdict.PENDING, Verdict.UNVERIFIED], Verdict.PENDING),
        ([Verdict.UNEXPLAINED, Verdict.PENDING, Verdict.AGREE], Verdict.UNEXPLAINED),
    ],
)
def test_the_worst_call_decides(verdicts: list[Verdict], worst: Verdict) -> None:
    assessments = [Assessment(call(1, 1), None, None, None, verdict) for verdict in verdicts]
    assert trace_verdict(assessments) is worst
    assert compare_trace(trace(Sums(Tokens(1, 1))), assessments).verdict is worst


def test_equal_sums_say_nothing() -> None:
    sums = Sums(Tokens(74, 296), message=Tokens(74, 296), run_total=370, containers_total=370)
    assert codes(trace(sums, call(74, 296))) == []


def test_a_message_that_counts_its_containers_twice_is_told() -> None:
    sums = Sums(Tokens(74, 296), message=Tokens(148, 592), run_total=370, containers_total=370)
    about = trace(sums, call(74, 296))
    assert codes(about) == ["containers_counted_twice"]
    evidence = compare_trace(about, []).findings[0].evidence
    assert "The message" in evidence
    assert "740 instead of 370" in evidence


def test_a_run_that_counts_its_containers_twice_is_told() -> None:
    sums = Sums(Tokens(74, 296), run_total=740, containers_total=370)
    assert codes(trace(sums, call(74, 296))) == ["containers_counted_twice"]


def test_a_message_at_zero_over_billed_nodes_is_told() -> None:
    sums = Sums(Tokens(708, 37), message=Tokens(0, 0), run_total=745)
    assert codes(trace(sums, call(708, 37))) == ["message_total_zero"]


def test_a_total_that_only_the_agent_node_knows_counts_as_true() -> None:
    sums = Sums(Tokens(), message=Tokens(0, 0), run_total=766)
    assert codes(trace(sums, call(None, None, 766))) == ["message_total_zero"]


def test_a_run_that_adds_its_child_run_is_told() -> None:
    """Recorded: a run of 114 = 84 of its own and 30 of the workflow that its tool node called."""
    about = trace(Sums(Tokens(35, 49), message=Tokens(35, 49), run_total=114), call(35, 49), tools=(30,))
    assert codes(about) == ["workflow_tool_counted_twice"]
    evidence = compare_trace(about, []).findings[0].evidence
    assert "114 tokens: 84 of its own calls and 30 of the workflow" in evidence
    assert "(translate)" in evidence


def test_a_run_that_does_not_add_its_child_run_says_nothing() -> None:
    assert codes(trace(Sums(Tokens(35, 49), run_total=84), call(35, 49), tools=(30,))) == []


def test_a_run_that_adds_both_containers_and_a_child_run_is_told_of_both() -> None:
    sums = Sums(Tokens(35, 49), run_total=84 + 30 + 60, containers_total=60)
    assert codes(trace(sums, call(35, 49), tools=(10, 20))) == [
        "workflow_tool_counted_twice",
        "containers_counted_twice",
    ]


def test_a_sum_that_no_child_and_no_container_explains_differs() -> None:
    sums = Sums(Tokens(35, 49), run_total=120, containers_total=60)
    assert codes(trace(sums, call(35, 49), tools=(30,))) == ["run_total_differs"]


def test_a_run_of_an_engine_that_adds_nothing_up_is_told_from_one_that_never_ended() -> None:
    sums = Sums(Tokens(712, 37), run_total=0)
    finished, open_ = trace(sums, call(712, 37)), trace(sums, call(712, 37), is_final=False)
    assert codes(finished) == codes(open_) == ["run_total_zero"]
    assert "1.9.0" in compare_trace(finished, []).findings[0].evidence
    assert "never finished" in compare_trace(open_, []).findings[0].evidence


@pytest.mark.parametrize(
    ("currencies", "amount", "told"),
    [
        (("RMB", "USD"), "0.01", ["mixed_currencies"]),
        (("RMB", "CNY"), "0.01", []),
        (("USD", "USD"), "0.01", []),
        (("RMB", "USD"), "0", []),  # a model without a price is labelled USD
    ],
)
def test_prices_in_different_currencies_are_told(
    currencies: tuple[str, str], amount: str, told: list[str]
) -> None:
    calls = [
        Call(
            "node:1",
            "chat",
            "x",
            "y",
            0,
            1,
            Status.OK,
            Recorded(Tokens(1, 1), "n", 2, Money(Decimal(amount), name)),
        )
        for name in currencies
    ]
    assert codes(trace(Sums(Tokens(2, 2), run_total=4), *calls)) == told
    assert codes(trace(Sums(Tokens(2, 2), run_total=4), *calls, is_final=False)) == told


def test_a_message_that_differs_in_any_other_way_is_told() -> None:
    sums = Sums(Tokens(35, 49), message=Tokens(35, 50), run_total=84)
    assert codes(trace(sums, call(35, 49))) == ["message_total_differs"]


def test_a_run_that_is_never_finished_stays_at_zero() -> None:
    about = trace(Sums(Tokens(712, 37), message=Tokens(712, 37), run_total=0), call(712, 37), is_final=False)
    assert codes(about) == ["run_total_zero"]


def test_a_sum_on_its_way_is_not_compared_yet() -> None:
    about = trace(Sums(Tokens(712, 37), message=Tokens(0, 0), run_total=700), call(712, 37), is_final=False)
    assert codes(about) == ["message_total_zero"]


def test_a_paused_run_is_compared_as_it_stands() -> None:
    about = trace(Sums(Tokens(14, 57), run_total=71), call(14, 57), is_final=False, is_paused=True)
    assert codes(about) == []
    assert codes(replace(about, sums=Sums(Tokens(14, 57), run_total=70))) == ["run_total_differs"]


def test_a_trace_without_model_calls_has_nothing_to_disagree_about() -> None:
    found = compare_trace(trace(Sums(Tokens(), run_total=0)), [])
    assert (found.verdict, found.findings) == (Verdict.AGREE, ())
