"""An authenticated Console API: paced requests that renew their pass, and patience with a busy server.

Only GET requests are made here (and the renewal of the pass), so nothing in Dify is changed. Raises `Unreachable` when Dify does not
answer or is too busy, `SourceRefused` when it lets us in no more, and `Denied` for one address it refuses.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from exporter.errors import SourceRefused, Unreachable
from exporter.sources.console.login import API, Account, AdminKey, Pass, by_key, log_in, renew
from exporter.sources.console.refusals import Refusals
from exporter.sources.http.asking import Answer, Asker, Denied, Query
from exporter.sources.http.pace import Pace

_TRIES = 3
_BUSY_PAUSE_SECONDS = 2.0
_BROKEN_PAUSE_SECONDS = 0.25
_LONGEST_BUSY_PAUSE_SECONDS = 30.0
_BROKEN = frozenset({500, 502, 503, 504})


@dataclass(slots=True)
class Session:
    """One credential of one Dify. Used by one thread at a time."""

    asker: Asker
    pace: Pace
    credential: Account | AdminKey
    refusals: Refusals
    given: Pass | None = None
    answered: int = 0

    def get(self, path: str, query: Query | None = None) -> Any:
        """The JSON at this address of the Console API."""
        renewed = 0
        for attempt in range(_TRIES):
            if self.given is None:
                self.given = self._first_pass()
            try:
                answer = self._paced_get(path, query, self.given)
            except Denied as denied:
                if denied.status == 401:
                    renewed += 1
                    self._renew(renewed)
                elif not self._may_try_again(denied, attempt):
                    raise
                continue
            self.answered += 1
            return answer.body
        raise SourceRefused(
            "Dify takes none of the passes it gave", "is a proxy removing cookies or headers?"
        )

    def _first_pass(self) -> Pass:
        if isinstance(self.credential, AdminKey):
            return by_key(self.credential)
        account = self.credential
        return self._paced_pass(lambda: log_in(self.asker, account, self.refusals))

    def _paced_pass(self, work: Callable[[], Pass]) -> Pass:
        self.pace.wait()
        try:
            return work()
        except Denied as denied:
            raise Unreachable(f"the login was not answered as Dify does: {denied}", denied.hint) from None

    def _renew(self, renewed: int) -> None:
        """First the pass is renewed; when that fails, or did not help, one login with the password that worked before."""
        if isinstance(self.credential, AdminKey):
            raise SourceRefused(
                "Dify does not accept the admin key for this workspace",
                "set ADMIN_API_KEY_ENABLE=true and ADMIN_API_KEY in Dify, and a workspace id in dify.console.workspaces",
            )
        old = self.given
        self.pace.wait()
        self.given = renew(self.asker, old) if old is not None and renewed == 1 else None

    def _may_try_again(self, denied: Denied, attempt: int) -> bool:
        """Whether a pause may help; the pause was made then."""
        is_last = attempt == _TRIES - 1
        if denied.status == 429:
            pause = denied.after_seconds or _BUSY_PAUSE_SECONDS * 2**attempt
            self.pace.told_to_rest(pause)
            if is_last or pause > _LONGEST_BUSY_PAUSE_SECONDS:
                raise Unreachable(
                    "Dify, or the proxy in front of it, answers HTTP 429: too many requests",
                    "lower dify.console.requests_per_minute",
                )
            return True
        if denied.status in _BROKEN and not is_last:
            self.pace.rest(_BROKEN_PAUSE_SECONDS * 4**attempt)
            return True
        return False

    def _paced_get(self, path: str, query: Query | None, given: Pass) -> Answer:
        self.pace.wait()
        answer = self.asker.ask("GET", API + path, query, given.headers)
        self.pace.answered(answer.seconds)
        return answer
