from __future__ import annotations

import base64
import socket

import pytest
import requests
from pydantic import SecretStr

from exporter.config import WebSettings
from exporter.errors import ExporterError
from exporter.state.store import Store
from exporter.web.app import build_app
from exporter.web.readiness import Readiness
from exporter.web.server import WebServer
from tests.web.conftest import Serve
from tests.web.traces_by_hand import build_trace, keep

PAGES = (
    "/",
    "/traces",
    "/reconciliation",
    "/status",
    "/metrics",
    "/readyz",
    "/healthz",
    "/api/traces",
    "/static/style.css",
    "/static/live.js",
    "/nowhere",
)


def server(store: Store, host: str = "127.0.0.1") -> WebServer:
    return WebServer(build_app(store, Readiness, WebSettings(host=host)))


def test_a_port_in_use_is_an_error_that_says_how_to_choose_another(store: Store, serve: Serve) -> None:
    taken = serve().port
    with pytest.raises(ExporterError) as caught:
        server(store).start("127.0.0.1", taken)
    assert f"port {taken} on 127.0.0.1 is already in use" in str(caught.value)
    assert "web.port" in (caught.value.hint or "")
    assert "DIFY_EXPORTER_WEB_PORT" in (caught.value.hint or "")


def test_a_host_that_does_not_exist_is_an_error_that_says_so(store: Store) -> None:
    with pytest.raises(ExporterError, match=r"cannot listen on host\.invalid: no such host"):
        server(store).start("host.invalid", 0)


def test_an_address_of_another_machine_is_an_error_that_says_so(store: Store) -> None:
    with pytest.raises(ExporterError, match=r"cannot listen on 192\.0\.2\.1"):
        server(store).start("192.0.2.1", 0)


def test_the_port_is_free_again_after_stop_even_with_a_client_that_holds_on(store: Store) -> None:
    first = server(store)
    port = first.start("127.0.0.1", 0)
    with requests.Session() as session, socket.create_connection(("127.0.0.1", port)) as silent:
        assert session.get(f"http://127.0.0.1:{port}/healthz", timeout=30).text == "ok\n"
        first.stop()
        assert silent.recv(1) == b"", "the server closed the connection"
    with pytest.raises(requests.ConnectionError):
        requests.get(f"http://127.0.0.1:{port}/healthz", timeout=30)
    second = server(store)
    assert second.start("127.0.0.1", port) == port
    assert requests.get(f"http://127.0.0.1:{port}/healthz", timeout=30).status_code == 200
    second.stop()


def test_stopping_a_server_that_never_started_is_fine(store: Store) -> None:
    server(store).stop()


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:8000", "127.0.0.1", "127.0.0.1:1", "[::1]:9464", "[::1]", "127.0.0.2"]
)
def test_loopback_names_are_answered(serve: Serve, host: str) -> None:
    assert serve().get("/", Host=host).status_code == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:9464",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "192.168.0.7",
        "[2001:db8::1]:80",
        "0.0.0.0",
    ],
)
def test_a_foreign_name_that_points_here_is_refused_everywhere(serve: Serve, host: str) -> None:
    site = serve()
    for path in PAGES:
        answer = site.get(path, Host=host)
        assert answer.status_code == 421, path
        assert "web.host" in answer.text
        assert host not in answer.text


GUARDED = ("/", "/traces", "/reconciliation", "/status", "/api/traces", "/static/style.css")


def basic(password: str, user: str = "anyone") -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def test_a_server_for_all_addresses_answers_to_every_name_that_brings_the_token(serve: Serve) -> None:
    site = serve(settings=WebSettings(host="0.0.0.0", token=SecretStr("pässword")))
    for path in GUARDED:
        answer = site.get(path, Host="exporter.internal:9464", Authorization=basic("pässword"))
        assert answer.status_code == 200
    plain = serve(settings=WebSettings(host="0.0.0.0", token=SecretStr("plain")))
    assert plain.get("/api/traces", Authorization="Bearer plain").status_code == 200


@pytest.mark.parametrize(
    "given",
    [
        "", "Basic", "Basic !!!", "Basic " + base64.b64encode(b"\xff\xfe").decode(), "Bearer", "Bearer plainer",
        "Digest plain", basic("plai"), basic("plain "), basic("", user="plain"),
    ],
)  # fmt: skip
def test_without_the_right_token_nothing_is_shown_and_the_browser_is_told_to_ask(
    store: Store, serve: Serve, given: str
) -> None:
    keep(store, build_trace(1))
    site = serve(settings=WebSettings(host="0.0.0.0", token=SecretStr("plain")))
    for path in (*GUARDED, "/nowhere", f"/traces/{build_trace(1).trace.trace_id}"):
        answer = site.get(path, Authorization=given)
        assert answer.status_code == 401
        assert answer.headers["WWW-Authenticate"].startswith("Basic ")
        assert "Support chat" not in answer.text


def test_an_open_server_without_a_token_shows_no_page_and_says_how_to_set_one(serve: Serve) -> None:
    site = serve(settings=WebSettings(host="0.0.0.0"))
    for path in GUARDED:
        answer = site.get(path)
        assert answer.status_code == 403
        assert "DIFY_EXPORTER_WEB_TOKEN" in answer.text
    for path in ("/healthz", "/readyz", "/metrics"):
        assert site.get(path).status_code == 200, "probes and Prometheus need no token"


def test_a_token_is_asked_for_on_a_loopback_address_too_when_one_is_set(serve: Serve) -> None:
    site = serve(settings=WebSettings(token=SecretStr("plain")))
    assert site.get("/").status_code == 401
    assert site.get("/", Authorization=basic("plain")).status_code == 200


def test_an_old_probe_without_a_host_is_answered(serve: Serve) -> None:
    with socket.create_connection(("127.0.0.1", serve().port), timeout=30) as connection:
        connection.sendall(b"GET /healthz HTTP/1.0\r\n\r\n")
        assert b" 200 OK" in connection.recv(4096)


def test_every_answer_forbids_everything_from_elsewhere(store: Store, serve: Serve) -> None:
    keep(store, build_trace(1))
    site = serve()
    for path in (*PAGES, f"/traces/{build_trace(1).trace.trace_id}", "/traces/none"):
        headers = site.get(path).headers
        policy = headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none'")
        assert "unsafe" not in policy
        assert "http" not in policy
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "no-referrer"
        assert "Server" not in headers


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_nothing_can_be_changed_from_here(serve: Serve, method: str) -> None:
    site = serve()
    for path in ("/", "/traces", "/reconciliation", "/status", "/metrics", "/readyz", "/api/traces"):
        assert requests.request(method, site.address + path, data=b"x", timeout=30).status_code == 405


def test_an_error_of_ours_shows_nothing_of_the_inside(serve: Serve) -> None:
    def health() -> Readiness:
        raise RuntimeError("inner words")

    site = serve(health)
    for path in ("/", "/status", "/readyz", "/metrics"):
        answer = site.get(path)
        assert answer.status_code == 500
        assert "inner words" not in answer.text
        assert "Traceback" not in answer.text
    assert site.get("/healthz").status_code == 200


def test_requests_are_not_logged_one_by_one(serve: Serve, capfd: pytest.CaptureFixture[str]) -> None:
    site = serve()
    site.get("/?app=some-app")
    site.get("/nowhere")
    out, err = capfd.readouterr()
    assert out == ""
    assert err == ""
