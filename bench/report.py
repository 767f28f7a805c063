"""`report` over a long ledger: how long the command takes, and how much memory, by the number of calls.

A state file is filled with a hundred days of thirty apps, models and keys: the sums of all calls, and the newest `--rows` calls
themselves with the vendor request of each, as they stay when old ones are pruned (a cut quarter of an hour is added up from
them). Traces are left out: a report reads none. Then the real command is run, each time as a process of its own. The last
table is what keeping the sums costs when a trace is stored. Filling takes some minutes; `--calls 100000` is a short form.

    python -m bench.report
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson

from bench._common import bare_environment, machine, median, print_json, print_table, say, settings_file
from bench.pages import DAY, END, trace
from exporter.documents import Document, call_document
from exporter.model import AssessedTrace, Micros, Money, Tokens
from exporter.state import ledger, sums
from exporter.state.store import Store
from exporter.vendor.record import VendorCall

AIM = "Aim: any report within seconds, and memory that does not grow with the ledger."
DAYS = 100
_APPS, _MODELS = 10, ("gpt-4o-mini", "qwen-plus", "deepseek-chat")
_KINDS_OF_CALLS = 40
_PAGE = 10_000
_STORED_TRACES = 5_000
_STORED_PAGE = 500
_PACES = {"one a second": 1_000_000, "one in half an hour": 1_800_000_000}
_LONE_EVERY, _UNRECORDED_EVERY = 100, 2_000
_UNPRUNED = 1_000_000

REPORTS = {
    "by app and model": ("--by", "app,model"),
    "by day": ("--by", "day"),
    "HTML": ("--html", "-"),
    "a month": ("--month", "2026-10"),
    "a window that cuts quarters": ("--since", "2026-10-02T09:07:00", "--until", "2026-11-21T17:52:00"),
}
"""Name and options; where no time is given, the whole ledger."""
_WHOLE = ("--since", "2026-08-01", "--until", "2026-12-01")


def main() -> None:
    """Fill, run, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--calls", type=int, nargs="+", default=[100_000, 10_000_000])
    parser.add_argument("--rows", type=int, default=_UNPRUNED, help="calls that are not pruned yet, at most")
    parser.add_argument("--times", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="where state files are made, and kept")
    parser.add_argument("--json", action="store_true", help="print one line of JSON instead of the tables")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.folder or Path(temporary)
        runs = [_run(folder, calls, min(calls, given.rows), given.times) for calls in given.calls]
        storing = _storing(folder)
    if given.json:
        print_json({"machine": machine(), "runs": runs, "storing": storing})
        return
    for run in runs:
        rows = [
            (name, f"{item['seconds']:.1f} s", f"{item['cpu_seconds']:.1f} s", f"{item['peak_mb']:.0f} MB")
            for name, item in run["reports"].items()
        ]
        print_table((f"{run['calls']:,} calls", "median", "processor", "peak memory"), rows)
        print(f"{run['rows']:,} of them not pruned; state file {run['file_mb']:,.0f} MB\n")
    print_table(
        ("a trace of two calls, stored", "with everything", "its sums alone"),
        [(name, *(f"{us:.0f} µs" for us in taken.values())) for name, taken in storing.items()],
    )
    print(f"\n{AIM} {machine()}")


def _run(folder: Path, calls: int, rows: int, times: int) -> dict[str, Any]:
    state = folder / f"{calls}-{rows}.db"
    if not state.exists():
        fill(state, calls, rows)
    flags = {
        "state.path": str(state),
        "log.level": "error",
        "dify.database.url": "postgresql://nobody@127.0.0.1/dify",
    }
    config = settings_file(folder, flags)
    taken: dict[str, list[tuple[float, float, float]]] = {}
    for _ in range(times):
        for name, options in REPORTS.items():
            say(f"{calls:,} calls, {name} …")
            is_whole = not {"--since", "--month"} & set(options)
            taken.setdefault(name, []).append(_report(config, (*options, *(_WHOLE if is_whole else ()))))
    return {
        "calls": calls,
        "rows": rows,
        "file_mb": os.path.getsize(state) / 1e6,
        "reports": {
            name: {
                "seconds": median(seconds for seconds, _, _ in found),
                "cpu_seconds": median(seconds for _, seconds, _ in found),
                "peak_mb": max(mb for _, _, mb in found),
            }
            for name, found in taken.items()
        },
    }


def _report(config: Path, options: Sequence[str]) -> tuple[float, float, float]:
    """Seconds, seconds of processor time, and peak MB of one process. Raises SystemExit when it fails."""
    began, peak_mb = time.perf_counter(), 0.0
    process = subprocess.Popen(
        [sys.executable, "-m", "exporter", "--config", str(config), "report", *options],
        stdout=subprocess.DEVNULL,
        env=bare_environment(),
    )
    while not (ended := os.wait4(process.pid, os.WNOHANG))[0]:
        peak_mb = _peak_mb(process.pid) or peak_mb
        time.sleep(0.005)
    process.returncode = os.waitstatus_to_exitcode(ended[1])
    if process.returncode not in (0, 1):  # 1: above tolerance
        raise SystemExit(f"report ended with {process.returncode}")
    return time.perf_counter() - began, ended[2].ru_utime + ended[2].ru_stime, peak_mb


def _peak_mb(pid: int) -> float:
    """Peak resident memory so far, 0 when it is just ending. (`ru_maxrss` is at least that of the process that started it.)"""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024 / 1e6
    return 0.0


def fill(state: Path, calls: int, rows: int) -> None:
    """A ledger of so many calls, of which the newest are still there themselves."""
    store, began, rng = Store(state), time.monotonic(), random.Random(2)
    known = list(_documents(rng))
    for first in range(0, calls, _PAGE):
        page = [
            (number, END - DAYS * DAY * (calls - number) // calls, rng.choice(known))
            for number in range(first, min(first + _PAGE, calls))
        ]
        change = sums.Change()
        change.add([(at, document) for _, at, document in page], "team")
        kept = [_at(*item) for item in page if item[0] >= calls - rows]
        with store.transaction("fill") as connection:
            change.store(connection)
            connection.executemany(
                "INSERT INTO calls VALUES (?, ?, 0, ?, ?, ?, ?, ?, ?, ?, 1, x'', ?)",
                [_row(*item) for item in kept],
            )
            connection.executemany(
                "INSERT INTO evidence VALUES (?, ?, ?, ?, ?, ?, ?, NULL, 'id', 1.0, NULL, ?, ?, ?, '[]', ?, ?, 0, ?)",
                [_evidence(number, *item) for number, item in enumerate(kept)],
            )
        if (first // _PAGE) % 50 == 49:
            say(f"{first + _PAGE:,} calls, {first / (time.monotonic() - began):,.0f} a second")
    with store.transaction("fill") as connection:
        connection.execute("INSERT INTO familiar VALUES ('key:production')")
    store.close()


def _documents(rng: random.Random) -> Iterator[Document]:
    """Call documents of every app and model, priced as Dify and the price book price them."""
    for app in range(_APPS):
        for model in _MODELS:
            for number in range(_KINDS_OF_CALLS):
                made = trace(number, END, f"App {app}", model, rng)
                found = made.assessments[0]
                vendor = replace(found.vendor, cost=_usd(rng)) if found.vendor else None
                dify = replace(found.dify, cost=_usd(rng)) if found.dify else None
                local = replace(found.local, cost=_usd(rng)) if found.local else None
                yield call_document(made.trace, replace(found, dify=dify, local=local, vendor=vendor))


def _usd(rng: random.Random) -> Money:
    return Money(Decimal(rng.randrange(10**6)).scaleb(-8), "USD", "book")


def _at(number: int, at: Micros, document: Document) -> tuple[Micros, Document]:
    return at, {**document, "call_id": f"message:{number:012}", "trace_id": f"{number:032x}"}


def _row(at: Micros, document: Document) -> tuple[object, ...]:
    return (
        document["call_id"], document["trace_id"], document["app_id"], document["app_name"], document["provider"],
        document["model"], document["verdict"], at, at + 1_000_000, orjson.dumps(document).decode(),
    )  # fmt: skip


def _evidence(number: int, at: Micros, document: Document) -> tuple[object, ...]:
    """The vendor request of a call; some are of nobody's, and few are Dify's own without a trace."""
    tokens = Tokens(200, 50)
    request = VendorCall(
        "gateway", f"request {document['call_id']}", at, at + 900_000, "chat", document["model"], "ok", key="production",
        tokens=tokens,
    )  # fmt: skip
    standing, purpose, call, trace = "matched", None, document["call_id"], document["trace_id"]
    if number % _UNRECORDED_EVERY == 0:
        standing, purpose, call, trace = "hidden", "title", None, None
    elif number % _LONE_EVERY == 0:
        standing, call, trace = "foreign", None, None
    return (
        request.source, request.id, at, at + 900_000, standing, call, trace, purpose, request.model, request.key,
        tokens.input, tokens.output, request.to_json(),
    )  # fmt: skip


def _storing(folder: Path) -> dict[str, dict[str, float]]:
    """Microseconds of processor time that a trace takes: to be put into the ledger with everything, and its sums alone."""
    return {name: _stored(folder, every) for name, every in _PACES.items()}


def _stored(folder: Path, every: Micros) -> dict[str, float]:
    rng = random.Random(1)
    stored = [
        trace(number, END + number * every, f"App {rng.randrange(_APPS)}", rng.choice(_MODELS), rng)
        for number in range(_STORED_TRACES)
    ]
    pages = [stored[start : start + _STORED_PAGE] for start in range(0, _STORED_TRACES, _STORED_PAGE)]
    called = [[call for trace in page for call in _calls(trace)] for page in pages]

    def put(store: Store) -> None:
        for page in pages:
            with store.transaction("put") as connection:
                ledger.put(
                    connection, [ledger.Entry(each, b"", {}, (), each.trace.ended_at) for each in page]
                )

    def add(store: Store) -> None:
        for page in called:
            change = sums.Change()
            change.add(page, "team")
            with store.transaction("add") as connection:
                change.store(connection)

    return {"with_everything_us": _micros(folder, put), "sums_alone_us": _micros(folder, add)}


def _calls(of: AssessedTrace) -> list[tuple[Micros, Document]]:
    return [(item.call.started_at, call_document(of.trace, item)) for item in of.assessments]


def _micros(folder: Path, work: Callable[[Store], None]) -> float:
    taken = []
    for number in range(5):
        path = folder / f"storing-{number}.db"
        store = Store(path)
        began = time.process_time()
        work(store)
        taken.append((time.process_time() - began) / _STORED_TRACES * 1e6)
        store.close()
        path.unlink()
    return median(taken)


if __name__ == "__main__":
    main()
