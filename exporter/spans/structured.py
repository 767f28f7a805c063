"""JSON text, rewritten value by value: what is not touched keeps every byte, and JSON stays JSON.

A rule is asked for every string, key and number by itself, decoded, because a secret behind an escape such as \\n looks
different in the text than it is. JSON that a string holds is rewritten in its turn.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable

import orjson

from exporter.spans.text import clean, cut

Rule = Callable[[str, str | None], str]
"""A value's text and the name it stands under (None for a name itself) → the text to write in its place."""

_MOST_NESTED = 4
_BEGINNING = re.compile(r"\s*[{\[]")
_TOKEN = re.compile(r'("[^"\\]*(?:\\.[^"\\]*)*")(\s*:)?|-?\d[\d.eE+-]*')
_SHORTEST_CHARS = 16
_DECODER = json.JSONDecoder(strict=False)


def is_structured(text: str) -> bool:
    """True for the text of a JSON object or array."""
    if _BEGINNING.match(text) is None:
        return False
    try:
        orjson.loads(text)
    except orjson.JSONDecodeError:
        return "\\ud" in text.lower() and _is_lenient_json(text)
    return True


def rewritten(text: str, rule: Rule, nested: int = 0) -> str:
    """`text`, which `is_structured`, with the rule's answer for every key, string and number."""
    name: str | None = None

    def token(found: re.Match[str]) -> str:
        nonlocal name
        literal, colon = found.groups()
        if literal is None:
            answer = rule(found[0], name)
            return found[0] if answer == found[0] else _literal(answer)
        value = _decoded(literal)
        if colon:
            name = value
            answer = rule(value, None)
        elif nested < _MOST_NESTED and is_structured(value):
            answer = rewritten(value, rule, nested + 1)
        else:
            answer = rule(value, name)
        return found[0] if answer == value else _literal(answer) + (colon or "")

    return _TOKEN.sub(token, text)


def shortened(text: str, max_chars: int) -> str:
    """JSON text of at most `max_chars` characters and its marks: the longest strings are cut, each with a mark. When
    that is not enough an object with the one key `cut` holds the beginning of the text."""
    if len(text) <= max_chars:
        return text
    limit = max_chars // 2
    while limit >= _SHORTEST_CHARS:
        found = _cut_strings(text, limit)
        if len(found) <= max_chars:
            return found
        limit //= 4
    return json.dumps({"cut": cut(text, max_chars)}, ensure_ascii=False)


def _cut_strings(text: str, limit: int) -> str:
    def token(found: re.Match[str]) -> str:
        literal, colon = found.groups()
        if literal is None or colon or len(literal) <= limit:
            return found[0]
        return _literal(cut(_decoded(literal), limit))

    return _TOKEN.sub(token, text)


def _decoded(literal: str) -> str:
    return literal[1:-1] if "\\" not in literal else str(_DECODER.decode(literal))


def _literal(text: str) -> str:
    return json.dumps(clean(text), ensure_ascii=False)


def _is_lenient_json(text: str) -> bool:
    """Halves of surrogate pairs are no JSON to orjson, but to most readers."""
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True
