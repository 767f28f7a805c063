"""The Langfuse dialect, judged by the rules of a real server as the twin keeps them."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from exporter.model import AssessedTrace, Status, StepKind, Tokens, ToolCall, Verdict
from exporter.spans.langfuse import LangfuseProjector, environment_name
from tests.contract import langfuse_rules as rules
from tests.spans import assessed_traces as traces
from tests.spans.decoded import full, seen

project = LangfuseProjector(full())


def stored(assessed: AssessedTrace, of: LangfuseProjector = project) -> list[dict[str, Any]]:
    """The observations a server makes of a trace; the test fails when it would change or drop something silently."""
    notes: list[str] = []
    rows = [rules.observation(item.span, {}, notes.append) for item in seen(of(assessed))]
    assert notes == []
    return rows


def call_row(**changes: Any) -> dict[str, Any]:
    """The observation of a single assessed call."""
    return stored(traces.one_call(**changes))[-1]


def test_usage_is_the_chosen_reading_without_its_parts_beside_the_three_totals() -> None:
    row = call_row()
    assert row["usageDetails"] == {
        "input": 240 - 64,
        "input_cached_tokens": 64,
        "output": 42 - 12,
        "output_reasoning_tokens": 12,
        "total": 282,
        "dify": 150,
        "local": 151,
        "vendor": 282,
    }
    assert rules.shown(row["usageDetails"]) == (240, 42, 282)


def test_cache_writes_have_langfuses_own_key() -> None:
    row = call_row(vendor=traces.vendor(tokens=Tokens(240, 42, cache_read=40, cache_write=100)))
    assert row["usageDetails"]["input_cache_creation"] == 100
    assert row["usageDetails"]["input"] == 100
    assert rules.shown(row["usageDetails"]) == (240, 42, 282)


def test_parts_that_exceed_their_whole_are_not_split_off() -> None:
    row = call_row(vendor=traces.vendor(tokens=Tokens(10, 5, cache_read=64, reasoning=12)))
    assert (row["usageDetails"]["input"], row["usageDetails"]["output"]) == (10, 5)
    assert rules.shown(row["usageDetails"]) == (10, 5, 15)


def test_a_relayed_vendor_reading_is_no_second_witness() -> None:
    row = call_row(vendor=traces.vendor(independent=False))
    assert row["usageDetails"] == {"input": 120, "output": 30, "total": 150, "dify": 150, "local": 151}
    assert row["metadata"]["vendor"]["independent"] is False


def test_a_lone_total_is_shown_as_a_total_only() -> None:
    row = call_row(
        dify=traces.dify(tokens=Tokens(), total=77, cost=None), local=None, vendor=None, findings=()
    )
    assert row["usageDetails"] == {"total": 77, "dify": 77}
    assert rules.shown(row["usageDetails"]) == (0, 0, 77)


def test_langfuse_never_counts_by_itself_where_nothing_is_known() -> None:
    row = call_row(dify=None, local=None, vendor=None, findings=())
    assert row["model"] is None
    assert row["guessed"] is False
    assert row["usageDetails"] == {}
    assert row["metadata"]["model"] == "gpt-4o-mini"
    assert row["type"] == "GENERATION"


def test_a_known_zero_is_said_and_not_guessed() -> None:
    row = call_row(dify=traces.dify(0, 0, cost=None), local=None, vendor=None, findings=())
    assert row["usageDetails"] == {"input": 0, "output": 0, "total": 0, "dify": 0}
    assert row["guessed"] is False


def test_costs_are_dollars_with_the_chosen_one_as_total() -> None:
    assert call_row()["costDetails"] == {"total": 0.0000612, "dify": 0.000036, "vendor": 0.0000612}


def test_other_money_stays_in_the_metadata() -> None:
    yuan = traces.dify(cost=traces.Money(traces.Decimal("0.0042"), "RMB"))
    row = call_row(dify=yuan, vendor=None)
    assert row["costDetails"] == {}
    assert row["metadata"]["dify"]["cost"] == "0.0042 RMB"


def test_no_total_cost_is_claimed_when_the_chosen_reading_has_none() -> None:
    assert call_row(vendor=traces.vendor(cost=None))["costDetails"] == {}


def test_metadata_tells_each_reading_and_each_finding_in_words() -> None:
    metadata = call_row(unexplained_input=-3, within_tolerance=True)["metadata"]
    assert metadata["dify"] == {
        "input": 120,
        "output": 30,
        "total": 150,
        "cost": "0.0000360 USD",
        "kind": "vendor_passed",
        "provenance": "node.process_data.usage",
    }
    assert metadata["local"]["tokenizer"] == "o200k_base"
    assert metadata["vendor"]["attempts"] == [
        {"id": "chatcmpl-1", "status": "error", "input": 120, "output": 0},
        {"id": "chatcmpl-2", "status": "ok", "input": 120, "output": 42},
    ]
    assert metadata["findings"] == [
        "retry_billed: +120 input, +12 output tokens (certain). Two attempts were billed. Lower the retry count."
    ]
    assert metadata["unexplained"] == {
        "input": -3,
        "output": 0,
        "cost": "+0.0000252 USD",  # 0.0000612 - 0.0000360, and no finding holds any of it
        "within_tolerance": True,
    }


def test_metadata_says_who_made_a_cost_and_what_a_finding_costs() -> None:
    of_book = traces.Money(traces.Decimal("0.0000612"), "USD", "operator: prices.entries[0]")
    held = replace(traces.finding(), cost=traces.Money(traces.Decimal("0.0000252"), "USD", of_book.origin))
    metadata = call_row(vendor=traces.vendor(cost=of_book), findings=(held,))["metadata"]
    assert (metadata["vendor"]["cost"], metadata["vendor"]["cost_from"]) == (
        "0.0000612 USD",
        "operator: prices.entries[0]",
    )
    assert "cost_from" not in metadata["dify"]
    assert metadata["findings"][0].startswith(
        "retry_billed: +120 input, +12 output tokens, +0.0000252 USD (certain)."
    )
    assert metadata["unexplained"]["cost"] == "0 USD"


def test_what_belongs_to_the_trace_is_on_every_span() -> None:
    rows = stored(traces.chatflow())
    assert len(rows) == 12
    for row in rows:
        assert row["traceName"] == "Support bot"
        assert row["userId"] == "user-17"
        assert row["sessionId"] == traces.uuid(900)
        assert row["tags"] == ["Support bot", "advanced-chat", "verdict:explained"]
        assert row["environment"] == "production"
        assert row["version"] == "2026-11-01 09:00:00"


def test_the_root_has_the_name_of_the_trace() -> None:
    assessed = traces.one_call()
    assessed = replace(assessed, trace=replace(assessed.trace, name="Support bot · Answer"))
    assert stored(assessed)[0]["name"] == "Support bot · Answer"


def test_debug_runs_can_be_told_apart() -> None:
    assessed = traces.one_call()
    assessed = replace(assessed, trace=replace(assessed.trace, is_debug=True))
    row = stored(assessed)[0]
    assert row["environment"] == "debug"
    assert row["tags"][-1] == "debug"


def test_a_pending_verdict_is_no_tag_because_old_servers_never_drop_one() -> None:
    assessed = replace(traces.one_call(), verdict=Verdict.PENDING)
    assert stored(assessed)[0]["tags"] == ["Support bot", "advanced-chat"]


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("Staging", "staging"),
        ("EU West / blue", "eu-west-blue"),
        ("langfuse-test", "test"),
        ("x" * 60, "x" * 40),
        ("***", "default"),
    ],
)
def test_the_operators_environment_is_made_acceptable(given: str, kept: str) -> None:
    assert environment_name(given) == kept
    debug = traces.one_call()
    debug = replace(debug, trace=replace(debug.trace, is_debug=True))
    assert stored(debug, LangfuseProjector(full(), given))[0]["environment"] == kept


def test_types_are_those_that_langfuse_draws() -> None:
    assert [row["type"] for row in stored(traces.chatflow())] == [
        "CHAIN",
        "CHAIN",
        "SPAN",
        "RETRIEVER",
        "GENERATION",
        "CHAIN",
        "CHAIN",
        "GENERATION",
        "TOOL",
        "GENERATION",
        "GENERATION",
        "SPAN",
    ]


def test_an_embedding_is_an_embedding() -> None:
    of = traces.call(2, kind="embedding", model="text-embedding-3-small", answer=None, prompt=None)
    root = traces.step(1)
    counted = traces.assessment(of, vendor=None, dify=traces.dify(12, 0), local=None, findings=())
    assessed = AssessedTrace(
        traces.trace(1, (root, traces.model_step(2, root.span_id, of))), (counted,), Verdict.AGREE
    )
    row = stored(assessed)[-1]
    assert row["type"] == "EMBEDDING"
    assert row["usageDetails"] == {"input": 12, "output": 0, "total": 12, "dify": 12}


def test_an_agent_span_carries_no_usage_and_its_call_does() -> None:
    agent = traces.step(1, StepKind.AGENT)
    of = traces.call(2)
    steps = (agent, traces.model_step(2, agent.span_id, of))
    rows = stored(AssessedTrace(traces.trace(1, steps), (traces.assessment(of),), Verdict.EXPLAINED))
    assert (rows[0]["type"], rows[0]["usageDetails"]) == ("AGENT", {})
    assert rows[1]["usageDetails"]["total"] == 282


def test_prompt_and_answer_are_drawn_as_a_conversation() -> None:
    asked = ToolCall("call_1", "search", '{"q":"invoice"}')
    of = traces.call(2, tool_calls=(asked,), reasoning="Think.", answer="Wait.")
    root = traces.step(1)
    assessed = AssessedTrace(
        traces.trace(1, (root, traces.model_step(2, root.span_id, of))), (), Verdict.PENDING
    )
    row = stored(assessed)[-1]
    assert json.loads(row["input"]) == [
        {"role": "system", "content": "You answer questions about invoices."},
        {"role": "user", "content": "Why was I billed twice? Mail me at jo.doe@example.com"},
    ]
    assert json.loads(row["output"]) == {
        "role": "assistant",
        "content": "Wait.",
        "tool_calls": [
            {
                "id": "call_1",
                "type": "function",
                "function": {"name": "search", "arguments": '{"q":"invoice"}'},
            }
        ],
        "reasoning": "Think.",
    }


def test_node_texts_are_shown_as_dify_wrote_them() -> None:
    row = stored(traces.chatflow())[2]
    assert row["input"] == '{"sys.query":"Why was I billed twice?"}'
    assert row["output"] == '{"text":"Because of a retry."}'


def test_parameters_and_first_token_are_there() -> None:
    row = call_row()
    assert row["modelParameters"] == {"temperature": 0.2, "max_tokens": 512}
    assert row["completionStartTime"] == "2026-11-23T18:53:22.323456+00:00"
    assert row["model"] == "gpt-4o-mini"


def test_why_an_answer_ended_is_in_the_metadata() -> None:
    assert call_row()["metadata"]["finish_reason"] == "stop"
    cut = traces.call(2, finish_reason="length\x00")
    root = traces.step(1)
    of = traces.trace(1, (root, traces.model_step(2, root.span_id, cut)))
    assert stored(AssessedTrace(of, (), Verdict.PENDING))[-1]["metadata"]["finish_reason"] == "length\ufffd"


@pytest.mark.parametrize(
    ("status", "level"),
    [
        (Status.OK, "DEFAULT"),
        (Status.ERROR, "ERROR"),
        (Status.STOPPED, "WARNING"),
        (Status.UNFINISHED, "WARNING"),
    ],
)
def test_how_a_step_ended_is_its_level(status: Status, level: str) -> None:
    root = traces.step(1, status=status, error=None if status is Status.OK else "[openai] Bad Request")
    row = stored(AssessedTrace(traces.trace(1, (root,)), (), Verdict.UNVERIFIED))[0]
    assert row["level"] == level
    assert row["statusMessage"] == (None if status is Status.OK else "[openai] Bad Request")


def test_findings_about_the_trace_and_what_could_not_be_read_are_told_on_the_root() -> None:
    assessed = replace(traces.one_call(), findings=(traces.finding("message_doubles_loop_tokens", -300, 0),))
    assessed = replace(
        assessed, trace=replace(assessed.trace, notes=("process_data of node 17 is not JSON",))
    )
    root = stored(assessed)[0]
    assert root["metadata"]["trace_findings"][0].startswith(
        "message_doubles_loop_tokens: -300 input, +0 output"
    )
    assert root["metadata"]["notes"] == ["process_data of node 17 is not JSON"]
    assert root["attributes"]["dify_exporter.findings"] == ["message_doubles_loop_tokens", "retry_billed"]


def test_a_child_run_is_named_in_the_metadata() -> None:
    tool = next(row for row in stored(traces.chatflow()) if row["type"] == "TOOL")
    assert tool["metadata"] == {"child_trace": traces.ids.trace_id(traces.uuid(5000))}


def test_our_names_are_there_too() -> None:
    found = call_row()["attributes"]
    assert found["dify_exporter.tokens.vendor.input"] == 240
    assert found["dify_exporter.tokens.delta.dify_vendor.input"] == 120
    assert found["dify_exporter.verdict"] == "explained"
    assert found["dify.app_id"] == traces.APP.id
