"""Cuts long text into slices whose counts add up to the count of the whole.

A cut is safe where every byte-pair vocabulary starts a new piece anyway: before a single space, or before a comma or
full stop, between two words, and after a line break between two lines. Only where a slice holds no such place for 4,096
characters (one endless word) it is cut anywhere, which changes the sum by at most a few tokens. Vocabularies that put a
space in front of every text (Llama 2, Mistral's sentencepiece, Claude) gain or lose up to one token per cut.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

LOOK_BACK_CHARS = 4096

_SAFE = re.compile(
    r"(?<=[^\W_])(?= [^\W\d_])"  # word| word
    r"|(?<=[^\W_])(?=[,.;:!?，。；：！？、][^\W\d_])"  # word|,word: the mark starts its own piece or leads the word
    r"|(?<=\S\n)(?=[^\W_])"  # line\n|line
)


def slices(text: str, limit: int) -> Iterator[str]:
    """The text in order, in slices of at most `limit` + 1 characters, cut at safe places where there are any."""
    start = 0
    while len(text) - start > limit:
        end = _last_safe_cut(text, start, start + limit)
        yield text[start:end]
        start = end
    yield text[start:]


def _last_safe_cut(text: str, start: int, limit: int) -> int:
    first = max(start, limit - LOOK_BACK_CHARS)
    found = limit
    for place in _SAFE.finditer(text[first : limit + 2]):
        found = first + place.start()
    return found
