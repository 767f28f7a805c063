"""How fast requests may follow each other: a budget per minute, and rest after slow answers.

No minute ever sees more requests than the budget; a few may follow at once, the rest come evenly. A slow answer is followed by a rest in
proportion, so that a Dify under load is asked less. Waiting ends at once when the source is closed.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from exporter.errors import Unreachable

MINUTE = 60.0
SLOW_SECONDS = 1.0
REST_FACTOR = 3.0
LONGEST_REST_SECONDS = 60.0
LONGEST_TOLD_SECONDS = 900.0
_MOST_AT_ONCE = 10


@dataclass(slots=True)
class Pace:
    """The budget. `clock` tells seconds that only grow; `pause` waits so long, and says whether the source was closed."""

    per_minute: int
    closing: threading.Event = field(default_factory=threading.Event)
    clock: Callable[[], float] = time.monotonic
    pause: Callable[[float], bool] | None = None
    rested_until: float = 0.0
    waited_seconds: float = 0.0
    _lately: deque[float] = field(default_factory=deque)
    _saved_up: float = 1.0
    _filled_at: float | None = None

    def wait(self) -> None:
        """Wait for one request's turn. Raises `Unreachable` when the source is closed meanwhile, or a long rest was asked for."""
        now = self.clock()
        if self.rested_until - now > LONGEST_REST_SECONDS:
            raise Unreachable(
                f"Dify, or the proxy in front of it, asked for a rest of {self.rested_until - now:.0f} more seconds",
                "lower requests_per_minute",
            )
        until = max(self.rested_until, now + self._spacing(now))
        if len(self._lately) >= self.per_minute:
            until = max(until, self._lately.popleft() + MINUTE)
        if until > now:
            self.waited_seconds += until - now
            if (self.pause or self.closing.wait)(until - now):
                raise Unreachable("the source is being closed")
        self._lately.append(self.clock())

    def answered(self, seconds: float) -> None:
        """An answer took this long."""
        if seconds > SLOW_SECONDS:
            self.rest(seconds * REST_FACTOR)

    def rest(self, seconds: float) -> None:
        """No request for this long, a minute at most."""
        self.rested_until = self.clock() + min(seconds, LONGEST_REST_SECONDS)

    def told_to_rest(self, seconds: float) -> None:
        """The other side named this time; it is kept to, up to a quarter of an hour. Longer than a minute nobody waits here: what
        would ask is refused meanwhile."""
        self.rested_until = self.clock() + min(seconds, LONGEST_TOLD_SECONDS)

    def _spacing(self, now: float) -> float:
        """Seconds until the next even turn; turns that were not used are saved up, a few of them."""
        most, per_second = max(1.0, min(_MOST_AT_ONCE, self.per_minute / 6)), self.per_minute / MINUTE
        if self._filled_at is None:
            self._saved_up = most
        else:
            self._saved_up = min(most, self._saved_up + (now - self._filled_at) * per_second)
        self._filled_at = now
        self._saved_up -= 1
        return max(0.0, -self._saved_up / per_second)
