"""Whatever fails on the recorder's side, the traffic flows, and no record is lost or its loss is told."""

from __future__ import annotations

import json
import os
import resource
import signal
import socket
import stat
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from recorder_rig import (
    LONG_SECONDS,
    STREAM_HEAD,
    Seen,
    ask,
    chunk,
    connected,
    intake,
    post,
    read_answer,
    recorder,
    records,
    vendor,
)  # fmt: skip
from recorder_traffic import STREAMED, numbered, said, traffic, word

from exporter.vendor.pullers.files import read_file


def _full_disk() -> None:
    """No file may grow beyond 2 kB: the log begins and then cannot go on either, a record of 3 kB never fits."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (2_000, resource.RLIM_INFINITY))


def test_killed_store_is_started_anew_and_nothing_is_lost(tmp_path: Path) -> None:
    with vendor(numbered()) as up, recorder(tmp_path, up.url) as running:
        for _ in range(4):
            traffic(running, 10)
            os.kill(running.store_pid(), signal.SIGKILL)
            traffic(running, 10)
            running.wait_health(lambda health: health["waiting"] == 0)
        health = running.wait_health(lambda health: health["store_starts"] >= 5)
        found = records(running, 80)
    assert said(found) == list(range(1, 81))
    assert not any(health["lost"].values())


def test_killed_store_while_a_stream_runs_does_not_touch_the_stream(tmp_path: Path) -> None:
    go_on = threading.Event()

    def play(seen: Seen, connection: socket.socket) -> None:
        connection.sendall(STREAM_HEAD + chunk(word("one ")))
        go_on.wait(LONG_SECONDS)
        usage = {"id": "chatcmpl-1", "choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 2}}
        connection.sendall(
            chunk(word("two")) + chunk(b"data: %s\n\n" % json.dumps(usage).encode()) + b"0\r\n\r\n"
        )

    with vendor(play) as up, recorder(tmp_path, up.url) as running, connected(running.port) as caller:
        caller.sendall(post("/v1/chat/completions", STREAMED))
        while not up.seen:
            time.sleep(0.01)
        os.kill(running.store_pid(), signal.SIGKILL)
        go_on.set()
        assert read_answer(caller.makefile("rb")).is_whole
        assert records(running, 1)[0]["response_text"] == "one two"


def test_store_that_hangs_costs_bounded_memory_and_its_losses_are_counted(tmp_path: Path) -> None:
    limits = {"memory_bytes": 2 * 2**20}
    with vendor(numbered(pad=100_000)) as up, recorder(tmp_path, up.url, limits=limits) as running:
        traffic(running, 1)
        records(running, 1)
        store = running.store_pid()
        os.kill(store, signal.SIGSTOP)
        try:
            traffic(running, 60)
            health = running.health()
            assert health["memory_bytes"] < 3 * 2**20
            assert health["lost"]["memory_full"] > 20
        finally:
            os.kill(store, signal.SIGCONT)
        health = running.wait_health(lambda health: health["waiting"] == 0)
        found = records(running, 61 - health["lost"]["memory_full"])
        traffic(running, 1)
        assert 62 in said(records(running, len(found) + 1))
    assert len(said(found)) == 61 - health["lost"]["memory_full"]


def test_full_disk_keeps_records_waiting_and_traffic_flowing(tmp_path: Path) -> None:
    """No file may grow beyond 20 kB, as on a disk that is full; moving the file away makes room again."""

    def small_files() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, resource.RLIM_INFINITY))

    file, kept = tmp_path / "records.jsonl", []
    with vendor(numbered(pad=1000)) as up, recorder(tmp_path, up.url, before=small_files) as running:
        traffic(running, 60)
        health = running.wait_health(lambda health: health["problem"] is not None)
        assert health["status"] == "degraded"
        assert health["waiting"] > 0
        traffic(running, 5)
        while running.wait_health(lambda health: health["problem"] is not None or not health["waiting"])[
            "waiting"
        ]:
            text = file.read_text() if file.exists() else ""
            assert len(text) <= 20_000
            assert text == "" or text.endswith("\n"), "a line is written whole or not at all"
            kept += text.splitlines()
            file.unlink(missing_ok=True)
            running.wait_health(lambda health: health["problem"] is None or file.exists())
        assert running.health()["status"] == "ok"
        kept += file.read_text().splitlines()
        assert not any(running.health()["lost"].values())
    assert said([json.loads(line) for line in kept]) == list(range(1, 66))


def test_exporter_that_is_away_finds_everything_when_it_is_back(
    tmp_path: Path, unused_port: Callable[[], int]
) -> None:
    port = unused_port()
    with vendor(numbered()) as up, recorder(tmp_path, up.url, push=f"http://127.0.0.1:{port}") as running:
        traffic(running, 30)
        health = running.wait_health(lambda health: health["records"].get("spooled") == 30)
        assert health["spool_bytes"] > 0
        spool = tmp_path / "spool"
        assert stat.S_IMODE(spool.stat().st_mode) == 0o700
        assert {stat.S_IMODE(file.stat().st_mode) for file in spool.iterdir()} == {0o600}
        with intake(port) as exporter:
            assert said(exporter.wait(30)) == list(range(1, 31))
            running.wait_health(lambda health: health["spool_bytes"] == 0)
            traffic(running, 5)
            assert said(exporter.wait(35)) == list(range(1, 36))
            assert {request["path"] for request in exporter.requests} == {"/v1/vendor-calls/generic"}
        assert not list(spool.iterdir())
        assert not any(running.health()["lost"].values())


def test_spool_of_an_earlier_run_is_sent_by_the_next(tmp_path: Path, unused_port: Callable[[], int]) -> None:
    port = unused_port()
    with vendor(numbered()) as up:
        with recorder(tmp_path, up.url, push=f"http://127.0.0.1:{port}") as running:
            traffic(running, 10)
            running.wait_health(lambda health: health["records"].get("spooled") == 10)
            os.kill(running.process.pid, signal.SIGKILL)
        with intake(port) as exporter, recorder(tmp_path, up.url, push=f"http://127.0.0.1:{port}"):
            assert said(exporter.wait(10)) == list(range(1, 11))


def test_token_is_sent_to_the_exporter_and_never_told(tmp_path: Path) -> None:
    environment = {"DIFY_EXPORTER_INTAKE_TOKEN": "very-secret-token"}
    with (
        vendor(numbered()) as up,
        intake() as exporter,
        recorder(tmp_path, up.url, push=exporter.url, environment=environment) as running,
    ):
        traffic(running, 1)
        exporter.wait(1)
        assert exporter.requests[0]["authorization"] == "Bearer very-secret-token"
        commands = [
            Path(f"/proc/{pid}/cmdline").read_bytes() for pid in (running.process.pid, running.store_pid())
        ]
        assert not any(b"very-secret-token" in command for command in commands)
    assert "very-secret-token" not in running.log.read_text()


@pytest.mark.parametrize("status", [401, 404, 500, 503, 302])
def test_exporter_that_does_not_let_us_in_gets_the_records_later(tmp_path: Path, status: int) -> None:
    with (
        vendor(numbered()) as up,
        intake(status=status) as exporter,
        recorder(tmp_path, up.url, push=exporter.url) as running,
    ):
        traffic(running, 3)
        running.wait_health(lambda health: health["records"].get("spooled") == 3)
        exporter.status = 200
        assert said(exporter.wait(3)) == [1, 2, 3]


def test_record_that_the_exporter_refuses_does_not_hold_up_the_others(tmp_path: Path) -> None:
    with (
        vendor(numbered()) as up,
        intake(status=503) as exporter,
        recorder(tmp_path, up.url, push=exporter.url) as running,
    ):
        exporter.refuses = lambda record: record["usage"]["completion_tokens"] == 4
        traffic(running, 9)
        running.wait_health(lambda health: health["records"].get("spooled") == 9)
        exporter.status = 200
        assert said(exporter.wait(8)) == [1, 2, 3, 5, 6, 7, 8, 9]
        assert running.wait_health(lambda health: not health["spool_bytes"])["lost"]["refused"] == 1


def test_record_too_large_for_the_exporter_goes_without_its_texts(tmp_path: Path) -> None:
    with (
        vendor(numbered(pad=5000)) as up,
        intake() as exporter,
        recorder(tmp_path, up.url, push=exporter.url) as running,
    ):
        exporter.max_body = 2000
        traffic(running, 3)
        assert said(exporter.wait(3)) == [1, 2, 3]
        assert not any("response_text" in record or "request" in record for record in exporter.records)


def test_exchange_that_no_store_gets_done_is_given_up_and_counted(tmp_path: Path) -> None:
    with vendor(numbered(pad=3000)) as up, recorder(tmp_path, up.url, before=_full_disk) as running:
        traffic(running, 1)
        for starts in (1, 2, 3):
            running.wait_health(
                lambda health, n=starts: health["store_starts"] == n and health["problem"] is not None
            )
            os.kill(running.store_pid(), signal.SIGKILL)
            running.wait_health(lambda health, n=starts: health["store_starts"] == n + 1)
            traffic(running, 1)
        health = running.wait_health(lambda health: health["lost"]["store_died"] > 0)
        assert health["recorded"] == health["lost"]["store_died"] + health["waiting"] + sum(
            health["records"].values()
        )


def test_stop_with_records_that_cannot_go_out_tells_the_loss(tmp_path: Path) -> None:
    push, limits = "http://127.0.0.1:1", {"spool_bytes": 10}
    with vendor(numbered()) as up, recorder(tmp_path, up.url, push=push, limits=limits) as running:
        traffic(running, 5)
        running.wait_health(lambda health: health["problem"] is not None)
        assert running.stop() == 0
        last = json.loads(running.log.read_text().splitlines()[-1])
    assert last["event"] == "stopped"
    assert last["lost"] == {"shutdown": 5}


def test_log_that_cannot_be_written_disturbs_nothing(tmp_path: Path) -> None:
    with vendor(numbered()) as up, recorder(tmp_path, up.url, before=_full_disk) as running:
        up.play = lambda seen, connection: False
        for _ in range(40):  # each a line in the log
            assert ask(running.port, post("/v1/models", b"")).status == 502
        assert running.log.stat().st_size <= 2_000
        up.play = numbered()
        traffic(running, 3)
        assert said(records(running, 3)) == [1, 2, 3]


def test_records_on_their_way_survive_a_killed_recorder(tmp_path: Path) -> None:
    with vendor(numbered()) as up, recorder(tmp_path, up.url) as running:
        traffic(running, 1)
        records(running, 1)
        store = running.store_pid()
        os.kill(store, signal.SIGSTOP)
        traffic(running, 20)
        time.sleep(0.5)  # they lie in the socket between the processes
        os.kill(running.process.pid, signal.SIGKILL)
        running.process.wait()
        os.kill(store, signal.SIGCONT)
        file, end = tmp_path / "records.jsonl", time.monotonic() + LONG_SECONDS
        while len(file.read_text().splitlines()) < 21:
            assert time.monotonic() < end
            time.sleep(0.02)


def test_full_spool_keeps_records_waiting_in_memory(tmp_path: Path, unused_port: Callable[[], int]) -> None:
    port, limits = unused_port(), {"spool_bytes": 10_000}
    push = f"http://127.0.0.1:{port}"
    with vendor(numbered(pad=1000)) as up, recorder(tmp_path, up.url, push=push, limits=limits) as running:
        traffic(running, 40)
        health = running.wait_health(lambda health: health["problem"] is not None)
        assert health["waiting"] > 0
        assert health["spool_bytes"] <= 10_000
        with intake(port) as exporter:
            assert said(exporter.wait(40)) == list(range(1, 41))


def test_file_begun_anew_loses_nothing_for_a_reader_that_follows_it(tmp_path: Path) -> None:
    file, limits = tmp_path / "records.jsonl", {"file_bytes": 30_000}
    seen: set[str] = set()
    with vendor(numbered(pad=500)) as up, recorder(tmp_path, up.url, limits=limits) as running:
        position = None
        for _ in range(20):
            traffic(running, 10)
            running.wait_health(lambda health: health["waiting"] == 0)
            read = read_file(file, position, source="recorder")
            assert not read.refused
            position = read.position
            seen |= {call.id for call in read.records}
    assert (tmp_path / "records.jsonl.1").exists()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert len(seen) == 200


def test_half_a_line_of_a_killed_writer_is_taken_away_at_the_start(tmp_path: Path) -> None:
    file = tmp_path / "records.jsonl"
    file.write_bytes(b'{"whole":1}\n{"half":')
    with vendor(numbered()) as up, recorder(tmp_path, up.url) as running:
        traffic(running, 1)
        running.wait_health(lambda health: health["records"].get("written") == 1)
        lines = records(running, 2)
    assert lines[0] == {"whole": 1}
    assert lines[1]["usage"]["completion_tokens"] == 1


def test_recorder_that_is_killed_leaves_no_store_behind(tmp_path: Path) -> None:
    with vendor(numbered()) as up, recorder(tmp_path, up.url) as running:
        traffic(running, 1)
        store = running.store_pid()
        os.kill(running.process.pid, signal.SIGKILL)
        end = time.monotonic() + LONG_SECONDS
        while Path(f"/proc/{store}").exists() and _state(store) != "Z":
            assert time.monotonic() < end
            time.sleep(0.05)


def _state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return "Z"
