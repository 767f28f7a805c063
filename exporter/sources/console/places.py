"""Where a record is found again: Console addresses name the app, but a record is known by its id alone.

Kept in memory and bounded. What is not here (after a restart, or met by another source) is looked for in the apps.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from exporter.model import RecordKind, RecordRef
from exporter.sources.rows import NodeRow, TraceRows

Key = TypeVar("Key")
Value = TypeVar("Value")

MOST_PLACES = 50_000
MOST_CONVERSATIONS = 20_000
MOST_TOOLS = 10_000
MOST_KEPT_BYTES = 8 * 2**20


@dataclass(frozen=True, slots=True)
class Place:
    """The app of a record. `trigger` is what started a run, `message_id` the message that a chatflow's run is part of."""

    app_id: str
    trigger: str | None = None
    message_id: str | None = None


@dataclass(frozen=True, slots=True)
class Talk:
    """What the list of conversations tells of one."""

    name: str | None
    session: str | None


@dataclass(slots=True)
class Recent(Generic[Key, Value]):
    """A map that forgets what was put longest ago."""

    most: int
    held: OrderedDict[Key, Value] = field(default_factory=OrderedDict)

    def put(self, key: Key, value: Value) -> None:
        """Remember, and forget the oldest."""
        self.held[key] = value
        self.held.move_to_end(key)
        while len(self.held) > self.most:
            self.held.popitem(last=False)

    def get(self, key: Key) -> Value | None:
        """What is remembered."""
        return self.held.get(key)


@dataclass(slots=True)
class Kept(Generic[Value]):
    """What was read already and will not change, up to a number of bytes."""

    most_bytes: int = MOST_KEPT_BYTES
    bytes_held: int = 0
    held: OrderedDict[str, tuple[Value, int]] = field(default_factory=OrderedDict)

    def put(self, key: str, value: Value, size_bytes: int) -> None:
        """Keep, and drop the oldest."""
        self.take(key)
        self.held[key] = (value, size_bytes)
        self.bytes_held += size_bytes
        while self.bytes_held > self.most_bytes and self.held:
            self.take(next(iter(self.held)))

    def look(self, key: str) -> Value | None:
        """What was kept."""
        return self.held.get(key, (None, 0))[0]

    def take(self, key: str) -> Value | None:
        """Give out what was kept, and forget it."""
        value, size_bytes = self.held.pop(key, (None, 0))
        self.bytes_held -= size_bytes
        return value


RefKey = tuple[RecordKind, str]


def key(ref: RecordRef) -> RefKey:
    """How a record is remembered; its time differs from source to source by parts of a second."""
    return ref.kind, ref.id


@dataclass(slots=True)
class Memory:
    """All that is remembered of one workspace. `runs` are runs as Dify told them, of traces that are still to be read; `tool_apps`
    the apps that workflow tools run, by provider; `held_at` when an app was found to hold a record that was looked for."""

    places: Recent[RefKey, Place] = field(default_factory=lambda: Recent(MOST_PLACES))
    talks: Recent[str, Talk] = field(default_factory=lambda: Recent(MOST_CONVERSATIONS))
    sessions: Recent[str, str] = field(default_factory=lambda: Recent(MOST_CONVERSATIONS))
    seen_talks: Recent[str, tuple[int, int]] = field(default_factory=lambda: Recent(MOST_CONVERSATIONS))
    messages: Kept[dict[str, Any]] = field(default_factory=Kept)
    traces: Kept[TraceRows] = field(default_factory=Kept)
    paused: Kept[tuple[NodeRow, ...]] = field(default_factory=Kept)
    runs: Kept[dict[str, Any]] = field(default_factory=Kept)
    held_at: dict[str, float] = field(default_factory=dict)
    tool_apps: Recent[str, str] = field(default_factory=lambda: Recent(MOST_TOOLS))
