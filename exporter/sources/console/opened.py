"""A workspace with all that is known of it while the program runs: its memory, and what went wrong where."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import structlog

from exporter.errors import Unreachable
from exporter.sources.console.places import Memory
from exporter.sources.console.workspace import Workspace
from exporter.sources.http.asking import Denied

APPS_AGAIN_SECONDS = 300.0
_SAME_FAILURE_TIMES = 3
_LONGEST_PAUSE_SECONDS = 900.0

log = structlog.get_logger()


@dataclass(slots=True)
class Opened:
    """One workspace in use. `refused` says why it lets us in no more."""

    workspace: Workspace
    memory: Memory = field(default_factory=Memory)
    troubles: dict[str, str] = field(default_factory=dict)
    refused: str | None = None
    looked_at: float = field(default_factory=time.monotonic)
    _failures: int = 0
    _answered: int = -1

    def refresh(self) -> None:
        """Look at the apps again when that was long ago. Raises as `Session.get`, except `Denied`."""
        if time.monotonic() - self.looked_at < APPS_AGAIN_SECONDS:
            return
        self.looked_at = time.monotonic()
        try:
            self.workspace.look_at_apps()
        except Denied as denied:
            self.trouble("apps", denied)

    def trouble(self, where: str, denied: Denied) -> None:
        """Something was refused; the rest goes on. Raises `Unreachable` when nothing at all is answered any more."""
        if self.troubles.get(where) != str(denied):
            log.warning("console_refused", where=where, reason=str(denied), hint=denied.hint)
        self.troubles[where] = str(denied)
        answered = self.workspace.session.answered
        self._failures = self._failures + 1 if answered == self._answered else 1
        self._answered = answered
        if self._failures >= _SAME_FAILURE_TIMES and (denied.status >= 500 or denied.code is None):
            self._failures = 0
            raise Unreachable(f"Dify's Console API does not work: {denied}", denied.hint)

    def mended(self, where: str) -> None:
        """It works again."""
        if self.troubles.pop(where, None) is not None:
            log.info("console_answers_again", where=where)


def pause_seconds(failures: int) -> float:
    """How long something that failed is left alone: half a minute, doubling up to a quarter of an hour."""
    return min(15.0 * 2.0**failures, _LONGEST_PAUSE_SECONDS)
