"""A real Prometheus of this machine (Debian's package `prometheus`), started on loopback over a folder of its own."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests

REQUIRED = "TESTS_NEED_PROMETHEUS"
"""Set by `make test-dashboards` and by CI: a missing Prometheus is then a failure, not a reason to skip."""

_PATIENCE_SECONDS = 60


def program(name: str) -> str:
    """Path of `prometheus` or `promtool`."""
    found = shutil.which(name)
    if found is not None:
        return found
    if os.environ.get(REQUIRED):
        pytest.fail(f"{name} is not installed: apt-get install prometheus")
    pytest.skip(
        f"{name} is not installed here (apt-get install prometheus; `make test-dashboards` insists on it)"
    )


def promtool(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """What promtool says."""
    return subprocess.run(
        [program("promtool"), *arguments], cwd=cwd, capture_output=True, text=True, timeout=300, check=False
    )


@dataclass(frozen=True)
class Prometheus:
    """The HTTP API as Grafana uses it."""

    address: str

    def get(self, path: str, parameters: Mapping[str, Any] | None = None) -> Any:
        """The data of an answer; fails with Prometheus' own words."""
        answer = requests.get(f"{self.address}/api/v1/{path}", params=dict(parameters or {}), timeout=60)
        body = answer.json()
        assert body["status"] == "success", f"{body.get('error')}\n{parameters}"
        return body["data"]

    def at(self, expression: str, moment: float) -> list[tuple[dict[str, str], float]]:
        """An instant query: labels and value of each series."""
        data = self.get("query", {"query": expression, "time": moment})
        assert data["resultType"] == "vector", f"no vector: {expression}"
        return [(item["metric"], float(item["value"][1])) for item in data["result"]]

    def over(
        self, expression: str, start: float, end: float, step: int
    ) -> list[tuple[dict[str, str], list[float]]]:
        """A range query: labels and values of each series."""
        data = self.get("query_range", {"query": expression, "start": start, "end": end, "step": step})
        return [(item["metric"], [float(value) for _, value in item["values"]]) for item in data["result"]]

    def until(
        self, path: str, found: Callable[[Any], bool], parameters: Mapping[str, Any] | None = None
    ) -> Any:
        """Ask again until the answer is as wanted."""
        last = time.monotonic() + _PATIENCE_SECONDS
        while True:
            data = self.get(path, parameters)
            if found(data):
                return data
            assert time.monotonic() < last, f"{path} {parameters} never came to it: {data}"
            time.sleep(0.2)


def write_blocks(folder: Path, lines: Iterable[str]) -> Path:
    """A storage folder that holds these samples."""
    source, storage = folder / "samples.om", folder / "storage"
    with source.open("w", encoding="utf-8") as file:
        file.writelines(lines)
    done = promtool("tsdb", "create-blocks-from", "openmetrics", str(source), str(storage))
    assert done.returncode == 0, done.stderr
    return storage


@contextmanager
def running(config: Path, storage: Path) -> Iterator[Prometheus]:
    """Prometheus with this configuration and storage."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        listen = f"127.0.0.1:{probe.getsockname()[1]}"
    log = (storage.parent / "prometheus.log").open("w+")
    process = subprocess.Popen(
        [
            program("prometheus"), f"--config.file={config}", f"--storage.tsdb.path={storage}",
            "--storage.tsdb.retention.time=100y", f"--web.listen-address={listen}",
            "--enable-feature=exemplar-storage", "--log.level=warn",
        ],
        stdout=log, stderr=log,
    )  # fmt: skip
    try:
        _wait_until_ready(process, listen, log.name)
        yield Prometheus(f"http://{listen}")
    finally:
        process.terminate()
        process.wait(30)
        log.close()


def _wait_until_ready(process: subprocess.Popen[bytes], listen: str, log: str) -> None:
    last = time.monotonic() + _PATIENCE_SECONDS
    while time.monotonic() < last:
        assert process.poll() is None, Path(log).read_text("utf-8")
        try:
            if requests.get(f"http://{listen}/-/ready", timeout=5).status_code == 200:
                return
        except requests.ConnectionError:
            pass
        time.sleep(0.1)
    pytest.fail(f"Prometheus was not ready in time:\n{Path(log).read_text('utf-8')}")
