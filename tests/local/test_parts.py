"""The local reading of a request whose whole body is known: definitions, schemas and pictures are in the count."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from exporter.local.images import Image
from exporter.local.parts import Parts
from exporter.local.reading import read_local
from exporter.local.tools import Property, Schema, Tool
from exporter.model import Accuracy, Call, LocalReading, PromptMessage

MakeCall = Callable[..., Call]

LOOK = Tool("look", "Looks.", (Property("at", "string", "What."),), '{"name": "look"}')


def reading(call: Call, parts: Parts | None) -> LocalReading:
    found = read_local(call, parts)
    assert found is not None
    return found


def test_a_body_without_parts_is_as_exact_as_its_texts(make_call: MakeCall) -> None:
    assert read_local(make_call(), Parts()) == read_local(make_call())


def test_definitions_are_added_with_their_own_error(make_call: MakeCall) -> None:
    plain, found = reading(make_call(), None), reading(make_call(), Parts(tools=(LOOK,)))
    assert plain.tokens.input is not None
    assert found.tokens.input is not None
    added = found.tokens.input - plain.tokens.input
    assert added > 12
    assert found.accuracy is Accuracy.APPROXIMATE
    assert found.error_pct == pytest.approx(10 * added / found.tokens.input, abs=0.1)
    assert "1 tool definition(s) within about" in (found.note or "")


def test_a_picture_with_a_documented_rule_keeps_the_template_class(make_call: MakeCall) -> None:
    call = make_call(model="gpt-4o", prompt=(PromptMessage("user", "What is this?", media=1),))
    found = reading(call, Parts(images=(Image(1024, 1024),), media=1))
    alone = reading(make_call(model="gpt-4o", prompt=("user", "What is this?")), None)
    assert (found.tokens.input or 0) - (alone.tokens.input or 0) == 765
    assert (found.accuracy, found.error_pct) == (Accuracy.TEMPLATE, 0.0)


def test_a_file_that_nobody_can_count_makes_a_lower_bound_and_is_named(make_call: MakeCall) -> None:
    call = make_call(model="gpt-4o", prompt=(PromptMessage("user", "What is this?", media=3),))
    found = reading(call, Parts(images=(Image(1024, 1024), Image()), media=3))
    assert (found.accuracy, found.error_pct) == (Accuracy.LOWER_BOUND, None)
    assert "2 file(s) in the prompt not counted" in (found.note or "")


def test_what_a_format_does_not_publish_is_a_lower_bound_and_is_named(make_call: MakeCall) -> None:
    parts = Parts(tools=(LOOK,), unread_tools=2, schema=Schema("answer", "{}"))
    found = reading(make_call(model="gemini-2.0-flash"), parts)
    assert found.accuracy is Accuracy.LOWER_BOUND
    for words in ("1 tool definition(s) not", "2 tool definition(s) not", "schema of the answer not"):
        assert words in (found.note or "")
    assert found.tokens == reading(make_call(model="gemini-2.0-flash"), None).tokens


def test_an_answer_schema_of_openai_is_counted_with_an_error(make_call: MakeCall) -> None:
    found = reading(make_call(), Parts(schema=Schema("answer", '{"type": "object"}')))
    assert found.accuracy is Accuracy.APPROXIMATE
    assert (found.tokens.input or 0) > (reading(make_call(), None).tokens.input or 0)


def test_embeddings_have_no_parts(make_call: MakeCall) -> None:
    call = make_call(kind="embedding", model="text-embedding-3-small", answer=None)
    assert read_local(call, Parts(tools=(LOOK,))) == read_local(call)
