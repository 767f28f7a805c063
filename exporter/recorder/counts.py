"""What the recorder has done and lost, counted, for its health answer and its log.

A loss is an exchange of a kind that is recorded and of which no record will come; each has a cause. Numbers begin at
the start of the process.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from exporter.recorder.exchange import Report

LOSSES = {
    "memory_full": "records wait for the store, and memory for more is used up",
    "store_died": "the store ended whenever it had this exchange",
    "copy_failed": "an error of the recorder's own while it copied",
    "shutdown": "the recorder was stopped before the store had taken it",
    "refused": "the exporter refused the record",
    "unreadable": "a body could not be read",
}
"""Cause of a loss → what it means."""


@dataclass(slots=True)
class Counts:
    """Counters of the process that passes bytes on. `records` is what the store says became of records."""

    requests: int = 0
    in_flight: int = 0
    recorded: int = 0
    not_recorded: int = 0
    upstream_failed: int = 0
    lost: Counter[str] = field(default_factory=Counter)
    records: Counter[str] = field(default_factory=Counter)
    store_starts: int = 0
    store_is_running: bool = False
    spool_bytes: int = 0
    problem: str | None = None

    def lose(self, cause: str, how_many: int = 1) -> None:
        """Exchanges of which no record will come."""
        self.lost[cause] += how_many

    def take(self, report: Report) -> None:
        """What the store reports."""
        for name, number in report.counts.items():
            (self.lost if name in LOSSES else self.records)[name] += number
        self.spool_bytes, self.problem = report.spool_bytes, report.problem

    def document(self, waiting: int, memory_bytes: int, memory_limit: int) -> dict[str, Any]:
        """The health answer."""
        return {
            "status": "ok" if self.store_is_running and self.problem is None else "degraded",
            "problem": self.problem if self.store_is_running else "the store is not running",
            "requests": self.requests,
            "in_flight": self.in_flight,
            "recorded": self.recorded,
            "not_recorded": self.not_recorded,
            "upstream_failed": self.upstream_failed,
            "lost": {cause: self.lost[cause] for cause in LOSSES},
            "records": dict(self.records),
            "waiting": waiting,
            "memory_bytes": memory_bytes,
            "memory_limit_bytes": memory_limit,
            "spool_bytes": self.spool_bytes,
            "store_starts": self.store_starts,
        }
