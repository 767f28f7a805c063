"""How long a scrape takes by the number of its series, in both formats, over a real server on loopback.

python -m bench.scrape
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import requests

from bench._common import machine, median, print_json, print_table, say
from exporter.config import WebSettings
from exporter.model import Verdict
from exporter.state.store import Store
from exporter.web.app import build_app
from exporter.web.readiness import Readiness
from exporter.web.server import WebServer

AIM = "Aim: 10,000 series in less than 1 s."
OPENMETRICS = "application/openmetrics-text; version=1.0.0"
_MODELS_PER_APP = 4
_CAUSES = ("retry_billed", "hidden_title", "recorded_nothing_stopped", "cache_price_weighted")


def main() -> None:
    """Fill a ledger's counters so that the wanted number of series is served, and scrape it again and again."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--series", type=int, nargs="+", default=[1_000, 10_000, 50_000])
    parser.add_argument("--times", type=int, default=7)
    parser.add_argument("--json", action="store_true", help="print one line of JSON instead of the table")
    given = parser.parse_args()
    rows = [row for wanted in given.series for row in _measure(wanted, given.times)]
    if given.json:
        print_json({"machine": machine(), "scrapes": rows})
        return
    print_table(
        ("format", "series", "size", "median", "longest"),
        [
            (
                row["format"], f"{row['series']:,}", f"{row['bytes'] / 2**20:.2f} MiB",
                f"{row['median_seconds']:.3f} s", f"{row['longest_seconds']:.3f} s",
            )
            for row in rows
        ],
    )  # fmt: skip
    say(AIM)


def _measure(wanted: int, times: int) -> list[dict[str, object]]:
    with tempfile.TemporaryDirectory(prefix="dify-exporter-bench-") as folder:
        store = Store(Path(folder) / "state.db")
        apps = _fill(store, wanted)
        settings = WebSettings(top_apps=apps + 1, new_at_zero=0)
        server = WebServer(build_app(store, Readiness, settings, ("langfuse", "otlp")))
        address = f"http://127.0.0.1:{server.start('127.0.0.1', 0)}/metrics"
        found = [
            _scrapes(address, name, accept, times)
            for name, accept in (("text", ""), ("OpenMetrics", OPENMETRICS))
        ]
        server.stop()
        store.close()
    return found


def _fill(store: Store, wanted: int) -> int:
    """Counters as the ledger keeps them, for so many apps that this many series come of it; returns the apps."""
    apps = max(1, round(wanted / (_SERIES_PER_CALL * _MODELS_PER_APP)))
    names = [(f"App {app}", f"model-{model}") for app in range(apps) for model in range(_MODELS_PER_APP)]
    with store.transaction("fill") as connection:
        connection.executemany(
            "INSERT INTO totals (metric, app, provider, model, label, value) VALUES (?, ?, 'openai', ?, ?, ?)",
            [(metric, app, model, label, 12_345) for app, model in names for metric, label in _COUNTERS],
        )
        connection.executemany(
            "INSERT INTO exemplars VALUES (?, 'openai', ?, '1.0', ?, 1.0, ?)",
            [
                (app, model, f"{place:032x}", time.time_ns() // 1000)
                for place, (app, model) in enumerate(names)
            ],
        )
    return apps


_COUNTERS = (
    *((f"{name}_tokens", way) for name in ("recorded", "local", "vendor", "compared") for way in ("input", "output")),
    *((f"{name}_cost", "USD") for name in ("recorded", "local", "vendor")),
    *(("unrecorded_tokens", f"input/{cause}") for cause in _CAUSES),
    *(("unrecorded_cost", f"USD/{cause}") for cause in _CAUSES),
    *(("calls", verdict.value) for verdict in Verdict),
    *(("judged_calls", verdict.value) for verdict in Verdict),
    ("calls_by_kind", "vendor_passed"), ("calls_by_accuracy", "exact"), ("ratio_bucket", "1.0"), ("ratio_sum", "1.0"),
)  # fmt: skip
_SERIES_PER_CALL = 72
"""What one app, provider and model come to with these counters."""


def _scrapes(address: str, name: str, accept: str, times: int) -> dict[str, object]:
    took, body = [], ""
    for _ in range(times):
        started = time.perf_counter()
        body = requests.get(address, headers={"Accept": accept}, timeout=600).text
        took.append(time.perf_counter() - started)
    series = sum(not line.startswith("#") for line in body.splitlines())
    return {
        "format": name, "series": series, "bytes": len(body.encode()),
        "median_seconds": round(median(took), 4), "longest_seconds": round(max(took), 4),
    }  # fmt: skip


if __name__ == "__main__":
    main()
