"""The recorder in front of the exporter's real intake: what arrives, and what survives when the exporter is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from recorder_rig import REPOSITORY, answer, ask, post, recorder, vendor

from exporter.state import evidence
from exporter.state.store import Store

EXPORTER = """
import sys, threading
from pathlib import Path
from exporter.config import IntakeSettings, WebSettings
from exporter.state.store import Store
from exporter.web.app import build_app
from exporter.web.readiness import Readiness
from exporter.web.server import WebServer
store = Store(Path(sys.argv[1]))
server = WebServer(build_app(store, lambda: None, WebSettings(), intake=IntakeSettings()))
print(server.start("127.0.0.1", int(sys.argv[2])), flush=True)
sys.stdin.read()
"""
BODY = (
    b'{"id":"chatcmpl-1","model":"gpt-4o-mini-2024-07-18","choices":[{"index":0,"message":{"role":"assistant",'
    b'"content":"Secret answer."},"finish_reason":"stop"}],"usage":{"prompt_tokens":11,"completion_tokens":3}}'
)
REQUEST = b'{"model":"gpt-4o-mini","messages":[{"role":"user","content":"Secret question."}]}'


@contextmanager
def _exporter(state: Path, port: int) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-c", EXPORTER, str(state), str(port)],
        cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stdout.readline().strip() == str(port)
        try:
            yield process
        finally:
            process.kill()


def _stored(state: Path) -> int:
    store = Store(state)
    try:
        with store.read() as connection:
            return sum(source.requests for source in evidence.counts(connection).values())
    finally:
        store.close()


def test_every_call_reaches_an_exporter_that_is_killed_and_comes_back(
    tmp_path: Path, unused_port: Callable[[], int]
) -> None:
    state, port = tmp_path / "state.db", unused_port()
    with (
        vendor(
            lambda seen, connection: answer(connection, BODY, "200 OK", b"Content-Type: application/json")
        ) as up,
        recorder(tmp_path, up.url, push=f"http://127.0.0.1:{port}") as running,
    ):
        for _ in range(3):
            with _exporter(state, port) as exporter:
                for _ in range(10):
                    assert ask(running.port, post("/v1/chat/completions", REQUEST)).status == 200
                os.kill(exporter.pid, signal.SIGKILL)
                for _ in range(10):
                    assert ask(running.port, post("/v1/chat/completions", REQUEST)).status == 200
        with _exporter(state, port):
            running.wait_health(lambda health: not health["waiting"] and not health["spool_bytes"])
            assert not any(running.health()["lost"].values())
    assert _stored(state) == 60
    assert not list((tmp_path / "spool").iterdir())
    for file in tmp_path.glob("state.db*"):
        assert b"Secret" not in file.read_bytes(), "texts are dropped on arrival"
