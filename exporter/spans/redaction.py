"""Redaction of one text: the operator's expressions first, then what the built-in detectors know, until nothing is left.

Pure, and never raises. JSON stays JSON. A second redaction by the built-ins changes nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from exporter.spans.detectors import Detector, half_width
from exporter.spans.expressions import replaced
from exporter.spans.keys import KEYS, names_a_secret
from exporter.spans.personal import BANK_CARD, EMAIL, ID_CARD, PHONE
from exporter.spans.structured import is_structured, rewritten

BUILTIN: dict[str, tuple[Detector, ...]] = {
    "keys": KEYS,
    "email": (EMAIL,),
    "id_card": (ID_CARD,),
    "bank_card": (BANK_CARD,),
    "phone": (PHONE,),
}
"""By the name the operator writes, in the order they are looked for."""

_MOST_ROUNDS = 8
_LONGEST_NAMED = 2_000


@dataclass(frozen=True, slots=True)
class Redaction:
    """What is looked for, compiled once."""

    detectors: tuple[Detector, ...]
    expressions: tuple[re.Pattern[str], ...]

    def __call__(self, text: str) -> str:
        """`text` with marks such as [email] in place of what was found."""
        if self.expressions:
            text = _everywhere(text, self._own)
        for _ in range(_MOST_ROUNDS):
            if not self._may_hold(text):
                return text
            before = text
            text = _everywhere(text, self._known, self._named)
            if text == before:
                return text
        return text

    def _own(self, text: str) -> str:
        for expression in self.expressions:
            text = replaced(expression, text)
        return text

    def _known(self, text: str) -> str:
        seen = half_width(text)
        asked: dict[Callable[[str], Sequence[int]], Sequence[int]] = {}
        for detector in self.detectors:
            places = asked.get(detector.starts)
            if places is None:
                places = asked[detector.starts] = detector.starts(seen)
            spans = _spans(detector, seen, places) if places else []
            if spans:
                text, seen = _marked(text, spans, detector.mark), _marked(seen, spans, detector.mark)
                asked.clear()
        return text

    def _named(self, text: str, name: str) -> str:
        """A value whose name says that it is a secret, as in {"password": "…"}."""
        if len(text) > _LONGEST_NAMED or "=" in name or not names_a_secret(name):
            return text
        return self._known(f"{name}={text}").partition("=")[2]

    def _may_hold(self, text: str) -> bool:
        """Whether a closer look is worth it: most texts have no sign of any secret."""
        seen = half_width(text)
        return "\\u" in text or any(detector.starts(seen) for detector in self.detectors)


def redaction(builtin: Iterable[str], expressions: Iterable[str]) -> Redaction:
    """`Redaction` by the names of `BUILTIN` and expressions that are known to compile."""
    chosen = set(builtin)
    found = tuple(item for name, items in BUILTIN.items() if name in chosen for item in items)
    return Redaction(found, tuple(map(re.compile, expressions)))


def _everywhere(
    text: str, change: Callable[[str], str], change_named: Callable[[str, str], str] | None = None
) -> str:
    """`change` of the text, or of each value in it when it is JSON."""
    if not is_structured(text):
        return change(text)

    def rule(value: str, name: str | None) -> str:
        found = change(value)
        return change_named(value, name) if found == value and name and change_named else found

    return rewritten(text, rule)


def _spans(detector: Detector, seen: str, places: Sequence[int]) -> list[tuple[int, int]]:
    """Where the secrets of one kind stand, from left to right."""
    group = "secret" if "secret" in detector.pattern.groupindex else 0
    spans: list[tuple[int, int]] = []
    done = 0
    for place in places:
        found = detector.pattern.match(seen, place) if place >= done else None
        length = detector.length(found[group]) if found else 0
        if found and length:
            done = found.start(group) + length
            spans.append((found.start(group), done))
    return spans


def _marked(text: str, spans: Sequence[tuple[int, int]], mark: str) -> str:
    parts: list[str] = []
    done = 0
    for start, end in spans:
        parts += text[done:start], mark
        done = end
    return "".join([*parts, text[done:]])
