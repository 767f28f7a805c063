"""What the checklist looks at: a report over the window, and what the state file says of source, models and traces."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from exporter import models_report, status
from exporter.config import Settings
from exporter.model import Micros
from exporter.report import document as reports
from exporter.report.window import Window
from exporter.state import health, stretches
from exporter.state.store import Store

Document = dict[str, Any]

_TRACES_LOOKED_AT = 50_000


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything the checks may ask for, of the window alone; `trace_findings` counts the traces of each code among the newest,
    `has_traces` says whether there are any to look at."""

    settings: Settings
    report: Document
    models: Sequence[Document]
    trace_findings: Counter[str]
    has_traces: bool
    source: Sequence[tuple[str, str]]
    problems: Sequence[str]

    @property
    def total(self) -> Document:
        """The report's row over everything."""
        found: Document = self.report["total"]
        return found

    def finding(self, *codes: str) -> Document:
        """Calls and tokens of these findings together."""
        mine = [item for item in self.total["findings"] if item["code"] in codes]
        return {name: sum(item[name] for item in mine) for name in ("calls", "input", "output")}


def gather(store: Store, settings: Settings, window: Window, now: Micros) -> Facts:
    """Read everything once. Changes nothing."""
    question = reports.Question(window, ("model", "provider", "key"), settings.compare.tolerance_percent, now)
    with store.read() as connection:
        report = reports.build(connection, settings, question)
        of_traces, has_traces = (
            _trace_findings(connection, window),
            stretches.has_traces(connection, window.since, window.until),
        )
        source = tuple(health.facts(connection, "source.").items())
    return Facts(
        settings, report, models_report.documents(store, settings, window.since, window.until),
        of_traces, has_traces, source,
        status.document(store, settings, now)["problems"],
    )  # fmt: skip


def _trace_findings(connection: sqlite3.Connection, window: Window) -> Counter[str]:
    found = stretches.findings(connection, window.since, window.until, _TRACES_LOOKED_AT)
    return Counter(code for text in found for code in {item["code"] for item in orjson.loads(text)})
