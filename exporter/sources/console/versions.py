"""What the Console API of a Dify can do, by the version its answers name (X-Version).

From Dify's history: cookies and CSRF since 1.9.2, Base64 password since 1.11.2, log filters by time since 1.1.0, runs
listable by trigger since 1.9.2. A version that cannot be read is taken for a new one.
"""

from __future__ import annotations

import re

Version = tuple[int, ...]

COOKIES: Version = (1, 9, 2)
BASE64_PASSWORD: Version = (1, 11, 2)
LOG_TIMES: Version = (1, 1, 0)
RUNS_BY_TRIGGER: Version = (1, 9, 2)

_NEWEST: Version = (99,)


def parsed(version: str) -> Version:
    """`1.12.1` → (1, 12, 1)."""
    found = re.match(r"v?(\d+)\.(\d+)(?:\.(\d+))?", version)
    return tuple(int(part or 0) for part in found.groups()) if found else _NEWEST


def has(version: str, since: Version) -> bool:
    """Whether that Dify is at least as new."""
    return parsed(version) >= since
