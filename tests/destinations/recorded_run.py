"""`run --once` over a whole recorded Dify with its vendor's log, into any destinations, and what the ledger then says."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from exporter import audit, calls, config
from exporter.daemon import App
from exporter.demo.database import dify_database
from exporter.once import OnceReport
from exporter.state import ledger
from tests.e2e.recorded import restore
from tests.vendor.convert_recording import canonical


@dataclass(frozen=True)
class Ledger:
    """The calls that belong to traces (others are no spans), as `calls --json` lists them, and the number of traces."""

    calls: list[dict[str, Any]]
    traces: int

    def chosen(self, *, only_llm: bool = False) -> tuple[int, int]:
        """Input and output of the chosen readings, worked out from the listed rows; of all calls, or of those that are
        neither embedding nor rerank."""
        calls_of_sum = [
            call for call in self.calls if not only_llm or not re.search("embedding|rerank", call["kind"])
        ]
        found = [_chosen(call["readings"]) for call in calls_of_sum]
        return sum(pair[0] for pair in found), sum(pair[1] for pair in found)


@contextmanager
def recorded_settings(
    shared: Path, folder: Path, destinations: list[dict[str, Any]]
) -> Iterator[dict[str, Any]]:
    """Settings (dotted path → value) for the recording, restored into a Dify of its own, with the vendor's log."""
    log = folder / "vendor.jsonl"
    lines = (shared / "dify" / "vendor-calls.jsonl").read_text("utf-8").splitlines()
    log.write_text("".join(json.dumps(canonical(json.loads(line))) + "\n" for line in lines), "utf-8")
    with dify_database() as url:
        restore(url, shared / "dify" / "dify-1.12.1.sql.gz")
        yield {
            "dify.database.url": url.replace("/postgres?", "/dify?"),
            "vendor": [{"kind": "file", "path": str(log), "name": "log"}],
            "state.path": str(folder / "s.db"),
            "destinations": destinations,
        }


@contextmanager
def recorded_app(shared: Path, folder: Path, destinations: list[dict[str, Any]]) -> Iterator[App]:
    """The program over the recording, not yet run."""
    with (
        recorded_settings(shared, folder, destinations) as wanted,
        App(config.load(Path(os.devnull), {}, wanted).settings) as app,
    ):
        yield app


def deliver(app: App) -> OnceReport:
    """`run --once`: nothing refused, nothing waiting."""
    report = app.run_once()
    assert (report.problems, sum(report.dead.values()), sum(report.waiting.values())) == ((), 0, 0)
    return report


def run_recorded(shared: Path, folder: Path, destinations: list[dict[str, Any]]) -> Ledger:
    """Everything of the recording delivered, and what the ledger says of it."""
    with recorded_app(shared, folder, destinations) as app:
        report = deliver(app)
        return Ledger(listed(app), report.exported)


def listed(app: App) -> list[dict[str, Any]]:
    """The calls of traces, as `calls --json` lists them."""
    with app.store.read() as connection:
        found = calls.listing(connection, ledger.CallFilter(), app.settings.compare)
        return [call for line in found if (call := json.loads(line))["trace_id"]]


def audited(app: App, *, repair: bool = False) -> tuple[set[str], int, int]:
    """`audit` of everything: the traces that are missing, how many are doubled and how many queued again. Excused are
    only those that never finished in Dify and are read again anyway."""
    question = audit.Question(0, app.now() + 1, app.now(), 50, repair)
    named = {entry.name for entry in app.settings.destinations}
    asked = [destination for destination in app.destinations if destination.name in named]
    days = list(audit.audit(app.store, asked, question))
    assert [day.reason for day in days if day.reason] == []
    assert [day.waiting for day in days if set(+day.waiting) - {"reading"}] == []
    missing = {trace_id for day in days for trace_id, _, _ in day.missing}
    return missing, sum(len(day.doubled) for day in days), sum(day.queued_again for day in days)


def _chosen(readings: dict[str, Any]) -> tuple[int, int]:
    """The vendor's own count, else Dify's, else the local one: the first with both parts."""
    for source in ("vendor", "dify", "local"):
        reading = readings[source]
        if not reading or (source == "vendor" and not reading["independent"]):
            continue
        if reading["input"] is not None and reading["output"] is not None:
            return reading["input"], reading["output"]
    return 0, 0
