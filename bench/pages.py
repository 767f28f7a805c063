"""The pages over a long ledger: how long each takes, and how much memory the server holds.

A state file is filled through the ledger itself (two calls a trace, evenly over ninety days), then every page is asked for
over HTTP, as a browser does, by a process of its own. Filling a million calls takes some minutes; `--calls 20000` is a
short form, and `--state` keeps the file for another run.

    python -m bench.pages
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import requests

from bench._common import machine, print_json, print_table, resident_mb, say
from exporter import ids
from exporter.config import WebSettings
from exporter.model import (
    Accuracy,
    App,
    AssessedTrace,
    Assessment,
    Attempt,
    Call,
    Confidence,
    DifyKind,
    DifyReading,
    Finding,
    LocalReading,
    Micros,
    Recorded,
    RecordKind,
    RecordRef,
    Status,
    Step,
    StepKind,
    Sums,
    Tokens,
    Trace,
    VendorReading,
    Verdict,
)  # fmt: skip
from exporter.state import ledger
from exporter.state.store import Store
from exporter.web.app import build_app
from exporter.web.readiness import Readiness
from exporter.web.server import WebServer

AIM = "Aim: the list within a tenth of a second and the overview of a day within half, however long the ledger is."
END: Micros = 1_795_435_200_000_000
DAYS = 90
DAY: Micros = 86_400 * 1_000_000
_APPS, _MODELS = 20, ("gpt-4o-mini", "qwen-plus", "claude-sonnet-4-5", "deepseek-chat")
_PAGE = 500
_TURNS = 15


def main() -> None:
    """Fill, ask, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--calls", type=int, default=1_000_000)
    parser.add_argument("--state", type=Path, help="the state file; filled when it is not there, and kept")
    parser.add_argument("--json", action="store_true", help="print one line of JSON instead of the table")
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve:
        serve(given.serve)
        return
    with tempfile.TemporaryDirectory() as folder:
        state = given.state or Path(folder) / "state.db"
        if not state.exists():
            fill(state, given.calls)
        result = measure(state)
    if given.json:
        print_json(result)
        return
    rows = [
        (name, f"{page['median_ms']:.0f} ms", f"{page['p95_ms']:.0f} ms", f"{page['kb']:.0f} kB")
        for name, page in result["pages"].items()
    ]
    print_table(("page", "median", "95 %", "size"), rows)
    print(
        f"\n{result['calls']:,} calls, state file {result['file_mb']:,.0f} MB, server {result['memory_mb']:.0f} MB"
    )
    print(f"{AIM} {machine()}")


def fill(state: Path, calls: int) -> None:
    """A ledger of so many calls."""
    store, began = Store(state), time.monotonic()
    traces = calls // 2
    page: list[ledger.Entry] = []
    for number, assessed in enumerate(_traces(traces), start=1):
        page.append(ledger.Entry(assessed, b"", {}, (), assessed.trace.ended_at))
        if len(page) == _PAGE or number == traces:
            with store.transaction("fill") as connection:
                ledger.put(connection, page)
            page = []
        if number % 50_000 == 0:
            say(f"{number * 2:,} calls, {number * 2 / (time.monotonic() - began):,.0f} a second")
    store.close()


def _traces(count: int) -> Iterator[AssessedTrace]:
    rng = random.Random(1)
    for number in range(count):
        app, model = rng.randrange(_APPS), rng.choices(_MODELS, (70, 20, 9, 1))[0]
        yield trace(number, END - DAYS * DAY * (count - number) // count, f"App {app}", model, rng)


def trace(number: int, at: Micros, app: str, model: str, rng: random.Random) -> AssessedTrace:
    """A chat message with two model calls, readings and verdicts as `rng` has them."""
    record = str(UUID(int=number + 1))
    verdict = rng.choices(list(Verdict), (80, 16, 1, 2.9, 0.1))[0]
    calls = tuple(_call(f"message:{record}:{place}", at + place, model, verdict, rng) for place in range(2))
    root = ids.span_id(record)
    steps = [Step(root, None, StepKind.MESSAGE, app, at, at + 2_000_000, Status.OK)]
    steps += [
        Step(ids.synthetic_span_id(record, "call", place), root, StepKind.MODEL, model, at, at + 1_000_000, Status.OK,
             call=item.call)
        for place, item in enumerate(calls)
    ]  # fmt: skip
    trace = Trace(
        ids.trace_id(record), RecordRef(RecordKind.MESSAGE, record, at), App(f"id of {app}", app, "chat", "t", "Team"),
        app, at, at + 2_000_000, Status.OK, tuple(steps), Sums(leaves=Tokens(1, 1)), message_id=record,
    )  # fmt: skip
    return AssessedTrace(trace, calls, verdict)


def _call(call_id: str, at: Micros, model: str, verdict: Verdict, rng: random.Random) -> Assessment:
    tokens = Tokens(rng.randrange(20, 4000), rng.randrange(5, 800))
    call = Call(call_id, "chat", "openai", model, at, at + 1_000_000, Status.OK, Recorded(tokens, "messages"))
    dify = DifyReading(tokens, "messages", DifyKind.VENDOR_PASSED)
    local = LocalReading(tokens, "o200k_base", Accuracy.EXACT, 0.0)
    if verdict in (Verdict.UNVERIFIED, Verdict.PENDING):
        return Assessment(call, dify, local, None, verdict)
    more = rng.randrange(1, 900) if verdict is not Verdict.AGREE else 0
    billed = replace(tokens, input=(tokens.input or 0) + more)
    attempt = Attempt(f"chatcmpl-{call_id}", "gateway", "ok", at, at + 900_000, billed, key="production")
    vendor = VendorReading(billed, "gateway:gateway", True, "response_text+prompt", 0.99, (attempt,))
    explained = verdict is Verdict.EXPLAINED
    finding = Finding("retry_billed", more, 0, Confidence.CERTAIN, "Billed twice.", "Look for timeouts.")
    return Assessment(
        call, dify, local, vendor, verdict, (finding,) if explained else (), 0 if explained else more, 0
    )


def measure(state: Path) -> dict[str, object]:
    """Every page some times, in turns, from a server of its own."""
    store = Store(state)
    with store.read() as connection:
        calls = connection.execute("SELECT count(*) FROM calls").fetchone()[0]
    store.close()
    server = subprocess.Popen(
        [sys.executable, "-m", "bench.pages", "--serve", str(state)], stdout=subprocess.PIPE, text=True
    )
    assert server.stdout is not None
    try:
        address = f"http://127.0.0.1:{server.stdout.readline().strip()}"
        times: dict[str, list[float]] = {}
        sizes: dict[str, int] = {}
        with requests.Session() as session:
            pages = _pages(session, address)
            for _ in range(_TURNS):
                for name, path in pages.items():
                    began = time.perf_counter()
                    answer = session.get(address + path, timeout=120)
                    times.setdefault(name, []).append(time.perf_counter() - began)
                    answer.raise_for_status()
                    sizes[name] = len(answer.content)
        memory = resident_mb(server.pid)
    finally:
        server.terminate()
        server.wait()
    return {
        "calls": calls,
        "file_mb": os.path.getsize(state) / 1e6,
        "memory_mb": memory,
        "pages": {
            name: {
                "median_ms": 1000 * statistics.median(taken),
                "p95_ms": 1000 * statistics.quantiles(taken, n=20)[-1],
                "kb": sizes[name] / 1000,
            }
            for name, taken in times.items()
        },
    }


def _pages(session: requests.Session, address: str) -> dict[str, str]:
    """Name and path of each page; one from deep inside the list, and one trace."""
    middle = END - DAYS * DAY // 2
    one = session.get(f"{address}/api/traces?limit=1", timeout=120).json()["traces"][0]["trace_id"]
    return {
        "overview, a day": "/",
        "overview, a week": "/?period=week",
        "overview, thirty days": "/?period=month",
        "traces": "/traces",
        "traces, half way down": f"/traces?before={middle}.f",
        "traces of an app": "/traces?app=App+7",
        "traces of a verdict": "/traces?verdict=pending",
        "traces of app and verdict": "/traces?app=App+7&verdict=unexplained",
        "traces of a rare model": "/traces?model=deepseek-chat",
        "traces of a day": "/traces?since=2026-10-01&until=2026-10-01",
        "traces by gap": "/traces?sort=gap",
        "by gap: app, verdict, day": "/traces?sort=gap&app=App+7&verdict=unexplained&since=2026-10-01&until=2026-10-01",
        "by gap: rare model": "/traces?sort=gap&model=deepseek-chat",
        "one trace": f"/traces/{one}",
        "reconciliation, a week": "/reconciliation",
        "reconciliation, a month": "/reconciliation?since=2026-10-01&until=2026-10-31",
        "health": "/status",
    }


def serve(state: Path) -> None:
    """The server of the measurement; says its port and waits to be ended."""
    store = Store(state)
    now = END + 1_000_000
    ready = Readiness(read_at=now, lag_seconds=0.0)
    server = WebServer(build_app(store, lambda: ready, WebSettings(), clock=lambda: now))
    print(server.start("127.0.0.1", 0), flush=True)
    while True:
        time.sleep(3600)


if __name__ == "__main__":
    main()
