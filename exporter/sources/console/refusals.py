"""Failed logins are remembered, also over restarts: Dify locks an account for a day after six, and each one renews it.

What is kept is a fingerprint of address, e-mail and password, so that a corrected password is tried at once. The file
holds no secret that could be read back (scrypt).
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

_COST = 2**12

_refused: dict[str, str] = {}
"""Of this process: it may open a source many times."""


@dataclass(frozen=True, slots=True)
class Refusals:
    """The logins that failed. Without a file they are remembered by this process only."""

    file: Path | None = None

    def reason(self, fingerprint: str) -> str | None:
        """Why this login failed before, or None."""
        return _refused.get(fingerprint) or self._stored().get(fingerprint)

    def remember(self, fingerprint: str, reason: str) -> str:
        """Never try this login again. Returns what is to be said besides: nothing, or that a restart will forget it."""
        _refused[fingerprint] = reason
        if self.file is None:
            return ""
        try:
            self.file.touch(mode=0o600)
            self.file.write_text(json.dumps({**self._stored(), fingerprint: reason}), "utf-8")
        except OSError as error:
            return (
                f" (do not restart before it is corrected: {self.file} cannot be written, {error.strerror})"
            )
        return ""

    def _stored(self) -> dict[str, str]:
        try:
            held = json.loads(self.file.read_text("utf-8")) if self.file is not None else {}
        except (OSError, ValueError):
            return {}
        return {str(key): str(value) for key, value in held.items()} if isinstance(held, dict) else {}


def fingerprint(url: str, email: str, password: str) -> str:
    """Of one login."""
    salt = f"{url}\x1f{email}".encode()
    return hashlib.scrypt(
        password.encode("utf-8", "surrogatepass"), salt=salt, n=_COST, r=8, p=1, dklen=16
    ).hex()
