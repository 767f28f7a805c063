"""Spans per second to each kind of destination as it is packed and paced for it, and what bad ones cost a good one.

The queue is full before the clock starts, so this is delivery alone: SQLite, packing, gzip, the request and its answer. The
receiver on loopback acknowledges at once; what a real platform takes for that comes on top. The measured process has a
core to itself. About seven minutes.

    python -m bench.destinations
"""

from __future__ import annotations

import argparse
import socket
from collections.abc import Mapping
from typing import Any

import orjson

from bench import dify_data
from bench._common import KEYS, machine, median, print_json, print_table, say, stay_on, two_cores
from bench._measured import Taken, in_own_process
from bench.otlp_sink import SLOW_SECONDS, Sink, sink

AIM = "Aim: a good destination keeps at least 90 % of its speed beside bad ones."

_KEY = {"api_key": "key-benchmark"}
_KINDS: dict[str, dict[str, Any]] = {
    "otlp": {},
    "langfuse": {**KEYS, "scores": False},
    "langsmith": {**_KEY, "scores": False},
    "opik": _KEY,
    "mlflow": {"experiment": "1"},
    "databricks": {**_KEY, "table": "main.llm.dify_otel_spans"},
    "weave": {**_KEY, "entity": "team"},
    "arize": {**_KEY, "space_id": "space"},
    "phoenix": {},
    "aliyun-arms": _KEY,
    "aliyun-cloudmonitor": _KEY,
    "tencent-apm": _KEY,
}
_ALONE, _BESIDE = "good alone", "good beside bad"
_PAIRS = 3
_OVER_GRPC = ("otlp", "tencent-apm")
_SMALL = 50  # spans in a request where bad ones stand beside: more requests that could be delayed


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=1000, help="workflow runs (about 13.65 spans each)")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", action="store_true", help="print one line of JSON instead of the tables")
    given = parser.parse_args()
    measured_core, other_core = two_cores()
    stay_on(other_core)
    from exporter.demo.database import dify_database

    with dify_database() as url, sink() as server:
        say(f"writing {given.runs} runs into a Dify database …")
        size = dify_data.fill(url, given.runs)
        runs = _measure(url, server, measured_core, size, given.repeats)
    _report(size, runs, given.repeats, as_json=given.json)


def _measure(url: str, server: Sink, core: int, size: dify_data.Size, repeats: int) -> dict[str, list[Taken]]:
    """Every entry in turn, as often as asked. Raises RuntimeError when a span did not arrive."""
    entries, pair = _each(server), _beside_bad_ones(server)
    runs: dict[str, list[Taken]] = {name: [] for name in (*entries, *pair)}
    for number in range(repeats):
        for name, destinations in (*entries.items(), *(_PAIRS * [*pair.items()])):
            if name == "langsmith" and number:
                continue  # its rate limit decides, to the span
            server.reset()
            taken = in_own_process("bench._deliver_run", str(core), url, orjson.dumps(destinations).decode())
            arrived = server.counts().spans
            if taken.spans != size.spans or arrived < size.spans:
                raise RuntimeError(f"{name}: {arrived} of {size.spans} spans arrived")
            runs[name].append(taken)
            say(f"  {number + 1}/{repeats} {name}: {taken.spans_per_second:,.0f} spans/s")
    return runs


def _each(server: Sink) -> dict[str, list[dict[str, Any]]]:
    """One destination of every kind, as its settings come; over gRPC too where that is installed."""
    found = {kind: [_entry(kind, server.address)] for kind in _KINDS}
    found["langsmith, no rate limit"] = [_entry("langsmith", server.address, requests_per_second=1_000_000)]
    if server.grpc_address is not None:
        for kind in _OVER_GRPC:
            found[f"{kind}, gRPC"] = [_entry(kind, server.grpc_address, protocol="grpc")]
    return found


def _beside_bad_ones(server: Sink) -> dict[str, list[dict[str, Any]]]:
    """A good destination alone, and beside three that are slow, dead and busy, each with the same traces."""
    good = _entry("otlp", server.address, name="good", max_spans=_SMALL)
    bad = {
        "slow": f"{server.address}/slow",
        "dead": f"http://127.0.0.1:{_closed_port()}",
        "busy": f"{server.address}/busy",
    }
    others = [_entry("otlp", address, name=name, max_spans=_SMALL) for name, address in bad.items()]
    return {_ALONE: [good], _BESIDE: [good, *others]}


def _entry(kind: str, address: str, **more: Any) -> dict[str, Any]:
    """The answer is the receipt: the sink cannot be asked what it holds."""
    return {"kind": kind, "endpoint": address, "confirm": "at_once", **_KINDS[kind], **more}


def _closed_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def _report(size: dify_data.Size, runs: Mapping[str, list[Taken]], repeats: int, *, as_json: bool) -> None:
    speeds = {name: median(taken.spans_per_second for taken in found) for name, found in runs.items()}
    cpu = {name: median(taken.cpu_micros_per_span for taken in found) for name, found in runs.items()}
    requests = {name: round(found[0].parts["requests"]) for name, found in runs.items()}
    pairs = list(
        zip(runs[_ALONE], runs[_BESIDE], strict=True)
    )  # of one moment, so that a busy machine is in both
    kept = median(beside.spans_per_second / alone.spans_per_second for alone, beside in pairs)
    dearer = median(beside.cpu_micros_per_span / alone.cpu_micros_per_span for alone, beside in pairs)
    if as_json:
        print_json(
            {
                "benchmark": "destinations",
                "machine": machine(),
                "traces": size.traces,
                "spans": size.spans,
                "repeats": repeats,
                "spans_per_second": {name: round(value) for name, value in speeds.items()},
                "cpu_micros_per_span": {name: round(value, 1) for name, value in cpu.items()},
                "spans_per_request": {name: round(size.spans / n, 1) for name, n in requests.items()},
                "good_beside_bad_to_alone": round(kept, 3),
                "cpu_beside_bad_to_alone": round(dearer, 3),
            }
        )
        return
    print(f"{size.traces:,} traces, {size.spans:,} spans; median of {repeats}; {machine()}\n")
    print_table(
        ("", "spans/s", "CPU µs/span", "spans/request"),
        [
            (name, f"{speeds[name]:,.0f}", f"{cpu[name]:.0f}", f"{size.spans / requests[name]:.0f}")
            for name in runs
        ],
    )
    print(
        f"\nBeside one that answers in {SLOW_SECONDS:.0f} s, one that refuses connections and one that says 429, "
        f"the good one keeps {kept:.0%} of its speed; the process takes {dearer:.2f} times the CPU.\n{AIM}"
    )


if __name__ == "__main__":
    main()
