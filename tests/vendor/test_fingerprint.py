"""The same words give the same fingerprint on both sides, and nothing of the words is left in it."""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256

from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.model import Call, PromptMessage, Recorded, Status, Tokens, ToolCall
from exporter.vendor.asked.messages import prompt_of
from exporter.vendor.fingerprint import (
    BEGINNINGS,
    CallPrint,
    canonical,
    fingerprint_call,
    print_answer,
    print_prompt,
    user_hashes,
)

CALL = Call(
    call_id="node:1",
    kind="chat",
    provider="openai",
    model="gpt-4o-mini",
    started_at=1_795_461_600_000_000,
    ended_at=1_795_461_601_000_000,
    status=Status.OK,
    recorded=Recorded(Tokens(12, 7), "node.process_data.usage", 19),
    prompt=(PromptMessage("system", "Zeppelin rules"), PromptMessage("user", "Where is the Zeppelin?")),
    answer="The Zeppelin is in its hangar.",
    tool_calls=(ToolCall("call_9", "find", '{"what": "Zeppelin", "n": 2}'),),
    user="erika@example.com",
    query="Where is the Zeppelin?",
)


def test_the_stored_form_holds_no_words_and_gives_the_same_print_back() -> None:
    printed = fingerprint_call(CALL, "app-1", ("e-1",))
    stored = printed.to_json()
    assert CallPrint.from_json(stored) == printed
    for word in (b"Zeppelin", b"hangar", b"erika", b"call_9", b"find"):
        assert word not in stored


def test_thoughts_cache_tags_spaces_and_unicode_forms_do_not_count() -> None:
    plain = print_answer("Ça va, merci pour la question.")
    for same in (
        "<think>\nHm.\n</think>\n\nÇa va, merci pour la question.\n",
        "  Ça va, merci pour la question.",
        "C\u0327a va, merci pour la question.",
    ):
        assert print_answer(same) == plain
    assert canonical("<cache>Rules</cache>") == "Rules"
    assert canonical("<think>cut off in the middle of a thou") == ""


def test_arguments_of_a_tool_call_compare_by_value() -> None:
    one = print_answer("", [ToolCall("a", "find", '{"what": "x", "n": 2}')])
    two = print_answer("", [ToolCall("b", "find", '{"n":2,"what":"x"}')])
    assert one.tools == two.tools
    assert one.tool_ids != two.tool_ids
    assert one.text is None


def test_a_tool_result_of_anthropic_prints_like_the_tool_message_dify_saves() -> None:
    sent = prompt_of(
        {
            "system": "Use tools.",
            "messages": [
                {"role": "user", "content": "What time is it now?"},
                {
                    "role": "assistant",
                    "content": [{"type": "tool_use", "id": "toolu_1", "name": "time", "input": {}}],
                },
                {
                    "role": "user",
                    "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": "19:20:47"}],
                },
            ],
        }
    )
    saved = (
        PromptMessage("system", "Use tools.\n"),
        PromptMessage("user", "What time is it now?"),
        PromptMessage("assistant", "", (ToolCall("toolu_1", "time", "{}"),)),
        PromptMessage("tool", "19:20:47"),
    )
    assert sent is not None
    assert print_prompt(sent) == print_prompt(saved)


def test_what_a_failed_call_answered_is_dify_s_default_and_not_compared() -> None:
    assert fingerprint_call(replace(CALL, status=Status.ERROR)).answer.text is None


def test_numbers_that_stayed_in_the_round_are_used() -> None:
    call = replace(CALL, recorded=Recorded(Tokens(0, 0), "messages", 0), note="rounds_not_in_message:183+14")
    assert fingerprint_call(call).recorded == Tokens(183, 14)


def test_a_user_is_found_in_clear_hashed_and_cut() -> None:
    name = "8196785c-a9a3-4040-b057-584646036c72"
    mine = set(user_hashes(name))
    for sent in (name, sha256(name.encode()).hexdigest(), name[:32]):
        assert mine & set(user_hashes(sent))
    assert not mine & set(user_hashes("somebody else"))
    assert user_hashes(None) == ()


texts = st.text(st.characters(exclude_categories=()), max_size=300)


@settings(deadline=None)
@given(texts, texts)
def test_any_text_can_be_printed_and_stored(prompt: str, answer: str) -> None:
    call = replace(CALL, prompt=(PromptMessage("user", prompt),), answer=answer, query=prompt)
    printed = fingerprint_call(call)
    assert CallPrint.from_json(printed.to_json()) == printed


words = st.text(st.characters(min_codepoint=32, max_codepoint=0x24F), min_size=1, max_size=400).map(canonical)


@settings(deadline=None)
@given(words, st.integers(min_value=0, max_value=400))
def test_a_beginning_shares_the_beginning_s_hashes(answer: str, length: int) -> None:
    whole, part = print_answer(answer), print_answer(answer[:length])
    assert part.beginnings == whole.beginnings[: len(part.beginnings)]
    assert len(part.beginnings) == sum(1 for size in BEGINNINGS if size <= part.chars)
