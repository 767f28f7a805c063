"""What takes long to look up on a large state, and changes slowly: remembered between scrapes.

Quick look-ups are made at every scrape. One that was slow is repeated in a thread of its own, at most a hundredth of the
time, and a scrape is answered with what the last one found. The first scrape waits.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

import structlog

log = structlog.get_logger()

_QUICK_SECONDS = 0.25
_REST = 100
"""For so many times its own duration a slow look-up is not repeated."""

T = TypeVar("T")


class Slow(Generic[T]):
    """One look-up and what it last found."""

    def __init__(self, look: Callable[[], T]) -> None:
        self._look = look
        self._found: tuple[T] | None = None
        self._took = 0.0
        self._ended_at = 0.0
        self._lock = threading.Lock()

    def value(self) -> T:
        """What is known now. Raises what the look-up raises when it is made for this scrape."""
        if self._found is None or self._took <= _QUICK_SECONDS:
            with self._lock:
                return self._now()
        if time.monotonic() - self._ended_at > _REST * self._took and self._lock.acquire(blocking=False):
            threading.Thread(target=self._behind, daemon=True).start()
        return self._found[0]

    def _behind(self) -> None:
        """In a thread of its own, which gives the lock back."""
        try:
            self._now()
        except Exception as error:  # noqa: BLE001 - a later scrape tries again and says what is wrong
            log.warning("metrics_not_refreshed", error=type(error).__name__)
            self._ended_at = time.monotonic()
        finally:
            self._lock.release()

    def _now(self) -> T:
        started = time.monotonic()
        found = self._look()
        self._found = (found,)
        self._ended_at = time.monotonic()
        self._took = self._ended_at - started
        return found
