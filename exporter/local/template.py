"""The shape of a chat format: what a prompt is made of besides its texts, as data.

The known formats are in `chat`, which counts with them.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from exporter.local.tools import ToolFormat

TOOL_CALL_FRAME = 6
"""Tokens around the name and arguments of one function call; most vendors publish none, so this is an estimate."""


class Place(StrEnum):
    """Where a format puts the system text."""

    OWN = "own"  # in a message of its own
    FIRST_USER = "first_user"  # in front of the first user's words
    LAST_USER = "last_user"  # in front of the last user's words


@dataclass(frozen=True, slots=True)
class Turn:
    """What stands around the text of one message: special tokens, and words that merge with the text."""

    tokens: int
    before: str = ""
    after: str = ""


@dataclass(frozen=True, slots=True)
class CallForm:
    """How an assistant's function call is spelled: `before` name `between` arguments `before_id` id `after`, and special
    tokens. The id is left out where no words stand before it.

    `joint` stands between the text and the first call, and between calls. Without words the name and the arguments are
    counted apart.
    """

    tokens: int = TOOL_CALL_FRAME
    before: str = ""
    between: str = ""
    after: str = ""
    before_id: str = ""
    joint: str = ""


@dataclass(frozen=True, slots=True)
class Template:
    """Tokens a chat format adds: per prompt (its start and the opened reply), per message (its role word included) and
    per named message; and what differs from that by role.

    `before` are words in front of every text that merge with it. `default_system` is the system text of a conversation
    that has none, `preamble` what the format writes in front of any system text. `system_around` stands around a system
    text that is put in front of a user's words. `per_results` is added per row of tool results.
    """

    per_prompt: int
    per_message: int
    per_name: int = 1
    before: str = ""
    turns: tuple[tuple[str, Turn], ...] = ()
    place: Place = Place.OWN
    system_around: tuple[str, str] = ("", "\n\n")
    default_system: str = ""
    preamble: str = ""
    is_trimmed: bool = False
    drops_thoughts: bool = False
    calls: CallForm = CallForm()
    per_results: int = 0
    tools: ToolFormat = ToolFormat.UNKNOWN
