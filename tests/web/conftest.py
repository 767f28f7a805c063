"""A real state file and a real server on loopback."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests

from exporter.config import WebSettings
from exporter.state.store import Store
from exporter.web.app import build_app
from exporter.web.readiness import Readiness
from exporter.web.server import WebServer
from tests.web.traces_by_hand import NOON, SECOND


class Site:
    """A running server and the way to ask it."""

    def __init__(self, store: Store, server: WebServer, port: int) -> None:
        self.store, self.server, self.port = store, server, port
        self.address = f"http://127.0.0.1:{port}"

    def get(self, path: str, **headers: str) -> requests.Response:
        return requests.get(
            self.address + path,
            headers={name.replace("_", "-"): value for name, value in headers.items()},
            timeout=30,
        )


Serve = Callable[..., Site]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A state file of its own."""
    opened = Store(tmp_path / "state.db")
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def ending() -> Iterator[list[threading.Thread]]:
    """Servers stop beside the next tests; the session waits for all of them."""
    threads: list[threading.Thread] = []
    yield threads
    for thread in threads:
        thread.join()


@pytest.fixture
def serve(store: Store, ending: list[threading.Thread]) -> Iterator[Serve]:
    """Start servers over the state file; all are stopped at the end."""
    running: list[WebServer] = []

    def start(
        health: Callable[[], Readiness] = Readiness,
        settings: WebSettings | None = None,
        destinations: tuple[str, ...] = (),
        over: Store | None = None,
    ) -> Site:
        chosen = settings or WebSettings()
        site_store = over or store
        server = WebServer(
            build_app(site_store, health, chosen, destinations, clock=lambda: NOON + 60 * SECOND)
        )
        running.append(server)
        return Site(site_store, server, server.start("127.0.0.1", 0))

    yield start
    for server in running:
        ending.append(threading.Thread(target=server.stop))
        ending[-1].start()
