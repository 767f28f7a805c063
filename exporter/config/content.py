"""How much text leaves the building, in all or per app."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from exporter.config.section import Section

ContentMode = Literal["full", "redacted", "none"]


class AppContentSettings(Section):
    """One app, or several by a pattern, whose texts are treated differently; the first entry that matches wins."""

    match: str = Field(
        min_length=1,
        description="the app's name or id; * and ? stand for any characters, capitals do not matter",
    )
    mode: ContentMode


class ContentSettings(Section):
    """How much prompt and answer text leaves the building."""

    mode: ContentMode = "full"
    builtin: list[Literal["email", "phone", "id_card", "bank_card", "keys"]] = Field(
        default=["email", "phone", "id_card", "bank_card", "keys"],
        description="what mode redacted finds by itself",
    )
    patterns: list[str] = Field(
        default=[], description="own regular expressions, replaced by [redacted] in mode redacted"
    )
    max_chars: int = Field(200_000, ge=1000, description="a longer text is cut in spans (never in counts)")
    apps: list[AppContentSettings] = Field(default=[], description="another mode for some apps")

    @model_validator(mode="after")
    def _patterns_usable(self) -> ContentSettings:
        from exporter.spans.expressions import problem

        for pattern in self.patterns:
            found = problem(pattern)
            if found:
                raise ValueError(f"pattern {pattern!r} {found}")
        return self
