"""The OpenInference dialect and the flavours: names of the conventions, usage on calls only, renames that lose nothing."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from openinference.semconv.trace import OpenInferenceLLMProviderValues, OpenInferenceLLMSystemValues

from exporter.model import Status, StepKind, Tokens, ToolCall, Verdict
from exporter.spans.flavour import Flavour, flavoured
from exporter.spans.openinference import _PROVIDERS, _SYSTEMS, MESSAGES_SHOWN, OpenInferenceProjector
from exporter.spans.plain import PlainProjector
from tests.spans import assessed_traces as traces
from tests.spans.decoded import full, leaf, seen

project = OpenInferenceProjector(full())


def one(of: traces.Call, **changes: object) -> traces.AssessedTrace:
    root = traces.step(1, StepKind.MESSAGE)
    trace = traces.trace(1, (root, traces.model_step(2, root.span_id, of)))
    return traces.AssessedTrace(trace, (traces.assessment(of, **changes),), Verdict.EXPLAINED)


def test_a_call_carries_the_chosen_reading_under_the_conventions_names() -> None:
    whole = traces.vendor(tokens=Tokens(900, 70, cache_read=300, cache_write=200, reasoning=40))
    found = leaf(project(traces.one_call(vendor=whole))).attributes
    assert {key: value for key, value in found.items() if key.startswith(("llm.token", "llm.cost"))} == {
        "llm.token_count.prompt": 900,
        "llm.token_count.completion": 70,
        "llm.token_count.total": 970,
        "llm.token_count.prompt_details.cache_read": 300,
        "llm.token_count.prompt_details.cache_write": 200,
        "llm.token_count.completion_details.reasoning": 40,
        "llm.cost.total": 0.0000612,
    }


def test_counts_sit_on_calls_only_and_under_one_convention() -> None:
    for item in seen(project(traces.chatflow())):
        has_usage = any(key.startswith("llm.token_count.") for key in item.attributes)
        assert has_usage == ("dify_exporter.call.id" in item.attributes)
        assert not any(key.startswith("gen_ai.usage.") for key in item.attributes)


def test_what_is_unknown_is_absent() -> None:
    unknown = leaf(project(traces.one_call(dify=None, local=None, vendor=None, findings=()))).attributes
    assert not [key for key in unknown if key.startswith(("llm.token_count", "llm.cost"))]
    half = leaf(project(traces.one_call(dify=traces.dify(None, 30), vendor=None, local=None))).attributes
    assert "llm.token_count.total" not in half


def test_kinds_names_and_parents_make_the_tree() -> None:
    found = seen(project(traces.chatflow()))
    assert [(item.name, item.attributes["openinference.span.kind"]) for item in found][:5] == [
        ("Support bot", "CHAIN"),
        ("workflow", "CHAIN"),
        ("node 1002", "CHAIN"),
        ("retrieval 1003", "RETRIEVER"),
        ("Answer", "LLM"),
    ]
    known = {item.span.span_id for item in found}
    assert [item.span.parent_span_id in known for item in found] == [False] + [True] * 11


def test_a_conversation_is_spelled_out_with_its_tool_calls() -> None:
    of = traces.call(
        2,
        prompt=(
            traces.PromptMessage("system", "Be short."),
            traces.PromptMessage("assistant", "", (ToolCall("call_1", "search", '{"q":1}'),)),
            traces.PromptMessage("tool", "nothing", tool_call_id="call_1"),
        ),
        answer="Nothing.",
    )
    found = leaf(project(one(of))).attributes
    spelled = {key: value for key, value in found.items() if "_messages." in key}
    assert spelled == {
        "llm.input_messages.0.message.role": "system",
        "llm.input_messages.0.message.content": "Be short.",
        "llm.input_messages.1.message.role": "assistant",
        "llm.input_messages.1.message.tool_calls.0.tool_call.id": "call_1",
        "llm.input_messages.1.message.tool_calls.0.tool_call.function.name": "search",
        "llm.input_messages.1.message.tool_calls.0.tool_call.function.arguments": '{"q":1}',
        "llm.input_messages.2.message.role": "tool",
        "llm.input_messages.2.message.content": "nothing",
        "llm.input_messages.2.message.tool_call_id": "call_1",
        "llm.output_messages.0.message.role": "assistant",
        "llm.output_messages.0.message.content": "Nothing.",
    }
    assert found["input.mime_type"] == "application/json"
    assert len(json.loads(found["input.value"])) == 3


def test_a_long_prompt_shows_its_newest_messages_says_how_many_are_left_out_and_is_whole_in_the_input() -> (
    None
):
    prompt = tuple(traces.PromptMessage("user", f"message {number}") for number in range(90))
    item = leaf(project(one(traces.call(2, prompt=prompt))))
    roles = [key for key in item.attributes if key.startswith("llm.input_messages.") and key.endswith("role")]
    assert len(roles) == MESSAGES_SHOWN
    assert item.attributes["llm.input_messages.19.message.content"] == "message 89"
    assert item.attributes["dify_exporter.call.messages_left_out"] == 70
    assert len(json.loads(item.attributes["input.value"])) == 90
    assert len(item.span.attributes) <= 128


def test_plain_text_is_called_plain_text_even_when_it_starts_like_json() -> None:
    root = traces.step(1, StepKind.MESSAGE, input="{not json", output='{"a": 1}')
    found = seen(project(traces.AssessedTrace(traces.trace(1, (root,)), (), Verdict.UNVERIFIED)))
    assert found[0].attributes["input.mime_type"] == "text/plain"
    assert found[0].attributes["output.mime_type"] == "application/json"


def test_metadata_says_verdict_and_findings_in_words() -> None:
    root, *_, call = seen(project(traces.one_call()))
    assert json.loads(root.attributes["metadata"])["verdict"] == "explained"
    assert json.loads(call.attributes["metadata"])["findings"][0].startswith("retry_billed: +120 input")
    assert root.attributes["tag.tags"] == ["Support bot", "advanced-chat", "verdict:explained"]


def test_an_error_is_a_status_and_an_exception_event() -> None:
    root = traces.step(1)
    failed = traces.step(2, parent=root.span_id, status=Status.ERROR, error="[openai] Bad Request")
    found = seen(project(traces.AssessedTrace(traces.trace(1, (root, failed)), (), Verdict.UNVERIFIED)))
    assert (found[1].span.status.code, found[1].span.status.message) == (2, "[openai] Bad Request")
    assert found[1].span.events[0].name == "exception"


def test_an_app_whose_texts_must_not_leave_is_silent_while_others_speak() -> None:
    some = OpenInferenceProjector(full(apps=[{"match": "Support*", "mode": "none"}]))
    assert b"billed twice" not in b"".join(some(traces.chatflow()))
    other = OpenInferenceProjector(full(apps=[{"match": "Sales*", "mode": "none"}]))
    assert b"billed twice" in b"".join(other(traces.chatflow()))


def test_without_content_no_text_leaves() -> None:
    spans = OpenInferenceProjector(full(mode="none"))(traces.chatflow())
    assert b"billed twice" not in b"".join(spans)
    assert not [
        key for item in seen(spans) for key in item.attributes if key.startswith(("input.", "output."))
    ]


@pytest.mark.parametrize(
    ("kind", "name"), [("embedding", "embedding.model_name"), ("rerank", "reranker.model_name")]
)
def test_embeddings_and_reranks_name_their_model_as_the_conventions_say(kind: str, name: str) -> None:
    found = leaf(project(one(traces.call(2, kind=kind, model="m-1")))).attributes
    assert found[name] == found["llm.model_name"] == "m-1"


@pytest.mark.parametrize(
    ("provider", "words"),
    [
        ("langgenius/openai/openai", ("openai", "openai")),
        ("langgenius/azure_openai/azure_openai", ("azure", "openai")),
        ("langgenius/gemini/google", ("google", None)),
        ("langgenius/vertex_ai/vertex_ai", ("google", "vertexai")),
        ("langgenius/bedrock/bedrock", ("aws", None)),
        ("langgenius/mistralai/mistralai", ("mistralai", "mistralai")),
        ("langgenius/tongyi/tongyi", ("tongyi", None)),
    ],
)
def test_providers_have_the_conventions_own_words(provider: str, words: tuple[str, str | None]) -> None:
    found = leaf(project(one(traces.call(2, provider=provider)))).attributes
    assert (found["llm.provider"], found.get("llm.system")) == words


def test_the_words_for_providers_and_systems_are_those_of_the_conventions_package() -> None:
    known = {item.value for item in OpenInferenceLLMProviderValues}
    assert set(_PROVIDERS.values()) <= known
    assert set(_SYSTEMS.values()) <= {item.value for item in OpenInferenceLLMSystemValues}


def test_the_first_token_is_an_event_at_its_time() -> None:
    of = traces.call(2)
    (event,) = leaf(project(one(of))).span.events
    assert (event.name, event.time_unix_nano) == ("First Token Stream Event", (of.first_token_at or 0) * 1000)
    for odd in (None, of.started_at - 1):
        assert not leaf(project(one(replace(of, first_token_at=odd)))).span.events


@pytest.mark.parametrize(
    ("status", "code"), [(Status.OK, 1), (Status.ERROR, 2), (Status.STOPPED, 0), (Status.UNFINISHED, 0)]
)
def test_what_went_well_says_so_and_what_was_stopped_claims_nothing(status: Status, code: int) -> None:
    root = traces.step(1, status=status)
    (item,) = seen(project(traces.AssessedTrace(traces.trace(1, (root,)), (), Verdict.UNVERIFIED)))
    assert item.span.status.code == code


# ── flavours ────────────────────────────────────────────────────────────────────────────────────────────────


def test_an_empty_flavour_changes_nothing() -> None:
    plain = PlainProjector(full())
    for one_span, other in zip(
        seen(plain(traces.chatflow())), seen(flavoured(plain, Flavour())(traces.chatflow())), strict=True
    ):
        assert one_span.span == other.span


def test_a_flavour_loses_and_doubles_nothing_but_what_it_names() -> None:
    plain = PlainProjector(full())
    flavour = Flavour(names={"user.id": ("user.id", "who"), "session.id": ()}, own_prefix="meta.")
    for before, after in zip(
        seen(plain(traces.chatflow())), seen(flavoured(plain, flavour)(traces.chatflow())), strict=True
    ):
        wanted = {
            ("meta." + key if key.startswith(("dify.", "dify_exporter.")) else key): value
            for key, value in before.attributes.items()
            if key != "session.id"
        }
        wanted["who"] = wanted["user.id"]
        found = {
            key: json.loads(value) if key.startswith("meta.") and str(value).startswith("[") else value
            for key, value in after.attributes.items()
        }
        assert found == wanted
        assert len(after.span.attributes) == len(found)


def test_a_total_is_made_of_two_known_counts_only() -> None:
    flavour = Flavour(total_name="total")
    project_total = flavoured(PlainProjector(full()), flavour)
    assert leaf(project_total(traces.one_call())).attributes["total"] == 282
    half = traces.one_call(dify=traces.dify(None, 30), vendor=None, local=None)
    assert "total" not in leaf(project_total(half)).attributes
    assert "total" not in seen(project_total(traces.one_call()))[0].attributes


def test_the_same_trace_gives_the_same_bytes() -> None:
    flavour = Flavour(own_prefix="meta.", tags_name="tags", everywhere={"a": "b"})
    make = flavoured(PlainProjector(full()), flavour)
    assert make(traces.chatflow()) == make(replace(traces.chatflow()))
    assert project(traces.chatflow()) == project(replace(traces.chatflow()))
