"""What the borders of a window cut: calls that began on one side and ended on the other. The ledger books a call when it
begins; a vendor may book it when it ends."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Any

import orjson

from exporter.model import Micros
from exporter.report.window import Window
from exporter.state import stretches

Document = dict[str, Any]

_LONGEST: Micros = 6 * 3600 * 1_000_000
"""No model call that Dify waits for takes longer."""


def across(connection: sqlite3.Connection, window: Window, is_wanted: Callable[[str, str], bool]) -> Document:
    """Calls and tokens (Dify's number, else the vendor's) that run over each border, of the wanted (app id, model)."""
    return {
        "since": _over(connection, window.since, is_wanted),
        "until": _over(connection, window.until, is_wanted),
    }


def _over(connection: sqlite3.Connection, border: Micros, is_wanted: Callable[[str, str], bool]) -> Document:
    found = {"calls": 0, "input": 0, "output": 0}
    for app_id, model, text in stretches.calls_over(connection, border, _LONGEST):
        if not is_wanted(app_id, model):
            continue
        readings = orjson.loads(text)["readings"]
        reading = readings["dify"] or readings["vendor"] or readings["local"]
        found["calls"] += 1
        for part in ("input", "output"):
            found[part] += (reading[part] or 0) if reading else 0
    return found
