"""The local reading: what it counts, how far it trusts that, and what it says is missing."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.local.reading import read_local
from exporter.local.vocabulary import count
from exporter.model import Accuracy, Call, PromptMessage, Status, Tokens, ToolCall

MakeCall = Callable[..., Call]

# A turn of a real Dify 1.12.1 app; the recorded usage is the vendor's own.
SUPPORT = (
    PromptMessage("system", "You are a helpful support assistant of Aurora Devices.\n"),
    PromptMessage("user", "No usage this time [sim:nousage]"),
)
SUPPORT_ANSWER = (
    "If the light blinks red twice, hold the reset button for ten seconds. "
    "I would recommend the Aurora-3 model for a small office."
)


def test_a_plain_gpt_4o_mini_call_equals_the_vendors_bill(make_call: MakeCall) -> None:
    reading = read_local(make_call(prompt=SUPPORT, answer=SUPPORT_ANSWER))
    assert reading is not None
    assert reading.tokens == Tokens(input=31, output=29)
    assert (reading.tokenizer, reading.accuracy, reading.error_pct, reading.note) == (
        "o200k_base",
        Accuracy.EXACT,
        0.0,
        None,
    )


def test_a_call_of_which_nothing_was_kept_has_no_reading(make_call: MakeCall) -> None:
    assert read_local(make_call(prompt=None, answer=None)) is None
    assert read_local(make_call(prompt=None, answer="", status=Status.ERROR)) is None


def test_without_a_prompt_the_input_is_unknown_not_zero(make_call: MakeCall) -> None:
    reading = read_local(make_call(prompt=None, answer=SUPPORT_ANSWER))
    assert reading is not None
    assert reading.tokens == Tokens(input=None, output=29)
    assert reading.error_pct is None
    assert "prompt was not kept" in (reading.note or "")


@pytest.mark.parametrize("status", [Status.ERROR, Status.UNFINISHED, Status.STOPPED])
def test_a_call_that_ended_badly_without_an_answer_has_unknown_output(
    make_call: MakeCall, status: Status
) -> None:
    for answer in (None, ""):
        reading = read_local(make_call(prompt=SUPPORT, answer=answer, status=status))
        assert reading is not None
        assert reading.tokens == Tokens(input=31, output=None)


def test_a_finished_call_with_an_empty_answer_produced_nothing(make_call: MakeCall) -> None:
    reading = read_local(make_call(prompt=SUPPORT, answer=""))
    assert reading is not None
    assert reading.tokens.output == 0


def test_a_stopped_call_counts_what_was_kept_as_a_lower_bound(make_call: MakeCall) -> None:
    reading = read_local(make_call(prompt=SUPPORT, answer="If the light", status=Status.STOPPED))
    assert reading is not None
    assert reading.tokens.output == count("o200k_base", "If the light").tokens
    assert reading.accuracy is Accuracy.LOWER_BOUND
    assert "stopped" in (reading.note or "")


def test_what_the_record_lacks_makes_a_lower_bound_and_is_named(make_call: MakeCall) -> None:
    reading = read_local(make_call(prompt=SUPPORT, missing=("tool schemas",)))
    assert reading is not None
    assert reading.accuracy is Accuracy.LOWER_BOUND
    assert reading.error_pct is None
    assert "tool schemas" in (reading.note or "")


def test_files_in_the_prompt_make_a_lower_bound(make_call: MakeCall) -> None:
    reading = read_local(make_call(prompt=(PromptMessage("user", "What is this?", media=2),)))
    assert reading is not None
    assert reading.accuracy is Accuracy.LOWER_BOUND
    assert "2 file(s)" in (reading.note or "")


@pytest.mark.parametrize("model", ["o3-mini", "gpt-5", "gemini-2.5-pro"])
def test_hidden_reasoning_makes_the_output_a_lower_bound(make_call: MakeCall, model: str) -> None:
    for reasoning in (None, "a summary"):
        reading = read_local(make_call(model=model, reasoning=reasoning))
        assert reading is not None
        assert reading.accuracy is Accuracy.LOWER_BOUND
        assert reading.tokens.reasoning is None
        assert "reasoning" in (reading.note or "")


def test_a_model_told_not_to_reason_is_no_lower_bound(make_call: MakeCall) -> None:
    reading = read_local(make_call(model="gpt-5.1", parameters=(("reasoning_effort", "none"),)))
    assert reading is not None
    assert reading.accuracy is Accuracy.APPROXIMATE


def test_shown_reasoning_is_counted_once_whether_apart_or_in_the_answer(make_call: MakeCall) -> None:
    thought = "The sky scatters blue light."
    apart = read_local(make_call(model="deepseek-r1", reasoning=thought, answer="Scattering."))
    inside = read_local(
        make_call(model="deepseek-r1", reasoning=thought, answer=f"<think>\n{thought}\n</think>Scattering.")
    )
    hidden = read_local(make_call(model="deepseek-r1", answer="Scattering."))
    assert apart is not None
    assert inside is not None
    assert hidden is not None
    thought_tokens = count("deepseek_v3", thought).tokens
    assert apart.tokens.reasoning == inside.tokens.reasoning == thought_tokens
    assert apart.tokens.output == thought_tokens + count("deepseek_v3", "Scattering.").tokens
    assert inside.tokens.output == count("deepseek_v3", f"<think>\n{thought}\n</think>Scattering.").tokens
    assert apart.accuracy is inside.accuracy is Accuracy.TEMPLATE
    assert hidden.accuracy is Accuracy.LOWER_BOUND


def test_claude_that_was_asked_to_think_is_a_lower_bound(make_call: MakeCall) -> None:
    silent = read_local(
        make_call(model="claude-sonnet-4-5", parameters=(("thinking", False), ("thinking_budget", 1024)))
    )
    asked = read_local(
        make_call(model="claude-sonnet-4-5", parameters=(("thinking", True),), reasoning="In short")
    )
    assert silent is not None
    assert asked is not None
    assert silent.accuracy in (Accuracy.NEAR, Accuracy.APPROXIMATE)
    assert asked.accuracy is Accuracy.LOWER_BOUND


def test_function_calls_count_and_lower_the_trust(make_call: MakeCall) -> None:
    call = make_call(prompt=SUPPORT, answer=None, tool_calls=(ToolCall("call_1", "current_time", "{}"),))
    reading = read_local(call)
    assert reading is not None
    assert reading.tokens.output is not None
    assert reading.tokens.output > count("o200k_base", "current_time{}").tokens
    assert reading.accuracy is Accuracy.APPROXIMATE
    assert reading.error_pct == 10.0


def test_a_template_states_its_error_for_the_size_of_the_prompt(make_call: MakeCall) -> None:
    short = read_local(make_call(model="o3-mini", prompt=("user", "Hello")))
    long = read_local(make_call(model="o3-mini", prompt=("user", "Hello " * 1000)))
    assert short is not None
    assert long is not None
    assert short.tokens.input == 7
    assert short.error_pct == pytest.approx(1 + 100 * 5 / 7, abs=0.1)
    assert long.error_pct is not None
    assert long.error_pct < 2


@pytest.mark.parametrize("kind", ["embedding", "hidden:query embedding", "rerank"])
def test_embedding_and_rerank_count_the_bare_input_and_have_no_output(make_call: MakeCall, kind: str) -> None:
    text = "How long is the warranty?"
    reading = read_local(
        make_call(kind=kind, model="text-embedding-3-small", prompt=("user", text), answer=None)
    )
    assert reading is not None
    assert reading.tokens == Tokens(input=6, output=0)  # 6: what the vendor billed for this query
    assert reading.accuracy is Accuracy.EXACT


def test_a_completion_mode_model_has_no_frame_though_chat_models_in_completion_apps_do(
    make_call: MakeCall,
) -> None:
    plain = read_local(make_call(kind="completion", model="gpt-3.5-turbo-instruct", prompt=("user", "Hello")))
    framed = read_local(make_call(kind="completion", model="gpt-4", prompt=("user", "Hello")))
    assert plain is not None
    assert framed is not None
    assert (plain.tokens.input, framed.tokens.input) == (1, 8)


def test_a_claude_is_counted_by_what_is_installed_and_named_so(make_call: MakeCall) -> None:
    reading = read_local(make_call(model="claude-sonnet-4-5", prompt=SUPPORT))
    assert reading is not None
    if find_spec("ctok"):
        assert (reading.tokenizer, reading.accuracy) == ("claude_v3", Accuracy.NEAR)
    else:
        assert (reading.tokenizer, reading.accuracy) == ("claude2 x 1.03", Accuracy.APPROXIMATE)


def test_a_model_that_nobody_can_recount_says_why(make_call: MakeCall) -> None:
    reading = read_local(make_call(model="gpt-4o-transcribe"))
    assert reading is not None
    assert reading.tokens == Tokens()
    assert reading.accuracy is Accuracy.NONE
    assert "billed by media" in (reading.note or "")


def test_a_broken_tokenizer_gives_a_reading_that_says_so() -> None:
    program = (
        "from exporter.local import vocabulary\n"
        "from exporter.local.reading import read_local\n"
        "from exporter.model import Call, PromptMessage, Status\n"
        "def broken(): raise OSError('rank file is gone')\n"
        "vocabulary.LOADERS['cl100k_base'] = broken\n"
        "prompt = (PromptMessage('user', 'my secret'),)\n"
        "print(read_local(Call('message:1', 'chat', 'openai', 'gpt-4', 0, 1, Status.OK, None, prompt)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    assert "rank file is gone" in done.stdout
    assert "Accuracy.NONE" in done.stdout
    assert "Tokens(input=None, output=None" in done.stdout
    assert "secret" not in done.stdout


def test_a_very_long_prompt_is_approximate_and_says_it_was_sampled(make_call: MakeCall) -> None:
    reading = read_local(make_call(prompt=("user", "word " * 1_000_000)))
    assert reading is not None
    assert reading.accuracy is Accuracy.APPROXIMATE
    assert reading.error_pct is None
    assert "samples" in (reading.note or "")


any_text = st.text(alphabet=st.characters(exclude_categories=()), max_size=120)
messages = st.builds(
    PromptMessage,
    role=st.one_of(st.sampled_from(["system", "user", "assistant", "tool"]), any_text),
    text=any_text,
    tool_calls=st.lists(st.builds(ToolCall, st.none(), any_text, any_text), max_size=2).map(tuple),
    media=st.integers(0, 3),
    name=st.one_of(st.none(), any_text),
)


@given(
    prompt=st.one_of(st.none(), st.lists(messages, max_size=4).map(tuple)),
    answer=st.one_of(st.none(), any_text),
    reasoning=st.one_of(st.none(), any_text),
    model=st.one_of(
        st.none(),
        any_text,
        st.sampled_from(
            [
                "gpt-4o",
                "o3",
                "claude-3-opus",
                "gpt-4o-tts",
                "gpt-oss-20b",
                "qwen2.5-7b",
                "mistral-7b",
                "gemma-3",
                "kimi-k2",
                "llama-2",
            ]
        ),
    ),
    status=st.sampled_from(Status),
    kind=st.sampled_from(["chat", "completion", "embedding", "rerank", "hidden:title"]),
    missing=st.lists(any_text, max_size=2).map(tuple),
    parameters=st.lists(
        st.tuples(st.sampled_from(["thinking", "reasoning_effort"]), st.one_of(st.booleans(), any_text)),
        max_size=2,
    ).map(tuple),
)
@settings(max_examples=300, deadline=None)
def test_no_call_makes_it_raise_and_the_same_call_reads_the_same(
    prompt, answer, reasoning, model, status, kind, missing, parameters
) -> None:  # type: ignore[no-untyped-def]
    call = Call(
        call_id="message:1",
        kind=kind,
        provider=None,
        model=model,
        started_at=0,
        ended_at=1,
        status=status,
        recorded=None,
        prompt=prompt,
        answer=answer,
        reasoning=reasoning,
        missing=missing,
        parameters=parameters,
    )
    reading = read_local(call)
    assert reading == read_local(call)
    if reading is None:
        assert not prompt
        assert not answer
        return
    assert (reading.tokens.input is None) == (not prompt or reading.accuracy is Accuracy.NONE)
    assert all(part is None or part >= 0 for part in (reading.tokens.input, reading.tokens.output))
    if reading.accuracy is not Accuracy.EXACT:
        assert reading.note or reading.error_pct
