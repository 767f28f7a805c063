"""The committed boards as tests see them: panels, queries and variables, and Grafana's variables replaced by values."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parents[2] / "dashboards" / "grafana"
BOARDS = {path.stem: json.loads(path.read_text("utf-8")) for path in sorted(FOLDER.glob("*.json"))}
EVERYTHING = {"instance": ".*", "app": ".*", "provider": ".*", "model": ".*", "currency": ".*", "bill": "100"}
"""What Grafana puts in for All, and a bill."""


@dataclass(frozen=True)
class Target:
    """One query of one panel."""

    board: str
    panel: dict[str, Any]
    target: dict[str, Any]

    def __str__(self) -> str:
        return f"{self.board}: {self.panel['title']} {self.target['refId']}"

    @property
    def is_sql(self) -> bool:
        return "rawSql" in self.target


def panels(board: str) -> Iterator[dict[str, Any]]:
    """All panels but headings."""
    for panel in BOARDS[board]["panels"]:
        yield from panel.get("panels", []) if panel["type"] == "row" else [panel]


def targets(*, sql: bool = False) -> list[Target]:
    """Every query of every panel."""
    found = [
        Target(board, panel, target)
        for board in BOARDS
        for panel in panels(board)
        for target in panel.get("targets", [])
    ]
    return [item for item in found if item.is_sql == sql]


def variables(board: str) -> dict[str, dict[str, Any]]:
    """The board's variables by name."""
    return {item["name"]: item for item in BOARDS[board]["templating"]["list"]}


def target_of(board: str, title: str, letter: str = "A") -> Target:
    """The query of the panel with that title."""
    return next(
        Target(board, panel, target)
        for panel in panels(board)
        if panel["title"] == title
        for target in panel["targets"]
        if target["refId"] == letter
    )


def filled(expression: str, seconds: int, values: Mapping[str, str] = EVERYTHING) -> str:
    """The query with all variables replaced, as for a range of so many seconds on screen."""
    known = {**values, "__range": f"{seconds}s", "__rate_interval": "2m", "__interval": "1m"}
    text = re.sub(r"\$\{?(\w+)(?::\w+)?\}?", lambda match: known.get(match[1], match[0]), expression)
    assert "$" not in re.sub(r'"[^"]*"', "", text), text
    return text
