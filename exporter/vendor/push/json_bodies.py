"""The entries of a JSON body: an object, an array of entries, JSON Lines, or JSON values one after another.

Looks at the bytes, never at the content type. The body is first only cut into entries; they are then read one at a
time, so that memory follows the largest entry and not the body. An entry that cannot be read is `Unreadable` and the
rest is kept; a body whose entries cannot be told apart is refused as a whole.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass

import orjson

from exporter.vendor.adapters.base import Unreadable
from exporter.vendor.push.refusal import BadBody, TooMuch

MOST_ENTRIES = 20_000
"""More entries in one body are refused."""

DEEPEST = 100
"""An entry that is nested deeper is refused; orjson and Python's own recursion allow about ten times that."""

MOST_VALUES = 1_000_000
"""An entry with more marks (texts, brackets, commas) is refused: one mark may cost 60 bytes of memory."""

MOST_MARKS = 5_000_000
"""A value with more of them is not even cut into entries: some seconds of work for nothing."""

Body = bytes | bytearray

_MARK = re.compile(rb'"[^"\\\n]*+(?:\\[^\n][^"\\\n]*+)*+"|["\[\]{},]')
"""A whole text, or one mark; a quotation mark alone is a text without an end. Possessive: linear in the body."""

_SPACE = re.compile(rb"(?:[ \t\r\n]|\xef\xbb\xbf)*+")
_LINE = re.compile(rb"[^\n]++")
_OPENING, _CLOSING = frozenset(b"[{"), frozenset(b"]}")
_ARRAY, _ARRAY_END, _COMMA = b"[],"

_NO_JSON = "the body is not JSON in UTF-8: it must hold an object, an array, or one object per line"
_NO_END = "the body is not valid JSON: a text, an object or an array has no end"


@dataclass(frozen=True, slots=True)
class _Piece:
    """Where one entry stands, or why it is none."""

    start: int
    end: int
    problem: str | None = None


def entries(body: Body) -> Iterator[tuple[int, object]]:
    """The entries in order, numbered from 1: a parsed value, or `Unreadable`.

    Raises BadBody, before the first entry is given, for a body that is no JSON or whose only entry cannot be read;
    TooMuch for too many entries or marks.
    """
    pieces = _cut(body)
    view = memoryview(body)
    if len(pieces) != 1:
        return ((number, _read(view, piece)) for number, piece in enumerate(pieces, start=1))
    only = _read(view, pieces[0])
    if isinstance(only, Unreadable):
        raise BadBody(f"the body cannot be read: {only.reason}")
    return iter([(1, only)])


def _cut(body: Body) -> list[_Piece]:
    start = _past_space(body, 0)
    if start == len(body):
        raise BadBody("the body is empty")
    try:
        return _values(body, start, len(body))
    except TooMuch:
        raise
    except BadBody:
        if body[start] == _ARRAY or b"\n" not in body:
            raise
        return _lines(body)


def _lines(body: Body) -> list[_Piece]:
    """JSON Lines of which some are broken. Raises BadBody when all are."""
    pieces: list[_Piece] = []
    for line in _LINE.finditer(body):
        if _past_space(body, line.start()) >= line.end():
            continue
        try:
            found = _values(body, line.start(), line.end())
        except TooMuch:
            raise
        except BadBody:
            found = [_Piece(line.start(), line.end(), "not valid JSON")]
        for piece in found:
            _add(pieces, piece)
    if all(piece.problem for piece in pieces):
        raise BadBody(_NO_JSON)
    return pieces


def _values(body: Body, start: int, end: int) -> list[_Piece]:
    """Values one after another, arrays taken apart. Raises BadBody."""
    pieces: list[_Piece] = []
    position = _past_space(body, start)
    while position < end:
        if body[position] not in _OPENING:
            raise BadBody(_NO_JSON)
        position = _past_space(body, _value(body, position, end, pieces))
    return pieces


def _value(body: Body, start: int, end: int, pieces: list[_Piece]) -> int:
    """Cut one object, or the array that begins here into its elements; returns the place behind it."""
    level = 1 if body[start] == _ARRAY else 0
    began, depth, deepest, passed = start + level, 0, 0, 0
    for marks, match in enumerate(_MARK.finditer(body, start, end), start=1):
        mark = body[match.start()]
        if marks > MOST_MARKS:
            raise TooMuch(f"more than {MOST_MARKS} values in one body; send smaller batches")
        if mark in _OPENING:
            depth += 1
            deepest = max(deepest, depth)
        elif mark in _CLOSING:
            depth -= 1
            if depth == 0:
                if not _is_empty_array(body, start, match.start()):
                    _add(pieces, _Piece(began, match.end() - level, _problem(deepest, marks - passed)))
                return match.end()
        elif mark == _COMMA:
            if depth == level == 1:
                _add(pieces, _Piece(began, match.start(), _problem(deepest, marks - passed)))
                began, deepest, passed = match.end(), depth, marks
        elif match.end() - match.start() == 1:
            raise BadBody(_NO_END)
    raise BadBody(_NO_END)


def _add(pieces: list[_Piece], piece: _Piece) -> None:
    if len(pieces) >= MOST_ENTRIES:
        raise TooMuch(f"more than {MOST_ENTRIES} records in one body; send them in several")
    pieces.append(piece)


def _is_empty_array(body: Body, start: int, end: int) -> bool:
    """Whether the value between these two brackets is `[]`. Raises BadBody when they do not belong together."""
    if (body[start] == _ARRAY) != (body[end] == _ARRAY_END):
        raise BadBody("the body is not valid JSON: a bracket is closed by one of another kind")
    return body[start] == _ARRAY and _past_space(body, start + 1) == end


def _problem(deepest: int, marks: int) -> str | None:
    if deepest > DEEPEST:
        return f"nested deeper than {DEEPEST} levels"
    return f"holds more than {MOST_VALUES} values" if marks > MOST_VALUES else None


def _past_space(body: Body, position: int) -> int:
    match = _SPACE.match(body, position)
    return match.end() if match else position


def _read(body: memoryview, piece: _Piece) -> object:
    if piece.problem:
        return Unreadable(piece.problem)
    text = body[piece.start : piece.end]
    try:
        return orjson.loads(text)
    except ValueError:
        return _read_tolerantly(bytes(text))


def _read_tolerantly(text: bytes) -> object:
    """What strict JSON refuses and gateways write all the same: half surrogate pairs (a text that was cut), and NaN or
    Infinity, which say that a number is not known."""
    try:
        decoded = text.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return Unreadable("not valid UTF-8")
    try:
        return json.loads(decoded, parse_int=_whole, parse_float=_finite, parse_constant=lambda _: None)
    except OverflowError:
        return Unreadable("a number in it is too large")
    except ValueError:
        return Unreadable("not valid JSON")


def _whole(digits: str) -> int | float:
    """A whole number of at most 64 bits; a larger one loses its last places, as with orjson."""
    number = int(digits) if len(digits) <= 20 else None
    return number if number is not None and -(2**63) <= number < 2**64 else _finite(digits)


def _finite(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):
        raise OverflowError
    return number
