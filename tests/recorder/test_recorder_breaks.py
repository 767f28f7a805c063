"""What breaks, stalls or is odd on one side reaches the other side as such, and the record says so."""

from __future__ import annotations

import json
import signal
import socket
import threading
import time
from pathlib import Path

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
    post,
    read_answer,
    recorder,
    records,
    vendor,
)  # fmt: skip
from recorder_traffic import REQUEST, STREAMED, numbered, traffic, word


def test_stream_that_is_cut_reaches_the_caller_as_a_cut_with_every_byte_before_it(tmp_path: Path) -> None:
    def play(seen: Seen, connection: socket.socket) -> bool:
        connection.sendall(STREAM_HEAD + chunk(word("one ")) + chunk(word("two")))
        return False

    with vendor(play) as up, recorder(tmp_path, up.url) as running:
        got = ask(running.port, post("/v1/chat/completions", STREAMED))
        assert not got.is_whole
        assert got.body == word("one ") + word("two")
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
    """Streams of many lengths, so that some are cut just when the recorder holds bytes that its reader does not take."""
    piece = bytes(range(256)) * 16

    def play(seen: Seen, connection: socket.socket) -> bool:
        connection.sendall(STREAM_HEAD)
        for _ in range(int(seen.header(b"x-pieces") or b"")):
            connection.sendall(chunk(piece))
        return False

    wrong: list[int] = []

    def call(port: int, pieces: int) -> None:
        with connected(port, 4096) as caller:
            caller.sendall(post("/v1/chat/completions", STREAMED, b"X-Pieces: %d" % pieces))
            time.sleep(1.5)
            got = read_answer(caller.makefile("rb", buffering=2**16))
            if got.is_whole or got.body != piece * pieces:
                wrong.append(pieces)

    with vendor(play) as up, recorder(tmp_path, up.url) as running:
        threads = [threading.Thread(target=call, args=(running.port, 16 * number)) for number in range(1, 81)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not wrong


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
    up.play = numbered()
    traffic(running, 3)


def test_hang_up_of_the_caller_reaches_the_upstream_and_is_recorded(tmp_path: Path) -> None:
    def play(seen: Seen, connection: socket.socket) -> None:
        connection.sendall(STREAM_HEAD + chunk(word("one ")))
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
        connection.sendall(STREAM_HEAD + chunk(word("one")))
        release.wait(LONG_SECONDS)
        return False

    with vendor(play) as up, recorder(tmp_path, up.url, timeout_seconds=0.5) as running:
        got = ask(running.port, post("/v1/chat/completions", STREAMED))
        release.set()
    assert not got.is_whole
    assert got.body == word("one")


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


def test_stop_lets_answers_in_progress_come_to_their_end(tmp_path: Path) -> None:
    go_on = threading.Event()

    def play(seen: Seen, connection: socket.socket) -> None:
        connection.sendall(STREAM_HEAD + chunk(word("one ")))
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
        up.play = numbered()
        traffic(running, 1)
        health = running.wait_health(lambda health: health["waiting"] == 0)
        assert 1 in [record.get("usage", {}).get("completion_tokens") for record in records(running, 1)]
    assert health["store_starts"] == 1
