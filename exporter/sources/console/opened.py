"""A workspace with all that is known of it while the program runs: its memory, and what goes wrong where, until it works again."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import structlog

from exporter.errors import SourceRefused, Unreachable
from exporter.sources.console.places import Memory
from exporter.sources.console.workspace import Workspace
from exporter.sources.http.asking import Denied
from exporter.sources.tracing import TracedApp

APPS_AGAIN_SECONDS = 300.0
_SAME_FAILURE_TIMES = 3
_LONGEST_PAUSE_SECONDS = 900.0
_APPS = "the list of apps"
_HINTS = {403: "give the account the role editor in this workspace"} | dict.fromkeys(
    (500, 502, 503, 504), "look at the log of Dify's API"
)

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Trouble:
    """What Dify refuses, what may help, and the app that it is about: with the app the trouble is gone."""

    reason: str
    hint: str | None = None
    app_id: str | None = None


@dataclass(frozen=True, slots=True)
class AppTracing:
    """What was asked of an app's own tracing: when (by `time.monotonic`), at which state of the app, the answer (None: it is
    off), why it is not the whole answer, or why there is none."""

    asked_at: float
    changed: int | None
    traced: TracedApp | None
    vague: str | None = None
    refused: Denied | None = None


@dataclass(slots=True)
class Opened:
    """One workspace in use. `refused` says why it lets us in no more."""

    workspace: Workspace
    memory: Memory = field(default_factory=Memory)
    troubles: dict[str, Trouble] = field(default_factory=dict)
    refused: Trouble | None = None
    tracing: dict[str, AppTracing] = field(default_factory=dict)
    looked_at: float = field(default_factory=time.monotonic)
    _failures: int = 0
    _answered: int = -1

    def refresh(self) -> None:
        """Look at the account's zone and the apps again when that was long ago. Raises as `Session.get`, except `Denied`."""
        if time.monotonic() - self.looked_at < APPS_AGAIN_SECONDS:
            return
        self.looked_at = time.monotonic()
        try:
            self.workspace.look_at_zone()
            self.workspace.look_at_apps()
        except Denied as denied:
            self.trouble(_APPS, denied)
            return
        self.refused = None
        self.mended(_APPS)
        present = self.workspace.apps.keys() | {None}
        self.troubles = {where: item for where, item in self.troubles.items() if item.app_id in present}

    def lock_out(self, error: SourceRefused) -> None:
        """The workspace lets us in no more."""
        self.refused = Trouble(str(error), error.hint)

    def trouble(self, where: str, denied: Denied, app_id: str | None = None) -> None:
        """Something was refused; the rest goes on. Raises `Unreachable` when nothing at all is answered any more."""
        now = Trouble(str(denied), denied.hint or _HINTS.get(denied.status), app_id)
        if self.troubles.get(where) != now:
            log.warning("console_refused", where=where, reason=now.reason, hint=now.hint)
        self.troubles[where] = now
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


def refusal(trouble: Trouble) -> SourceRefused:
    """The error of a workspace that lets us in no more, made anew: one that is raised again and again would grow."""
    return SourceRefused(trouble.reason, trouble.hint)


def pause_seconds(failures: int) -> float:
    """How long something that failed is left alone: half a minute, doubling up to a quarter of an hour."""
    return min(15.0 * 2.0**failures, _LONGEST_PAUSE_SECONDS)
