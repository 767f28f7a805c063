"""What every kind of secret in running text has in common: how it is found, and what may stand around it.

Places where a secret may begin are looked for by plain search, which is fast; the expression is tried there only. Each
expression is bounded: the time grows with the text and not with its shape.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

WORD_LEFT = r"(?:(?<![0-9A-Za-z_])|(?<=\\[nrt])|(?<=\\u[0-9A-Fa-f]{4}))"
"""No word goes on to the left. The escapes are those of JSON that stands inside other text."""


@dataclass(frozen=True, slots=True)
class Detector:
    """One kind of secret. `starts` tells the places, ascending, where one may begin: for most texts none, and fast.
    What the pattern matches there (its group `secret`, or all) is a secret up to `length`; 0 is none."""

    mark: str
    starts: Callable[[str], Sequence[int]]
    pattern: re.Pattern[str]
    length: Callable[[str], int] = len


def when(is_secret: Callable[[str], bool]) -> Callable[[str], int]:
    """A `length` of all or nothing."""
    return lambda text: len(text) if is_secret(text) else 0


def signs_of(needed: str, *signs: str, back: int = 0) -> Callable[[str], Sequence[int]]:
    """`starts` of what begins `back` characters before a sign. The text `needed` is in every such secret; looking for
    a single character costs a twentieth of looking for a sign."""

    def starts(text: str) -> Sequence[int]:
        if needed not in text:
            return ()
        found = {place - back for sign in signs if sign in text for place in places(text, sign)}
        return sorted(place for place in found if place >= 0)

    return starts


def places(text: str, sign: str) -> Iterator[int]:
    """Where `sign` begins in `text`, ascending."""
    at = text.find(sign)
    while at >= 0:
        yield at
        at = text.find(sign, at + 1)


_FULL_WIDTH = re.compile("[０-９]")
_TO_HALF_WIDTH = str.maketrans("０１２３４５６７８９＋－（）", "0123456789+-()")


def half_width(text: str) -> str:
    """`text` with the wide digits of Chinese and Japanese keyboards as ordinary ones, character for character."""
    if text.isascii() or _FULL_WIDTH.search(text) is None:
        return text
    return text.translate(_TO_HALF_WIDTH)
