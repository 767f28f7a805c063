"""Whatever fails on the recorder's side, the traffic flows and the loss is told; whatever breaks stays a break."""

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
from typing import Any

import pytest
from recorder_rig import (
    LONG_SECONDS,
    STREAM_HEAD,
    Recorder,
    Seen,
    Vendor,
    answer,
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

from exporter.vendor.pullers.files import read_file

REQUEST = json.dumps({"model": "m", "messages": [{"role": "user", "content": "hello"}]}).encode()
STREAMED = json.dumps(
    {"model": "m", "stream": True, "messages": [{"role": "user", "content": "hello"}]}
).encode()


def _answer_number(number: int, pad: int = 0) -> bytes:
    return json.dumps(
        {
            "id": f"chatcmpl-{number}", "object": "chat.completion", "model": "m-1",
            "choices": [{"index": 0, "message": {"content": f"answer {number}" + "x" * pad}, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 1, "completion_tokens": number, "total_tokens": 1 + number},
        }
    ).encode()  # fmt: skip


def _numbered(pad: int = 0) -> Callable[[Seen, socket.socket], bool]:
    """A vendor whose n-th answer says n."""
    lock, made = threading.Lock(), []

    def play(seen: Seen, connection: socket.socket) -> bool:
        with lock:
            made.append(seen)
            number = len(made)
        return answer(connection, _answer_number(number, pad), "200 OK", b"Content-Type: application/json")

    return play


def _traffic(running: Recorder, how_many: int) -> None:
    """So many calls that are all answered."""
    for _ in range(how_many):
        assert ask(running.port, post("/v1/chat/completions", REQUEST)).status == 200


def _said(found: list[dict[str, Any]]) -> list[int]:
    return sorted({record["usage"]["completion_tokens"] for record in found})


def _word(text: str) -> bytes:
    event = {"id": "chatcmpl-1", "model": "m-1", "choices": [{"index": 0, "delta": {"content": text}}]}
    return b"data: " + json.dumps(event).encode() + b"\n\n"


def test_stream_that_is_cut_reaches_the_caller_as_a_cut_with_every_byte_before_it(tmp_path: Path) -> None:
    def play(seen: Seen, connection: socket.socket) -> bool:
        connection.sendall(STREAM_HEAD + chunk(_word("one ")) + chunk(_word("two")))
        return False

    with vendor(play) as up, recorder(tmp_path, up.url) as running:
        got = ask(running.port, post("/v1/chat/completions", STREAMED))
        assert not got.is_whole
        assert got.body == _word("one ") + _word("two")
        record = records(running, 1)[0]
    assert (record["status"], record["response_text"], record["http_status"]) == ("aborted", "one two", 200)
    assert "usage" not in record


def test_answer_shorter_than_its_length_reaches_the_caller_as_a_cut(tmp_path: Path) -> None:
    def play(seen: Seen, connection: socket.socket) -> bool:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n" + b"x" * 60)
        return False

    with vendor(play) as up, recorder(tmp_path, up.url) as running:
        got = ask(running.port, post("/v1/chat/completions", REQUEST))
        assert not got.is_whole
        assert got.body == b"x" * 60
        assert records(running, 1)[0]["status"] == "aborted"


def test_cut_behind_a_slow_reader_loses_no_byte(tmp_path: Path) -> None:
    pieces = [b"%06d" % number + b"x" * 4000 for number in range(2000)]

    def play(seen: Seen, connection: socket.socket) -> bool:
        connection.sendall(STREAM_HEAD)
        for piece in pieces:
            connection.sendall(chunk(piece))
        return False

    with vendor(play) as up, recorder(tmp_path, up.url) as running, connected(running.port, 4096) as caller:
        caller.sendall(post("/v1/chat/completions", STREAMED))
        time.sleep(0.5)
        got = read_answer(caller.makefile("rb", buffering=1024))
    assert not got.is_whole
    assert got.body == b"".join(pieces)


def test_slow_reader_slows_its_upstream_and_costs_no_memory(tmp_path: Path) -> None:
    sent = []

    def play(seen: Seen, connection: socket.socket) -> None:
        connection.sendall(STREAM_HEAD)
        for _ in range(200):
            connection.sendall(chunk(b"x" * 2**18))
            sent.append(2**18)
        connection.sendall(b"0\r\n\r\n")

    with vendor(play) as up, recorder(tmp_path, up.url) as running, connected(running.port, 65536) as caller:
        caller.sendall(post("/v1/chat/completions", STREAMED))
        before = -1
        while before != len(sent) or not sent:
            before = len(sent)
            time.sleep(0.5)
        assert sum(sent) < 25 * 2**20
        assert running.health()["memory_bytes"] < 10 * 2**20
        _traffic_is_not_held_up(running, up)
        caller.settimeout(LONG_SECONDS)
        reader = caller.makefile("rb", buffering=2**20)
        got = read_answer(reader)
    assert got.is_whole
    assert len(got.body) == 200 * 2**18


def _traffic_is_not_held_up(running: Recorder, up: Vendor) -> None:
    up.play = _numbered()
    _traffic(running, 3)


def test_hang_up_of_the_caller_reaches_the_upstream_and_is_recorded(tmp_path: Path) -> None:
    def play(seen: Seen, connection: socket.socket) -> None:
        connection.sendall(STREAM_HEAD + chunk(_word("one ")))
        end = time.monotonic() + LONG_SECONDS
        while time.monotonic() < end:
            connection.sendall(chunk(b": more\n\n"))
            time.sleep(0.02)

    with vendor(play) as up, recorder(tmp_path, up.url) as running:
        with connected(running.port) as caller:
            caller.sendall(post("/v1/chat/completions", STREAMED))
            assert b"one " in caller.recv(65536) + caller.recv(65536)
        assert up.gone.wait(LONG_SECONDS)
        record = records(running, 1)[0]
    assert (record["status"], record["response_text"]) == ("aborted", "one ")


def test_hang_up_while_the_upstream_is_silent_is_passed_on_too(tmp_path: Path) -> None:
    ended = threading.Event()

    def play(seen: Seen, connection: socket.socket) -> bool:
        connection.settimeout(LONG_SECONDS)
        if connection.recv(1) == b"":
            ended.set()
        return False

    with vendor(play) as up, recorder(tmp_path, up.url) as running:
        with connected(running.port) as caller:
            caller.sendall(post("/v1/chat/completions", REQUEST))
            while not up.seen:
                time.sleep(0.01)
        assert ended.wait(LONG_SECONDS)
        record = records(running, 1)[0]
    assert record["status"] == "aborted"
    assert "http_status" not in record


def test_silent_upstream_becomes_504(tmp_path: Path) -> None:
    release = threading.Event()

    def play(seen: Seen, connection: socket.socket) -> bool:
        release.wait(LONG_SECONDS)
        return False

    with vendor(play) as up, recorder(tmp_path, up.url, timeout_seconds=0.5) as running:
        got = ask(running.port, post("/v1/chat/completions", REQUEST))
        release.set()
        assert got.status == 504
        assert got.header(b"content-type") == b"text/plain; charset=utf-8"
        record = records(running, 1)[0]
    assert record["status"] == "error"
    assert record["request"] == json.loads(REQUEST)


def test_upstream_that_falls_silent_inside_its_answer_becomes_a_cut(tmp_path: Path) -> None:
    release = threading.Event()

    def play(seen: Seen, connection: socket.socket) -> bool:
        connection.sendall(STREAM_HEAD + chunk(_word("one")))
        release.wait(LONG_SECONDS)
        return False

    with vendor(play) as up, recorder(tmp_path, up.url, timeout_seconds=0.5) as running:
        got = ask(running.port, post("/v1/chat/completions", STREAMED))
        release.set()
    assert not got.is_whole
    assert got.body == _word("one")


@pytest.mark.parametrize("said", [b"", b"HTTP/1.1 20", b"SSH-2.0-nonsense\r\n\r\n"])
def test_upstream_that_gives_no_answer_becomes_502(tmp_path: Path, said: bytes) -> None:
    def play(seen: Seen, connection: socket.socket) -> bool:
        connection.sendall(said)
        return False

    with vendor(play) as up, recorder(tmp_path, up.url) as running:
        got = ask(running.port, post("/v1/chat/completions", REQUEST))
        assert got.status == 502
        assert records(running, 1)[0]["status"] == "error"
        assert len(up.seen) == 1, "a model call is never made twice"


def test_killed_store_is_started_anew_and_nothing_is_lost(tmp_path: Path) -> None:
    with vendor(_numbered()) as up, recorder(tmp_path, up.url) as running:
        for _ in range(4):
            _traffic(running, 10)
            os.kill(running.store_pid(), signal.SIGKILL)
            _traffic(running, 10)
            running.wait_health(lambda health: health["waiting"] == 0)
        health = running.wait_health(lambda health: health["store_starts"] >= 5)
        found = records(running, 80)
    assert _said(found) == list(range(1, 81))
    assert not any(health["lost"].values())


def test_killed_store_while_a_stream_runs_does_not_touch_the_stream(tmp_path: Path) -> None:
    go_on = threading.Event()

    def play(seen: Seen, connection: socket.socket) -> None:
        connection.sendall(STREAM_HEAD + chunk(_word("one ")))
        go_on.wait(LONG_SECONDS)
        usage = {"id": "chatcmpl-1", "choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 2}}
        connection.sendall(
            chunk(_word("two")) + chunk(b"data: %s\n\n" % json.dumps(usage).encode()) + b"0\r\n\r\n"
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
    with vendor(_numbered(pad=100_000)) as up, recorder(tmp_path, up.url, limits=limits) as running:
        _traffic(running, 1)
        records(running, 1)
        store = running.store_pid()
        os.kill(store, signal.SIGSTOP)
        try:
            _traffic(running, 60)
            health = running.health()
            assert health["memory_bytes"] < 3 * 2**20
            assert health["lost"]["memory_full"] > 20
        finally:
            os.kill(store, signal.SIGCONT)
        health = running.wait_health(lambda health: health["waiting"] == 0)
        found = records(running, 61 - health["lost"]["memory_full"])
        _traffic(running, 1)
        assert 62 in _said(records(running, len(found) + 1))
    assert len(_said(found)) == 61 - health["lost"]["memory_full"]


def test_full_disk_keeps_records_waiting_and_traffic_flowing(tmp_path: Path) -> None:
    """No file may grow beyond 20 kB, as on a disk that is full; moving the file away makes room again."""

    def small_files() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, resource.RLIM_INFINITY))

    file, kept = tmp_path / "records.jsonl", []
    with vendor(_numbered(pad=1000)) as up, recorder(tmp_path, up.url, before=small_files) as running:
        _traffic(running, 60)
        health = running.wait_health(lambda health: health["problem"] is not None)
        assert health["status"] == "degraded"
        assert health["waiting"] > 0
        _traffic(running, 5)
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
    assert _said([json.loads(line) for line in kept]) == list(range(1, 66))


def test_exporter_that_is_away_finds_everything_when_it_is_back(
    tmp_path: Path, unused_port: Callable[[], int]
) -> None:
    port = unused_port()
    with vendor(_numbered()) as up, recorder(tmp_path, up.url, push=f"http://127.0.0.1:{port}") as running:
        _traffic(running, 30)
        health = running.wait_health(lambda health: health["records"].get("spooled") == 30)
        assert health["spool_bytes"] > 0
        spool = tmp_path / "spool"
        assert stat.S_IMODE(spool.stat().st_mode) == 0o700
        assert {stat.S_IMODE(file.stat().st_mode) for file in spool.iterdir()} == {0o600}
        with intake(port) as exporter:
            assert _said(exporter.wait(30)) == list(range(1, 31))
            running.wait_health(lambda health: health["spool_bytes"] == 0)
            _traffic(running, 5)
            assert _said(exporter.wait(35)) == list(range(1, 36))
            assert {request["path"] for request in exporter.requests} == {"/v1/vendor-calls/generic"}
        assert not list(spool.iterdir())
        assert not any(running.health()["lost"].values())


def test_spool_of_an_earlier_run_is_sent_by_the_next(tmp_path: Path, unused_port: Callable[[], int]) -> None:
    port = unused_port()
    with vendor(_numbered()) as up:
        with recorder(tmp_path, up.url, push=f"http://127.0.0.1:{port}") as running:
            _traffic(running, 10)
            running.wait_health(lambda health: health["records"].get("spooled") == 10)
            os.kill(running.process.pid, signal.SIGKILL)
        with intake(port) as exporter, recorder(tmp_path, up.url, push=f"http://127.0.0.1:{port}"):
            assert _said(exporter.wait(10)) == list(range(1, 11))


def test_token_is_sent_to_the_exporter_and_never_told(tmp_path: Path) -> None:
    environment = {"DIFY_EXPORTER_INTAKE_TOKEN": "very-secret-token"}
    with (
        vendor(_numbered()) as up,
        intake() as exporter,
        recorder(tmp_path, up.url, push=exporter.url, environment=environment) as running,
    ):
        _traffic(running, 1)
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
        vendor(_numbered()) as up,
        intake(status=status) as exporter,
        recorder(tmp_path, up.url, push=exporter.url) as running,
    ):
        _traffic(running, 3)
        running.wait_health(lambda health: health["records"].get("spooled") == 3)
        exporter.status = 200
        assert _said(exporter.wait(3)) == [1, 2, 3]


def test_record_that_the_exporter_refuses_does_not_hold_up_the_others(tmp_path: Path) -> None:
    with (
        vendor(_numbered()) as up,
        intake(status=503) as exporter,
        recorder(tmp_path, up.url, push=exporter.url) as running,
    ):
        exporter.refuses = lambda record: record["usage"]["completion_tokens"] == 4
        _traffic(running, 9)
        running.wait_health(lambda health: health["records"].get("spooled") == 9)
        exporter.status = 200
        assert _said(exporter.wait(8)) == [1, 2, 3, 5, 6, 7, 8, 9]
        assert running.wait_health(lambda health: not health["spool_bytes"])["lost"]["refused"] == 1


def test_full_spool_keeps_records_waiting_in_memory(tmp_path: Path, unused_port: Callable[[], int]) -> None:
    port, limits = unused_port(), {"spool_bytes": 10_000}
    push = f"http://127.0.0.1:{port}"
    with vendor(_numbered(pad=1000)) as up, recorder(tmp_path, up.url, push=push, limits=limits) as running:
        _traffic(running, 40)
        health = running.wait_health(lambda health: health["problem"] is not None)
        assert health["waiting"] > 0
        assert health["spool_bytes"] <= 10_000
        with intake(port) as exporter:
            assert _said(exporter.wait(40)) == list(range(1, 41))


def test_file_begun_anew_loses_nothing_for_a_reader_that_follows_it(tmp_path: Path) -> None:
    file, limits = tmp_path / "records.jsonl", {"file_bytes": 30_000}
    seen: set[str] = set()
    with vendor(_numbered(pad=500)) as up, recorder(tmp_path, up.url, limits=limits) as running:
        position = None
        for _ in range(20):
            _traffic(running, 10)
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
    with vendor(_numbered()) as up, recorder(tmp_path, up.url) as running:
        _traffic(running, 1)
        running.wait_health(lambda health: health["records"].get("written") == 1)
        lines = records(running, 2)
    assert lines[0] == {"whole": 1}
    assert lines[1]["usage"]["completion_tokens"] == 1


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"{",
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"usage":{"prompt_tokens":-1},"choices":7}',
        b"data: {}\n\n" * 1000,
    ],
    ids=["empty", "null", "array", "broken", "bytes", "nested", "odd types", "empty events"],
)
def test_odd_bodies_pass_and_the_next_call_is_recorded(tmp_path: Path, body: bytes) -> None:
    with (
        vendor(lambda seen, connection: answer(connection, body)) as up,
        recorder(tmp_path, up.url) as running,
    ):
        got = ask(running.port, post("/v1/chat/completions", body))
        assert got.body == body
        assert up.seen[0].body == body
        up.play = _numbered()
        _traffic(running, 1)
        health = running.wait_health(lambda health: health["waiting"] == 0)
        assert 1 in [record.get("usage", {}).get("completion_tokens") for record in records(running, 1)]
    assert health["store_starts"] == 1


def test_stop_lets_answers_in_progress_come_to_their_end(tmp_path: Path) -> None:
    go_on = threading.Event()

    def play(seen: Seen, connection: socket.socket) -> None:
        connection.sendall(STREAM_HEAD + chunk(_word("one ")))
        go_on.wait(LONG_SECONDS)
        usage = {"id": "chatcmpl-1", "choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 2}}
        connection.sendall(chunk(b"data: %s\n\n" % json.dumps(usage).encode()) + b"0\r\n\r\n")

    with vendor(play) as up, recorder(tmp_path, up.url) as running, connected(running.port) as caller:
        caller.sendall(post("/v1/chat/completions", STREAMED))
        while not up.seen:
            time.sleep(0.01)
        running.process.send_signal(signal.SIGTERM)
        while "stopping" not in running.log.read_text():
            time.sleep(0.01)
        go_on.set()
        assert read_answer(caller.makefile("rb")).is_whole
        assert running.process.wait(LONG_SECONDS) == 0
        assert json.loads((tmp_path / "records.jsonl").read_text())["usage"]["completion_tokens"] == 2


def test_recorder_that_is_killed_leaves_no_store_behind(tmp_path: Path) -> None:
    with vendor(_numbered()) as up, recorder(tmp_path, up.url) as running:
        _traffic(running, 1)
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


def test_many_callers_at_once_get_their_own_answers(tmp_path: Path) -> None:
    def play(seen: Seen, connection: socket.socket) -> bool:
        return answer(
            connection,
            b'{"model":"m","choices":[],"usage":{"prompt_tokens":1},"you said":' + seen.body + b"}",
        )

    wrong: list[bytes] = []

    def call(running: Recorder, number: int) -> None:
        with connected(running.port) as caller:
            reader = caller.makefile("rb")
            for turn in range(10):
                body = b'{"model":"m","n":"%d.%d"}' % (number, turn)
                caller.sendall(post("/v1/chat/completions", body))
                if not read_answer(reader).body.endswith(body + b"}"):
                    wrong.append(body)

    with vendor(play) as up, recorder(tmp_path, up.url) as running:
        threads = [threading.Thread(target=call, args=(running, number)) for number in range(40)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not wrong
        assert len({record["id"] for record in records(running, 400)}) == 400
