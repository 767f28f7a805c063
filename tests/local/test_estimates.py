"""What kind of number Dify recorded, told from the trace alone; the truth is the vendor's side of the same calls."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.local.estimates import Estimate, Rule, classify_recorded, estimate_of
from exporter.model import Call, DifyKind, Money, PromptMessage, Recorded, Status, Tokens, ToolCall

MakeCall = Callable[..., Call]
RECORDED = Path(__file__).parents[1] / "data" / "local" / "recorded_calls.jsonl"


def recorded_calls() -> list[dict[str, Any]]:
    return [json.loads(line) for line in RECORDED.read_text("utf-8").splitlines()]


@pytest.mark.parametrize(
    "row", recorded_calls(), ids=lambda row: f"{row['dify']}-row-{row['row']}-{row['kind']}"
)
def test_the_kind_of_a_recorded_call_is_recognised(row: dict[str, Any], make_call: MakeCall) -> None:
    prompt = row["prompt"] and tuple(PromptMessage(role, text) for role, text in row["prompt"])
    call = make_call(
        provider=row["provider"],
        model=row["model"],
        status=Status(row["status"]),
        recorded=tuple(row["recorded"]),
        prompt=prompt,
        answer=row["answer"],
        missing=tuple(row["missing"]),
    )
    reading = classify_recorded(call)
    assert reading is not None
    assert reading.kind == row["kind"]
    assert (reading.tokens.input, reading.tokens.output) == tuple(row["recorded"])


@pytest.mark.parametrize(
    "row",
    [row for row in recorded_calls() if row["kind"] in ("estimate", "vendor_passed")],
    ids=lambda row: f"{row['dify']}-row-{row['row']}",
)
def test_a_recorded_estimate_names_its_rule_and_a_vendor_s_number_none(
    row: dict[str, Any], make_call: MakeCall
) -> None:
    """The plugins' sources: openai 0.2 and 0.3 count with tiktoken, openai_api_compatible with GPT-2."""
    call = make_call(
        provider=row["provider"],
        model=row["model"],
        recorded=tuple(row["recorded"]),
        prompt=row["prompt"] and tuple(PromptMessage(role, text) for role, text in row["prompt"]),
        answer=row["answer"],
        missing=tuple(row["missing"]),
    )
    rules = {
        "openai": Estimate(Rule.OPENAI_MESSAGES, "o200k_base"),
        "openai_api_compatible": Estimate(Rule.GPT2_FIRST_MESSAGE, "r50k_base"),
    }
    assert estimate_of(call) == (rules[row["provider"]] if row["kind"] == "estimate" else None)


def test_a_count_that_gave_up_at_100_000_characters_is_named(make_call: MakeCall) -> None:
    """SDK `_get_num_tokens_by_gpt2`: 100,002 characters give 100,002."""
    known: dict[str, Any] = {"provider": "openai_api_compatible", "model": "m", "answer": "yes"}
    long = make_call(prompt=("user", "abc" * 33_334), recorded=(100_002, 1), **known)
    short = make_call(prompt=("user", "Hello"), recorded=(1, 1), **known)
    assert estimate_of(long) == Estimate(Rule.CHARACTER_COUNT)
    assert estimate_of(short) == Estimate(Rule.GPT2_FIRST_MESSAGE, "r50k_base")


def test_five_per_character_is_named(make_call: MakeCall) -> None:
    """SDK: 141 = 6 + 5 x 27 for "step-1-8k"."""
    call = make_call(
        provider="stepfun",
        model="step-1-8k",
        prompt=("user", "a" * 27),
        answer="b" * 27,
        recorded=(141, 141),
    )
    assert estimate_of(call) == Estimate(Rule.FIVE_PER_CHARACTER, "r50k_base")


def test_a_call_without_a_record_has_no_dify_reading(make_call: MakeCall) -> None:
    assert classify_recorded(make_call()) is None


def test_everything_recorded_is_carried_over(make_call: MakeCall) -> None:
    recorded = Recorded(Tokens(10, 5), "node.process_data.usage", 15, Money(1, "RMB"))  # type: ignore[arg-type]
    reading = classify_recorded(make_call(recorded=recorded))
    assert reading is not None
    assert (reading.tokens, reading.provenance, reading.total, reading.cost) == (
        recorded.tokens,
        recorded.provenance,
        recorded.total,
        recorded.cost,
    )


@pytest.mark.parametrize(
    ("provider", "kind"),
    [
        ("openai", DifyKind.VENDOR_PASSED),
        ("azure_openai", DifyKind.VENDOR_PASSED),
        ("anthropic", DifyKind.VENDOR_PASSED),
        ("tongyi", DifyKind.VENDOR_PASSED),
        ("bedrock", DifyKind.VENDOR_PASSED),
        ("openai_api_compatible", DifyKind.VENDOR_PASSED),
        ("xinference", DifyKind.ESTIMATE),
        ("localai", DifyKind.ESTIMATE),
        ("huggingface_hub", DifyKind.ESTIMATE),
        ("replicate", DifyKind.ESTIMATE),
        ("cohere", DifyKind.ESTIMATE),
        ("stepfun", DifyKind.ESTIMATE),
        ("deepseek", DifyKind.UNKNOWN),
        ("baichuan", DifyKind.UNKNOWN),
        ("somebodys_plugin", DifyKind.UNKNOWN),
        (None, DifyKind.UNKNOWN),
    ],
)
def test_numbers_that_prove_nothing_are_what_the_provider_is_known_for(
    make_call: MakeCall, provider: str | None, kind: DifyKind
) -> None:
    reading = classify_recorded(make_call(provider=provider, model="some-model", recorded=(123, 45)))
    assert reading is not None
    assert reading.kind is kind


@pytest.mark.parametrize(
    "missing", [{"prompt": None}, {"answer": None}, {"missing": ("the rest of a long prompt",)}]
)
def test_usage_that_comes_only_if_sent_is_unknown_where_the_texts_are_not_there(
    make_call: MakeCall, missing: dict[str, Any]
) -> None:
    reading = classify_recorded(make_call(provider="openai_api_compatible", recorded=(123, 45), **missing))
    assert reading is not None
    assert reading.kind is DifyKind.UNKNOWN


def test_a_round_of_function_calls_can_be_tested_without_an_answer(make_call: MakeCall) -> None:
    call = make_call(
        provider="openai_api_compatible",
        recorded=(123, 45),
        answer=None,
        tool_calls=(ToolCall(None, "f", "{}"),),
    )
    reading = classify_recorded(call)
    assert reading is not None
    assert reading.kind is DifyKind.VENDOR_PASSED


def test_a_total_alone_is_kept_and_judged_by_the_table(make_call: MakeCall) -> None:
    only_total = Recorded(Tokens(), "node.outputs.usage", 766)
    known = classify_recorded(make_call(provider="openai", recorded=only_total))
    unknown = classify_recorded(make_call(provider="openai_api_compatible", recorded=only_total))
    assert known is not None
    assert unknown is not None
    assert (known.tokens, known.total, known.kind) == (Tokens(), 766, DifyKind.VENDOR_PASSED)
    assert (unknown.total, unknown.kind) == (766, DifyKind.UNKNOWN)


def test_a_record_without_any_number_is_unknown(make_call: MakeCall) -> None:
    reading = classify_recorded(make_call(recorded=Recorded(Tokens(), "messages")))
    assert reading is not None
    assert reading.kind is DifyKind.UNKNOWN


@pytest.mark.parametrize(
    ("provider", "model", "parameters", "kind"),
    [
        ("anthropic", "claude-sonnet-4-5", (), DifyKind.PRICE_WEIGHTED),
        (
            "anthropic",
            "claude-sonnet-4-5",
            (("prompt_caching_system_message", True),),
            DifyKind.PRICE_WEIGHTED,
        ),
        (
            "anthropic",
            "claude-sonnet-4-5",
            (("prompt_caching_system_message", False),),
            DifyKind.VENDOR_PASSED,
        ),
        ("aihubmix", "claude-3-7-sonnet", (), DifyKind.PRICE_WEIGHTED),
        ("aihubmix", "gpt-4o", (), DifyKind.VENDOR_PASSED),
        ("openai", "gpt-4o", (), DifyKind.VENDOR_PASSED),
    ],
)
def test_prompt_caching_is_seen_by_its_tag_where_the_plugin_weights_by_price(
    make_call: MakeCall, provider: str, model: str, parameters: tuple[tuple[str, bool], ...], kind: DifyKind
) -> None:
    call = make_call(
        provider=provider,
        model=model,
        parameters=parameters,
        prompt=("system", "<cache>The handbook.</cache> Be brief.", "user", "And case 8?"),
        recorded=(308, 61),
    )
    reading = classify_recorded(call)
    assert reading is not None
    assert reading.kind is kind


def test_other_caching_switches_leave_it_open_whether_a_number_is_weighted(make_call: MakeCall) -> None:
    call = make_call(
        provider="anthropic",
        model="claude-sonnet-4-5",
        recorded=(308, 61),
        parameters=(("prompt_caching_message_flow", 500),),
    )
    reading = classify_recorded(call)
    assert reading is not None
    assert reading.kind is DifyKind.UNKNOWN


@pytest.mark.parametrize(
    ("provider", "kind"),
    [
        ("openai", DifyKind.VENDOR_PASSED),
        ("ollama", DifyKind.ESTIMATE),
        ("anthropic", DifyKind.UNKNOWN),
    ],
)
def test_embeddings_have_a_table_of_their_own(make_call: MakeCall, provider: str, kind: DifyKind) -> None:
    call = make_call(kind="embedding", provider=provider, recorded=(9, 0), answer=None)
    reading = classify_recorded(call)
    assert reading is not None
    assert reading.kind is kind


@given(
    text=st.text(alphabet=st.characters(exclude_categories=()), max_size=60),
    answer=st.one_of(st.none(), st.text(max_size=60)),
    recorded=st.tuples(st.one_of(st.none(), st.integers(0, 60)), st.one_of(st.none(), st.integers(0, 60))),
    provider=st.sampled_from(
        ["openai", "azure_openai", "anthropic", "openai_api_compatible", "gemini", "x?", None]
    ),
    model=st.one_of(
        st.none(), st.text(max_size=20), st.sampled_from(["gpt-4o", "o3", "claude-3-opus", "grok-4"])
    ),
)
@settings(max_examples=300, deadline=None)
def test_no_call_makes_it_raise_and_zero_is_only_said_of_zeros(
    text, answer, recorded, provider, model
) -> None:  # type: ignore[no-untyped-def]
    call = Call(
        call_id="message:1",
        kind="chat",
        provider=provider,
        model=model,
        started_at=0,
        ended_at=1,
        status=Status.OK,
        recorded=Recorded(Tokens(*recorded), "messages"),
        prompt=(PromptMessage("user", text),),
        answer=answer,
    )
    reading = classify_recorded(call)
    assert reading is not None
    assert (reading.kind is DifyKind.ZERO) == (recorded == (0, 0))
    if recorded == (None, None):
        assert reading.kind is DifyKind.UNKNOWN
