"""What a store of Dify's must do, and the one that the settings choose. Stores are only ever read.

A store that does not answer, or refuses us as a whole, raises: the traces wait for it. What is wrong with a single
value raises `NoValue`: its trace goes on without it and says so.
"""

from __future__ import annotations

from typing import Protocol

from exporter.config import StorageSettings
from exporter.errors import Misconfigured


class NoValue(Exception):
    """One value cannot be had, now or later; the message says why, in words fit for a trace's note."""


class Store(Protocol):
    """Dify's object storage."""

    @property
    def where(self) -> str:
        """The store in words, fit for a log."""

    def read(self, key: str) -> bytes:
        """A whole value. Raises `NoValue`, `Unreachable` or `SourceRefused`."""


def open_store(settings: StorageSettings) -> Store | None:
    """The store, not yet asked; None when the settings give none. Raises `Misconfigured`, also when they give two."""
    if settings.path is not None and settings.s3.bucket:
        raise Misconfigured(
            ["dify.storage.path and dify.storage.s3.bucket are both set, but Dify writes to one"], "keep one"
        )
    if settings.path is not None:
        from exporter.sources.storage.folder import Folder

        return Folder(settings.path, settings.max_bytes)
    if settings.s3.bucket:
        from exporter.sources.storage.bucket import open_bucket

        return open_bucket(settings.s3, settings)
    return None


def checked_key(key: str) -> str:
    """The key, as Dify writes them. Raises `NoValue` for one that leads elsewhere."""
    parts = key.split("/")
    if not key or any(part in ("", ".", "..") for part in parts) or "\\" in key or "\0" in key:
        raise NoValue("its key is none that Dify writes")
    return key


def too_large(most_bytes: int) -> NoValue:
    """It does not fit."""
    return NoValue(f"it is larger than dify.storage.max_bytes ({most_bytes:,})")
