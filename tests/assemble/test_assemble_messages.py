"""Messages of apps without a graph become one call, or one per agent round."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest
from rows_for_tests import T0, chat_message, message_rows, thought

from exporter.model import Status, StepKind, Tokens, UnitPrices
from exporter.sources.assemble import assemble
from exporter.sources.rows import TraceRows


def test_a_chat_message_is_one_call_below_its_message() -> None:
    trace = assemble(message_rows(chat_message()))
    root, model = trace.steps
    assert (root.kind, root.parent_id) == (StepKind.MESSAGE, None)
    assert model.parent_id == root.span_id
    call = trace.calls[0]
    assert call.recorded is not None
    assert call.recorded.tokens == Tokens(32, 35)
    assert call.provider == "openai"
    assert [item.role for item in call.prompt or ()] == ["system", "user"]
    assert trace.trace_id == "926fdc0f111e439fb6c58c94bd626618"
    assert root.span_id == "b6c58c94bd626618"
    assert trace.ended_at == T0 + 300_000
    assert trace.is_final


def test_only_calls_could_ever_carry_usage() -> None:
    trace = assemble(message_rows(chat_message()))
    assert [step.call is not None for step in trace.steps] == [False, True]


def test_the_same_rows_give_the_same_trace() -> None:
    assert assemble(message_rows(chat_message())) == assemble(message_rows(chat_message()))


def test_a_stopped_message_is_told_from_a_preset_answer_by_its_price() -> None:
    stopped = assemble(message_rows(chat_message(message_tokens=0, answer_tokens=0)))
    assert stopped.status is Status.STOPPED
    preset = assemble(
        message_rows(
            chat_message(message_tokens=0, answer_tokens=0, message_unit_price=None, answer_unit_price=None)
        )
    )
    assert preset.status is Status.OK


def test_an_annotation_reply_made_no_call() -> None:
    row = chat_message(
        message_metadata='{"annotation_reply": {"id": "x"}}', message_tokens=0, answer_tokens=0
    )
    assert assemble(message_rows(row)).calls == ()


def test_a_row_without_metadata_is_unfinished_and_not_final() -> None:
    trace = assemble(
        message_rows(
            chat_message(
                message_metadata=None,
                message='""',
                answer="",
                message_tokens=0,
                answer_tokens=0,
                provider_response_latency=0,
            )
        )
    )
    assert trace.status is Status.UNFINISHED
    assert not trace.is_final
    assert trace.calls[0].prompt is None


def test_an_error_is_final_and_keeps_the_users_words_for_matching() -> None:
    trace = assemble(
        message_rows(chat_message(status="error", error="boom", message_metadata=None, message='""'))
    )
    assert trace.is_final
    assert trace.calls[0].status is Status.ERROR
    assert trace.calls[0].query == "What is the warranty?"


def test_agent_rounds_are_calls_and_their_prompts_are_found_in_the_last_one() -> None:
    asked = [
        {"id": "call_1", "type": "function", "function": {"name": "clock", "arguments": '{"tz": "UTC"}'}}
    ]
    prompt = [
        {"role": "system", "text": "Use tools."},
        {"role": "user", "text": "time?"},
        {"role": "assistant", "text": "", "tool_calls": asked},
        {"role": "tool", "text": "19:20", "tool_calls": asked},
    ]
    row = chat_message(
        message=json.dumps(prompt), message_tokens=388, answer_tokens=43, provider_response_latency=1.0
    )
    meta = json.dumps({"clock": {"time_cost": 0.05, "error": None, "tool_config": {"tool_provider": "time"}}})
    trace = assemble(
        message_rows(
            row,
            thought(
                1,
                tool="clock",
                tool_input='{"clock": {"tz": "UTC"}}',
                observation='{"clock": "19:20"}',
                tool_meta=meta,
            ),
            thought(2, thought="It is 19:20.", answer="It is 19:20.", message_token=210, answer_token=29),
            mode="agent-chat",
        )
    )
    assert [step.kind for step in trace.steps] == [
        StepKind.MESSAGE,
        StepKind.MODEL,
        StepKind.TOOL,
        StepKind.MODEL,
    ]
    first, second = trace.calls
    assert len(first.prompt or ()) == 2
    assert first.tool_calls[0].id == "call_1"
    assert len(second.prompt or ()) == 4
    assert (second.prompt or ())[3].tool_calls == ()
    assert trace.sums.leaves == Tokens(388, 43)
    tool = trace.steps[2]
    assert (tool.ended_at - tool.started_at, tool.output) == (50_000, "19:20")


def test_rounds_that_the_message_forgot_are_kept_as_a_note_not_as_a_reading() -> None:
    row = chat_message(
        status="error", error="x", message='""', message_tokens=0, answer_tokens=0, message_metadata=None
    )
    trace = assemble(
        message_rows(row, thought(1), thought(2, message_token=0, answer_token=0), mode="agent-chat")
    )
    first, second = trace.calls
    assert first.recorded is not None
    assert first.recorded.tokens == Tokens(0, 0)
    assert first.note == "rounds_not_in_message:178+14"
    assert second.note is None
    assert [call.status for call in trace.calls] == [Status.OK, Status.ERROR]


def test_retrieval_is_a_step_per_dataset() -> None:
    resources = [
        {"dataset_id": "d1", "dataset_name": "Handbook", "content": "a"},
        {"dataset_id": "d1", "dataset_name": "Handbook", "content": "b"},
    ]
    trace = assemble(
        message_rows(chat_message(message_metadata=json.dumps({"retriever_resources": resources})))
    )
    step = trace.steps[1]
    assert (step.kind, step.name, step.output) == (StepKind.RETRIEVAL, "Handbook", "a\n\nb")


@pytest.mark.parametrize(
    ("column", "text", "note"),
    [
        ("message_metadata", "{broken", "messages.message_metadata is not valid JSON"),
        ("message", '[{"role": "user", "text": "hi"', "messages.message is not valid JSON"),
        ("message_metadata", "[1, 2]", "messages.message_metadata is not a JSON object"),
    ],
)
def test_json_that_does_not_parse_is_noted_and_the_rest_goes_on(column: str, text: str, note: str) -> None:
    trace = assemble(message_rows(chat_message(**{column: text})))
    assert note in trace.notes
    assert trace.calls[0].recorded is not None
    assert trace.calls[0].recorded.tokens == Tokens(32, 35)


def test_lone_surrogates_and_nan_do_not_stop_a_prompt_from_being_read() -> None:
    trace = assemble(message_rows(chat_message(message='[{"role": "user", "text": "a\\ud83d b", "x": NaN}]')))
    assert trace.notes == ()
    assert (trace.calls[0].prompt or ())[0].text == "a\ud83d b"


@pytest.mark.parametrize("tokens", [-5, 10**15])
def test_impossible_token_numbers_are_unknown_and_noted(tokens: int) -> None:
    trace = assemble(message_rows(chat_message(message_tokens=tokens)))
    assert trace.calls[0].recorded is not None
    assert trace.calls[0].recorded.tokens == Tokens(None, 35)
    assert trace.notes == ("messages.message_tokens is not a possible token number",)


PER_MILLION, PER_THOUSAND = Decimal("0.000001"), Decimal("0.001")


def test_unit_prices_are_told_for_a_million_tokens_whatever_the_record_counts_by() -> None:
    dear = chat_message(message_price_unit=PER_MILLION, answer_price_unit=PER_MILLION)
    assert unit_prices_of(message_rows(dear)) == UnitPrices(Decimal("0.15"), Decimal("0.6"), "USD")
    qwen = chat_message(
        message_unit_price=Decimal("0.0008"), message_price_unit=PER_THOUSAND,
        answer_unit_price=Decimal("0.0020"), answer_price_unit=PER_THOUSAND, currency="RMB",
    )  # fmt: skip
    assert unit_prices_of(message_rows(qwen)) == UnitPrices(Decimal("0.8"), Decimal(2), "RMB")
    round_ = thought(1, message_price_unit=PER_MILLION, answer_price_unit=PER_MILLION)
    rows = message_rows(chat_message(), round_, mode="agent-chat")
    assert unit_prices_of(rows) == UnitPrices(Decimal("0.15"), Decimal("0.6"), "USD")


def test_unit_prices_without_their_unit_are_unknown_and_those_of_a_model_without_prices_are_0() -> None:
    assert unit_prices_of(message_rows(chat_message())) is None
    untold = chat_message(message_unit_price=None, answer_unit_price=None, total_price=None)
    assert unit_prices_of(message_rows(untold)) is None
    free = chat_message(
        message_unit_price=Decimal(0), message_price_unit=PER_THOUSAND,
        answer_unit_price=Decimal(0), answer_price_unit=PER_THOUSAND,
    )  # fmt: skip
    assert unit_prices_of(message_rows(free)) == UnitPrices(Decimal(0), Decimal(0), "USD")


def unit_prices_of(rows: TraceRows) -> UnitPrices | None:
    recorded = assemble(rows).calls[0].recorded
    assert recorded is not None
    return recorded.rates


def test_a_price_of_a_model_without_prices_is_unknown_not_zero() -> None:
    row = chat_message(message_unit_price=Decimal(0), answer_unit_price=Decimal(0), total_price=Decimal(0))
    call = assemble(message_rows(row)).calls[0]
    assert call.recorded is not None
    assert call.recorded.cost is None
