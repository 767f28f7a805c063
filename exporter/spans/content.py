"""How much prompt and answer text leaves the building: all of it, all but what is redacted, or none; per app if wanted.

Every text of a person or a model passes here exactly once before it reaches a span, and so before anything is stored
for sending. Secrets are looked for before the text is cut, so that a cut cannot save half of one.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from exporter.config import ContentSettings
from exporter.model import App
from exporter.spans.files import without_files
from exporter.spans.redaction import Redaction, redaction
from exporter.spans.structured import is_structured, shortened
from exporter.spans.text import clean, cut


@dataclass(frozen=True, slots=True)
class Content:
    """The operator's choice, compiled once per destination. `redact` is None where nothing is redacted."""

    is_kept: bool
    redact: Redaction | None
    max_chars: int
    apps: tuple[tuple[re.Pattern[str], Content], ...] = ()

    def of(self, app: App) -> Content:
        """The choice for one app: the first entry whose match fits its name or id, else this one."""
        for match, choice in self.apps:
            if match.fullmatch(app.name) or match.fullmatch(app.id):
                return choice
        return self

    def __call__(self, text: str | None) -> str | None:
        """The text as it may leave: clean, redacted, cut; JSON stays JSON. None when there is none or none may leave."""
        if text is None or not self.is_kept:
            return None
        text = self._allowed(text)
        if len(text) <= self.max_chars:
            return text
        return shortened(text, self.max_chars) if is_structured(text) else cut(text, self.max_chars)

    def together(self, texts: Sequence[str]) -> list[str]:
        """Texts that share one limit, as the messages of one prompt do: the last ones are kept before the first."""
        kept = [self._allowed(text) for text in texts]
        left = self.max_chars
        if sum(map(len, kept)) <= left:
            return kept
        for place in range(len(kept) - 1, -1, -1):
            length = len(kept[place])
            kept[place] = cut(kept[place], max(left, 0))
            left -= length
        return kept

    def _allowed(self, text: str) -> str:
        text = without_files(clean(text))
        return text if self.redact is None else self.redact(text)


def content(settings: ContentSettings) -> Content:
    """`Content` from the settings; expressions are known to compile, the settings checked them."""
    redact = redaction(settings.builtin, settings.patterns)
    by_mode = {
        mode: Content(mode != "none", redact if mode == "redacted" else None, settings.max_chars)
        for mode in ("full", "redacted", "none")
    }
    apps = tuple((_name_pattern(item.match), by_mode[item.mode]) for item in settings.apps)
    own = by_mode[settings.mode]
    return Content(own.is_kept, own.redact, own.max_chars, apps)


def _name_pattern(match: str) -> re.Pattern[str]:
    """`*` and `?` stand for any characters, all others for themselves; capitals do not matter."""
    parts = (
        {"*": ".*", "?": "."}.get(character, re.escape(character)) for character in re.sub(r"\*+", "*", match)
    )
    return re.compile("".join(parts), re.IGNORECASE | re.DOTALL)
