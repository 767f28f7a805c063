"""The seam to the network, against a real server on loopback."""

from __future__ import annotations

import gzip
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from exporter.destinations.http import PROTOBUF, Http, shown_address
from exporter.errors import Misconfigured, Unreachable

KEY = "sk-lf-very-secret"
Answering = Callable[[Any, bytes], None]


class QuietServer(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Broken connections are what these tests are about."""


@contextmanager
def server(answering: Answering) -> Iterator[str]:
    """A server that gives every request to `answering`."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            answering(self, self.rfile.read(int(self.headers.get("Content-Length") or 0)))

        do_GET = do_POST

        def log_message(self, *_: Any) -> None:
            """Quiet."""

    listening = QuietServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{listening.server_address[1]}"
    finally:
        listening.shutdown()
        listening.server_close()


def say(handler: Any, status: int, body: bytes = b"", **headers: str) -> None:
    handler.send_response(status)
    for name, value in headers.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)


def client(timeout: float = 5.0) -> Http:
    return Http({"Authorization": KEY}, timeout)


def test_a_body_arrives_compressed_and_whole_with_its_headers() -> None:
    got: list[tuple[dict[str, str], bytes]] = []

    def answering(handler: Any, body: bytes) -> None:
        got.append((dict(handler.headers), body))
        say(handler, 200, b"{}", Content_Type="application/json; charset=utf-8")

    with server(answering) as url:
        reply = client().post(f"{url}/v1/traces", b"spans" * 1000, PROTOBUF)
        client().post(f"{url}/v1/traces", b"few", PROTOBUF)
    assert (reply.status, reply.content_type, reply.body) == (200, "application/json", b"{}")
    headers, body = got[0]
    assert headers["Authorization"] == KEY
    assert headers["Content-Type"] == PROTOBUF
    assert headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(body) == b"spans" * 1000
    assert "Content-Encoding" not in got[1][0]
    assert got[1][1] == b"few"


def test_redirects_are_not_followed() -> None:
    paths: list[str] = []

    def answering(handler: Any, body: bytes) -> None:
        paths.append(handler.path)
        say(handler, 307, Location="/elsewhere")

    with server(answering) as url:
        assert client().post(f"{url}/v1/traces", b"x", PROTOBUF).status == 307
    assert paths == ["/v1/traces"]


def test_a_netrc_entry_does_not_replace_our_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login someone password else\n")
    monkeypatch.setenv("NETRC", str(netrc))
    got: list[str] = []

    def answering(handler: Any, body: bytes) -> None:
        got.append(handler.headers["Authorization"])
        say(handler, 200)

    with server(answering) as url:
        client().post(url, b"x", PROTOBUF)
    assert got == [KEY]


def test_an_endless_answer_is_read_up_to_the_cap() -> None:
    def answering(handler: Any, body: bytes) -> None:
        say(handler, 200, b"x" * (6 * 2**20))

    with server(answering) as url:
        assert len(client().post(url, b"x", PROTOBUF).body) == 4 * 2**20


def test_a_refused_connection_is_named_without_the_address_parts_that_may_be_secret() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(Unreachable, match="connection refused") as caught:
        client().get(f"http://user:{KEY}@127.0.0.1:{port}/path", {"token": KEY})
    assert caught.value.retryable
    assert KEY not in str(caught.value)
    assert f"http://127.0.0.1:{port}" in str(caught.value)


def test_a_broken_connection_is_unreachable() -> None:
    def answering(handler: Any, body: bytes) -> None:
        handler.close_connection = True
        handler.connection.close()

    with server(answering) as url, pytest.raises(Unreachable, match="connection broke"):
        client().post(url, b"x", PROTOBUF)


def test_an_answer_that_breaks_off_is_no_answer() -> None:
    def answering(handler: Any, body: bytes) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "1000")
        handler.end_headers()
        handler.wfile.write(b"half")
        handler.close_connection = True

    with server(answering) as url, pytest.raises(Unreachable):
        client().post(url, b"x", PROTOBUF)


def test_a_silent_server_is_given_up() -> None:
    silent = threading.Event()

    def answering(handler: Any, body: bytes) -> None:
        silent.wait(10)

    try:
        with server(answering) as url, pytest.raises(Unreachable, match="no answer in time"):
            client(0.2).post(url, b"x", PROTOBUF)
    finally:
        silent.set()


def test_a_server_that_drips_is_given_up() -> None:
    stop = threading.Event()

    def answering(handler: Any, body: bytes) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "100000000")
        handler.end_headers()
        while not stop.wait(0.02):
            try:
                handler.wfile.write(b"x" * 70_000)
            except OSError:
                return

    try:
        with server(answering) as url, pytest.raises(Unreachable, match="no answer in time"):
            client(0.2).get(url)
    finally:
        stop.set()


def test_a_key_with_a_line_break_around_it_is_trimmed_and_one_inside_is_refused() -> None:
    got: list[str] = []

    def answering(handler: Any, body: bytes) -> None:
        got.append(handler.headers["x-api-key"])
        say(handler, 200)

    with server(answering) as url:
        Http({"x-api-key": f" {KEY}\n"}, 5.0).get(url)
    assert got == [KEY]
    with pytest.raises(Misconfigured) as caught:
        Http({"x-api-key": f"{KEY}\nHost: evil"}, 5.0)
    assert KEY not in str(caught.value)


def test_an_address_that_cannot_work_is_a_mistake_in_the_settings() -> None:
    with pytest.raises(Misconfigured):
        client().get("http://[half/path")


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://user:pw@host.example/path?x=1", "https://host.example"),
        ("http://127.0.0.1:4318/v1/traces", "http://127.0.0.1:4318"),
        ("http://[half", "(unreadable address)"),
    ],
)
def test_shown_addresses_hold_no_secrets(url: str, shown: str) -> None:
    assert shown_address(url) == shown
