"""The LangSmith dialect, judged by the twin's rules and by what the langsmith package computes itself."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langsmith import Client
from langsmith.run_trees import RunTree
from langsmith.schemas import UsageMetadata
from langsmith.uuid import uuid7_from_datetime

from exporter.model import AssessedTrace, Status, StepKind, Tokens, Verdict
from exporter.spans.langsmith import LangSmithProjector
from exporter.spans.langsmith_runs import runs, uuid7
from exporter.spans.tree import tree
from tests.contract import langsmith_rules as rules
from tests.spans import assessed_traces as traces
from tests.spans.decoded import full, seen

project = LangSmithProjector(full())


def stored(assessed: AssessedTrace, of: LangSmithProjector = project) -> list[dict[str, Any]]:
    """The runs LangSmith makes of a trace; the test fails on anything it would refuse or misread."""
    notes: list[str] = []
    found = [rules.run(item.span, {}, notes.append) for item in seen(of(assessed))]
    assert notes == []
    return found


def call_run(**changes: Any) -> dict[str, Any]:
    """The run of a single assessed call."""
    return stored(traces.one_call(**changes))[-1]


def moment(micros: int) -> datetime:
    return datetime.fromtimestamp(micros // 1_000_000, UTC).replace(microsecond=micros % 1_000_000)


def test_dotted_order_is_what_the_langsmith_package_computes_for_the_same_runs() -> None:
    client = Client(api_url="http://127.0.0.1:9", api_key="none", auto_batch_tracing=False)
    theirs: dict[str, RunTree] = {}
    for run in stored(traces.chatflow()):
        known = {"name": run["name"], "run_type": "chain", "start_time": moment(run["start_time"])}
        if run["parent_run_id"] is None:
            theirs[run["id"]] = RunTree(id=UUID(run["id"]), ls_client=client, **known)
        else:
            theirs[run["id"]] = theirs[run["parent_run_id"]].create_child(run_id=UUID(run["id"]), **known)
        assert run["dotted_order"] == theirs[run["id"]].dotted_order
        assert run["trace_id"] == str(theirs[run["id"]].trace_id)
    assert len(theirs) == 12


def test_a_child_that_starts_before_its_parent_is_moved_as_the_langsmith_package_moves_it() -> None:
    client = Client(api_url="http://127.0.0.1:9", api_key="none", auto_batch_tracing=False)
    root = traces.step(10, StepKind.MESSAGE)
    child = traces.step(11, parent=root.span_id, started_at=root.started_at - 700_000)
    grandchild = traces.step(12, parent=child.span_id, started_at=root.started_at - 300_000)
    found = stored(AssessedTrace(traces.trace(10, (root, child, grandchild)), (), Verdict.UNVERIFIED))
    tree_root = RunTree(
        name="r", id=UUID(found[0]["id"]), start_time=moment(root.started_at), ls_client=client
    )
    moved = tree_root.create_child("c", run_id=UUID(found[1]["id"]), start_time=moment(child.started_at))
    last = moved.create_child("g", run_id=UUID(found[2]["id"]), start_time=moment(grandchild.started_at))
    assert [run["dotted_order"] for run in found[1:]] == [moved.dotted_order, last.dotted_order]
    assert found[2]["start_time"] == root.started_at


def test_run_ids_are_version_7_with_the_time_the_langsmith_package_would_give_them() -> None:
    for run in stored(traces.chatflow()):
        theirs = uuid7_from_datetime(moment(run["start_time"]))
        ours = UUID(run["id"])
        assert (ours.version, ours.variant) == (theirs.version, theirs.variant)
        assert ours.int >> 80 == theirs.int >> 80


def test_run_ids_are_the_same_again_and_none_of_difys_own() -> None:
    first, second = stored(traces.chatflow()), stored(traces.chatflow())
    assert [run["id"] for run in first] == [run["id"] for run in second]
    dify_ids = {traces.uuid(number) for number in range(1000, 1020)}
    assert not dify_ids & {run["id"] for run in first}
    assert len({run["id"] for run in first}) == 12


@settings(max_examples=200)
@given(st.integers(0, 2**48 * 1000 - 1), st.text("0123456789abcdef", min_size=16, max_size=16))
def test_every_time_and_span_gives_a_valid_version_7_uuid(started_at: int, span_id: str) -> None:
    made = UUID(uuid7(started_at, "ab" * 16, span_id))
    assert made.version == 7
    assert made.int >> 80 == started_at // 1000


@given(st.permutations(range(2, 8)), st.lists(st.integers(0, 5), min_size=6, max_size=6))
def test_parents_are_placed_before_children_whatever_the_order_of_steps(
    order: list[int], above: list[int]
) -> None:
    root = traces.step(1)
    chain = {
        number: traces.step(
            number, parent=traces.ids.span_id(traces.uuid(1 + above[number - 2] % (number - 1)))
        )
        for number in range(2, 8)
    }
    assessed = AssessedTrace(
        traces.trace(1, (root, *(chain[number] for number in order))), (), Verdict.UNVERIFIED
    )
    placed = runs(tree(assessed))
    for step in assessed.trace.steps[1:]:
        parent = placed[str(step.parent_id)]
        assert placed[step.span_id].parent_id == parent.id
        assert placed[step.span_id].dotted_order.startswith(parent.dotted_order + ".")
        assert placed[step.span_id].started_at >= parent.started_at


def test_usage_is_one_object_with_the_keys_of_the_langsmith_package() -> None:
    usage = call_run()["usage_metadata"]
    assert usage == {
        "input_tokens": 240,
        "output_tokens": 42,
        "total_tokens": 282,
        "input_token_details": {"cache_read": 64},
        "output_token_details": {"reasoning": 12},
        "total_cost": 0.0000612,
    }
    assert set(usage) <= set(UsageMetadata.__annotations__)


def test_cache_writes_are_cache_creation() -> None:
    usage = call_run(vendor=traces.vendor(tokens=Tokens(240, 42, cache_write=100)))["usage_metadata"]
    assert usage["input_token_details"] == {"cache_creation": 100}


def test_no_cost_is_sent_in_another_currency() -> None:
    yuan = traces.dify(cost=traces.Money(traces.Decimal("0.5"), "RMB"))
    run = call_run(dify=yuan, vendor=None)
    assert "total_cost" not in run["usage_metadata"]
    assert run["metadata"]["dify_exporter.cost.dify.currency"] == "RMB"


def test_unknown_usage_is_absent() -> None:
    assert call_run(dify=None, local=None, vendor=None, findings=())["usage_metadata"] is None


def test_usage_sits_on_model_runs_only() -> None:
    for run in stored(traces.chatflow()):
        assert (run["usage_metadata"] is not None) == (run["run_type"] == "llm")


def test_thread_and_user_are_on_every_run() -> None:
    for run in stored(traces.chatflow()):
        assert run["metadata"]["thread_id"] == traces.uuid(900)
        assert run["metadata"]["user_id"] == "user-17"
        assert run["metadata"]["dify.app_id"] == traces.APP.id


def test_the_three_readings_are_metadata_under_our_own_names() -> None:
    metadata = call_run()["metadata"]
    assert metadata["dify_exporter.tokens.dify.total"] == 150
    assert metadata["dify_exporter.tokens.local.input"] == 121
    assert metadata["dify_exporter.tokens.vendor.reasoning"] == 12
    assert metadata["dify_exporter.tokens.delta.dify_vendor.input"] == 120
    assert metadata["dify_exporter.tokens.chosen"] == "vendor"
    assert metadata["dify_exporter.verdict"] == "explained"
    assert json.loads(metadata["dify_exporter.findings"]) == ["retry_billed"]
    assert json.loads(metadata["explanation"])[0].startswith("retry_billed: +120 input")
    assert (metadata["ls_provider"], metadata["ls_model_name"]) == ("openai", "gpt-4o-mini")


def test_parameters_have_the_names_that_langsmiths_filters_know() -> None:
    metadata = call_run()["metadata"]
    assert (metadata["ls_model_type"], metadata["ls_temperature"], metadata["ls_max_tokens"]) == (
        "chat",
        0.2,
        512,
    )
    for kind, type_ in (("completion", "llm"), ("embedding", None)):
        of = traces.call(2, kind=kind)
        root = traces.step(1)
        steps = (root, traces.model_step(2, root.span_id, of))
        run = stored(AssessedTrace(traces.trace(1, steps), (), Verdict.PENDING))[-1]
        assert run["metadata"].get("ls_model_type") == type_


@pytest.mark.parametrize(
    ("provider", "word"),
    [
        ("langgenius/openai/openai", "openai"),
        ("langgenius/azure_openai/azure_openai", "azure"),
        ("langgenius/bedrock/bedrock", "amazon_bedrock"),
        ("langgenius/gemini/google", "google"),
        ("langgenius/vertex_ai/vertex_ai", "google_vertexai"),
        ("langgenius/tongyi/tongyi", "tongyi"),
    ],
)
def test_providers_have_the_names_that_langsmith_prices_by(provider: str, word: str) -> None:
    root = traces.step(1)
    steps = (root, traces.model_step(2, root.span_id, traces.call(2, provider=provider)))
    run = stored(AssessedTrace(traces.trace(1, steps), (), Verdict.PENDING))[-1]
    assert run["metadata"]["ls_provider"] == word


def test_kinds_are_run_types() -> None:
    assert [run["run_type"] for run in stored(traces.chatflow())] == [
        "chain",
        "chain",
        "chain",
        "retriever",
        "llm",
        "chain",
        "chain",
        "llm",
        "tool",
        "llm",
        "llm",
        "chain",
    ]


def test_only_the_root_is_tagged_and_a_comma_in_a_name_makes_no_second_tag() -> None:
    assessed = traces.one_call()
    app = replace(traces.APP, name="Sales, EMEA")
    first, second = stored(replace(assessed, trace=replace(assessed.trace, app=app)))
    assert first["tags"] == ["Sales  EMEA", "advanced-chat", "verdict:explained"]
    assert second["tags"] == []


def test_inputs_and_outputs_are_objects() -> None:
    run = call_run()
    assert [message["role"] for message in run["inputs"]["messages"]] == ["system", "user"]
    assert run["outputs"]["messages"][0]["content"] == "Because the second request was a retry."
    flow = stored(traces.chatflow())
    assert flow[0]["inputs"] == {"input": "Why was I billed twice?"}
    assert flow[2]["inputs"] == {"sys.query": "Why was I billed twice?"}


def test_a_text_that_only_looks_like_an_object_is_wrapped() -> None:
    root = traces.step(1, input='{"cut": "of', output="[1, 2]")
    run = stored(AssessedTrace(traces.trace(1, (root,)), (), Verdict.UNVERIFIED))[0]
    assert run["inputs"] == {"input": '{"cut": "of'}
    assert run["outputs"] == {"output": "[1, 2]"}


@pytest.mark.parametrize(
    ("status", "error", "shown"),
    [
        (Status.OK, None, None),
        (Status.ERROR, "[openai] Bad Request", "[openai] Bad Request"),
        (Status.ERROR, None, "error"),
        (Status.STOPPED, None, "stopped by the user"),
        (Status.UNFINISHED, None, "never finished in Dify"),
    ],
)
def test_errors_are_told_by_an_event(status: Status, error: str | None, shown: str | None) -> None:
    root = traces.step(1, status=status, error=error)
    assert stored(AssessedTrace(traces.trace(1, (root,)), (), Verdict.UNVERIFIED))[0]["error"] == shown


def test_a_project_that_a_header_cannot_spell_is_named_on_every_span() -> None:
    named = stored(traces.chatflow(), LangSmithProjector(full(), lambda app: f"客服 {app.mode}"))
    assert {run["session_name"] for run in named} == {"客服 advanced-chat"}
    assert {run["session_name"] for run in stored(traces.chatflow())} == {None}
