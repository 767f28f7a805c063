"""How long this process has spent on work that is worth a metric, by name. Lost at a restart, as its processor time is."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

TOKENIZER = "tokenizer"

_spent: Counter[str] = Counter()
_lock = threading.Lock()


@contextmanager
def timed(name: str) -> Iterator[None]:
    """Add what the block takes; blocks of several threads add up."""
    started = time.perf_counter()
    try:
        yield
    finally:
        took = time.perf_counter() - started
        with _lock:
            _spent[name] += took  # type: ignore[assignment]


def seconds(name: str) -> float:
    """The sum so far; 0 before the first."""
    return float(_spent[name])
