"""`run` as a real process: ready soon, gone soon, alone on its state, and telling what is wrong."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import psycopg
import pytest
import requests
from command import lines, run, start
from living_dify import insert, living_dify, message, stamp, uuid_of

from tests.contract import langfuse_twin
from tests.contract.langfuse_twin import LangfuseTwin


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with living_dify() as url:
        yield url


@pytest.fixture
def dify(server: str) -> Iterator[str]:
    yield server
    with psycopg.connect(server) as connection:
        connection.execute("DELETE FROM messages")


@pytest.fixture
def langfuse() -> Iterator[LangfuseTwin]:
    with LangfuseTwin() as twin:
        yield twin


def _env(dify: str, twin_url: str | None) -> dict[str, str]:
    env = {
        "DIFY_DATABASE_URL": dify, "DIFY_EXPORTER_WEB_PORT": "0", "DIFY_EXPORTER_DIFY_POLL_INTERVAL": "0.3s",
        "DIFY_EXPORTER_DIFY_SWEEP_INTERVAL": "1s", "DIFY_EXPORTER_WEB_NEW_AT_ZERO": "0s",
    }  # fmt: skip
    if twin_url is not None:
        env |= {
            "LANGFUSE_HOST": twin_url, "LANGFUSE_PUBLIC_KEY": langfuse_twin.PUBLIC_KEY,
            "LANGFUSE_SECRET_KEY": langfuse_twin.SECRET_KEY,
        }  # fmt: skip
    return env


class Daemon:
    """A running daemon and its page."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.log: list[str] = []
        self._page: str | None = None
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.log.append(line)
            found = re.search(r"http://127\.0\.0\.1:\d+/", line)
            self._page = self._page or (found[0] if found else None)

    @property
    def page(self) -> str:
        wait_for(lambda: self._page is not None or self.process.poll() is not None)
        assert self._page is not None, self.log
        return self._page

    def ready(self) -> tuple[int, dict[str, Any]]:
        try:
            with urlopen(self.page + "readyz", timeout=5) as answer:
                return answer.status, json.loads(answer.read())
        except HTTPError as error:
            return error.code, json.loads(error.read())

    def end(self, number: int = signal.SIGTERM) -> float:
        began = time.monotonic()
        self.process.send_signal(number)
        self.process.wait(30)
        return time.monotonic() - began


@contextmanager
def daemon(folder: Path, env: dict[str, str], *arguments: str) -> Iterator[Daemon]:
    process = start(*arguments, "run", cwd=folder, env=env)
    try:
        yield Daemon(process)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def wait_for(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(0.05)


def _commit(dify: str, *rows: dict[str, Any]) -> None:
    with psycopg.connect(dify) as connection:
        insert(connection, "messages", rows)


def test_new_rows_are_exported_while_it_runs_and_it_ends_within_five_seconds(
    dify: str, langfuse: LangfuseTwin, tmp_path: Path
) -> None:
    with daemon(tmp_path, _env(dify, langfuse.url)) as running:
        wait_for(lambda: running.ready()[0] == 200)
        for number in range(3):
            _commit(dify, message(f"live {number}", stamp(1)))
            wait_for(lambda number=number: len(langfuse.counts()) == 2 * (number + 1))  # type: ignore[misc]
        with urlopen(running.page + "metrics", timeout=5) as answer:
            metrics = answer.read().decode()
        assert (
            'dify_recorded_tokens_total{app="Support",direction="input",model="gpt-4o-mini",provider="openai"} 36.0'
            in metrics
        )
        assert running.end() < 5
        assert running.process.returncode == 0
    assert set(langfuse.counts().values()) == {1}
    assert langfuse.violations == []


def test_a_destination_that_hangs_does_not_hold_up_the_end_and_nothing_is_lost(
    dify: str, langfuse: LangfuseTwin, tmp_path: Path
) -> None:
    _commit(dify, message("hanging", stamp(5)))
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with daemon(tmp_path, _env(dify, address)) as running:
            silent.settimeout(20)
            callers = [silent.accept()[0]]
            while not callers[-1].recv(4).startswith(b"POST"):  # the platform is asked for its pages, too
                callers.append(silent.accept()[0])
            time.sleep(0.5)
            assert running.end() < 5
            for caller in callers:
                caller.close()
    state = json.loads(run("status", "--json", cwd=tmp_path, env=_env(dify, address)).stdout)
    assert state["destinations"][0]["in_doubt"] == 1
    assert run("run", "--once", cwd=tmp_path, env=_env(dify, langfuse.url)).returncode == 0
    assert list(langfuse.counts().values()) == [1, 1]


def test_a_second_daemon_on_the_same_state_refuses_to_start(dify: str, tmp_path: Path) -> None:
    with daemon(tmp_path, _env(dify, None)) as running:
        wait_for(lambda: running.ready()[0] == 200)
        second = run("run", cwd=tmp_path, env=_env(dify, None))
        assert second.returncode == 2
        assert "already works" in second.stderr
        state = json.loads(run("status", "--json", cwd=tmp_path, env=_env(dify, None)).stdout)
        assert state["daemon"] is True


def test_killed_and_started_again_it_goes_on_where_it_was(
    dify: str, langfuse: LangfuseTwin, tmp_path: Path
) -> None:
    with daemon(tmp_path, _env(dify, langfuse.url)) as running:
        _commit(dify, message("before", stamp(1)))
        wait_for(lambda: len(langfuse.counts()) == 2)
        running.end(signal.SIGKILL)
    _commit(dify, message("while away", stamp(1)))
    with daemon(tmp_path, _env(dify, langfuse.url)) as running:
        wait_for(lambda: len(langfuse.counts()) == 4)
        running.end()
    assert set(langfuse.counts().values()) == {1}


def test_an_unreachable_dify_shows_in_readyz_and_the_daemon_recovers_by_itself(
    dify: str, tmp_path: Path
) -> None:
    port = _free_port()
    socket_folder = dify.partition("host=")[2]
    env = _env(f"postgresql://postgres:geheim@127.0.0.1:{port}/postgres", None)
    with daemon(tmp_path, env) as running:
        wait_for(lambda: any("refused" in problem for problem in running.ready()[1]["problems"]))
        assert running.ready()[0] == 503
        assert "geheim" not in json.dumps(running.ready()[1]) + "".join(running.log)
        with _forwarder(port, f"{socket_folder}/.s.PGSQL.5432"):
            _commit(dify, message("after", stamp(1)))
            wait_for(lambda: running.ready()[0] == 200, 60)
        running.end()
    calls = lines(run("calls", "--json", cwd=tmp_path, env=env).stdout)
    assert [call["message_id"] for call in calls] == [uuid_of("after")]


def test_evidence_that_comes_late_corrects_what_was_sent(
    dify: str, langfuse: LangfuseTwin, tmp_path: Path
) -> None:
    log = tmp_path / "vendor.jsonl"
    log.touch()
    (tmp_path / "dify-exporter.yaml").write_text(
        "vendor: [{kind: file, path: vendor.jsonl, name: gw}]\ncompare: {settle: 1s}\n"
    )
    _commit(dify, message("proven late", stamp(5)[:19]))
    with daemon(tmp_path, _env(dify, langfuse.url)) as running:
        wait_for(lambda: len(langfuse.counts()) == 2)
        usage = next(row["usageDetails"] for row in langfuse.rows() if row["usageDetails"])
        assert "vendor" not in usage
        record = {
            "id": "chatcmpl-1", "started_at": stamp(5) + "Z", "ended_at": stamp(4.9) + "Z", "model": "gpt-4o-mini",
            "status": "ok", "request": {"messages": [{"role": "user", "content": "question proven late"}]},
            "response_text": "an answer", "usage": {"prompt_tokens": 13, "completion_tokens": 5},
        }  # fmt: skip
        log.write_text(json.dumps(record) + "\n")
        wait_for(lambda: any((row["usageDetails"] or {}).get("vendor") == 18 for row in langfuse.rows()), 30)
        running.end()
    assert set(langfuse.counts().values()) == {1}
    [call] = lines(run("calls", "--json", cwd=tmp_path, env=_env(dify, langfuse.url)).stdout)
    assert call["readings"]["vendor"]["input"] == 13
    assert call["verdict"] in ("explained", "unexplained")


def test_pushed_evidence_is_matched_at_once_and_a_source_that_fails_holds_nothing_up(
    dify: str, langfuse: LangfuseTwin, tmp_path: Path
) -> None:
    nobody = _free_port()
    (tmp_path / "dify-exporter.yaml").write_text(
        "compare: {settle: 1s}\n"
        f"vendor: [{{kind: litellm, url: 'http://127.0.0.1:{nobody}', key: sk-admin}}, {{kind: push, name: apisix}}]\n"
    )
    _commit(dify, message("pushed for", stamp(5)[:19]))
    with daemon(tmp_path, _env(dify, langfuse.url)) as running:
        wait_for(lambda: len(langfuse.counts()) == 2)
        entry = {
            "start_time": 0, "request": {"id": "r1"}, "llm_summary": {
                "request_model": "gpt-4o-mini", "model": "gpt-4o-mini", "duration": "100", "prompt_tokens": "13",
                "completion_tokens": "5", "total_tokens": "18", "upstream_response_time": "100",
            },
            "llm_request": {"messages": [{"role": "user", "content": "question pushed for"}]},
            "llm_response_text": {"content": "an answer"},
        }  # fmt: skip
        entry["start_time"] = round((time.time() - 5) * 1000)
        answer = requests.post(
            f"{running.page}v1/vendor-calls/apisix?source=apisix", json=[entry, {"no": "request"}], timeout=10
        )
        assert answer.json()["accepted"] == 1, answer.text
        wait_for(lambda: any((row["usageDetails"] or {}).get("vendor") == 18 for row in langfuse.rows()), 15)
        warnings = running.ready()[1]["warnings"]
        assert any("Vendor evidence of litellm cannot be read" in text for text in warnings), warnings
        running.end()
    told = json.loads(run("evidence", "--json", cwd=tmp_path, env=_env(dify, langfuse.url)).stdout)
    assert {item["source"]: item["matched"] for item in told["sources"]} == {"apisix": 1, "litellm": 0}
    assert "sk-admin" not in "".join(running.log)


def test_a_backfill_beside_a_running_daemon_is_read_by_the_daemon(
    dify: str, langfuse: LangfuseTwin, tmp_path: Path
) -> None:
    _commit(dify, message("old", stamp(86400 * 3)))
    env = {**_env(dify, langfuse.url), "DIFY_EXPORTER_DIFY_START": "now"}
    with daemon(tmp_path, env) as running:
        wait_for(lambda: running.ready()[0] == 200)
        time.sleep(1)
        assert langfuse.counts() == {}
        done = run("backfill", "--since", stamp(86400 * 4), cwd=tmp_path, env=env)
        assert done.returncode == 0, done.stderr
        wait_for(lambda: len(langfuse.counts()) == 2)
        running.end()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


@contextmanager
def _forwarder(port: int, target: str) -> Iterator[None]:
    """PostgreSQL's Unix socket on a TCP port, as if the database came up."""
    listener = socket.create_server(("127.0.0.1", port))

    def pump(source: socket.socket, sink: socket.socket) -> None:
        try:
            while data := source.recv(65536):
                sink.sendall(data)
        except OSError:
            pass
        sink.close()

    def accept() -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            upstream = socket.socket(socket.AF_UNIX)
            upstream.connect(target)
            for pair in ((client, upstream), (upstream, client)):
                threading.Thread(target=pump, args=pair, daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield
    finally:
        listener.close()


def test_a_full_disk_stops_the_reading_says_so_and_loses_nothing(
    dify: str, langfuse: LangfuseTwin, tmp_path: Path
) -> None:
    _commit(dify, message("waits in dify", stamp(1)))
    full = {**_env(dify, langfuse.url), "DIFY_EXPORTER_STATE_MIN_FREE_DISK": "9000000GiB"}
    with daemon(tmp_path, full) as running:
        wait_for(lambda: any("free some space" in problem for problem in running.ready()[1]["problems"]))
        assert running.ready()[0] == 503
        running.end()
    assert langfuse.counts() == {}
    with daemon(tmp_path, _env(dify, langfuse.url)) as running:
        wait_for(lambda: len(langfuse.counts()) == 2)
        running.end()


def test_texts_and_secrets_stay_out_of_logs_ledger_and_process_list(
    dify: str, langfuse: LangfuseTwin, tmp_path: Path
) -> None:
    secret_text = "the launch code is 0000"
    _commit(
        dify,
        message(
            "private",
            stamp(1),
            query=secret_text,
            answer=secret_text,
            message=[{"role": "user", "text": secret_text}],
        ),
        message("failed", stamp(1), status="error", error=secret_text, message_metadata=None, message=""),
    )
    with daemon(tmp_path, {**_env(dify, langfuse.url), "DIFY_EXPORTER_LOG_LEVEL": "debug"}) as running:
        wait_for(lambda: len(langfuse.counts()) == 4)
        command_line = Path(f"/proc/{running.process.pid}/cmdline").read_bytes().decode()
        with urlopen(running.page + "metrics", timeout=5) as answer:
            metrics = answer.read().decode()
        wait_for(lambda: _unconfirmed(tmp_path, dify, langfuse) == 0, 40)
        running.end()
    assert secret_text not in "".join(running.log) + metrics + command_line
    assert langfuse_twin.SECRET_KEY not in "".join(running.log) + metrics + command_line
    kept = b"".join(file.read_bytes() for file in tmp_path.glob("dify-exporter.db"))
    store_text = run("calls", "--json", cwd=tmp_path, env=_env(dify, None)).stdout
    assert kept
    assert secret_text not in store_text


def _unconfirmed(folder: Path, dify: str, twin: LangfuseTwin) -> int:
    state = json.loads(run("status", "--json", cwd=folder, env=_env(dify, twin.url)).stdout)
    destination = state["destinations"][0]
    return int(destination["unconfirmed"] + destination["waiting"])
