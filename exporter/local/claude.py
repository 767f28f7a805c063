"""Claude's vocabularies since Claude 3, as the package ctok has reconstructed them (the extra `claude`).

Anthropic publishes none. ctok's count equals nearly every recorded answer of Anthropic's count_tokens (its README),
so a count is near, not exact. It is data and Python code on this machine and opens no connection.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any

VERSIONS = {"claude_v3": "3.0", "claude_v4_7": "4.7", "claude_v4_8": "4.8"}
"""Our name of a vocabulary → the Claude version that ctok is asked for."""

_FRAME = "⟨pad⟩"


def missing() -> str | None:
    """What to install, or None when ctok is there."""
    if importlib.util.find_spec("ctok"):
        return None
    if sys.version_info < (3, 12):
        return "Claude's own vocabulary needs Python 3.12 or later and: pip install 'dify-exporter[claude]'"
    return "Claude's own vocabulary needs: pip install 'dify-exporter[claude]'"


def load(name: str) -> Callable[[str], int]:
    """A function that counts the tokens of a text in one of `VERSIONS`, without the frame of the message around it.

    Takes about 0.7 s and keeps about 60 MB; counts 0.2 to 0.5 MB of text a second. Raises ModuleNotFoundError with
    what to install.
    """
    reason = missing()
    if reason:
        raise ModuleNotFoundError(reason)
    ctok: Any = import_module("ctok")
    version = VERSIONS[name]
    frame = ctok.tokenize("a", version).count(_FRAME)
    return lambda text: max(0, int(ctok.token_count(text, version)) - frame)
