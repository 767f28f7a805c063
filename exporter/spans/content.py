"""How much prompt and answer text leaves the building: all of it, all but what patterns match, or none.

Every text of a person or a model passes here exactly once before it reaches a span. Secrets are looked for before
the text is cut, so that a cut cannot save half of one.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from exporter.config import ContentSettings
from exporter.spans.text import clean, cut

REDACTED = "[redacted]"


@dataclass(frozen=True, slots=True)
class Content:
    """The operator's choice, compiled once per destination."""

    is_kept: bool
    patterns: tuple[re.Pattern[str], ...]
    max_chars: int

    def __call__(self, text: str | None) -> str | None:
        """The text as it may leave: clean, redacted, cut; None when there is none or none may leave."""
        if text is None or not self.is_kept:
            return None
        return cut(self._redacted(text), self.max_chars)

    def together(self, texts: Sequence[str]) -> list[str]:
        """Texts that share one limit, as the messages of one prompt do: the last ones are kept before the first."""
        kept = [self._redacted(text) for text in texts]
        left = self.max_chars
        if sum(map(len, kept)) <= left:
            return kept
        for place in range(len(kept) - 1, -1, -1):
            length = len(kept[place])
            kept[place] = cut(kept[place], max(left, 0))
            left -= length
        return kept

    def _redacted(self, text: str) -> str:
        text = clean(text)
        for pattern in self.patterns:
            text = pattern.sub(REDACTED, text)
        return text


def content(settings: ContentSettings) -> Content:
    """`Content` from the settings; patterns are known to compile, the settings checked them."""
    patterns = settings.patterns if settings.mode == "redacted" else []
    return Content(settings.mode != "none", tuple(map(re.compile, patterns)), settings.max_chars)
