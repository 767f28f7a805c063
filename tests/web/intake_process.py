"""The web server alone in a process of its own, which may be killed, starved of disk, and measured.

Reads one JSON object from its command line (`state`, optional `die_at`: a durable boundary); prints its port; then obeys
lines on standard input: `disk full`, `disk free`.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import requests
import structlog

ROOT = Path(__file__).parents[2]


class ServerProcess:
    """A running server; use as a context manager."""

    def __init__(self, state: Path, **options: object) -> None:
        order = json.dumps({"state": str(state), **options})
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.web.intake_process", order], cwd=ROOT, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        assert self.process.stdout is not None
        self.port = int(self.process.stdout.readline())

    def __enter__(self) -> ServerProcess:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()

    def push(self, body: bytes, path: str = "/v1/vendor-calls/generic", **headers: str) -> requests.Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return requests.post(f"http://127.0.0.1:{self.port}{path}", data=body, headers=named, timeout=120)

    def tell(self, order: str) -> None:
        """Give an order and wait until it was obeyed."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(order + "\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline().strip() == order

    def peak_mib(self) -> int:
        """The most memory the process ever held."""
        status = Path(f"/proc/{self.process.pid}/status").read_text("ascii")
        (line,) = (line for line in status.splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) // 1024


def main() -> None:
    """Serve until killed."""
    from exporter.config import WebSettings
    from exporter.state.store import Store
    from exporter.web.app import build_app
    from exporter.web.readiness import Readiness
    from exporter.web.server import WebServer

    order = json.loads(sys.argv[1])

    def boundary(name: str) -> None:
        if name == order.get("die_at"):
            os.kill(os.getpid(), signal.SIGKILL)

    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    store = Store(Path(order["state"]), boundary)
    print(WebServer(build_app(store, Readiness, WebSettings())).start("127.0.0.1", 0), flush=True)
    for line in sys.stdin:
        # a file may not grow beyond this size: writes fail as they do on a full disk
        limit = 0 if line.strip() == "disk full" else resource.RLIM_INFINITY
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
        print(line.strip(), flush=True)


if __name__ == "__main__":
    main()
