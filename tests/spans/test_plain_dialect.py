"""The plain dialect: GenAI names, our own names, usage on leaves only."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from exporter.model import Accuracy, DifyKind, Status, StepKind, Sums, Tokens, ToolCall, Verdict
from exporter.spans.genai import call_operation, provider_name
from exporter.spans.plain import PlainProjector
from tests.spans import assessed_traces as traces
from tests.spans.decoded import full, leaf, seen

project = PlainProjector(full())


def test_a_call_carries_three_readings_their_differences_and_the_reason() -> None:
    found = leaf(project(traces.one_call())).attributes
    ours = {
        key.removeprefix("dify_exporter."): value
        for key, value in found.items()
        if key.startswith("dify_exporter.")
    }
    assert {
        key: ours[key] for key in ours if key.startswith(("tokens.", "cost.", "verdict", "findings"))
    } == {
        "tokens.dify.input": 120,
        "tokens.dify.output": 30,
        "tokens.dify.total": 150,
        "tokens.dify.kind": "vendor_passed",
        "tokens.dify.provenance": "node.process_data.usage",
        "tokens.local.input": 121,
        "tokens.local.output": 30,
        "tokens.local.total": 151,
        "tokens.local.tokenizer": "o200k_base",
        "tokens.local.accuracy": "exact",
        "tokens.vendor.input": 240,
        "tokens.vendor.output": 42,
        "tokens.vendor.total": 282,
        "tokens.vendor.cache_read": 64,
        "tokens.vendor.reasoning": 12,
        "tokens.vendor.match": "response_text",
        "tokens.vendor.independent": True,
        "tokens.vendor.provenance": "gateway:litellm",
        "tokens.delta.dify_vendor.input": 120,
        "tokens.delta.dify_vendor.output": 12,
        "tokens.delta.local_vendor.input": 119,
        "tokens.delta.local_vendor.output": 12,
        "tokens.delta.dify_local.input": 1,
        "tokens.delta.dify_local.output": 0,
        "tokens.chosen": "vendor",
        "cost.dify.total": 0.000036,
        "cost.dify.currency": "USD",
        "cost.vendor.total": 0.0000612,
        "cost.vendor.currency": "USD",
        "verdict": "explained",
        "findings": ["retry_billed"],
    }


def test_delta_dify_vendor_has_the_sign_of_findings() -> None:
    assessed = traces.one_call(findings=(traces.finding(input=120, output=12),))
    found = leaf(project(assessed)).attributes
    finding = assessed.assessments[0].findings[0]
    assert found["dify_exporter.tokens.delta.dify_vendor.input"] == finding.input
    assert found["dify_exporter.tokens.delta.dify_vendor.output"] == finding.output


def test_gen_ai_usage_is_the_chosen_reading_with_its_parts() -> None:
    found = leaf(project(traces.one_call())).attributes
    assert {key: value for key, value in found.items() if key.startswith("gen_ai.usage.")} == {
        "gen_ai.usage.input_tokens": 240,
        "gen_ai.usage.output_tokens": 42,
        "gen_ai.usage.cache_read.input_tokens": 64,
        "gen_ai.usage.reasoning.output_tokens": 12,
        "gen_ai.usage.cost": 0.0000612,
    }


def test_cache_writes_are_there_under_the_new_and_the_old_name() -> None:
    written = traces.vendor(tokens=Tokens(240, 42, cache_write=100))
    found = leaf(project(traces.one_call(vendor=written))).attributes
    assert found["gen_ai.usage.cache_write.input_tokens"] == 100
    assert found["gen_ai.usage.cache_creation.input_tokens"] == 100


def test_usage_sits_on_leaf_calls_only() -> None:
    for item in seen(project(traces.chatflow())):
        has_usage = any(key.startswith("gen_ai.usage.") for key in item.attributes)
        assert has_usage == ("dify_exporter.call.id" in item.attributes)
        assert not (has_usage and item.attributes["gen_ai.operation.name"].startswith("invoke"))


@pytest.mark.parametrize(
    ("changes", "source"),
    [
        ({}, "vendor"),
        ({"vendor": None}, "dify"),
        ({"vendor": traces.vendor(independent=False)}, "dify"),
        ({"vendor": None, "dify": None}, "local"),
        ({"vendor": None, "dify": traces.dify(None, None)}, "local"),
    ],
)
def test_the_chosen_reading_is_vendor_else_dify_else_local(changes: dict[str, object], source: str) -> None:
    assert leaf(project(traces.one_call(**changes))).attributes["dify_exporter.tokens.chosen"] == source


def test_what_is_unknown_is_absent_and_never_zero() -> None:
    found = leaf(project(traces.one_call(dify=None, local=None, vendor=None, findings=()))).attributes
    ours = [
        key for key in found if key.startswith(("dify_exporter.tokens", "dify_exporter.cost", "gen_ai.usage"))
    ]
    assert ours == []
    assert found["dify_exporter.findings"] == []


def test_a_cost_that_the_price_book_made_says_so_and_one_that_the_source_told_does_not() -> None:
    of_book = traces.Money(traces.Decimal("0.00005"), "USD", "genai-prices 0.2.3: openai/gpt-4o-mini")
    counted = traces.local(cost=of_book)
    found = leaf(project(traces.one_call(local=counted, vendor=traces.vendor()))).attributes
    assert found["dify_exporter.cost.local.total"] == 0.00005
    assert {key: value for key, value in found.items() if key.endswith(".origin")} == {
        "dify_exporter.cost.local.origin": "genai-prices 0.2.3: openai/gpt-4o-mini"
    }


def test_a_known_zero_is_zero() -> None:
    zero = traces.dify(0, 0, kind=DifyKind.ZERO)
    found = leaf(project(traces.one_call(dify=zero, vendor=None))).attributes
    assert found["dify_exporter.tokens.dify.input"] == 0
    assert found["gen_ai.usage.input_tokens"] == 0


def test_a_relayed_vendor_reading_is_shown_and_takes_part_in_no_difference() -> None:
    found = leaf(project(traces.one_call(vendor=traces.vendor(independent=False)))).attributes
    assert found["dify_exporter.tokens.vendor.input"] == 240
    assert found["dify_exporter.tokens.vendor.independent"] is False
    assert [key for key in found if "delta" in key and "vendor" in key] == []
    assert found["dify_exporter.tokens.delta.dify_local.input"] == 1


def test_a_lone_total_of_dify_is_kept_without_parts() -> None:
    lone = traces.dify(tokens=Tokens(), total=77, cost=None)
    found = leaf(project(traces.one_call(dify=lone, vendor=None, local=None, findings=()))).attributes
    assert found["dify_exporter.tokens.dify.total"] == 77
    assert "dify_exporter.tokens.dify.input" not in found
    assert "dify_exporter.tokens.chosen" not in found
    assert "gen_ai.usage.input_tokens" not in found


def test_another_currency_is_no_cost_in_dollars() -> None:
    yuan = traces.dify(cost=traces.Money(traces.Decimal("0.5"), "RMB"))
    found = leaf(project(traces.one_call(dify=yuan, vendor=None))).attributes
    assert "gen_ai.usage.cost" not in found
    assert (found["dify_exporter.cost.dify.total"], found["dify_exporter.cost.dify.currency"]) == (0.5, "RMB")


def test_the_money_of_one_reading_is_never_put_beside_the_tokens_of_another() -> None:
    found = leaf(project(traces.one_call(vendor=traces.vendor(cost=None)))).attributes
    assert found["dify_exporter.tokens.chosen"] == "vendor"
    assert "gen_ai.usage.cost" not in found


def test_the_root_carries_dify_sums_and_totals_only_under_our_own_names() -> None:
    root = seen(project(traces.chatflow()))[0].attributes
    assert root["dify_exporter.recorded.message.input"] == 120
    assert root["dify_exporter.recorded.run.total"] == 150
    assert root["dify_exporter.trace.calls.all"] == root["dify_exporter.trace.calls.vendor"] == 4
    assert root["dify_exporter.trace.tokens.vendor.input"] == 4 * 240
    assert root["dify_exporter.trace.tokens.dify.total"] == 4 * 150
    assert root["dify_exporter.verdict"] == "explained"
    assert root["dify_exporter.findings"] == ["retry_billed"]
    assert root["dify_exporter.source.record_id"] == traces.uuid(1000)
    assert not any(key.startswith("gen_ai.usage") for key in root)


def test_a_total_with_an_unknown_part_is_unknown() -> None:
    root = traces.step(1, StepKind.MESSAGE)
    leaves = [traces.model_step(number, root.span_id) for number in (2, 3)]
    assessments = (
        traces.assessment(leaves[0].call),
        traces.assessment(leaves[1].call, dify=traces.dify(None, 30)),
    )
    assessed = traces.AssessedTrace(traces.trace(1, (root, *leaves)), assessments, Verdict.EXPLAINED)
    found = seen(project(assessed))[0].attributes
    assert "dify_exporter.trace.tokens.dify.input" not in found
    assert found["dify_exporter.trace.tokens.dify.output"] == 60


def test_every_span_says_whose_it_is() -> None:
    for item in seen(project(traces.chatflow())):
        assert item.attributes["dify.app_id"] == traces.APP.id
        assert item.attributes["dify.tenant_id"] == traces.APP.tenant_id
        assert item.attributes["dify.workflow_id"] == traces.uuid(901)
        assert item.attributes["dify.invoke_from"] == "service-api"
        assert item.attributes["user.id"] == "user-17"
        assert item.attributes["session.id"] == item.attributes["gen_ai.conversation.id"] == traces.uuid(900)
        assert "dify_exporter.debug" not in item.attributes


def test_a_conversation_id_is_never_made_up() -> None:
    assessed = traces.one_call()
    assessed = replace(assessed, trace=replace(assessed.trace, session_id=None, user_id=None, is_debug=True))
    for item in seen(project(assessed)):
        assert not {"gen_ai.conversation.id", "session.id", "user.id"} & set(item.attributes)
        assert item.attributes["dify_exporter.debug"] is True


def test_names_kinds_and_openinference_kinds_follow_the_conventions() -> None:
    spans = seen(project(traces.chatflow()))
    found = [(item.name, item.span.kind, item.attributes["openinference.span.kind"]) for item in spans]
    assert found == [
        ("invoke_agent Support bot", 1, "CHAIN"),
        ("invoke_workflow workflow", 1, "CHAIN"),
        ("node 1002", 1, "CHAIN"),
        ("retrieval retrieval 1003", 3, "RETRIEVER"),
        ("chat gpt-4o-mini", 3, "LLM"),
        ("container 1005", 1, "CHAIN"),
        ("round 1006", 1, "CHAIN"),
        ("chat gpt-4o-mini", 3, "LLM"),
        ("execute_tool search", 1, "TOOL"),
        ("chat gpt-4o-mini", 3, "LLM"),
        ("chat gpt-4o-mini", 3, "LLM"),
        ("node 1011", 1, "CHAIN"),
    ]


def test_a_call_names_provider_model_parameters_and_time_to_first_token() -> None:
    found = leaf(project(traces.one_call())).attributes
    assert found["gen_ai.operation.name"] == "chat"
    assert found["gen_ai.provider.name"] == found["gen_ai.system"] == "openai"
    assert found["gen_ai.request.model"] == "gpt-4o-mini"
    assert found["gen_ai.request.temperature"] == 0.2
    assert found["gen_ai.request.max_tokens"] == 512
    assert found["gen_ai.response.finish_reasons"] == ["stop"]
    assert found["gen_ai.response.time_to_first_chunk"] == 0.2


def test_parameters_without_a_standard_name_are_kept_in_one_json_object() -> None:
    of = traces.call(2, parameters=(("temperature", 1.0), ("enable_thinking", True), ("stop", "\ud83d")))
    root = traces.step(1)
    assessed = traces.AssessedTrace(
        traces.trace(1, (root, traces.model_step(2, root.span_id, of))), (), Verdict.UNVERIFIED
    )
    found = leaf(project(assessed)).attributes
    assert json.loads(found["llm.invocation_parameters"]) == {
        "temperature": 1.0,
        "enable_thinking": True,
        "stop": "\ufffd",
    }
    assert "gen_ai.request.enable_thinking" not in found


def test_messages_are_json_in_the_shape_of_the_conventions() -> None:
    asked = ToolCall("call_1", "search", '{"id": 123456789012345678901234}')
    of = traces.call(
        2,
        prompt=(
            traces.PromptMessage("system", "Be short."),
            traces.PromptMessage("user", "Look", media=2),
            traces.PromptMessage("assistant", "", (asked,)),
            traces.PromptMessage("tool", "found nothing", tool_call_id="call_1"),
        ),
        answer="Nothing.",
        reasoning="I looked.",
        tool_calls=(ToolCall(None, "stop", "not json"),),
        finish_reason="tool_calls",
    )
    root = traces.step(1)
    assessed = traces.AssessedTrace(
        traces.trace(1, (root, traces.model_step(2, root.span_id, of))), (), Verdict.PENDING
    )
    found = leaf(project(assessed)).attributes
    assert "123456789012345678901234" in found["gen_ai.input.messages"]
    assert json.loads(found["gen_ai.input.messages"]) == [
        {"role": "system", "parts": [{"type": "text", "content": "Be short."}]},
        {
            "role": "user",
            "parts": [{"type": "text", "content": "Look"}, {"type": "media_not_kept", "count": 2}],
        },
        {
            "role": "assistant",
            "parts": [
                {
                    "type": "tool_call",
                    "id": "call_1",
                    "name": "search",
                    "arguments": {"id": 123456789012345678901234},
                }
            ],
        },
        {
            "role": "tool",
            "parts": [{"type": "tool_call_response", "id": "call_1", "response": "found nothing"}],
        },
    ]
    assert json.loads(found["gen_ai.output.messages"]) == [
        {
            "role": "assistant",
            "parts": [
                {"type": "reasoning", "content": "I looked."},
                {"type": "text", "content": "Nothing."},
                {"type": "tool_call", "name": "stop", "arguments": "not json"},
            ],
            "finish_reason": "tool_call",
        }
    ]


def test_a_prompt_that_dify_did_not_keep_is_not_presented_as_one() -> None:
    of = traces.call(2, prompt=None, query="Hello?", missing=("tool schemas",), kind="hidden:title")
    root = traces.step(1)
    assessed = traces.AssessedTrace(
        traces.trace(1, (root, traces.model_step(2, root.span_id, of))), (), Verdict.PENDING
    )
    found = leaf(project(assessed)).attributes
    assert found["dify_exporter.call.prompt_kept"] is False
    assert found["dify_exporter.call.missing"] == ["tool schemas"]
    assert found["dify_exporter.call.kind"] == "hidden:title"
    assert json.loads(found["gen_ai.input.messages"])[0]["parts"][0]["content"] == "Hello?"


def test_an_error_is_a_status_with_its_text_and_a_stop_is_none() -> None:
    root = traces.step(1, status=Status.STOPPED)
    failed = traces.step(2, parent=root.span_id, status=Status.ERROR, error="[openai] Bad Request")
    assessed = traces.AssessedTrace(traces.trace(1, (root, failed)), (), Verdict.UNVERIFIED)
    first, second = seen(project(assessed))
    assert (first.span.status.code, first.attributes["dify_exporter.status"]) == (0, "stopped")
    assert (second.span.status.code, second.span.status.message) == (2, "[openai] Bad Request")


def test_a_workflow_used_as_a_tool_links_to_the_root_of_its_own_trace() -> None:
    tool = next(item for item in seen(project(traces.chatflow())) if item.name == "execute_tool search")
    other = seen(project(traces.one_call(5000)))[0]
    assert [(link.trace_id, link.span_id) for link in tool.span.links] == [
        (other.span.trace_id, other.span.span_id)
    ]


@pytest.mark.parametrize(
    ("provider", "name"),
    [
        ("langgenius/openai/openai", "openai"),
        ("langgenius/azure_openai/azure_openai", "azure.ai.openai"),
        ("bedrock", "aws.bedrock"),
        ("langgenius/gemini/google", "gcp.gemini"),
        ("vertex_ai", "gcp.vertex_ai"),
        ("langgenius/mistralai/mistralai", "mistral_ai"),
        ("moonshot", "moonshot_ai"),
        ("langgenius/x/x", "x_ai"),
        ("langgenius/tongyi/tongyi", "tongyi"),
        ("langgenius/openai_api_compatible/openai_api_compatible", "openai_api_compatible"),
    ],
)
def test_dify_providers_get_the_names_of_the_conventions(provider: str, name: str) -> None:
    assert provider_name(provider) == name


@pytest.mark.parametrize(
    ("kind", "operation"),
    [
        ("chat", "chat"),
        ("completion", "text_completion"),
        ("embedding", "embeddings"),
        ("hidden:query_embedding", "embeddings"),
        ("rerank", "rerank"),
        ("hidden:title", "chat"),
    ],
)
def test_hidden_calls_have_the_operation_they_are(kind: str, operation: str) -> None:
    assert call_operation(kind) == operation


def test_sums_that_dify_does_not_have_are_absent() -> None:
    assessed = traces.one_call()
    assessed = replace(assessed, trace=replace(assessed.trace, sums=Sums(leaves=Tokens(5, None))))
    root = seen(project(assessed))[0].attributes
    assert {key for key in root if "recorded" in key} == {"dify_exporter.recorded.leaves.input"}


def test_an_estimate_says_that_it_is_one() -> None:
    guessed = traces.local(tokenizer="cl100k_base", accuracy=Accuracy.APPROXIMATE)
    found = leaf(project(traces.one_call(local=guessed, dify=traces.dify(kind=DifyKind.ESTIMATE)))).attributes
    assert found["dify_exporter.tokens.local.accuracy"] == "approximate"
    assert found["dify_exporter.tokens.dify.kind"] == "estimate"
