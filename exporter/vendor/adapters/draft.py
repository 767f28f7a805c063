"""What is known of a model's answer while its events are still coming in.

A `Draft` only collects: texts, tool calls, names. It holds at most `LONGEST_ANSWER` characters; an answer that grows
beyond that is given up as text (unknown, not shortened), while names go on being read.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from itertools import pairwise

from exporter.model import ToolCall

LONGEST_ANSWER = 4_000_000
"""Characters; several times what any model writes in one answer."""

_COST_OF_A_CALL = 256  # what an empty tool call counts, so that their number is bounded too


@dataclass(slots=True)
class Written:
    """Text that arrives in pieces, or again and again from its beginning (DashScope without incremental output).

    `repeats` says which; None: told by the first three pieces, of which each begins with the one before or not.
    """

    pieces: list[str] = field(default_factory=list)
    repeats: bool | None = False

    def add(self, piece: str) -> None:
        """The next piece."""
        if self.repeats:
            self.pieces = [piece]
            return
        self.pieces.append(piece)
        if self.repeats is None and len(self.pieces) == 3:
            self.repeats = self._grows()

    @property
    def text(self) -> str | None:
        """All that was written; None when no piece came."""
        if not self.pieces:
            return None
        return (
            self.pieces[-1]
            if self.repeats or (self.repeats is None and self._grows())
            else "".join(self.pieces)
        )

    def new_characters(self, piece: str) -> int:
        """How much longer the text grows with a piece."""
        return max(0, len(piece) - len(self.pieces[-1])) if self.repeats and self.pieces else len(piece)

    def _grows(self) -> bool:
        return all(later.startswith(earlier) for earlier, later in pairwise(self.pieces))


@dataclass(slots=True)
class _Asked:
    identity: str | None = None
    name: str = ""
    arguments: Written = field(default_factory=Written)


@dataclass(slots=True)
class Draft:
    """An answer so far. `is_finished`: the vendor said that it is whole; `is_error`: that it failed. `repeats`: what
    the request said about texts that come again from their beginning, where a vendor has that choice."""

    repeats: bool | None = None
    text: Written = field(default_factory=Written)
    reasoning: Written = field(default_factory=Written)
    response_id: str | None = None
    model: str | None = None
    is_finished: bool = False
    is_error: bool = False
    is_given_up: bool = False
    _asked: dict[str, _Asked] = field(default_factory=dict)
    _held: int = 0

    def may_repeat(self) -> None:
        """Texts of this vendor may come again from their beginning; said before the first piece."""
        if not self.text.pieces and not self.reasoning.pieces:
            self.text.repeats = self.reasoning.repeats = self.repeats

    def write(self, text: object) -> None:
        """A piece of the answer; anything but text with at least one character is no piece."""
        self._put(self.text, text)

    def think(self, text: object) -> None:
        """A piece of the reasoning."""
        self._put(self.reasoning, text)

    def ask(self, place: str, identity: object = None, name: object = None, arguments: object = None) -> None:
        """A piece of the tool call at a place. Arguments that are no text are written as JSON."""
        if place not in self._asked:
            self._hold(_COST_OF_A_CALL)
        if self.is_given_up:
            return
        asked = self._asked.setdefault(place, _Asked(arguments=Written(repeats=self.text.repeats)))
        if isinstance(identity, str) and identity:
            asked.identity = identity
        if isinstance(name, str) and name:
            asked.name = name
        self._put(asked.arguments, arguments if isinstance(arguments, str) else _as_json(arguments))

    def name(self, response_id: object = None, model: object = None) -> None:
        """The vendor's id and the model that answered, kept from the first event that says them."""
        if self.response_id is None and isinstance(response_id, str) and response_id:
            self.response_id = response_id
        if self.model is None and isinstance(model, str) and model:
            self.model = model

    def tool_calls(self) -> tuple[ToolCall, ...]:
        """The tool calls that have a name, in the order in which they began."""
        return tuple(
            ToolCall(asked.identity, asked.name, asked.arguments.text or "")
            for asked in self._asked.values()
            if asked.name
        )

    def last_place(self) -> str | None:
        """Where the latest tool call began."""
        return next(reversed(self._asked), None)

    def new_place(self) -> str:
        """A place that no tool call has."""
        return f"new{len(self._asked)}"

    def _put(self, where: Written, text: object) -> None:
        if not isinstance(text, str) or not text:
            return
        self._hold(where.new_characters(text))
        if not self.is_given_up:
            where.add(text)

    def _hold(self, characters: int) -> None:
        self._held += characters
        if self._held > LONGEST_ANSWER and not self.is_given_up:
            self.is_given_up = True
            self._asked.clear()
            self.text, self.reasoning = Written(), Written()


def _as_json(value: object) -> str | None:
    if value is None:
        return None
    try:
        return json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError):
        return None
