"""Runs and chatflows become a tree whose leaves are the model calls."""

from __future__ import annotations

import json
from typing import Any

import pytest
from rows_for_tests import (
    MESSAGE,
    RUN,
    T0,
    app,
    chat_message,
    llm,
    message_rows,
    node,
    run_row,
    run_rows,
    usage,
)

from exporter.model import RecordKind, RecordRef, Status, Step, StepKind, Tokens, Trace
from exporter.sources.assemble import assemble
from exporter.sources.rows import ChildRun, TraceRows


def _tree(trace: Trace) -> list[str]:
    depth: dict[str | None, int] = {None: -1}
    lines = []
    for step in trace.steps:
        depth[step.span_id] = depth[step.parent_id] + 1
        lines.append("  " * depth[step.span_id] + f"{step.kind.value} {step.name}")
    return lines


def _by_name(trace: Trace, name: str) -> Step:
    return next(step for step in trace.steps if step.name == name)


def test_a_run_is_the_root_and_its_nodes_follow_in_order() -> None:
    trace = assemble(run_rows(llm(2), node(1, "start"), node(3, "end")))
    assert _tree(trace) == ["workflow Support", "  node start 1", "  model llm 2", "  node end 3"]
    assert trace.trace_id == RUN.replace("-", "")
    assert trace.sums.leaves == Tokens(12, 55)
    assert trace.sums.run_total == 67


def test_a_chatflow_has_message_then_run_then_nodes() -> None:
    message = chat_message(workflow_run_id=RUN, message_tokens=24, answer_tokens=110)
    trace = assemble(run_rows(llm(1), message=message))
    assert _tree(trace) == ["message Support", "  workflow workflow", "    model llm 1"]
    assert trace.trace_id == MESSAGE.replace("-", "")
    assert trace.sums.message == Tokens(24, 110)
    assert trace.session_id == message.conversation_id
    assert [call.message_id for call in trace.calls] == [MESSAGE]


def test_rounds_of_an_iteration_hold_their_children_and_containers_hold_no_usage() -> None:
    meta = [
        json.dumps({"total_tokens": 67, "iteration_id": "n1", "iteration_index": index}) for index in (0, 1)
    ]
    container = node(1, "iteration", execution_metadata='{"total_tokens": 134}', finished_at=T0 + 900_000)
    trace = assemble(
        run_rows(container, llm(3, execution_metadata=meta[1]), llm(2, execution_metadata=meta[0]))
    )
    assert _tree(trace) == [
        "workflow Support",
        "  container iteration 1",
        "    round round 1",
        "      model llm 2",
        "    round round 2",
        "      model llm 3",
    ]
    assert trace.sums.containers_total == 134
    assert trace.sums.leaves == Tokens(24, 110)
    assert _by_name(trace, "iteration 1").call is None


def test_a_loop_in_an_iteration_nests_twice_and_its_tokens_repeat_once() -> None:
    inner = json.dumps(
        {"total_tokens": 67, "loop_id": "n2", "loop_index": 0, "iteration_id": "n1", "iteration_index": 0}
    )
    trace = assemble(
        run_rows(
            node(1, "iteration", execution_metadata='{"total_tokens": 67}', finished_at=T0 + 900_000),
            node(
                2,
                "loop",
                execution_metadata='{"total_tokens": 67, "iteration_id": "n1", "iteration_index": 0}',
                finished_at=T0 + 500_000,
            ),
            llm(3, execution_metadata=inner),
        )
    )
    assert _tree(trace)[1:] == [
        "  container iteration 1",
        "    round round 1",
        "      container loop 2",
        "        round round 1",
        "          model llm 3",
    ]
    assert trace.sums.containers_total == 67


def test_a_container_that_ran_twice_is_told_apart_by_time() -> None:
    child = json.dumps({"loop_id": "lp", "loop_index": 0})
    first = node(1, "loop", node_id="lp", finished_at=T0 + 25_000)
    second = node(3, "loop", node_id="lp", finished_at=T0 + 60_000)
    trace = assemble(
        run_rows(first, llm(2, execution_metadata=child), second, llm(4, execution_metadata=child))
    )
    parents = {step.span_id: step for step in trace.steps}
    homes = [parents[parents[step.parent_id or ""].parent_id or ""].name for step in trace.steps if step.call]
    assert homes == ["loop 1", "loop 3"]


def test_a_react_agent_node_knows_only_its_total() -> None:
    log = [
        {
            "message_id": "a",
            "label": "ROUND 1",
            "parent_id": None,
            "status": "success",
            "data": {},
            "metadata": {"started_at": 10.0, "finished_at": 10.3, "total_tokens": 354},
        },
        {
            "message_id": "b",
            "label": "CALL clock",
            "parent_id": "a",
            "status": "success",
            "data": {"tool_call_args": {"tz": "UTC"}, "output": "19:20"},
            "metadata": {"started_at": 10.1, "finished_at": 10.2},
        },
    ]
    agent = node(
        1,
        "agent",
        inputs=json.dumps(
            {
                "model": {
                    "provider": "langgenius/openai/openai",
                    "model": "gpt-4o",
                    "completion_params": {"temperature": 0.1},
                },
                "query": "time?",
            }
        ),
        outputs=json.dumps({"text": "19:20", "usage": usage(0, 0, total=766)}),
        execution_metadata=json.dumps({"total_tokens": 766, "agent_log": log}),
        finished_at=T0 + 3_000_000,
    )
    trace = assemble(run_rows(agent))
    assert _tree(trace)[1:] == [
        "  agent agent 1",
        "    model gpt-4o",
        "    round ROUND 1",
        "      tool clock",
    ]
    call = trace.calls[0]
    assert call.recorded is not None
    assert (call.recorded.tokens, call.recorded.total) == (Tokens(), 766)
    assert call.parameters == (("temperature", 0.1),)
    assert [step.call is None for step in trace.steps if step.kind is StepKind.AGENT] == [True]
    tool = _by_name(trace, "clock")
    assert tool.started_at == agent.created_at + 100_000


def test_error_text_on_a_node_that_succeeded_after_a_retry_is_no_failure() -> None:
    trace = assemble(run_rows(llm(1, error="503 overloaded")))
    assert trace.calls[0].status is Status.OK
    assert trace.steps[1].error is None


def test_a_failed_node_is_a_call_without_a_record() -> None:
    trace = assemble(
        run_rows(
            llm(1, status="failed", error="x", process_data="{}", outputs=None), run=run_row(status="failed")
        )
    )
    assert trace.calls[0].status is Status.ERROR
    assert trace.calls[0].recorded is None
    assert trace.status is Status.ERROR


@pytest.mark.parametrize("status", ["running", "paused", "scheduled", "some-new-word"])
def test_a_run_that_dify_may_still_change_is_not_final(status: str) -> None:
    trace = assemble(run_rows(llm(1), run=run_row(status=status, finished_at=None)))
    assert not trace.is_final
    assert trace.status is Status.UNFINISHED
    assert trace.is_paused is (status == "paused")


def test_offloaded_values_are_said_and_make_the_prompt_incomplete() -> None:
    trace = assemble(run_rows(llm(1, offloaded=("process_data",))))
    assert trace.notes == ("llm node 'n1': process_data is cut, its full value is in Dify's object storage",)
    assert trace.calls[0].missing == ("the rest of a long prompt",)
    assert trace.calls[0].recorded is not None


def test_unknown_node_types_pass_through() -> None:
    trace = assemble(run_rows(node(1, "quantum-oracle")))
    assert (trace.steps[1].kind, trace.steps[1].name) == (StepKind.NODE, "quantum-oracle 1")


def test_usage_of_an_unknown_node_type_is_a_call_of_its_own() -> None:
    """A kind of node that is newer than this program asks a model: its tokens are in the run's sum."""
    data = json.dumps(
        {"usage": usage(30, 5), "model_provider": "langgenius/openai/openai", "model_name": "gpt-5"}
    )
    metadata = json.dumps({"total_tokens": 35, "total_price": "0.1", "currency": "USD"})
    trace = assemble(run_rows(node(1, "quantum-oracle", process_data=data, execution_metadata=metadata)))
    (call,) = trace.calls
    assert (call.provider, call.model) == ("openai", "gpt-5")
    assert call.recorded is not None
    assert call.recorded.tokens == Tokens(30, 5)
    assert trace.steps[2].parent_id == trace.steps[1].span_id


def test_what_a_user_names_usage_is_no_usage() -> None:
    outputs = json.dumps({"usage": {"prompt_tokens": 30, "completion_tokens": 5, "total_tokens": 35}})
    assert assemble(run_rows(node(1, "code", outputs=outputs))).calls == ()


def test_a_container_of_an_unknown_kind_that_repeats_its_rounds_is_no_call() -> None:
    metadata = json.dumps({"total_tokens": 35, "total_price": "0.1", "currency": "USD"})
    assert assemble(run_rows(node(1, "fan-out", execution_metadata=metadata))).calls == ()


def _entry(name: str, parent: str | None, total: int | None) -> dict[str, Any]:
    metadata = {} if total is None else {"total_tokens": total}
    return {"id": name, "label": name, "parent_id": parent, "status": "success", "metadata": metadata}


def test_an_agent_node_without_a_sum_has_that_of_its_rounds() -> None:
    """Before Dify 1.6.0. A round repeats its thought; a round without one counts by itself; a tool call has no tokens."""
    log = [
        _entry("ROUND 1", None, 60), _entry("Thought", "ROUND 1", 60), _entry("CALL clock", "ROUND 1", None),
        _entry("ROUND 2", None, 30),
    ]  # fmt: skip
    metadata = json.dumps({"agent_log": log})
    (call,) = assemble(run_rows(node(1, "agent", execution_metadata=metadata))).calls
    assert call.recorded is not None
    assert (call.recorded.tokens, call.recorded.total) == (Tokens(), 90)
    assert call.recorded.provenance == "node.execution_metadata.agent_log"


def test_a_failed_try_with_a_row_of_its_own_is_a_failed_call() -> None:
    """Dify before 1.9.0; a row that says retry without an end is one that will be written again."""
    tried = llm(1, status="retry", error="503", process_data=None)
    assert [step.status for step in assemble(run_rows(tried)).steps[1:]] == [Status.ERROR]
    waiting = llm(1, status="retry", error="503", process_data=None, finished_at=None)
    assert [step.status for step in assemble(run_rows(waiting)).steps[1:]] == [Status.UNFINISHED]


def _tool_rows(*children: ChildRun) -> TraceRows:
    meta = json.dumps({"tool_info": {"provider_type": "workflow", "provider_id": "p1"}, "total_tokens": 43})
    tool = node(1, "tool", inputs='{"q": "Guten Tag"}', execution_metadata=meta, finished_at=T0 + 500_000)
    return run_rows(tool, tool_apps=(("p1", "child-app"),), child_runs=children)


def _child(number: int, inputs: str) -> ChildRun:
    return ChildRun(f"20000000-0000-4000-8000-{number:012d}", "child-app", T0 + 20_000, "u", inputs, 43)


def test_a_workflow_tool_is_linked_to_its_child_run_when_only_one_fits() -> None:
    trace = assemble(
        _tool_rows(_child(1, '{"q": "Guten Tag", "sys.user_id": "x"}'), _child(2, '{"q": "Hallo"}'))
    )
    assert trace.steps[1].link == "20000000000040008000000000000001"


def test_nothing_is_claimed_when_two_child_runs_fit() -> None:
    trace = assemble(_tool_rows(_child(1, '{"q": "Guten Tag"}'), _child(2, '{"q": "Guten Tag"}')))
    assert trace.steps[1].link is None


def test_a_single_step_debug_run_is_a_trace_of_its_own() -> None:
    row = llm(1, workflow_run_id=None, triggered_from="single-step")
    rows = TraceRows(RecordRef(RecordKind.NODE, row.id, row.created_at), app("workflow"), nodes=(row,))
    trace = assemble(rows)
    assert trace.is_debug
    assert trace.trace_id == row.id.replace("-", "")
    assert [step.parent_id for step in trace.steps] == [None]
    assert trace.sums.leaves == Tokens(12, 55)


def test_parents_come_before_children_and_ids_never_repeat() -> None:
    rounds = [json.dumps({"iteration_id": "n1", "iteration_index": index}) for index in range(20)]
    trace = assemble(
        run_rows(
            node(1, "iteration", finished_at=T0 + 10_000_000),
            *[llm(index + 2, execution_metadata=meta) for index, meta in enumerate(rounds)],
        )
    )
    seen: set[str] = set()
    for step in trace.steps:
        assert step.parent_id is None or step.parent_id in seen
        assert step.span_id not in seen
        seen.add(step.span_id)


def test_rows_that_do_not_belong_together_are_refused() -> None:
    with pytest.raises(ValueError, match="missing"):
        assemble(TraceRows(RecordRef(RecordKind.NODE, RUN, T0), app("workflow")))


def test_deleted_chatflow_message_leaves_the_run_as_the_trace() -> None:
    rows = run_rows(llm(1), run=run_row(type="chat"))
    assert assemble(rows).trace_id == RUN.replace("-", "")
    assert assemble(message_rows(chat_message())).message_id == MESSAGE


def test_a_node_that_failed_gets_its_model_from_the_graph_of_its_run() -> None:
    graph = json.dumps(
        {
            "nodes": [
                {"id": "n1", "data": {"model": {"provider": "langgenius/tongyi/tongyi", "name": "qwen-plus"}}}
            ]
        }
    )
    failed = llm(1, status="failed", process_data="{}", outputs=None)
    call = assemble(run_rows(failed, graph=graph)).calls[0]
    assert (call.provider, call.model, call.recorded) == ("tongyi", "qwen-plus", None)


def test_what_a_node_recorded_beats_the_graph() -> None:
    graph = json.dumps(
        {"nodes": [{"id": "n1", "data": {"model": {"provider": "tongyi", "name": "qwen-plus"}}}]}
    )
    assert assemble(run_rows(llm(1), graph=graph)).calls[0].model == "gpt-4o-mini"
