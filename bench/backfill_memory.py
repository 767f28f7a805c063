"""Memory of `dify-exporter backfill` over a long history: is it flat, and how high is it?

A real process back-fills generated data to an acknowledging server while its resident memory is read every second.
A million spans take a few minutes to write and a few to export; `--spans 50000` is a short form.

    python -m bench.backfill_memory
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from bench import dify_data
from bench._common import (
    bare_environment,
    exporter_flags,
    machine,
    median,
    print_json,
    print_table,
    resident_mb,
    say,
    settings_file,
    stay_on,
    two_cores,
)
from bench.otlp_sink import sink

AIM = "Aim: flat, and below 200 MB."
_DAYS = 10.0
_LONGEST_SECONDS = 3600.0


@dataclass(frozen=True, slots=True)
class Watched:
    """What was seen of the process: resident MB once a second, and how long it ran."""

    resident_mb: tuple[float, ...]
    seconds: float
    state_mb: float


def main() -> None:
    """Generate, back-fill, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--spans", type=int, default=1_000_000, help="about so many")
    parser.add_argument(
        "--kind", choices=("otlp", "langfuse"), default="otlp", help="dialect of the destination"
    )
    parser.add_argument("--json", action="store_true", help="print one line of JSON instead of the table")
    given = parser.parse_args()
    measured_core, other_core = two_cores()
    stay_on(other_core)
    from exporter.demo.database import dify_database

    with (
        tempfile.TemporaryDirectory(prefix="dify-exporter-bench-") as folder,
        dify_database() as url,
        sink() as server,
    ):
        until = datetime.now(UTC).replace(tzinfo=None) - timedelta(hours=2)
        runs = dify_data.runs_for(given.spans)
        say(f"writing {runs:,} runs into a Dify database …")
        size = dify_data.fill(url, runs, until=until, days=_DAYS)
        say(f"back-filling {size.spans:,} spans …")
        flags = exporter_flags(url, Path(folder) / "state.db", given.kind, server.address)
        watched = _backfill(Path(folder), flags, until - timedelta(days=_DAYS + 1), measured_core)
        arrived = server.counts()
    if arrived.spans != size.spans:
        raise SystemExit(f"{arrived.spans:,} of {size.spans:,} spans arrived")
    _report(size, watched, as_json=given.json)


def _backfill(folder: Path, flags: dict[str, object], since: datetime, core: int) -> Watched:
    """Run the command to its end. Raises SystemExit with its complaint when it fails."""
    command = [
        "taskset", "--cpu-list", str(core),
        sys.executable, "-m", "exporter", "--config", str(settings_file(folder, flags)),
        "backfill", "--since", f"{since:%Y-%m-%dT%H:%M:%SZ}",
    ]  # fmt: skip
    state = Path(str(flags["state.path"]))
    seen: list[float] = []
    largest = 0
    started = time.monotonic()
    complaints = folder / "stderr.txt"
    with (
        complaints.open("wb") as stderr,
        subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=stderr,
            env=bare_environment(),
        ) as process,
    ):
        while process.poll() is None:
            if time.monotonic() - started > _LONGEST_SECONDS:
                process.kill()
                raise SystemExit(f"not done after {_LONGEST_SECONDS:.0f} s")
            resident = resident_mb(process.pid)
            if resident is not None:
                seen.append(resident)
            largest = max(largest, sum(file.stat().st_size for file in state.parent.glob("state.db*")))
            time.sleep(1.0)
    seconds = time.monotonic() - started
    if process.returncode:
        raise SystemExit(f"backfill ended with {process.returncode}:\n{complaints.read_text()[-2000:]}")
    return Watched(tuple(seen), seconds, largest / 1e6)


def _report(size: dify_data.Size, watched: Watched, *, as_json: bool) -> None:
    seen = watched.resident_mb
    quarter = max(1, len(seen) // 4)
    first, last = median(seen[:quarter]), median(seen[-quarter:])
    speed = size.spans / watched.seconds
    if as_json:
        print_json(
            {
                "benchmark": "backfill_memory",
                "machine": machine(),
                "spans": size.spans,
                "traces": size.traces,
                "seconds": round(watched.seconds, 1),
                "spans_per_second": round(speed),
                "peak_resident_mb": round(max(seen), 1),
                "first_quarter_resident_mb": round(first, 1),
                "last_quarter_resident_mb": round(last, 1),
                "largest_state_mb": round(watched.state_mb, 1),
            }
        )
        return
    print(
        f"back-fill of {size.traces:,} traces, {size.spans:,} spans in {watched.seconds:.0f} s; {machine()}\n"
    )
    print_table(
        ("", "resident MB"),
        [
            ("first quarter, median", f"{first:.0f}"),
            ("last quarter, median", f"{last:.0f}"),
            ("peak", f"{max(seen):.0f}"),
        ],
    )
    print(f"\n{speed:,.0f} spans/s; the state file grew to {watched.state_mb:,.0f} MB. {AIM}")


if __name__ == "__main__":
    main()
