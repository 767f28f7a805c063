from __future__ import annotations

import json
import threading
from collections.abc import Callable

import pytest
import requests

from exporter.config import IntakeSettings, WebSettings
from exporter.state.store import Store
from exporter.web.app import build_app
from exporter.web.readiness import Readiness
from exporter.web.server import WebServer
from tests.web.intake_senders import call, open_post, status_of, stored

TOKEN = "correct horse – 12345"
BODY = json.dumps(call()).encode()
Start = Callable[..., int]


@pytest.fixture
def start(store: Store, ending: list[threading.Thread]) -> Start:
    """Runs a server that believes to listen on `host`; returns the port on loopback."""

    def run(host: str = "127.0.0.1", token: str = "") -> int:
        intake = IntakeSettings(token=token)  # type: ignore[call-arg, arg-type]
        server = WebServer(build_app(store, Readiness, WebSettings(host=host), intake=intake))
        ending.append(threading.Thread(target=server.stop))
        return server.start("127.0.0.1", 0)

    return run


@pytest.fixture(autouse=True)
def _stop(ending: list[threading.Thread]) -> object:
    before = len(ending)
    yield
    for thread in ending[before:]:
        thread.start()


def post(port: int, path: str = "/v1/vendor-calls/generic", **headers: str) -> requests.Response:
    encoded = {name.replace("_", "-"): value.encode("utf-8") for name, value in headers.items()}
    return requests.post(f"http://127.0.0.1:{port}{path}", data=BODY, headers=encoded, timeout=60)


def test_on_loopback_without_a_token_programs_may_push(start: Start) -> None:
    assert post(start()).status_code == 200
    assert post(start("localhost")).status_code == 200
    assert post(start("::1")).status_code == 200


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.0.7", "exporter.internal"])
def test_reachable_from_elsewhere_nothing_is_taken_until_a_token_is_set(
    start: Start, store: Store, host: str
) -> None:
    port = start(host)
    for path in ("/v1/vendor-calls/generic", "/v1/traces", "/v1/vendor-calls/nonsense"):
        answer = post(port, path, Authorization="Bearer anything")
        assert answer.status_code == 403
        assert "intake.token" in answer.text
        assert "DIFY_EXPORTER_INTAKE_TOKEN" in answer.text
    assert stored(store) == {}


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": f"Bearer {TOKEN}"},
        {"Authorization": f"bearer   {TOKEN} "},
        {"X-Api-Key": TOKEN},
        {"X-Api-Key": TOKEN, "Authorization": "Basic b3RoZXI6"},
    ],
)
def test_with_the_token_pushing_is_allowed(start: Start, host: str, headers: dict[str, str]) -> None:
    assert post(start(host, TOKEN), **headers).status_code == 200


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": ""},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer "},
        {"Authorization": TOKEN},
        {"Authorization": f"Basic {TOKEN}"},
        {"Authorization": f"Bearer {TOKEN}x"},
        {"Authorization": f"Bearer {TOKEN[:-1]}"},
        {"Authorization": f"Bearer {TOKEN.upper()}"},
        {"X-Api-Key": ""},
        {"X-Api-Key": f"Bearer {TOKEN}"},
        {"X-Api-Key": "\u00e4"},
        {"Cookie": TOKEN},
    ],
)
def test_without_the_right_token_nothing_is_taken(
    start: Start, store: Store, host: str, headers: dict[str, str]
) -> None:
    port = start(host, TOKEN)
    for path in ("/v1/vendor-calls/generic", "/v1/traces", "/v1/vendor-calls/nonsense"):
        answer = post(port, path, **headers)
        assert answer.status_code == 401
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")
        assert TOKEN not in answer.text
    assert stored(store) == {}


def test_nothing_of_a_body_is_asked_for_before_the_sender_is_known(start: Start) -> None:
    """A sender that waits for "100 Continue" gets the refusal instead, and never sends its body."""
    head = "Content-Length: 1000000\r\nExpect: 100-continue"
    known = f"\r\nAuthorization: Bearer {TOKEN}".encode().decode("latin-1")
    port = start("127.0.0.1", TOKEN)
    with open_post(port, head) as stranger, open_post(port, head + known) as sender:
        assert status_of(stranger) == 401
        assert status_of(sender) == 100
    with open_post(start("0.0.0.0"), head) as anyone:
        assert status_of(anyone) == 403


def test_a_stranger_with_a_large_body_reads_why_it_was_refused(start: Start) -> None:
    port = start("127.0.0.1", TOKEN)
    answer = requests.post(
        f"http://127.0.0.1:{port}/v1/vendor-calls/generic", data=b"x" * 20_000_000, timeout=60
    )
    assert answer.status_code == 401


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": ""},
        {"Origin": "http://[::1"},
        {"Origin": "http://localhost.evil.example"},
        {"Origin": "http://192.168.0.7:9464"},
        {"Origin": "file://"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Origin": "https://evil.example", "Content-Type": "text/plain"},
    ],
)
def test_a_foreign_web_page_cannot_push_through_its_visitors_browser(
    start: Start, store: Store, headers: dict[str, str]
) -> None:
    answer = post(start(), **headers)
    assert answer.status_code == 403
    assert "web pages" in answer.json()["error"]
    assert stored(store) == {}


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://localhost:9464", "Sec-Fetch-Site": "same-origin"},
        {"Origin": "http://127.0.0.1:3000", "Sec-Fetch-Site": "same-site"},
        {"Origin": "http://[::1]:9464"},
        {"Sec-Fetch-Site": "none"},
    ],
)
def test_a_page_of_this_machine_may_push(start: Start, headers: dict[str, str]) -> None:
    assert post(start(), **headers).status_code == 200


def test_a_foreign_name_that_points_at_loopback_is_refused(start: Start, store: Store) -> None:
    assert post(start(), Host="evil.example").status_code == 421
    assert stored(store) == {}


def test_a_container_reaches_the_exporter_by_its_service_name(start: Start) -> None:
    port = start("0.0.0.0", TOKEN)
    answer = post(port, Host="dify-exporter:9464", Authorization=f"Bearer {TOKEN}")
    assert answer.status_code == 200
