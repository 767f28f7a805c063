"""The daemon is scraped while it is killed and started again: no counter goes back, none jumps, none misses a token."""

from __future__ import annotations

import random
import signal
import socket
import subprocess
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import requests
from command import start
from living_dify import insert, living_dify, message, stamp
from prometheus_client.parser import text_string_to_metric_families

KILLS = 5
ROUND = 8
SEED = 20261124
INPUT, OUTPUT = 12, 5
"""What `message` records."""

Series = tuple[str, tuple[tuple[str, str], ...]]


class Watch:
    """A Prometheus of our own: remembers every counter's last value and adds up what it grew by."""

    def __init__(self, port: int) -> None:
        self._address = f"http://127.0.0.1:{port}/metrics"
        self.last: dict[Series, float] = {}
        self.grown: defaultdict[Series, float] = defaultdict(float)
        self.scrapes = 0

    def scrape(self) -> bool:
        """False while nobody answers."""
        try:
            answer = requests.get(self._address, timeout=10)
        except requests.RequestException:
            return False
        assert answer.status_code == 200, answer.text
        self.scrapes += 1
        for family in text_string_to_metric_families(answer.text):
            if family.name.startswith("dify_") and family.type in ("counter", "histogram"):
                for sample in family.samples:
                    self._take((sample.name, tuple(sorted(sample.labels.items()))), sample.value)
        return True

    def _take(self, series: Series, value: float) -> None:
        if series[0].startswith("dify_exporter_tokenizer"):
            return  # of the process
        if series in self.last:
            assert value >= self.last[series], f"{series} fell from {self.last[series]} to {value}"
            self.grown[series] += value - self.last[series]
        self.last[series] = value

    def tokens(self, direction: str, values: dict[Series, float]) -> float:
        return sum(
            value
            for (name, labels), value in values.items()
            if name == "dify_recorded_tokens_total" and ("direction", direction) in labels
        )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def _running(folder: Path, env: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    process = start("run", cwd=folder, env={**env, "DIFY_EXPORTER_LOG_LEVEL": "error"})
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def test_counters_neither_fall_nor_jump_while_the_daemon_is_killed(tmp_path: Path) -> None:
    chance, port = random.Random(SEED), _free_port()
    watch = Watch(port)
    whole = (KILLS + 1) * ROUND
    with living_dify() as url:
        env = {
            "DIFY_DATABASE_URL": url, "DIFY_EXPORTER_WEB_PORT": str(port), "DIFY_EXPORTER_DIFY_POLL_INTERVAL": "0.1s",
            "DIFY_EXPORTER_DIFY_SWEEP_INTERVAL": "1s", "DIFY_EXPORTER_WEB_NEW_AT_ZERO": "2s",
        }  # fmt: skip
        for turn in range(KILLS + 1):
            with _running(tmp_path, env) as process:
                _until(watch.scrape)
                with psycopg.connect(url) as connection:
                    rows = [message(f"turn {turn} row {number}", stamp(1)) for number in range(ROUND)]
                    insert(connection, "messages", rows)
                if turn < KILLS:
                    dies_at = time.monotonic() + chance.uniform(0.05, 1.5)
                    _until(lambda dies_at=dies_at: not watch.scrape() or time.monotonic() >= dies_at)  # type: ignore[misc]
                    process.send_signal(signal.SIGKILL)
                    process.wait()
                else:
                    _until(lambda: watch.scrape() and watch.tokens("input", watch.last) == whole * INPUT)
                    watch.scrape()
    assert watch.scrapes > 2 * KILLS
    assert watch.tokens("input", watch.last) == watch.tokens("input", watch.grown) == whole * INPUT
    assert watch.tokens("output", watch.last) == watch.tokens("output", watch.grown) == whole * OUTPUT


def _until(condition: object, seconds: float = 60.0) -> None:
    assert callable(condition)
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.05)
