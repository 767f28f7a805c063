"""`run`: the daemon from start to stop. Ready within two seconds, gone within five of a SIGTERM."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable

import structlog

from exporter import __version__
from exporter.config import Settings
from exporter.daemon import App
from exporter.schedule import Schedule
from exporter.sources import choice
from exporter.state import pressure
from exporter.web import metrics_push
from exporter.web.app import build_app
from exporter.web.readiness import Live, Readiness, assess
from exporter.web.server import WebServer

log = structlog.get_logger()


def serve(settings: Settings, shutdown_seconds: float) -> int:
    """Run until a signal or a broken state file; returns the exit code. Raises ExporterError when it cannot start."""
    choice.chosen(settings.dify)
    app = App(settings)
    schedule = Schedule(app)
    ending = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: _first_signal(ending))
    names = [item.name for item in app.destinations]
    readiness = _readiness(app)
    push = metrics_push.build(app.store, readiness, settings, names, app.now)
    if push is not None:
        schedule.add(push.interval_seconds, "metrics", push.push)
    web = WebServer(
        build_app(
            app.store,
            readiness,
            settings.web,
            names,
            app.now,
            settings.intake,
            schedule.evidence_arrived,
            links=app.links_of,
        )
    )
    try:
        port = web.start(settings.web.host, settings.web.port)
    except BaseException:
        app.close()
        raise
    schedule.start()
    log.info(
        "started",
        version=__version__,
        page=f"http://{settings.web.host}:{port}/",
        state=str(settings.state.path),
    )
    while not ending.wait(0.5):
        if schedule.broken.is_set():
            break
    log.info("stopping")
    ended = schedule.stop(shutdown_seconds)
    web.stop()
    app.close()
    if schedule.failure is not None:
        raise schedule.failure
    if not ended:
        log.warning(
            "stopped_in_flight", note="requests in flight stay in doubt and are settled at the next start"
        )
        os._exit(0)
    return 0


def _readiness(app: App) -> Callable[[], Readiness]:
    started_at = app.now()

    def look() -> Readiness:
        settings = app.settings
        stopped = pressure.problem(app.store, settings.state)
        return assess(
            app.store,
            Live(
                app.now(),
                started_at,
                settings.dify.poll_interval,
                stopped,
                active_at=app.active_at,
                destinations=settings.destinations,
            ),
        )

    return look


def _first_signal(ending: threading.Event) -> None:
    """The first signal ends in order; a second one at once."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)
    ending.set()
