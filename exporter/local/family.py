"""What is known of a family of models: its vocabulary, its chat format, and how far a count made with them can be
trusted. Only data; which model belongs to which family is told by `table` and `families`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from exporter.local import chat
from exporter.model import Accuracy


class Reasoning(StrEnum):
    """What a model does with its reasoning, which is billed as output."""

    NONE = "none"  # does not reason unless a parameter asks for it, and then hands the text out
    SUMMARY = "summary"  # does not reason unless a parameter asks for it, and then shows at most a summary
    SHOWN = "shown"  # reasons, and hands the text out
    HIDDEN = "hidden"  # reasons, and shows at most a summary


@dataclass(frozen=True, slots=True)
class Family:
    """How one family of models counts.

    `scale` corrects a stand-in vocabulary. The input count is off by at most about `error_tokens` + `error_pct` percent
    (text only, no tools). `vocabulary` is None where no honest number exists. `stand_in` counts where the vocabulary
    comes with an extra that is not installed.
    """

    name: str
    vocabulary: str | None
    template: chat.Template = chat.PLAIN
    accuracy: Accuracy = Accuracy.EXACT
    error_pct: float = 0.0
    error_tokens: int = 0
    reasoning: Reasoning = Reasoning.NONE
    scale: float = 1.0
    note: str | None = None
    stand_in: Family | None = None

    def noted(self, note: str) -> Family:
        """The same family with one more note."""
        return replace(self, note=f"{self.note}; {note}" if self.note else note)
