"""Spans per second from Dify's PostgreSQL to an acknowledging OTLP server, on one core, with a full recount.

Side by side in one run, interleaved and repeated: the exporter, the floor (what tokens, protobuf and gzip cost at least),
and the same traces sent with Langfuse's own client. The measured process has a core to itself; PostgreSQL and the server
share the other. About two minutes.

    python -m bench.end_to_end
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from bench import dify_data
from bench._common import machine, median, print_json, print_table, say, stay_on, two_cores
from bench._measured import Taken, in_own_process
from bench.otlp_sink import Sink, sink

KINDS = ("otlp", "langfuse")
AIMS = "Aims: exporter at least 5,000 spans/s, within 2x of the floor, at least 5x the SDK."

Runs = dict[str, list[Taken]]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=1000, help="workflow runs (about 13.65 spans each)")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--without-sdk", action="store_true", help="leave Langfuse's client out")
    parser.add_argument("--json", action="store_true", help="print one line of JSON instead of the table")
    given = parser.parse_args()
    measured_core, other_core = two_cores()
    stay_on(other_core)
    folder = Path(tempfile.mkdtemp(prefix="dify-exporter-bench-"))
    try:
        from exporter.demo.database import dify_database

        with dify_database() as url, sink() as server:
            say(f"writing {given.runs} runs into a Dify database …")
            size = dify_data.fill(url, given.runs)
            runs = _measure(
                size,
                given.repeats,
                _contestants(url, server, folder, measured_core, not given.without_sdk),
                server,
            )
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    _report(size, runs, given.repeats, as_json=given.json)


def _contestants(
    url: str, server: Sink, folder: Path, core: int, with_sdk: bool
) -> dict[str, Callable[[], Taken]]:
    """Name → one measured run. Keeps the bodies of one export per dialect, which floor and SDK work from."""
    found: dict[str, Callable[[], Taken]] = {}
    for kind in KINDS:
        bodies = folder / kind
        bodies.mkdir()
        server.reset(bodies)
        say(f"first export ({kind}), not measured …")
        _exporter(core, url, kind, server)
        server.counts()
        found[f"exporter {kind}"] = lambda kind=kind: _exporter(core, url, kind, server)  # type: ignore[misc]
        found[f"floor {kind}"] = lambda bodies=bodies: in_own_process("bench._floor", str(core), str(bodies))  # type: ignore[misc]
    if with_sdk:
        received = str(folder / "langfuse")
        found["sdk langfuse"] = lambda: in_own_process("bench._sdk_run", str(core), received, server.address)
    return found


def _exporter(core: int, url: str, kind: str, server: Sink) -> Taken:
    return in_own_process("bench._exporter_run", str(core), url, kind, server.address)


def _measure(
    size: dify_data.Size, repeats: int, contestants: dict[str, Callable[[], Taken]], server: Sink
) -> Runs:
    """Every contestant in turn, as often as asked. Raises RuntimeError when a span did not arrive."""
    runs: Runs = {name: [] for name in contestants}
    for number in range(repeats):
        for name, run in contestants.items():
            server.reset()
            taken = run()
            arrived = server.counts().spans
            if taken.spans != size.spans or (not name.startswith("floor") and arrived != size.spans):
                raise RuntimeError(f"{name}: {arrived} of {size.spans} spans arrived")
            runs[name].append(taken)
            say(f"  {number + 1}/{repeats} {name}: {taken.spans_per_second:,.0f} spans/s")
    return runs


def _report(size: dify_data.Size, runs: Runs, repeats: int, *, as_json: bool) -> None:
    speeds = {name: median(taken.spans_per_second for taken in found) for name, found in runs.items()}
    cpu = {name: median(taken.cpu_micros_per_span for taken in found) for name, found in runs.items()}
    sdk = speeds.get("sdk langfuse")
    if as_json:
        parts = {
            name: {
                part: median(taken.parts[part] for taken in found) / size.spans * 1e6
                for part in found[0].parts
            }
            for name, found in runs.items()
            if found[0].parts
        }
        print_json(
            {
                "benchmark": "end_to_end",
                "machine": machine(),
                "traces": size.traces,
                "calls": size.calls,
                "spans": size.spans,
                "repeats": repeats,
                "spans_per_second": {name: round(value) for name, value in speeds.items()},
                "cpu_micros_per_span": {name: round(value, 1) for name, value in cpu.items()},
                "floor_micros_per_span": parts,
                "times_the_floor": {
                    kind: round(speeds[f"floor {kind}"] / speeds[f"exporter {kind}"], 2) for kind in KINDS
                },
                "times_the_sdk": {kind: round(speeds[f"exporter {kind}"] / sdk, 1) for kind in KINDS}
                if sdk
                else None,
            }
        )
        return
    print(
        f"{size.traces:,} traces, {size.calls:,} model calls, {size.spans:,} spans; median of {repeats}; {machine()}\n"
    )
    print_table(
        ("", "spans/s", "CPU µs/span", "floor / it", "it / SDK"),
        [
            (
                name,
                f"{speeds[name]:,.0f}",
                f"{cpu[name]:.0f}",
                f"{speeds['floor ' + name.split()[1]] / speeds[name]:.2f}",
                f"{speeds[name] / sdk:.1f}" if sdk else "–",
            )
            for name in runs
        ],
    )
    print(f"\n{AIMS}")


if __name__ == "__main__":
    main()
