"""What text leaves the building, and in which shape."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.config import ContentSettings
from exporter.model import AssessedTrace, Status
from exporter.spans.content import content
from exporter.spans.langfuse import LangfuseProjector
from exporter.spans.langsmith import LangSmithProjector
from exporter.spans.openinference import OpenInferenceProjector
from exporter.spans.plain import PlainProjector
from exporter.spans.text import clean, cut
from tests.spans import assessed_traces as traces
from tests.spans.decoded import full, seen
from tests.spans.secret_examples import LOOK_ALIKES, SECRETS

SECRET = "my key is sk-abcdefghijklmnop and Bearer abc.def.ghi.jkl.mno"
WORDS = ("invoices", "billed twice", "jo.doe@example.com", "was a retry", "Because of", "window is broken")
PROJECTORS = [PlainProjector, LangfuseProjector, LangSmithProjector, OpenInferenceProjector]


def test_redacted_texts_have_no_keys_tokens_addresses_or_telephone_numbers() -> None:
    shown = full(mode="redacted")(f"{SECRET}, mail jo@example.com, call +49 170 1234567 8")
    assert shown == "my key is [key] and Bearer [key], mail [email], call [phone]"


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
    assert bare.count(b"[key]") >= 12


def told(text: str) -> AssessedTrace:
    """A trace that says `text` wherever a person, a model or a node can: as words and inside of JSON."""
    nested = json.dumps({"note": text, "list": [text]}, ensure_ascii=False)
    of = traces.call(
        2, answer=text, reasoning=text, prompt=(
            traces.PromptMessage("system", f"Known: {text}"), traces.PromptMessage("user", text),
            traces.PromptMessage("tool", nested, tool_call_id="call_1"),
        ), tool_calls=(traces.ToolCall("call_1", "search", nested),),
    )  # fmt: skip
    unkept = traces.call(3, prompt=None, query=text)
    root = traces.step(1, input=text, output=text, status=Status.ERROR, error=f"refused: {text}")
    node = traces.step(4, parent=root.span_id, input=nested, output=nested, status=Status.STOPPED, error=text)
    steps = (
        root,
        traces.model_step(2, root.span_id, of),
        traces.model_step(3, root.span_id, unkept),
        node,
    )
    return traces.AssessedTrace(
        traces.trace(1, steps), tuple(map(traces.assessment, (of, unkept))), traces.Verdict.EXPLAINED
    )


@pytest.mark.parametrize("projector", PROJECTORS)
def test_no_secret_is_in_any_byte_of_any_span(projector: type) -> None:
    redacted, kept = projector(full(mode="redacted")), projector(full())
    for text, secret, mark in SECRETS:
        looked_for = max(secret.splitlines(), key=len).encode()
        assert looked_for in b"".join(kept(told(text)))
        spans = b"".join(redacted(told(text)))
        assert looked_for not in spans
        assert mark.encode() in spans


@pytest.mark.parametrize("projector", PROJECTORS)
def test_what_only_looks_like_a_secret_reaches_every_span(projector: type) -> None:
    redacted, kept = projector(full(mode="redacted")), projector(full())
    for text in LOOK_ALIKES:
        assert redacted(told(text)) == kept(told(text))


# ── per app ─────────────────────────────────────────────────────────────────────────────────────────────────


def of_app(name: str, **changes: Any) -> AssessedTrace:
    assessed = told("write to li@example.com about the window")
    app = replace(assessed.trace.app, name=name, **changes)
    return replace(assessed, trace=replace(assessed.trace, app=app))


@pytest.mark.parametrize("projector", PROJECTORS)
def test_an_app_may_be_treated_differently_by_name_or_id(projector: type) -> None:
    project = projector(
        full(
            mode="redacted",
            apps=[
                {"match": "HR *", "mode": "none"},
                {"match": "11111111-2222-3333-4444-555555555555", "mode": "full"},
                {"match": "*", "mode": "redacted"},
            ],
        )
    )
    for assessed, has_words, has_address in (
        (of_app("HR payroll"), False, False),
        (of_app("hr Holidays"), False, False),
        (of_app("Shop"), True, False),
        (of_app("Shop", id="11111111-2222-3333-4444-555555555555"), True, True),
    ):
        spans = b"".join(project(assessed))
        assert (b"about the window" in spans) == has_words
        assert (b"li@example.com" in spans) == has_address


def test_the_first_entry_that_matches_an_app_wins() -> None:
    choice = full(apps=[{"match": "A?", "mode": "none"}, {"match": "A*", "mode": "redacted"}])
    names = {name: choice.of(replace(traces.APP, name=name)) for name in ("AB", "ABC", "B", "BA")}
    assert [names["AB"].is_kept, names["ABC"].is_kept] == [False, True]
    assert names["ABC"]("li@example.com") == "[email]"
    assert names["B"] is names["BA"] is choice


@pytest.mark.parametrize("name", ["[HR] bot", "a.b (c)", "x+y|z", "100% ^$", "客服\n助手"])
def test_a_name_with_odd_characters_matches_itself_and_no_other(name: str) -> None:
    choice = full(apps=[{"match": name, "mode": "none"}])
    assert not choice.of(replace(traces.APP, name=name)).is_kept
    assert choice.of(replace(traces.APP, name=name[1:])).is_kept
    assert choice.of(replace(traces.APP, name="H")).is_kept


# ── cuts ────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("projector", PROJECTORS)
def test_a_long_text_is_cut_in_every_dialect_and_json_attributes_stay_json(projector: type) -> None:
    long = json.dumps({"documents": [{"n": number, "text": "x\n" * 900} for number in range(5)]})
    step = traces.step(1, traces.StepKind.TOOL, input=long, output=long)
    assessed = traces.AssessedTrace(traces.trace(1, (step,)), (), traces.Verdict.UNVERIFIED)
    span = seen(projector(full(max_chars=2000))(assessed))[0]
    cuts = [
        value for value in span.attributes.values() if isinstance(value, str) and "characters cut]" in value
    ]
    assert len(cuts) == 2
    for text in cuts:
        found = json.loads(text)
        assert [item["n"] for item in found["documents"]] == list(range(5))
        assert all(item["text"].endswith(" of 1800 characters cut]") for item in found["documents"])
        assert len(text) <= 2000


def test_json_that_is_long_without_long_texts_becomes_an_object_that_says_so() -> None:
    text = json.dumps(list(range(5000)))
    found = json.loads(full(max_chars=1000)(text) or "")
    assert found == {"cut": cut(text, 1000)}
    assert found["cut"].endswith(f" […{len(text) - 1000} of {len(text)} characters cut]")


def test_cut_json_keeps_names_and_numbers_and_counts_what_is_gone() -> None:
    text = json.dumps({"name": "x" * 1500, "emoji": "\U0001f600" * 900, "n": 12345678901234567890})
    found = json.loads(full(max_chars=1500)(text) or "")
    assert found["n"] == 12345678901234567890
    kept, _, mark = found["name"].partition(" […")
    assert mark == f"{1500 - len(kept)} of 1500 characters cut]"
    kept, _, mark = found["emoji"].partition(" […")
    assert set(kept) == {"\U0001f600"}
    assert mark == f"{900 - len(kept)} of 900 characters cut]"


@given(
    st.recursive(
        st.one_of(st.integers(), st.text(), st.text('ab\n"\\é\U0001f600', min_size=200)),
        lambda inner: st.one_of(st.lists(inner), st.dictionaries(st.text(), inner)),
        max_leaves=30,
    ),
    st.booleans(),
)
def test_cut_json_is_always_json_and_never_much_longer_than_allowed(value: object, ascii_only: bool) -> None:
    text = json.dumps([value, "x" * 1000], ensure_ascii=ascii_only)
    found = full(max_chars=1000)(text) or ""
    json.loads(found)
    assert len(found) <= 2 * 1000 + 100


# ── files ───────────────────────────────────────────────────────────────────────────────────────────────────

SIGNED = (
    "http://dify.test/files/cb7443d7/file-preview?timestamp=1795465531&nonce=42&sign=DMNQHJftLLe3k1fLC-Q%3D"
)
FILE = {
    "dify_model_identity": "__dify__file__", "id": None, "type": "image", "transfer_method": "local_file",
    "remote_url": SIGNED, "reference": "dify-file-ref:eyJyZWNvcmRfaWQiOiJjYjc0NDNkNy1", "filename": "绿色.png",
    "extension": ".png", "mime_type": "image/png", "size": 207, "related_id": "cb7443d7", "url": SIGNED,
}  # fmt: skip
"""As Dify 1.14.0 wrote it, shortened."""


@pytest.mark.parametrize("projector", PROJECTORS)
@pytest.mark.parametrize("mode", ["full", "redacted"])
def test_a_file_is_told_by_name_type_and_size_only(projector: type, mode: str) -> None:
    held = json.dumps({"pic": FILE, "many": [FILE], "n": 1.50, "big": 12345678901234567890})
    step = traces.step(1, traces.StepKind.TOOL, input=held, output=held)
    assessed = traces.AssessedTrace(traces.trace(1, (step,)), (), traces.Verdict.UNVERIFIED)
    spans = projector(full(mode=mode))(assessed)
    assert b"sign=" not in b"".join(spans)
    assert b"dify-file-ref" not in b"".join(spans)
    told = {"type": "image", "filename": "绿色.png", "mime_type": "image/png", "size": 207}
    values = [
        value for value in seen(spans)[0].attributes.values() if isinstance(value, str) and "绿色" in value
    ]
    assert [json.loads(value) for value in values] == 2 * [
        {"pic": told, "many": [told], "n": 1.5, "big": 12345678901234567890}
    ]


def test_pictures_inside_of_texts_are_told_by_type_and_size() -> None:
    text = "look: ![](data:image/png;base64,iVBORw0KGgo=) and data:application/pdf;name=a.pdf;base64,JVBERg=="
    assert full()(text) == "look: ![]([image/png, 8 bytes]) and [application/pdf, 4 bytes]"


# ── settings ────────────────────────────────────────────────────────────────────────────────────────────────


def test_full_texts_pass_as_they_are_however_odd() -> None:
    for text, _, _ in SECRETS:
        assert content(ContentSettings())(text) == text


def test_a_secret_is_found_before_the_text_is_cut() -> None:
    text = "x" * 995 + " sk-abcdefghijklmnop"
    shown = full(mode="redacted", max_chars=1000)(text)
    assert shown is not None
    assert "sk-a" not in shown


def test_a_cut_is_visible_and_says_how_much_there_was() -> None:
    assert cut("abcdef", 4) == "abcd […2 of 6 characters cut]"
    assert cut("abcdef", 6) == "abcdef"


def test_a_long_prompt_keeps_its_last_messages() -> None:
    kept = full(max_chars=1000).together(["a" * 900, "b" * 600, "c" * 300])
    assert kept[2] == "c" * 300
    assert kept[1] == "b" * 600
    assert kept[0].startswith("a" * 100 + " […800 of 900 characters cut]")


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
