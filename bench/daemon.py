"""The daemon at rest: how soon it is ready, what it costs while nothing happens in Dify, and how much memory it keeps.

`dify-exporter run` as a real process on a Dify with a little history that is exported already. About two minutes.

    python -m bench.daemon
"""

from __future__ import annotations

import argparse
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench import dify_data
from bench._common import (
    bare_environment,
    cpu_seconds,
    exporter_flags,
    machine,
    median,
    print_json,
    print_table,
    resident_mb,
    say,
    settings_file,
)
from bench.otlp_sink import sink

AIMS = "Aims: ready in less than 2 s, less than 1 % of a core when idle."
_RUNS = 50
_LONGEST_START_SECONDS = 60.0
_SETTLE_SECONDS = 10.0


def main() -> None:
    """Start several times, then leave one alone and watch it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--starts", type=int, default=5)
    parser.add_argument("--idle-seconds", type=float, default=60.0)
    parser.add_argument("--json", action="store_true", help="print one line of JSON instead of the table")
    given = parser.parse_args()
    from exporter.demo.database import dify_database

    with (
        tempfile.TemporaryDirectory(prefix="dify-exporter-bench-") as folder,
        dify_database() as url,
        sink() as server,
    ):
        dify_data.fill(url, _RUNS)
        flags = exporter_flags(url, Path(folder) / "state.db", "otlp", server.address)
        say("exporting the history once …")
        _once(Path(folder), flags)
        say(f"starting {given.starts} times …")
        ready = [_start_and_stop(Path(folder), flags) for _ in range(given.starts)]
        say(f"watching it for {given.idle_seconds:.0f} s …")
        cpu_percent, resident = _idle(Path(folder), flags, given.idle_seconds)
    _report(ready, cpu_percent, resident, given.idle_seconds, as_json=given.json)


def _once(folder: Path, flags: dict[str, Any]) -> None:
    command = [
        sys.executable,
        "-m",
        "exporter",
        "--config",
        str(settings_file(folder, flags)),
        "run",
        "--once",
    ]
    done = subprocess.run(command, capture_output=True, env=bare_environment(), check=False, timeout=300)
    if done.returncode:
        raise SystemExit(f"run --once ended with {done.returncode}:\n{done.stderr.decode()[-2000:]}")


@contextmanager
def _daemon(folder: Path, flags: dict[str, Any]) -> Iterator[tuple[subprocess.Popen[bytes], float]]:
    """A running daemon, and the seconds it took until /readyz said yes."""
    port = _free_port()
    file = settings_file(folder, {**flags, "web.port": port})
    command = [sys.executable, "-m", "exporter", "--config", str(file), "run"]
    started = time.monotonic()
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=bare_environment()
    )
    try:
        while not _is_ready(port):
            if process.poll() is not None or time.monotonic() - started > _LONGEST_START_SECONDS:
                raise SystemExit("the daemon did not become ready")
            time.sleep(0.01)
        yield process, time.monotonic() - started
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _start_and_stop(folder: Path, flags: dict[str, Any]) -> float:
    with _daemon(folder, flags) as (_, seconds):
        return seconds


def _idle(folder: Path, flags: dict[str, Any], seconds: float) -> tuple[float, float]:
    """Percent of one core over that time, and resident MB at its end."""
    with _daemon(folder, flags) as (process, _):
        time.sleep(_SETTLE_SECONDS)
        before = cpu_seconds(process.pid)
        time.sleep(seconds)
        used = cpu_seconds(process.pid) - before
        return 100 * used / seconds, resident_mb(process.pid) or 0.0


def _is_ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5) as reply:
            return bool(reply.status == 200)
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _report(
    ready: list[float], cpu_percent: float, resident: float, seconds: float, *, as_json: bool
) -> None:
    if as_json:
        print_json(
            {
                "benchmark": "daemon",
                "machine": machine(),
                "starts": len(ready),
                "ready_seconds": round(median(ready), 3),
                "ready_seconds_each": [round(value, 3) for value in ready],
                "idle_seconds": seconds,
                "idle_cpu_percent": round(cpu_percent, 2),
                "idle_resident_mb": round(resident, 1),
            }
        )
        return
    print(f"`dify-exporter run` on a Dify where nothing happens; {machine()}\n")
    print_table(
        ("", "measured"),
        [
            (f"start to ready, median of {len(ready)}", f"{median(ready):.2f} s"),
            (f"processor when idle, over {seconds:.0f} s", f"{cpu_percent:.2f} % of a core"),
            ("resident memory when idle", f"{resident:.0f} MB"),
        ],
    )
    print(f"\n{AIMS}")


if __name__ == "__main__":
    main()
