"""One measured stretch of work in its own process: the parent starts it on a core, it prints what it took as JSON.

One-off costs (starting Python, imports, loading a vocabulary) lie outside of every clock, for everything that is compared.
"""

from __future__ import annotations

import gc
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field

import orjson

from bench._common import bare_environment, print_json, stay_on

LONGEST_SECONDS = 900.0


@dataclass(frozen=True, slots=True)
class Taken:
    """What a stretch of work took. `parts` names seconds of its parts where they were measured apart."""

    spans: int
    seconds: float
    cpu_seconds: float
    parts: dict[str, float] = field(default_factory=dict)

    @property
    def spans_per_second(self) -> float:
        """By the clock on the wall."""
        return self.spans / self.seconds

    @property
    def cpu_micros_per_span(self) -> float:
        """Processor time of the measured process alone; steadier than the wall clock on a busy machine."""
        return self.cpu_seconds / self.spans * 1e6


def measured(core: int, work: Callable[[], tuple[int, dict[str, float]]]) -> None:
    """Do the work on this core and print what it took; `work` returns the spans and the seconds of its parts."""
    stay_on(core)
    gc.collect()
    wall, cpu = time.perf_counter(), time.process_time()
    spans, parts = work()
    taken = Taken(spans, time.perf_counter() - wall, time.process_time() - cpu, parts)
    print_json(asdict(taken))


def in_own_process(module: str, *arguments: str) -> Taken:
    """Run `python -m module arguments…` and read what it took. Raises RuntimeError with its complaint when it fails."""
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments],
        capture_output=True,
        env=bare_environment(),
        timeout=LONGEST_SECONDS,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{module} failed:\n{done.stderr.decode()[-2000:]}")
    return Taken(**orjson.loads(done.stdout.splitlines()[-1]))
