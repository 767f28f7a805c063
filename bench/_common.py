"""What the benchmarks share: cores, medians, settings of an exporter that sends to the sink, and how results are printed."""

from __future__ import annotations

import os
import statistics
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson

KEYS = {"public_key": "pk-lf-benchmark", "secret_key": "sk-lf-benchmark"}
"""Keys of no account anywhere."""


def two_cores() -> tuple[int, int]:
    """(core of what is measured, core of everything else); the same one where there is only one."""
    cores = sorted(os.sched_getaffinity(0))
    return cores[-1], cores[0]


def stay_on(core: int) -> None:
    """Keep this process and all it starts from now on on one core."""
    os.sched_setaffinity(0, {core})


def destination(kind: str, address: str) -> dict[str, Any]:
    """A destination of this kind at the sink. Its answer is the receipt: the sink cannot be asked what it holds."""
    own = {**KEYS, "scores": False} if kind == "langfuse" else {}
    return {"kind": kind, "endpoint": address, "confirm": "at_once", **own}


def exporter_flags(url: str, state: Path, kind: str, address: str) -> dict[str, Any]:
    """Settings (dotted path → value) of an exporter from this database to the sink; everything else as it comes."""
    return {
        "dify.database.url": url,
        "state.path": str(state),
        "log.level": "error",
        "destinations": [destination(kind, address)],
    }


def settings_file(folder: Path, flags: Mapping[str, Any]) -> Path:
    """The same settings as a file for `dify-exporter --config`."""
    tree: dict[str, Any] = {}
    for path, value in flags.items():
        *sections, name = path.split(".")
        at = tree
        for section in sections:
            at = at.setdefault(section, {})
        at[name] = value
    file = folder / "dify-exporter.yaml"
    file.write_bytes(orjson.dumps(tree))  # JSON is YAML
    return file


def bare_environment() -> dict[str, str]:
    """The environment without variables that would add settings or destinations."""
    foreign = ("DIFY_", "LANGFUSE_", "LANGSMITH_", "OTEL_")
    return {name: value for name, value in os.environ.items() if not name.startswith(foreign)}


def median(values: Iterable[float]) -> float:
    """The middle value."""
    return statistics.median(values)


def resident_mb(pid: int) -> float | None:
    """Resident memory of a process in MB (10^6 bytes) as Linux reports it, None when it has ended."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    for line in status.splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024 / 1e6
    return None


def cpu_seconds(pid: int) -> float:
    """User and system time that a process has used so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def print_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """A plain table: first column left, numbers right."""
    lines = [list(head), *map(list, rows)]
    widths = [max(len(line[place]) for line in lines) for place in range(len(head))]
    for line in lines:
        cells = [line[0].ljust(widths[0])] + [
            cell.rjust(width) for cell, width in zip(line[1:], widths[1:], strict=True)
        ]
        print("  ".join(cells).rstrip())


def print_json(document: Mapping[str, Any]) -> None:
    """One line of JSON on standard output."""
    sys.stdout.write(orjson.dumps(document).decode() + "\n")


def machine() -> str:
    """The processor, for the line that says where a number was measured."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return f"{os.cpu_count()} x {line.partition(':')[2].strip()}"
    return f"{os.cpu_count()} cores"


def say(text: str) -> None:
    """Progress for people, on standard error."""
    print(text, file=sys.stderr, flush=True)
