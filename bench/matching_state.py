"""Matching as the daemon does it: calls and vendor requests arrive in pages, wait in the state file, and are matched there.

Shows whether time per record and memory stay the same while the state grows. A million calls take a quarter of an hour;
`--calls 10000 100000` is a short form. Requests arrive half a minute after their calls, as a gateway's batches do.

    python -m bench.matching_state
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path

from bench._common import machine, print_json, print_table, say
from bench._vendor_traffic import Kind, Turn, turns
from exporter import config
from exporter.matching import Matching
from exporter.state import evidence, windows
from exporter.state.store import Store

AIM = "Aim: calls per second and memory do not depend on how many were matched before."
_PAGE_TURNS = 1_000
_BATCHES_LATE = 1


@dataclass(slots=True)
class Stretch:
    """One stretch of the run."""

    calls: int
    requests: int
    matching_seconds: float
    matched: int
    peak_mb: float
    state_mb: float


def main() -> None:
    """Fill and match page by page; print a line whenever a size is reached."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--calls", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--json", action="store_true", help="print one line of JSON instead of the table")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = _run(Path(folder) / "state.db", sorted(given.calls))
    if given.json:
        print_json({"machine": machine(), "runs": [_as_json(item) for item in found]})
        return
    head = ("calls", "requests", "matched", "calls/s since the line above", "peak MB", "state MB")
    print_table(head, _rows(found))
    print(f"{machine()}; one core. {AIM}")


def _run(path: Path, sizes: list[int]) -> list[Stretch]:
    store, traffic = Store(path), turns(1, Kind())
    matching = Matching(store, config.Settings().compare, lambda: 0)
    waiting: deque[list[Turn]] = deque()
    calls = requests = 0
    seconds, found = 0.0, list[Stretch]()
    for size in sizes:
        say(f"{size:,} calls …")
        while calls < size:
            page = [next(traffic) for _ in range(_PAGE_TURNS)]
            waiting.append(page)
            calls += _store_calls(store, page)
            if len(waiting) > _BATCHES_LATE:
                requests += _store_requests(store, waiting.popleft())
            began = time.process_time()
            matching.catch_up()
            seconds += time.process_time() - began
        found.append(
            Stretch(calls, requests, seconds, _matched(store), _peak_mb(), path.stat().st_size / 1e6)
        )
    store.close()
    return found


def _store_calls(store: Store, page: list[Turn]) -> int:
    rows = [
        (
            call.call_id, call.call_id, 0, call.app_id or "", "app", call.provider, call.model, "pending",
            call.started_at, call.ended_at, 0, call.to_json(), "{}",
        )
        for turn in page
        for call in turn.calls
    ]  # fmt: skip
    with store.transaction("calls") as connection:
        connection.executemany("INSERT INTO calls VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)
        windows.mark(connection, [(call.started_at, call.ended_at) for turn in page for call in turn.calls])
    return len(rows)


def _store_requests(store: Store, page: list[Turn]) -> int:
    requests = [request for turn in page for request in turn.requests]
    with store.transaction("evidence") as connection:
        return evidence.add(connection, requests, 0)


def _matched(store: Store) -> int:
    with store.read() as connection:
        row = connection.execute("SELECT count(*) FROM evidence WHERE standing = 'matched'").fetchone()
    return int(row[0])


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6


def _rows(found: list[Stretch]) -> list[tuple[str, ...]]:
    rows, calls, seconds = [], 0, 0.0
    for item in found:
        rate = (item.calls - calls) / (item.matching_seconds - seconds)
        rows.append((
            f"{item.calls:,}", f"{item.requests:,}", f"{item.matched:,}", f"{rate:,.0f}",
            f"{item.peak_mb:,.0f}", f"{item.state_mb:,.0f}",
        ))  # fmt: skip
        calls, seconds = item.calls, item.matching_seconds
    return rows


def _as_json(item: Stretch) -> dict[str, float]:
    return {name: getattr(item, name) for name in item.__slots__}


if __name__ == "__main__":
    main()
