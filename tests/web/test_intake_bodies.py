from __future__ import annotations

import contextlib
import gzip
import json
import zlib
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from exporter.vendor.adapters.base import Unreadable
from exporter.vendor.push.json_bodies import DEEPEST, MOST_ENTRIES, entries
from exporter.vendor.push.reading import read_pushed
from exporter.vendor.push.refusal import BadBody, TooLarge, TooMuch, UnknownCoding
from exporter.vendor.push.unpacking import unpack
from tests.web.intake_senders import SECRET, call

TEXTS = st.text(st.characters(codec="utf-8")) | st.sampled_from(
    ['"', "\\", "[{", '"}],', "\n", "\ud83d", "\0"]
)
JSON: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=8,
)
OBJECTS = st.dictionaries(TEXTS, JSON, max_size=4)
SPACE = st.text(" \t\r\n", max_size=2)


def values(body: bytes) -> list[object]:
    found = list(entries(body))
    assert [number for number, _ in found] == list(range(1, len(found) + 1))
    return [value for _, value in found]


def written(value: object, indent: int | None, ascii_only: bool) -> bytes:
    return json.dumps(value, indent=indent, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")


@settings(deadline=None, max_examples=60)
@given(st.lists(JSON, max_size=5), st.sampled_from([None, 0, 2]), st.booleans())
def test_an_array_gives_its_elements_as_the_json_of_the_standard_library_reads_them(
    elements: list[object], indent: int | None, ascii_only: bool
) -> None:
    assert values(written(elements, indent, ascii_only)) == elements


@settings(deadline=None, max_examples=60)
@given(OBJECTS, st.sampled_from([None, 0, 2]), st.booleans())
def test_an_object_is_one_entry(value: dict[str, object], indent: int | None, ascii_only: bool) -> None:
    assert values(written(value, indent, ascii_only)) == [value]


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(OBJECTS, SPACE), min_size=1, max_size=5), st.booleans(), st.sampled_from([None, 2]))
def test_objects_one_after_another_are_entries_whatever_space_is_between(
    items: list[tuple[dict[str, object], str]], ascii_only: bool, indent: int | None
) -> None:
    body = b"".join(written(value, indent, ascii_only) + space.encode() for value, space in items)
    assert values(body) == [value for value, _ in items]


@settings(deadline=None, max_examples=60)
@given(st.lists(OBJECTS, min_size=1, max_size=5), st.data())
def test_a_cut_line_costs_itself_and_no_other(items: list[dict[str, object]], data: st.DataObject) -> None:
    lines = [written(item, None, True) for item in items]
    place = data.draw(st.integers(0, len(lines)))
    cut = written({"a": [{"b": "text"}, 1]}, None, True)
    lines.insert(place, cut[: data.draw(st.integers(1, len(cut) - 1))])
    found = values(b"\n".join(lines))
    assert isinstance(found[place], Unreadable)
    assert found[:place] + found[place + 1 :] == items


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 300))
def test_the_depth_that_is_taken_is_exact(depth: int) -> None:
    body = b'{"a":' * depth + b"1" + b"}" * depth
    if depth <= DEEPEST:
        assert len(values(body)) == 1
    else:
        with pytest.raises(BadBody, match="nested deeper than 100 levels"):
            values(body)
        (first, second) = values(b"[" + body[5:-1] + b", 2]")
        assert second == 2
        assert isinstance(first, Unreadable) == (depth > DEEPEST)


def test_the_number_of_entries_that_is_taken_is_exact() -> None:
    for one, joined in ((b"{}", b""), (b"{}", b"\n"), (b"[1]", b"")):
        assert len(values(joined.join([one] * MOST_ENTRIES))) == MOST_ENTRIES
        with pytest.raises(TooMuch):
            values(joined.join([one] * (MOST_ENTRIES + 1)))
    assert len(values(b"[" + b",".join([b"1"] * MOST_ENTRIES) + b"]")) == MOST_ENTRIES
    with pytest.raises(TooMuch):
        values(b"[" + b",".join([b"1"] * (MOST_ENTRIES + 1)) + b"]")


@settings(deadline=None, max_examples=60)
@given(st.binary(max_size=60))
@example(b'[{"a":1]}')
@example(b'{"a":[}]}')
@example(b"[,]")
@example(b'{"a":1}\n,\n{"b":2}')
def test_any_bytes_are_read_as_json_reads_them_or_refused(body: bytes) -> None:
    try:
        expected = json.loads(body.decode("utf-8"), parse_constant=lambda _: None)
    except (ValueError, RecursionError):
        expected = None
    if isinstance(expected, dict):
        assert values(body) == [expected]
    else:
        with contextlib.suppress(BadBody):
            assert values(body) is not None


@settings(deadline=None, max_examples=60)
@given(st.text('[]{}",:\\ \n1a', max_size=40).map(str.encode))
def test_any_arrangement_of_marks_is_read_as_json_reads_it_or_refused(body: bytes) -> None:
    test = test_any_bytes_are_read_as_json_reads_them_or_refused
    test.hypothesis.inner_test(body)  # type: ignore[attr-defined]


CODINGS: dict[str, Any] = {
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "Deflate": lambda plain: zlib.compress(plain)[2:-4],
    " x-gzip": lambda plain: gzip.compress(plain[:7]) + gzip.compress(plain[7:]) + bytes(5),
    "identity": lambda plain: plain,
    "": lambda plain: plain,
}


@settings(deadline=None, max_examples=60)
@given(st.binary(max_size=3000), st.sampled_from(sorted(CODINGS)))
def test_what_the_standard_library_packs_is_unpacked(plain: bytes, coding: str) -> None:
    if coding in ("", "identity") and plain.startswith(b"\x1f\x8b"):
        return
    assert unpack(CODINGS[coding](plain), coding, len(plain)) == plain


@settings(deadline=None, max_examples=60)
@given(st.binary(min_size=1, max_size=3000), st.sampled_from(["gzip", "deflate", "Deflate", " x-gzip"]))
def test_one_byte_more_than_the_limit_is_refused(plain: bytes, coding: str) -> None:
    with pytest.raises(TooLarge):
        unpack(CODINGS[coding](plain), coding, len(plain) - 1)


@settings(deadline=None, max_examples=60)
@given(st.binary(max_size=300), st.sampled_from(["gzip", "deflate"]))
def test_any_bytes_are_unpacked_or_refused(body: bytes, coding: str) -> None:
    with contextlib.suppress(BadBody):
        assert len(unpack(body, coding, 10_000)) <= 10_000


@settings(deadline=None, max_examples=60)
@given(st.binary(max_size=300), st.data())
def test_a_packed_body_with_a_changed_byte_is_unpacked_or_refused(plain: bytes, data: st.DataObject) -> None:
    packed = bytearray(gzip.compress(plain))
    packed[data.draw(st.integers(0, len(packed) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(BadBody):
        assert len(unpack(packed, "gzip", 10_000)) <= 10_000


@settings(deadline=None, max_examples=60)
@given(st.text(max_size=20))
def test_any_coding_is_known_or_refused_without_repeating_it(coding: str) -> None:
    try:
        unpack(b"{}", coding, 100)
    except UnknownCoding as problem:
        refused = str(problem)
    except BadBody:
        return
    else:
        return
    assert refused == "this Content-Encoding is not understood here; send gzip or deflate, or none"


def test_entries_are_read_one_at_a_time() -> None:
    """A later entry that is too much to hold beside the others is not parsed before its turn."""
    body = b"[" + json.dumps(call(1)).encode() + b"," + b"[" + b"0," * 900_000 + b"0]" + b"]"
    stream = entries(body)
    assert next(stream)[0] == 1
    number, value = next(stream)
    assert (number, isinstance(value, list)) == (2, True)


class Broken(dict[str, object]):
    """A record that no code of ours expects."""

    def get(self, name: object, default: object = None) -> object:
        raise KeyError(SECRET)


def test_a_fault_of_our_own_costs_one_record_and_is_said_without_its_content(
    capfd: pytest.CaptureFixture[str],
) -> None:
    pushed = read_pushed(iter([(1, call(1)), (2, Broken()), (3, call(3))]), "generic", None)
    assert [record.id for record in pushed.records] == ["chatcmpl-1", "chatcmpl-3"]
    assert [item.number for item in pushed.refused] == [2]
    assert pushed.refused[0].reason.startswith("a fault of dify-exporter")
    written = capfd.readouterr().out
    assert "record_not_read" in written
    assert SECRET not in written + pushed.refused[0].reason


def test_the_numbers_of_refused_entries_are_their_places() -> None:
    pushed = read_pushed(entries(json.dumps([1, call(2), 3, call(4), 5]).encode()), "generic", None)
    assert [item.number for item in pushed.refused] == [1, 3, 5]
    assert [record.id for record in pushed.records] == ["chatcmpl-2", "chatcmpl-4"]
