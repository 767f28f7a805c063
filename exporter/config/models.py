"""The operator's word on how models are counted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field, model_validator

from exporter.config.section import Section

if TYPE_CHECKING:
    from exporter.local.mapping import Rule


class ModelSettings(Section):
    """Which models count how, where their names do not tell or tell wrong; the first entry that matches wins."""

    match: str = Field(
        min_length=1, description="the model's name as Dify shows it; * and ? stand for any characters"
    )
    family: str | None = Field(None, description="a family of docs/readings.md, such as claude-3 or qwen-3")
    tokenizer: str | None = Field(
        None, description="instead of family: a name of Dify's list (QwenTokenizer, …) or a vocabulary"
    )
    template: str | None = Field(None, description="chat format, such as chatml; default: the family's own")
    note: str | None = Field(None, description="shown with every count made so")

    @model_validator(mode="after")
    def _known(self) -> ModelSettings:
        from exporter.local.mapping import problem

        found = problem(self.rule())
        if found:
            raise ValueError(found)
        return self

    def rule(self) -> Rule:
        """The entry as counting takes it (`exporter.local.mapping.use`)."""
        from exporter.local.mapping import Rule

        return Rule(self.match, self.family, self.tokenizer, self.template, self.note)
