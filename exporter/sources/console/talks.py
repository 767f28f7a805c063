"""Conversations and their messages, found without opening a conversation: opening one marks it as read in Dify.

Chat apps are walked by the time of the last change, oldest first, each page from the minute in which the last one ended. A conversation
that did not change since it was read last is passed over. The list of a completion app names no message; only where a
person has opened the entry before, reading it changes nothing, and its message can be found.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

from exporter.sources.console.run_lists import above_last_second, entries_of
from exporter.sources.console.session import Session
from exporter.sources.console.zones import end_text, start_text

PAGE = 100

Message = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Conversation:
    """An entry of the list. Times in seconds; `read_at` None means that nobody opened it yet."""

    id: str
    created_at: int
    updated_at: int
    message_count: int
    name: str | None
    end_user: str | None
    session: str | None
    read_at: int | None


@dataclass(frozen=True, slots=True)
class TalkPage:
    """Conversations, and where to go on (None: at the end)."""

    conversations: tuple[Conversation, ...]
    at: str | None


def chat_page(session: Session, app_id: str, zone: ZoneInfo, at: str | None, floor: int) -> TalkPage:
    """A page of a chat app's conversations changed since `floor`. The position is `<since>:<page>`."""
    since, number = _position(at, floor)
    query: dict[str, str | int] = {
        "sort_by": "updated_at", "start": start_text(zone, since), "limit": PAGE, "page": number,
    }  # fmt: skip
    answer = session.get(f"/apps/{app_id}/chat-conversations", query)
    found = tuple(_conversations(answer))
    if not found or not answer.get("has_more"):
        return TalkPage(found, None)
    newest = max(item.updated_at for item in found)
    is_further = start_text(zone, newest) > start_text(zone, since)
    return TalkPage(found, f"{newest}:1" if is_further else f"{since}:{number + 1}")


def completion_page(session: Session, app_id: str, zone: ZoneInfo, at: str | None, floor: int) -> TalkPage:
    """A page of a completion app's entries made since `floor`, newest first. The position is `<until>:<page>`."""
    until, number = _position(at, 0)
    query: dict[str, str | int] = {"start": start_text(zone, floor), "limit": PAGE, "page": number}
    if until:
        query["end"] = end_text(zone, until)
    answer = session.get(f"/apps/{app_id}/completion-conversations", query)
    found, times = tuple(_conversations(answer)), [int(entry["created_at"]) for entry in entries_of(answer)]
    if not times or not answer.get("has_more"):
        return TalkPage(found, None)
    oldest = min(times)
    is_further = not until or end_text(zone, oldest) < end_text(zone, until)
    return TalkPage(found, f"{oldest}:1" if is_further else f"{until}:{number + 1}")


def messages_of(session: Session, app_id: str, conversation_id: str, floor: int) -> Iterator[Message]:
    """The messages of a conversation made since `floor`, newest first, each once."""
    met, first_id = set[str](), None
    while True:
        query: dict[str, str | int] = {"conversation_id": conversation_id, "limit": PAGE}
        if first_id:
            query["first_id"] = first_id
        answer = session.get(f"/apps/{app_id}/chat-messages", query)
        entries = entries_of(answer)
        for entry in reversed(entries):
            if entry["created_at"] >= floor and entry["id"] not in met:
                met.add(entry["id"])
                yield dict(entry)
        if not entries or not answer.get("has_more") or entries[0]["created_at"] < floor:
            return
        first_id = above_last_second(entries, first_id, newest_first=False)


def opened_message(session: Session, app_id: str, conversation: Conversation) -> Message | None:
    """The message of a completion entry that somebody opened before; None for the others, which are left alone."""
    if conversation.read_at is None:
        return None
    answer = session.get(f"/apps/{app_id}/completion-conversations/{conversation.id}")
    message = answer.get("message") if isinstance(answer, dict) else None
    return message if isinstance(message, dict) and isinstance(message.get("id"), str) else None


def _position(at: str | None, first: int) -> tuple[int, int]:
    time, _, number = (at or f"{first}:1").partition(":")
    return int(time), int(number)


def _conversations(answer: Any) -> Iterator[Conversation]:
    for entry in entries_of(answer):
        changed = entry.get("updated_at")
        yield Conversation(
            id=entry["id"],
            created_at=entry["created_at"],
            updated_at=changed if isinstance(changed, int) else entry["created_at"],
            message_count=entry["message_count"] if isinstance(entry.get("message_count"), int) else 0,
            name=_text(entry, "name"),
            end_user=_text(entry, "from_end_user_id"),
            session=_text(entry, "from_end_user_session_id"),
            read_at=entry["read_at"] if isinstance(entry.get("read_at"), int) else None,
        )


def _text(entry: Mapping[str, Any], name: str) -> str | None:
    value = entry.get(name)
    return value if isinstance(value, str) and value else None
