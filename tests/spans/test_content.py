"""What text leaves the building, and in which shape."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.model import Status
from exporter.spans.langfuse import LangfuseProjector
from exporter.spans.langsmith import LangSmithProjector
from exporter.spans.plain import PlainProjector
from exporter.spans.text import clean, cut
from tests.spans import assessed_traces as traces
from tests.spans.decoded import full

SECRET = "my key is sk-abcdefghijklmnop and Bearer abc.def.ghi.jkl.mno"
WORDS = ("invoices", "billed twice", "jo.doe@example.com", "was a retry", "Because of", "window is broken")
PROJECTORS = [PlainProjector, LangfuseProjector, LangSmithProjector]


def test_redacted_texts_have_no_keys_tokens_addresses_or_telephone_numbers() -> None:
    shown = full(mode="redacted")(f"{SECRET}, mail jo@example.com, call +49 170 1234567 8")
    assert shown == "my key is [redacted] and [redacted], mail [redacted], call [redacted]"


def test_full_texts_are_untouched() -> None:
    assert full()(SECRET) == SECRET


@pytest.mark.parametrize("projector", PROJECTORS)
def test_mode_none_lets_no_word_of_a_person_or_model_out(projector: type) -> None:
    assessed = traces.one_call(90)
    root, leaf = assessed.trace.steps
    failed = traces.step(93, parent=root.span_id, status=Status.ERROR, error="the window is broken")
    assessed = traces.AssessedTrace(
        traces.trace(90, (root, leaf, failed)), assessed.assessments, assessed.verdict
    )
    kept = b"".join(projector(full())(assessed)).decode("utf-8", "replace")
    assert all(word in kept for word in WORDS)
    bare = b"".join(projector(full(mode="none"))(assessed)).decode("utf-8", "replace")
    assert [word for word in WORDS if word in bare] == []


@pytest.mark.parametrize("projector", PROJECTORS)
def test_redaction_reaches_prompts_answers_inputs_and_errors(projector: type) -> None:
    of = traces.call(2, answer=SECRET, prompt=(traces.PromptMessage("user", SECRET),), reasoning=SECRET)
    root = traces.step(1, input=SECRET, output=SECRET, status=Status.ERROR, error=SECRET)
    leaf = traces.model_step(2, root.span_id, of)
    assessed = traces.AssessedTrace(
        traces.trace(1, (root, leaf)), (traces.assessment(of),), traces.Verdict.EXPLAINED
    )
    bare = b"".join(projector(full(mode="redacted"))(assessed))
    assert b"abcdefghijklmnop" not in bare
    assert bare.count(b"[redacted]") >= 7


def test_a_secret_is_found_before_the_text_is_cut() -> None:
    text = "x" * 995 + " sk-abcdefghijklmnop"
    shown = full(mode="redacted", max_chars=1000)(text)
    assert shown is not None
    assert "sk-a" not in shown


def test_a_cut_is_visible_and_says_how_much_there_was() -> None:
    assert cut("abcdef", 4) == "abcd […cut: 4 of 6 characters]"
    assert cut("abcdef", 6) == "abcdef"


def test_a_long_prompt_keeps_its_last_messages() -> None:
    kept = full(max_chars=1000).together(["a" * 900, "b" * 600, "c" * 300])
    assert kept[2] == "c" * 300
    assert kept[1] == "b" * 600
    assert kept[0].startswith("a" * 100 + " […cut: 100 of 900")


@given(st.text())
def test_clean_text_can_always_be_encoded_and_is_left_alone_when_it_could(text: str) -> None:
    found = clean(text)
    found.encode()
    assert "\x00" not in found
    assert clean(found) == found
    try:
        text.encode()
    except UnicodeEncodeError:
        return
    assert found == text.replace("\x00", "\ufffd")


def test_two_halves_of_a_character_become_the_character() -> None:
    assert clean("ok \ud83d\ude00 and \ud83d alone") == "ok \U0001f600 and \ufffd alone"
