from __future__ import annotations

import gzip
import json
import socket
import threading
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import requests
from starlette.applications import Starlette

from exporter import clock
from exporter.config import IntakeSettings
from exporter.state.store import Store
from exporter.web.admission import Refusal
from exporter.web.intake import intake_routes
from exporter.web.receiving import Limits, Room
from exporter.web.server import WebServer
from tests.web.intake_process import ServerProcess
from tests.web.intake_senders import call, open_post, refused, status_of, stored

MIB = 2**20
BODY = json.dumps(call()).encode()
Start = Callable[..., int]


@pytest.fixture
def start(store: Store, ending: list[threading.Thread]) -> Iterator[Start]:
    """Runs a server with the push addresses alone; returns its port."""
    running: list[WebServer] = []

    def run(max_body: int = MIB, **limits: float) -> int:
        settings = IntakeSettings(max_body=max_body)  # type: ignore[call-arg]
        routes = intake_routes(store, settings, "127.0.0.1", clock.now, limits=Limits(**limits))  # type: ignore[arg-type]
        running.append(WebServer(Starlette(routes=routes)))
        return running[-1].start("127.0.0.1", 0)

    yield run
    for server in running:
        ending.append(threading.Thread(target=server.stop))
        ending[-1].start()


def post(
    port: int, body: object, path: str = "/v1/vendor-calls/generic", **headers: str
) -> requests.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return requests.post(f"http://127.0.0.1:{port}{path}", data=body, headers=named, timeout=60)  # type: ignore[arg-type]


def padded(size: int) -> bytes:
    """A body of one record, exactly so many bytes long."""
    return BODY + b" " * (size - len(BODY))


def is_told_the_limit(answer: requests.Response) -> bool:
    words = answer.json()["error"]
    return answer.status_code == 413 and "intake.max_body" in words and str(MIB) in words


def test_a_body_of_exactly_the_limit_is_taken_and_a_byte_more_refused(start: Start) -> None:
    port = start()
    assert post(port, padded(MIB)).status_code == 200
    assert is_told_the_limit(post(port, padded(MIB + 1)))
    assert is_told_the_limit(post(port, padded(5 * MIB)))


def test_the_limit_holds_for_what_is_unpacked(start: Start) -> None:
    port = start()
    assert post(port, gzip.compress(padded(MIB)), Content_Encoding="gzip").status_code == 200
    for coding, pack in (("gzip", gzip.compress), ("deflate", zlib.compress)):
        assert is_told_the_limit(post(port, pack(padded(MIB + 1)), Content_Encoding=coding))
        assert is_told_the_limit(post(port, pack(padded(50 * MIB)), Content_Encoding=coding))
    halves = gzip.compress(padded(MIB // 2 + 1)) * 2
    assert is_told_the_limit(post(port, halves, Content_Encoding="gzip"))


def test_the_limit_holds_for_bodies_that_do_not_say_their_length(start: Start) -> None:
    port = start()
    assert post(port, iter([BODY[:10], BODY[10:]])).status_code == 200
    assert is_told_the_limit(post(port, iter([b" " * 65_536] * 100)))


def test_the_limit_holds_for_spans(start: Start) -> None:
    answer = post(start(), b" " * 2 * MIB, "/v1/traces", Content_Type="application/json")
    assert answer.status_code == 413
    assert "intake.max_body" in answer.json()["message"]


def test_a_length_beyond_the_limit_is_refused_without_waiting_for_the_body(start: Start) -> None:
    with open_post(start(), f"Content-Length: {10**18}") as sender:
        assert status_of(sender) == 413


def test_a_body_without_end_is_answered_as_soon_as_it_is_too_large(start: Start) -> None:
    with open_post(start(), "Transfer-Encoding: chunked") as sender:
        for _ in range(20):
            sender.sendall(b"10000\r\n" + b" " * 65_536 + b"\r\n")
        assert status_of(sender) == 413


@pytest.mark.parametrize(
    "head",
    [
        "Content-Length: -1",
        "Content-Length: ten",
        "Content-Length: 5\r\nContent-Length: 6",
        "Content-Length: 99999999999999999999999999999999999999999",
        "Transfer-Encoding: nonsense",
        "Content-Length: 5\r\nTransfer-Encoding: gzip, chunked",
    ],
)
def test_a_senseless_length_is_a_bad_request(start: Start, store: Store, head: str) -> None:
    with open_post(start(), head) as sender:
        assert 400 <= status_of(sender) < 600
    assert stored(store) == {}


def test_a_body_shorter_than_it_said_stores_nothing_and_hurts_nobody(
    start: Start, store: Store, capfd: pytest.CaptureFixture[str]
) -> None:
    port = start()
    for how in (socket.SHUT_WR, None):
        with open_post(port, f"Content-Length: {len(BODY) + 5}") as sender:
            sender.sendall(BODY)
            if how is not None:
                sender.shutdown(how)
                sender.recv(1000)
    assert post(port, b"[]").status_code == 200
    assert stored(store) == {}
    written = capfd.readouterr()
    assert "Traceback" not in written.out + written.err


def test_senders_that_stall_hold_up_nobody_and_are_given_up(start: Start, store: Store) -> None:
    port = start(silence_seconds=2.0)
    stalled = [open_post(port, f"Content-Length: {len(BODY)}") for _ in range(100)]
    for number, sender in enumerate(stalled):
        sender.sendall(BODY[: number * 2])
    for number in range(20):
        assert post(port, json.dumps(call(number)).encode()).status_code == 200
    for sender in stalled:
        assert status_of(sender) == 408
        assert sender.recv(65_536) is not None
        sender.close()
    assert len(stored(store)) == 20


def test_a_sender_that_never_quite_stalls_is_given_up_too(start: Start) -> None:
    with open_post(start(body_seconds=1.0), f"Content-Length: {len(BODY)}") as sender:
        sender.settimeout(0.1)
        for position in range(len(BODY)):
            sender.sendall(BODY[position : position + 1])
            try:
                assert b" 408 " in sender.recv(100)
                break
            except TimeoutError:
                continue
        else:
            pytest.fail("the body was waited for until its end")


def test_more_senders_than_are_served_at_once_are_told_to_come_again(start: Start) -> None:
    port = start(most_requests=3)
    stalled = [open_post(port, f"Content-Length: {len(BODY)}\r\nExpect: 100-continue") for _ in range(3)]
    for sender in stalled:
        assert status_of(sender) == 100
    answer = post(port, BODY)
    assert answer.status_code == 503
    assert int(answer.headers["Retry-After"]) > 0
    spans = post(port, b"{}", "/v1/traces", Content_Type="application/json")
    assert (spans.status_code, "Retry-After" in spans.headers) == (503, True)
    for sender in stalled:
        sender.sendall(BODY)
        assert status_of(sender) == 200
        sender.close()
    assert post(port, BODY).status_code == 200


def test_the_memory_of_all_bodies_together_is_bounded() -> None:
    """Four bodies of the largest size may be under way; what is answered makes room again."""
    room = Room(MIB, Limits(bodies_in_memory=4))
    with ExitStack() as others:
        for _ in range(3):
            others.enter_context(room.place()).hold(MIB)
        with room.place() as place:
            place.hold(MIB)
            with pytest.raises(Refusal) as caught, room.place() as late:
                late.hold(1)
            assert (caught.value.status, "Retry-After" in caught.value.headers) == (503, True)
        with room.place() as place:
            place.hold(MIB)
            with pytest.raises(Refusal) as caught:
                place.hold(1)
            assert caught.value.status == 413
    with ExitStack() as again:
        for _ in range(4):
            again.enter_context(room.place()).hold(MIB)


def bomb(unpacked: int) -> bytes:
    """A gzip body of so many zeros: one compressed stretch, many times over."""
    stretch = 64 * MIB
    engine = zlib.compressobj(9, zlib.DEFLATED, -15)
    first = engine.compress(b" " * stretch) + engine.flush(zlib.Z_FULL_FLUSH)
    return b"\x1f\x8b\x08\0\0\0\0\0\0\xff" + first * (unpacked // stretch) + b"\x03\0"


def test_hostile_bodies_stay_within_a_bound_of_memory(tmp_path: Path) -> None:
    """Largest bodies; most would take from 600 MiB to 10 GiB if they were simply unpacked and parsed."""
    most = 32 * MIB
    with ServerProcess(tmp_path / "state.db") as server:
        assert server.push(BODY).status_code == 200
        before = server.peak_mib()
        ten_gib = bomb(10 * 1024 * MIB)
        assert len(ten_gib) < most
        hostile: list[tuple[bytes, dict[str, str]]] = [
            (ten_gib, {"Content_Encoding": "gzip"}),
            (gzip.compress(b"") * 400_000, {"Content_Encoding": "gzip"}),
            (gzip.compress(b"[" + b"[]," * (most // 3 - 9) + b"[]]"), {"Content_Encoding": "gzip"}),
            (b'{"a":[' + b"{}," * (most // 3 - 9) + b"{}]}", {}),
            (b"[" * most, {}),
            (b'{"a":' * (most // 5), {}),
            (b'"' * most, {}),
            (b'{"a":"' + b"\\n" * (most // 2 - 9) + b'"}', {}),
            (b'{"a":"' + b"\\ud800" * (most // 6 - 9) + b'"}', {}),
            (b'{"a":"' + b"a" * (most - 20) + "\U0001f600".encode() + b'"}', {}),
            (b"[" + b"0.5," * (most // 4 - 9) + b"1]", {}),
            (b"[[" + b"0.5," * (most // 4 - 9) + b"1]]", {}),
            (b"{}\n" * (most // 3), {}),
            (b"x\n" * (most // 2), {}),
            (b"9" * most, {}),
            (b"[" + b"9" * (most - 9) + b"]", {}),
        ]
        for body, headers in hostile:
            answer = server.push(body, **headers)
            assert 400 <= answer.status_code < 500, answer.text
            assert len(answer.content) < 20_000
        for kind, body in (
            ("application/x-protobuf", b"\x0a\x00" * (most // 2)),
            ("application/x-protobuf", b"\x10\x00" * (most // 2)),
            ("application/json", b'{"resourceSpans":[' + b"{}," * (most // 3 - 9) + b"{}]}"),
            (
                "application/json",
                b'{"resourceSpans":[{"scopeSpans":[{"spans":[' + b"1," * 400_000 + b"1]}]}]}",
            ),
        ):
            answer = server.push(body, "/v1/traces", Content_Type=kind)
            assert answer.status_code in (200, 400, 413), answer.content
        assert server.push(BODY).json()["duplicates"] == 1, "still at work"
        assert server.peak_mib() - before < 400
    store = Store(tmp_path / "state.db")
    assert len(stored(store)) == 1
    assert len(refused(store)) < 10
    store.close()
