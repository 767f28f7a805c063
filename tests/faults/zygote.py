"""Runs the exporter in forked children that die when told: at a durable boundary, or after some milliseconds.

Imports happen once, so that two hundred deaths take seconds. Reads one JSON object a line: `settings` (dotted path →
value), `kill_at` (boundary name and its occurrence) or `kill_after_ms`; answers one JSON object a line.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import exporter.destinations.registry
import exporter.sources.database
from exporter import config
from exporter.daemon import App
from exporter.logs import configure

_ = (exporter.destinations.registry, exporter.sources.database)


def _child(order: dict[str, Any]) -> int:
    """The exporter, once; its boundaries are written to a file as they are crossed."""
    settings = config.load(Path(os.devnull), {}, order["settings"]).settings
    configure(settings.log)
    seen: Counter[str] = Counter()
    log = open(order["boundaries"], "a", encoding="ascii", buffering=1)  # noqa: SIM115 - closed by death

    def boundary(name: str) -> None:
        seen[name] += 1
        log.write(f"{name}\t{seen[name]}\n")
        if order.get("kill_at") == [name, seen[name]]:
            os.kill(os.getpid(), signal.SIGKILL)

    with App(settings, boundary=boundary) as app:
        report = app.run_once(patience_seconds=order.get("patience", 30.0))
    return 1 if report.problems else 0


def _run(order: dict[str, Any]) -> dict[str, Any]:
    pid = os.fork()
    if pid == 0:
        code = 70
        try:
            code = _child(order)
        finally:
            sys.stderr.flush()
            os._exit(code)
    after = order.get("kill_after_ms")
    if after is not None:
        time.sleep(after / 1000)
        os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    return {"killed": os.WIFSIGNALED(status), "code": os.waitstatus_to_exitcode(status)}


def main() -> None:
    """Serve orders until standard input ends."""
    for line in sys.stdin:
        print(json.dumps(_run(json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
