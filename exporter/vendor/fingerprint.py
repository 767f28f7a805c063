"""Text-free fingerprints of prompts and answers, made alike for a vendor request and for a Dify call.

Both sides pass through the same canonical text, so that equal content gives equal hashes; the texts themselves are not
kept. A prompt is one hash per message (a longer conversation shows as a longer list with the same beginning), an
answer is one hash plus hashes of its beginnings (a stopped message keeps only a beginning of what the vendor wrote).
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from exporter.model import Call, Micros, PromptMessage, Status, Tokens, ToolCall

BEGINNINGS = (16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384)
"""Lengths in characters at which the beginning of an answer is hashed; a stop before the first leaves no trace."""

_THINKING = re.compile(r"<think>.*?(?:</think>|\Z)", re.DOTALL)
_CACHE_TAGS = re.compile(r"</?cache>")
_REACT = re.compile(r"^(?:Thought|Action|Final ?Answer)\s*:", re.MULTILINE)
_ROLES = {
    "system": "s",
    "developer": "s",
    "user": "u",
    "human": "u",
    "assistant": "a",
    "model": "a",
    "tool": "t",
    "function": "t",
}
_SHA256 = re.compile(r"[0-9a-fA-F]{64}")
_ROUNDS = re.compile(r"^agent_rounds:(\d+)$")
_KEPT = re.compile(r"^rounds_not_in_message:(\d+)\+(\d+)$")


@dataclass(frozen=True, slots=True)
class PromptPrint:
    """One hash per message, led by a letter for its role (s, u, a, t), and the tool call ids in the conversation."""

    messages: tuple[str, ...]
    tool_ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class AnswerPrint:
    """What the model wrote: hash of the whole text, of its beginnings, and of each tool call (its id; its name and
    arguments). `text` is None when there was no text. `is_react`: written in ReAct form, which Dify takes apart."""

    text: str | None = None
    chars: int = 0
    beginnings: tuple[str, ...] = ()
    tool_ids: tuple[str, ...] = ()
    tools: tuple[str, ...] = ()
    is_react: bool = False


@dataclass(frozen=True, slots=True)
class CallPrint:
    """All that matching needs to know of a Dify call, without its texts.

    `recorded` holds Dify's input and output; `rounds` is set for an agent node, whose one call is several requests.
    """

    call_id: str
    kind: str
    provider: str | None
    model: str | None
    app_id: str | None
    status: Status
    started_at: Micros
    ended_at: Micros
    recorded: Tokens
    recorded_total: int | None = None
    rounds: int | None = None
    prompt: PromptPrint | None = None
    query: str | None = None
    answer: AnswerPrint = AnswerPrint()
    users: tuple[str, ...] = ()

    def to_json(self) -> bytes:
        """The stored form; `from_json` gives the same CallPrint back."""
        return orjson.dumps(self)

    @staticmethod
    def from_json(stored: bytes) -> CallPrint:
        """The CallPrint of a stored form."""
        fields: dict[str, Any] = orjson.loads(stored)
        return CallPrint(
            **{
                **fields,
                "status": Status(fields["status"]),
                "recorded": Tokens(**fields["recorded"]),
                "prompt": prompt_from_json(fields["prompt"]),
                "answer": answer_from_json(fields["answer"]),
                "users": tuple(fields["users"]),
            }
        )


def fingerprint_call(call: Call, app_id: str | None = None, other_users: Sequence[str] = ()) -> CallPrint:
    """The CallPrint of a Dify call. `other_users` are further names of the same end user (Dify's plugins send the id of
    the `end_users` row, other versions the caller's own name). What a failed call answered is Dify's default value, not
    the model's words.
    """
    recorded, rounds = _recorded(call)
    is_models = call.status is not Status.ERROR
    return CallPrint(
        call_id=call.call_id,
        kind=call.kind,
        provider=call.provider,
        model=call.model,
        app_id=app_id,
        status=call.status,
        started_at=call.started_at,
        ended_at=call.ended_at,
        recorded=recorded,
        recorded_total=call.recorded.total if call.recorded else None,
        rounds=rounds,
        prompt=print_prompt(call.prompt) if call.prompt else None,
        query=message_hash("user", call.query) if call.query and canonical(call.query) else None,
        answer=print_answer(call.answer if is_models else None, call.tool_calls),
        users=user_hashes(call.user, *other_users),
    )


def _recorded(call: Call) -> tuple[Tokens, int | None]:
    """Dify's numbers and the round count. A round whose numbers did not reach its message carries them in its note."""
    kept = _KEPT.match(call.note or "")
    if kept:
        return Tokens(int(kept[1]), int(kept[2])), None
    rounds = _ROUNDS.match(call.note or "")
    tokens = call.recorded.tokens if call.recorded else Tokens()
    return Tokens(tokens.input, tokens.output), int(rounds[1]) if rounds else None


def canonical(text: str) -> str:
    """The form in which two texts are compared: NFC, without `<think>` blocks (an unclosed one runs to the end),
    without the `<cache>` tags that Dify's Anthropic plugin takes out before sending, without surrounding space."""
    text = _CACHE_TAGS.sub("", _THINKING.sub("", text)) if "<" in text else text
    return unicodedata.normalize("NFC", text.replace("\r\n", "\n")).strip()


def message_hash(role: str, text: str) -> str:
    """The role's letter and 64 bits of the canonical text."""
    return f"{_ROLES.get(role, 'x')}{digest(canonical(text))[:16]}"


def print_prompt(messages: Sequence[PromptMessage]) -> PromptPrint:
    """The fingerprint of a conversation; pictures and other media leave no trace."""
    ids = [call.id for message in messages for call in message.tool_calls]
    answered = [message.tool_call_id for message in messages]
    return PromptPrint(
        messages=tuple(message_hash(message.role, message.text) for message in messages),
        tool_ids=_short(identity for identity in (*ids, *answered) if identity),
    )


def print_answer(text: str | None, tool_calls: Sequence[ToolCall] = ()) -> AnswerPrint:
    """The fingerprint of what a model wrote."""
    plain = canonical(text or "")
    return AnswerPrint(
        text=digest(plain) if plain else None,
        chars=len(plain),
        beginnings=tuple(digest(plain[:length])[:16] for length in BEGINNINGS if length <= len(plain)),
        tool_ids=_short(call.id for call in tool_calls if call.id),
        tools=_short(f"{call.name}\x1f{_arguments(call.arguments)}" for call in tool_calls),
        is_react=_REACT.search(plain) is not None,
    )


def user_hashes(*names: str | None) -> tuple[str, ...]:
    """An end user's names as plugins send them: as they are, as SHA-256 (openai), or cut to 32 characters (moonshot)."""
    forms: set[str] = set()
    for name in names:
        if name:
            forms |= {digest(name), digest(name[:32])}
            forms |= {name.lower()[:32]} if _SHA256.fullmatch(name) else set()
    return tuple(sorted(forms))


def digest(text: str) -> str:
    """128 bits of SHA-256 as hex; lone surrogates are hashed as they are."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def prompt_from_json(fields: Any) -> PromptPrint | None:
    """The PromptPrint of its JSON object."""
    return None if fields is None else PromptPrint(tuple(fields["messages"]), tuple(fields["tool_ids"]))


def answer_from_json(fields: Any) -> AnswerPrint:
    """The AnswerPrint of its JSON object."""
    lists = {name: tuple(fields[name]) for name in ("beginnings", "tool_ids", "tools")}
    return AnswerPrint(text=fields["text"], chars=fields["chars"], is_react=fields["is_react"], **lists)


def _arguments(text: str) -> str:
    """Arguments with sorted keys and no spacing, so that two writers of the same object agree."""
    try:
        return orjson.dumps(orjson.loads(text), option=orjson.OPT_SORT_KEYS).decode()
    except (ValueError, TypeError):  # not JSON, or nested too deeply to be written again
        return text.strip()


def _short(values: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(digest(value)[:16] for value in values))
