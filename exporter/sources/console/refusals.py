"""Failed logins are remembered, also over restarts: Dify locks an account for a day after six, and each one renews it.

What is kept is a fingerprint of address, e-mail and password, so that a corrected password is tried at once. A lock ends by itself, so
after a day and an hour that login is tried once more. The file holds no secret that could be read back (scrypt).
"""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import dataclass
from pathlib import Path

_COST = 2**12

LOCK_SECONDS = 25 * 3600.0
"""Dify's LOGIN_LOCKOUT_DURATION is a day unless it is set."""

Refusal = tuple[str, float | None]
"""Why, and until when (seconds since the epoch); None: for good."""

_refused: dict[str, Refusal] = {}
"""Of this process: it may open a source many times."""


@dataclass(frozen=True, slots=True)
class Refusals:
    """The logins that failed. Without a file they are remembered by this process only."""

    file: Path | None = None

    def reason(self, fingerprint: str) -> str | None:
        """Why this login failed before and is not to be tried, or None."""
        found = _refused.get(fingerprint) or self._stored().get(fingerprint)
        if found is None:
            return None
        reason, until = found
        return reason if until is None or time.time() < until else None

    def remember(self, fingerprint: str, reason: str, *, is_locked: bool = False) -> str:
        """Never try this login again, or not while the account is locked. Returns what is to be said besides: nothing, or that
        a restart will forget it."""
        _refused[fingerprint] = reason, time.time() + LOCK_SECONDS if is_locked else None
        if self.file is None:
            return ""
        try:
            self.file.touch(mode=0o600)
            self.file.write_text(json.dumps(self._stored() | {fingerprint: _refused[fingerprint]}), "utf-8")
        except OSError as error:
            return (
                f" (do not restart before it is corrected: {self.file} cannot be written, {error.strerror})"
            )
        return ""

    def _stored(self) -> dict[str, Refusal]:
        try:
            held = json.loads(self.file.read_text("utf-8")) if self.file is not None else {}
        except (OSError, ValueError):
            return {}
        given = held if isinstance(held, dict) else {}
        return {
            str(mark): refusal for mark, value in given.items() if (refusal := _refusal(value)) is not None
        }


def _refusal(value: object) -> Refusal:
    """As it is written now, or as a bare reason, which was for good."""
    match value:
        case str():
            return value, None
        case [str() as reason, None]:
            return reason, None
        case [str() as reason, int() | float() as until]:
            return reason, float(until)
        case _:
            return "it failed before", None


def fingerprint(url: str, email: str, password: str) -> str:
    """Of one login."""
    salt = f"{url}\x1f{email}".encode()
    return hashlib.scrypt(
        password.encode("utf-8", "surrogatepass"), salt=salt, n=_COST, r=8, p=1, dklen=16
    ).hex()
