"""`run` pushes its metrics to an OTLP receiver, names a failure, and goes on by itself."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import psycopg
from command import run, start
from living_dify import insert, living_dify, message, stamp

from tests.contract.otlp_metrics_twin import OtlpMetricsTwin


def test_metrics_are_pushed_and_a_failure_is_named_and_mended(tmp_path: Path) -> None:
    with living_dify() as url, OtlpMetricsTwin() as receiver:
        env = {
            "DIFY_DATABASE_URL": url, "DIFY_EXPORTER_WEB_PORT": "0", "DIFY_EXPORTER_DIFY_POLL_INTERVAL": "0.2s",
            "DIFY_EXPORTER_WEB_NEW_AT_ZERO": "0s", "DIFY_EXPORTER_METRICS_OTLP_INTERVAL": "1s",
            "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": receiver.url,
        }  # fmt: skip
        with psycopg.connect(url) as connection:
            insert(connection, "messages", [message(f"pushed {number}", stamp(1)) for number in range(3)])
        process = start("run", cwd=tmp_path, env={**env, "DIFY_EXPORTER_LOG_LEVEL": "error"})
        try:
            wait_for(lambda: receiver.value("dify_recorded_tokens", direction="input") == 36)
            receiver.down()
            wait_for(lambda: any("etrics" in problem for problem in status(tmp_path, env)))
            receiver.up()
            with psycopg.connect(url) as connection:
                insert(connection, "messages", [message("pushed later", stamp(1))])
            wait_for(lambda: receiver.value("dify_recorded_tokens", direction="input") == 48)
            wait_for(lambda: not any("etrics" in problem for problem in status(tmp_path, env)))
        finally:
            process.kill()
            process.wait()
        assert receiver.violations == []


def status(folder: Path, env: dict[str, str]) -> list[str]:
    document = json.loads(run("status", "--json", cwd=folder, env=env).stdout)
    problems: list[str] = document["problems"]
    return problems


def wait_for(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(0.1)
