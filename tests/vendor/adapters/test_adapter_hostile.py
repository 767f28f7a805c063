"""Whatever is sent to an adapter: records or named refusals, in little time; never another error, never content."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from exporter.vendor.adapters import ADAPTERS, Unreadable
from exporter.vendor.adapters.bodies import answer_of, record_fields
from exporter.vendor.adapters.sse import EventSplitter
from exporter.vendor.record import BadRecord, VendorCall, parse
from tests.vendor.adapters.as_streamed import vendor_stream
from tests.vendor.adapters.line_facts import is_failed, operation, vendor_body
from tests.vendor.convert_recording import lines
from tests.vendor.formats import FORMATS, VARIANTS, converter

SAMPLE = Path(__file__).parents[2] / "data" / "vendor" / "formats-sample.jsonl"
LINES = list(lines(SAMPLE))
NAMES = [*FORMATS, *VARIANTS]
ANSWERED = [line for line in LINES if not is_failed(line) and operation(line) == "chat"]
ENTRIES = [(converter(name)[0], converter(name)[1](line)) for name in NAMES for line in LINES]
WORST = "s3cret-of-the-prompt"

odd = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=20),
    st.sampled_from(
        ["", "-", "0", "-1", "1e999999999", "9" * 50, "{", "[]", '{"a":', WORST, "\ud800", "NaN", -1, 2**70]
    ),
)
json_values = st.recursive(
    odd,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


def run(adapter: str, value: object) -> list[VendorCall]:
    """All that adapter and parse may do with a value."""
    calls, refused = [], []
    for found in ADAPTERS[adapter](value):
        assert isinstance(found, Mapping | Unreadable) or adapter == "generic"
        if isinstance(found, Unreadable):
            refused.append(found.reason)
        try:
            calls.append(parse(found, "x"))
        except BadRecord as problem:
            refused.append(str(problem))
    assert not any(WORST in reason for reason in refused)
    return calls


def places(value: object, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for name, part in inner for place in places(part, (*path, name)))]


def at(value: Any, path: tuple[Any, ...]) -> Any:
    for name in path:
        value = value[name]
    return value


def replaced(value: Any, path: tuple[Any, ...], new: object) -> Any:
    if not path:
        return new
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = replaced(value[path[0]], path[1:], new)
    return copy


@pytest.mark.parametrize("adapter", ADAPTERS)
@given(value=json_values)
@settings(max_examples=150, deadline=None)
def test_any_json_value_gives_records_or_named_refusals(adapter: str, value: object) -> None:
    run(adapter, value)
    run(adapter, [value, value])


@given(data=st.data())
@settings(max_examples=1500, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_a_good_entry_with_anything_in_any_place_gives_records_or_named_refusals(data: st.DataObject) -> None:
    adapter, entry = data.draw(st.sampled_from(ENTRIES))
    path = data.draw(st.sampled_from(places(entry)))
    run(adapter, replaced(entry, path, data.draw(json_values)))


def as_json(text: object) -> Any:
    try:
        return json.loads(text) if isinstance(text, str) and text[:1] in ("{", "[") else None
    except ValueError:
        return None


INNER = [
    (adapter, entry, path) for adapter, entry in ENTRIES for path in places(entry) if as_json(at(entry, path))
]


@given(data=st.data())
@settings(max_examples=600, deadline=None)
def test_an_inner_json_text_may_hold_anything(data: st.DataObject) -> None:
    adapter, entry, path = data.draw(st.sampled_from(INNER))
    inner = as_json(at(entry, path))
    changed = replaced(inner, data.draw(st.sampled_from(places(inner))), data.draw(json_values))
    run(adapter, replaced(entry, path, json.dumps(changed)))


@given(data=st.data())
@settings(max_examples=800, deadline=None)
def test_a_response_body_may_hold_anything(data: st.DataObject) -> None:
    line = data.draw(st.sampled_from(ANSWERED))
    body = vendor_body(line)
    record_fields(answer_of(replaced(body, data.draw(st.sampled_from(places(body))), data.draw(json_values))))
    events = [
        json.loads(text.removeprefix("data: "))
        for text in vendor_stream(line).split("\n\n")
        if text[6:7] == "{"
    ]
    changed = replaced(events, data.draw(st.sampled_from(places(events))), data.draw(json_values))
    record_fields(answer_of(changed))


@given(raw=st.binary(max_size=300), size=st.integers(1, 50))
@settings(max_examples=300, deadline=None)
def test_any_bytes_are_split_into_events_or_left_out(raw: bytes, size: int) -> None:
    splitter = EventSplitter()
    for place in range(0, len(raw), size):
        list(splitter.feed(raw[place : place + size]))
    list(splitter.close())


def nested(depth: int, kind: type) -> Any:
    value: Any = WORST
    for _ in range(depth):
        value = (
            {"content": value, "messages": value}
            if kind is dict and depth < 12
            else ({"a": value} if kind is dict else [value])
        )
    return value


@pytest.mark.parametrize("depth", [10, 200, 980])
@pytest.mark.parametrize("kind", [list, dict])
def test_deep_nesting_in_any_place_is_survived(depth: int, kind: type) -> None:
    deep = nested(depth, kind)
    written = "[" * depth + "]" * depth
    for adapter in ADAPTERS:
        run(adapter, deep)
    for adapter, entry in ENTRIES[:: len(LINES) // 3]:
        for path in places(entry):
            if len(path) < 4:
                run(adapter, replaced(entry, path, deep))
                run(adapter, replaced(entry, path, written))


def test_huge_texts_and_many_items_are_survived() -> None:
    huge = "x" * 3_000_000
    for adapter, entry in ENTRIES[:: len(LINES)]:
        for path in places(entry):
            if 1 <= len(path) < 3 and isinstance(at(entry, path), str):
                run(adapter, replaced(entry, path, huge))
    wide = {f"k{number}": {"a": number} for number in range(50_000)}
    for adapter in ADAPTERS:
        run(adapter, wide)
        run(adapter, [[]] * 50_000)
