"""Bytes pass unchanged both ways: requests as the upstream sees them, answers as the caller sees them."""

from __future__ import annotations

import hashlib
import json
import random
import socket
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from recorder_rig import (
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
    vendor,
)  # fmt: skip


@pytest.fixture(scope="module")
def _plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Vendor, Recorder]]:
    with vendor() as up, recorder(tmp_path_factory.mktemp("plain"), up.url) as running:
        yield up, running


@pytest.fixture(scope="module")
def _asking(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Vendor, Recorder]]:
    folder = tmp_path_factory.mktemp("asking")
    with vendor() as up, recorder(folder, up.url, force_stream_usage=True) as running:
        yield up, running


@pytest.fixture
def plain(_plain: tuple[Vendor, Recorder]) -> tuple[Vendor, Recorder]:
    """A vendor that has seen nothing yet and a recorder in front of it that other tests use too."""
    return _as_new(*_plain)


@pytest.fixture
def asking(_asking: tuple[Vendor, Recorder]) -> tuple[Vendor, Recorder]:
    """The same with a recorder that asks for usage."""
    return _as_new(*_asking)


def _as_new(up: Vendor, running: Recorder) -> tuple[Vendor, Recorder]:
    up.seen.clear()
    up.play = Vendor().play
    return up, running


OF_THE_CONNECTION = {b"host", b"transfer-encoding", b"connection"}


def _travelling(headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    return [(name, value) for name, value in headers if name.lower() not in OF_THE_CONNECTION]


def test_request_reaches_the_upstream_as_it_was_sent(plain: tuple[Vendor, Recorder]) -> None:
    headers = [
        (b"authorization", b"Bearer sk-1"),
        (b"X-Mixed-CASE", b"Some Value; q=1"),
        (b"Accept-Encoding", b"gzip, deflate, br"),
        (b"User-Agent", b"OpenAI/Python 2.3.0"),
        (b"Cookie", b"a=b; c=d"),
        (b"X-Twice", b"one"),
        (b"X-Twice", b"two"),
        (b"X-Text", "Grüße".encode()),
        (b"Content-Length", b"26"),
        (b"Content-Type", b"application/json"),
    ]
    target = b"/v1/a%2Fb/%7Ec/../x;y=1/chat/completions?b=2&a=%20+%zz&b=1"
    body = b'{"model" : "m",\r\n "x":1e3}'
    raw = b"POST " + target + b" HTTP/1.1\r\nHost: recorder.test\r\n"
    raw += b"".join(name + b": " + value + b"\r\n" for name, value in headers) + b"\r\n" + body
    up, running = plain
    assert ask(running.port, raw).status == 200
    seen = up.seen[0]
    assert seen.line == b"POST " + target + b" HTTP/1.1"
    assert _travelling(seen.headers) == headers
    assert seen.header(b"host") == up.url.removeprefix("http://").encode()
    assert seen.body == body


def test_answer_reaches_the_caller_as_it_was_sent(plain: tuple[Vendor, Recorder]) -> None:
    head = [
        (b"x-Request-ID", b"req_1"),
        (b"Set-Cookie", b"a=b; Path=/"),
        (b"Set-Cookie", b"c=d"),
        (b"openai-processing-ms", b"12"),
        (b"X-Text", "Grüße".encode()),
        (b"Content-Length", b"3"),
    ]
    raw = b"HTTP/1.1 299 Rather Odd\r\n" + b"".join(name + b": " + value + b"\r\n" for name, value in head)

    def play(seen: Seen, connection: socket.socket) -> None:
        connection.sendall(raw + b"\r\n\x00\xff\n")

    up, running = plain
    up.play = play
    got = ask(running.port, post("/v1/chat/completions", b"{}"))
    assert got.line == b"HTTP/1.1 299 Rather Odd"
    assert got.headers == head
    assert got.body == b"\x00\xff\n"


@pytest.mark.parametrize("method", [b"GET", b"HEAD", b"DELETE", b"OPTIONS", b"PUT", b"PATCH"])
def test_every_method_passes(plain: tuple[Vendor, Recorder], method: bytes) -> None:
    body = b"" if method == b"HEAD" else b"1234"

    def play(seen: Seen, connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nX-A: b\r\n\r\n" + body)

    up, running = plain
    up.play = play
    with connected(running.port) as caller:
        reader = caller.makefile("rb")
        for _ in range(2):
            caller.sendall(method + b" /v1/models HTTP/1.1\r\nHost: x\r\n\r\n")
            got = read_answer(reader, has_body=method != b"HEAD")
            assert got.status == 200
            assert got.headers == [(b"Content-Length", b"4"), (b"X-A", b"b")]
            assert got.body == body
        assert up.seen[0].line == method + b" /v1/models HTTP/1.1"
    assert running.health()["requests"] >= 2


@pytest.mark.parametrize(
    "status", ["204 No Content", "304 Not Modified", "301 Moved Permanently", "307 Temporary Redirect"]
)
def test_redirects_and_answers_without_body_are_passed_on(
    plain: tuple[Vendor, Recorder], status: str
) -> None:
    def play(seen: Seen, connection: socket.socket) -> None:
        length = b"" if status[0:3] in ("204", "304") else b"Content-Length: 0\r\n"
        connection.sendall(
            f"HTTP/1.1 {status}\r\nLocation: https://other.test/x\r\n".encode() + length + b"\r\n"
        )

    up, running = plain
    up.play = play
    got = ask(running.port, post("/v1/chat/completions", b"{}"))
    assert len(up.seen) == 1
    assert got.line == f"HTTP/1.1 {status}".encode()
    assert got.header(b"location") == b"https://other.test/x"
    assert got.body == b""


@pytest.mark.parametrize(
    "status", ["400 Bad Request", "401 Unauthorized", "429 Too Many Requests", "500 Oh", "529 Overloaded"]
)
def test_errors_of_the_upstream_are_passed_on(plain: tuple[Vendor, Recorder], status: str) -> None:
    body = b'{"error":{"message":"no"}}'
    up, running = plain
    up.play = lambda seen, connection: answer(connection, body, status, b"Retry-After: 7")
    got = ask(running.port, post("/v1/chat/completions", b'{"model":"m"}'))
    assert got.line == f"HTTP/1.1 {status}".encode()
    assert (got.body, got.header(b"retry-after")) == (body, b"7")


def test_stream_passes_whatever_its_chunk_borders(plain: tuple[Vendor, Recorder]) -> None:
    dice = random.Random(20261124)
    stream = "".join(f'data: {{"n":{n},"text":"Grüße 你好 {n}"}}\n\n' for n in range(500)).encode()
    pieces, at = [], 0
    while at < len(stream):
        size = dice.choice([1, 2, 3, 50, 999])
        pieces.append(stream[at : at + size])
        at += size

    def play(seen: Seen, connection: socket.socket) -> None:
        connection.sendall(STREAM_HEAD)
        for piece in pieces:
            connection.sendall(chunk(piece))
        connection.sendall(b"0\r\n\r\n")

    up, running = plain
    up.play = play
    with connected(running.port) as caller:
        reader = caller.makefile("rb")
        for _ in range(2):
            caller.sendall(post("/v1/chat/completions", b'{"model":"m","stream":true}'))
            got = read_answer(reader)
            assert got.is_whole
            assert got.body == stream
            assert got.headers == [
                (b"Content-Type", b"text/event-stream"),
                (b"Transfer-Encoding", b"chunked"),
            ]


def test_each_piece_of_a_stream_arrives_before_the_next_is_sent(plain: tuple[Vendor, Recorder]) -> None:
    arrived = threading.Semaphore(0)
    waited = []

    def play(seen: Seen, connection: socket.socket) -> None:
        connection.sendall(STREAM_HEAD)
        for number in range(20):
            connection.sendall(chunk(b"data: %d\n\n" % number))
            waited.append(arrived.acquire(timeout=20))
        connection.sendall(b"0\r\n\r\n")

    up, running = plain
    up.play = play
    with connected(running.port) as caller:
        caller.sendall(post("/v1/chat/completions", b'{"model":"m","stream":true}'))
        reader = caller.makefile("rb")
        while reader.readline() != b"\r\n":
            pass
        for number in range(20):
            assert reader.read(len(chunk(b"data: %d\n\n" % number))) == chunk(b"data: %d\n\n" % number)
            arrived.release()
        assert reader.read(5) == b"0\r\n\r\n"
    assert waited == [True] * 20


def test_answer_that_ends_with_its_connection_passes_whole(plain: tuple[Vendor, Recorder]) -> None:
    def play(seen: Seen, connection: socket.socket) -> bool:
        connection.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + b"abc" * 1000)
        return False

    up, running = plain
    up.play = play
    got = ask(running.port, post("/v1/chat/completions", b"{}"))
    assert got.is_whole
    assert got.body == b"abc" * 1000


def test_chunked_request_reaches_the_upstream_whole(plain: tuple[Vendor, Recorder]) -> None:
    pieces = [b'{"model":', b'"m"', b"," + b" " * 70_000, b'"x":1}']
    head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    up, running = plain
    with connected(running.port) as caller:
        caller.sendall(head)
        for piece in pieces:
            caller.sendall(chunk(piece))
        caller.sendall(b"0\r\n\r\n")
        assert read_answer(caller.makefile("rb")).status == 200
        assert up.seen[0].body == b"".join(pieces)
        assert up.seen[0].header(b"content-length") is None


def test_compressed_request_reaches_the_upstream_as_it_is(plain: tuple[Vendor, Recorder]) -> None:
    import gzip

    packed = gzip.compress(b'{"model":"m"}')
    up, running = plain
    ask(running.port, post("/v1/chat/completions", packed, b"Content-Encoding: gzip"))
    assert up.seen[0].body == packed


def test_caller_that_waits_for_100_continue_is_told_to_go_on(plain: tuple[Vendor, Recorder]) -> None:
    up, running = plain
    with connected(running.port) as caller:
        body = b'{"model":"m"}'
        request = post("/v1/chat/completions", body, b"Expect: 100-continue")
        caller.sendall(request[: -len(body)])
        reader = caller.makefile("rb")
        assert reader.readline() == b"HTTP/1.1 100 Continue\r\n"
        assert reader.readline() == b"\r\n"
        caller.sendall(body)
        assert read_answer(reader).status == 200
        assert up.seen[0].body == body


def test_large_bodies_pass_whole_in_bounded_memory(plain: tuple[Vendor, Recorder]) -> None:
    size = 50 * 2**20
    block = random.Random(7).randbytes(2**20)

    def play(seen: Seen, connection: socket.socket) -> None:
        seen.body = hashlib.sha256(seen.body).digest()
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
        for _ in range(50):
            connection.sendall(block)

    up, running = plain
    up.play = play
    with connected(running.port) as caller:
        head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % size
        sender = threading.Thread(
            target=lambda: (caller.sendall(head), [caller.sendall(block) for _ in range(50)])
        )
        sender.start()
        got = read_answer(caller.makefile("rb"))
        sender.join()
        assert hashlib.sha256(got.body).digest() == hashlib.sha256(block * 50).digest()
        assert up.seen[0].body == hashlib.sha256(block * 50).digest()
        running.wait_health(lambda health: health["waiting"] == 0)
        peak = Path(f"/proc/{running.process.pid}/status").read_text()
        assert int(peak.partition("VmHWM:")[2].split()[0]) < 150 * 1024


def test_connection_to_the_upstream_is_used_again(plain: tuple[Vendor, Recorder]) -> None:
    up, running = plain
    for _ in range(3):
        ask(running.port, post("/v1/chat/completions", b"{}"))
    assert len({seen.connection for seen in up.seen}) == 1


def test_connections_of_the_caller_are_kept_open(plain: tuple[Vendor, Recorder]) -> None:
    up, running = plain
    with connected(running.port) as caller:
        reader = caller.makefile("rb")
        for _ in range(3):
            caller.sendall(post("/v1/chat/completions", b"{}"))
            assert read_answer(reader).status == 200
        assert len(up.seen) == 3


def test_prefix_chooses_the_upstream_and_is_taken_away(tmp_path: Path) -> None:
    with vendor() as one, vendor() as two, vendor() as other:
        upstreams = [f"/claude={one.url}", f"/claude/eu={two.url}/base", other.url]
        with recorder(tmp_path, upstreams) as running:
            for path in (
                "/claude/v1/messages?x=1",
                "/claude/eu/v1/messages",
                "/v1/models",
                "/claudette",
                "/claude",
            ):
                ask(running.port, post(path, b"{}"))
    assert [seen.line for seen in one.seen] == [b"POST /v1/messages?x=1 HTTP/1.1", b"POST / HTTP/1.1"]
    assert [seen.line for seen in two.seen] == [b"POST /base/v1/messages HTTP/1.1"]
    assert [seen.line for seen in other.seen] == [b"POST /v1/models HTTP/1.1", b"POST /claudette HTTP/1.1"]


def test_path_without_an_upstream_is_refused(tmp_path: Path) -> None:
    with vendor() as up, recorder(tmp_path, [f"/claude={up.url}"]) as running:
        assert ask(running.port, post("/v1/messages", b"{}")).status == 404
        assert not up.seen


CERTIFICATE = Path(__file__).with_name("upstream-test.pem")


def test_upstream_with_a_certificate_of_an_own_authority_is_asked_when_that_is_named(tmp_path: Path) -> None:
    with (
        vendor(certificate=CERTIFICATE) as up,
        recorder(tmp_path, up.url, upstream_ca=str(CERTIFICATE)) as running,
    ):
        assert ask(running.port, post("/v1/chat/completions", b"{}")).status == 200
        assert up.seen[0].body == b"{}"


def test_upstream_whose_certificate_nobody_knows_is_not_asked(tmp_path: Path) -> None:
    with vendor(certificate=CERTIFICATE) as up, recorder(tmp_path, up.url) as running:
        assert ask(running.port, post("/v1/chat/completions", b"{}")).status == 502
        assert not up.seen


def test_health_is_never_asked_of_an_upstream(plain: tuple[Vendor, Recorder]) -> None:
    up, running = plain
    with urllib.request.urlopen(f"{running.url}/-/recorder/health") as reply:
        assert json.loads(reply.read())["status"] in ("ok", "degraded")
    assert not up.seen
    assert ask(running.port, b"GET /-/recorder/healthy HTTP/1.1\r\nHost: x\r\n\r\n").status == 200
    assert len(up.seen) == 1


CHAT = {"model": "m", "messages": [{"role": "user", "content": "Größe {x}"}], "stream": True}


def _asked(line: tuple[Vendor, Recorder], path: str, body: bytes) -> bytes:
    up, running = line
    ask(running.port, post(path, body))
    assert len(up.seen[0].body) == int(up.seen[0].header(b"content-length") or -1)
    return up.seen[0].body


def test_usage_is_asked_for_only_when_told_to(plain: tuple[Vendor, Recorder]) -> None:
    body = json.dumps(CHAT).encode()
    assert _asked(plain, "/v1/chat/completions", body) == body


def test_usage_is_asked_for_by_adding_one_member(asking: tuple[Vendor, Recorder]) -> None:
    body = json.dumps(CHAT, indent=1, ensure_ascii=False).encode() + b"\n"
    got = _asked(asking, "/v1/chat/completions", body)
    assert got == body.rstrip()[:-1].rstrip() + b',"stream_options":{"include_usage":true}}'
    assert json.loads(got) == {**CHAT, "stream_options": {"include_usage": True}}


def test_other_stream_options_are_kept(asking: tuple[Vendor, Recorder]) -> None:
    body = json.dumps({**CHAT, "stream_options": {"include_obfuscation": False}}).encode()
    got = json.loads(_asked(asking, "/v1/chat/completions", body))
    assert got == {**CHAT, "stream_options": {"include_obfuscation": False, "include_usage": True}}


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/chat/completions", json.dumps({**CHAT, "stream": False}).encode()),
        ("/v1/chat/completions", json.dumps({**CHAT, "stream_options": {"include_usage": False}}).encode()),
        ("/v1/chat/completions", json.dumps({**CHAT, "stream_options": {"include_usage": True}}).encode()),
        ("/v1/chat/completions", b'{"stream": true, broken'),
        ("/v1/chat/completions", b'[{"stream": true}]'),
        ("/v1/messages", json.dumps(CHAT).encode()),
        ("/v1/responses", json.dumps(CHAT).encode()),
        ("/v1/completions", json.dumps(CHAT).encode()),
        ("/api/v1/services/aigc/text-generation/generation", json.dumps(CHAT).encode()),
        ("/v1/chat/completions", json.dumps({**CHAT, "pad": "x" * (9 * 2**20)}).encode()),
    ],
    ids=[
        "no stream",
        "says no",
        "says yes",
        "broken",
        "array",
        "anthropic",
        "responses",
        "legacy",
        "dashscope",
        "huge",
    ],
)
def test_everything_else_is_passed_on_unchanged_when_usage_is_asked_for(
    asking: tuple[Vendor, Recorder], path: str, body: bytes
) -> None:
    assert _asked(asking, path, body) == body


def test_long_chunked_request_is_passed_on_whole_when_usage_is_asked_for(
    asking: tuple[Vendor, Recorder],
) -> None:
    body = json.dumps({**CHAT, "pad": "x" * (9 * 2**20)}).encode()
    up, running = asking
    head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    ask(running.port, head + chunk(body) + b"0\r\n\r\n")
    assert up.seen[0].body == body
