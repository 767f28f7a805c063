"""Rows that were handed out a short while ago, so that what is read again is not parsed and counted again.

Only a saving: it is trusted as long as each pull begins at the position that the last one returned, which proves that
what was handed out was stored. After a restart, an error or a position that was not stored it starts empty.
"""

from __future__ import annotations

import hashlib
import json

import orjson

_MOST = 100_000


class Seen:
    """The keys of rows handed out, the oldest forgotten first. One per puller."""

    def __init__(self, most: int = _MOST) -> None:
        self._most = most
        self._keys: dict[str, None] = {}
        self._position: str | None = None

    def begin(self, position: str | None) -> None:
        """A pull begins at `position`."""
        if position is None or position != self._position:
            self._keys.clear()
        self._position = None

    def end(self, position: str) -> None:
        """The pull ended well and returns `position`."""
        self._position = position

    def is_new(self, key: str | None) -> bool:
        """Whether a row was not handed out yet; it counts as handed out from now on. One without a key always is new."""
        if key is None:
            return True
        is_new = self._keys.pop(key, self) is self
        self._keys[key] = None
        if len(self._keys) > self._most:
            del self._keys[next(iter(self._keys))]
        return is_new

    def has(self, key: str) -> bool:
        """Whether a row was handed out."""
        return key in self._keys


def fingerprint(row: object) -> str | None:
    """The same text for the same row; None for one that is nested too deeply to be written again."""
    try:
        text = orjson.dumps(row)
    except TypeError:
        try:
            text = json.dumps(row).encode()
        except RecursionError:
            return None
    return hashlib.blake2b(text, digest_size=16).hexdigest()
