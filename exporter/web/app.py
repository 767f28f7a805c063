"""The web application: which address does what, and what is said when something goes wrong.

Handlers read SQLite, so they run in a few threads of their own; /healthz needs none and always answers.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Awaitable, Callable, Sequence

import orjson
import structlog
from anyio import CapacityLimiter, to_thread
from prometheus_client import CollectorRegistry
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from exporter import clock as our_clock
from exporter.config import IntakeSettings, WebSettings
from exporter.errors import StateRefused
from exporter.model import Micros
from exporter.state.store import Store
from exporter.web import metrics, pages, rendering
from exporter.web.asked import NotUnderstood
from exporter.web.guard import Guard
from exporter.web.intake import intake_routes
from exporter.web.language import ENGLISH, language_of
from exporter.web.readiness import Readiness, unusable
from exporter.web.site import LinksOf, Site

log = structlog.get_logger()

Handler = Callable[[Site, Request], Response]
_READERS = 4
"""Threads that read at once; each has its own connection with its own cache."""


def build_app(
    store: Store,
    health: Callable[[], Readiness],
    settings: WebSettings,
    destinations: Sequence[str] = (),
    clock: Callable[[], Micros] = our_clock.now,
    intake: IntakeSettings | None = None,
    arrived: Callable[[], None] | None = None,
    links: LinksOf = lambda trace_id: (),
) -> ASGIApp:
    """The application over a state file. `destinations` are the configured names, shown before anything was sent;
    `arrived` is called in some thread after vendor calls that were pushed here have been stored; `links` tells where
    else a trace can be looked at, without asking anyone."""
    site = Site(store, health, tuple(destinations), clock, links)
    registry = metrics.build_registry(store, health, settings, destinations, clock)
    files = rendering.static_files()
    limiter = CapacityLimiter(_READERS)

    def route(path: str, handler: Handler) -> Route:
        return Route(path, _in_thread(site, handler, limiter), methods=["GET"])

    app = Starlette(
        routes=[
            route("/", pages.front),
            route("/traces", pages.traces),
            route("/traces/{id}", pages.trace),
            route("/reconciliation", pages.reconcile),
            route("/status", pages.health),
            route("/api/traces", pages.api_traces),
            route("/api/traces/{id}", pages.api_trace),
            route("/metrics", lambda _, request: _metrics(registry, request)),
            route("/readyz", _readyz),
            route("/static/{name}", lambda _, request: _static(files, request)),
            Route("/healthz", _healthz, methods=["GET"]),
            *intake_routes(store, intake or IntakeSettings(), settings.host, clock, arrived),  # type: ignore[call-arg]
        ],
        exception_handlers={
            HTTPException: _refused,
            NotUnderstood: _not_understood,
            StateRefused: _state_refused,
            sqlite3.Error: _state_refused,
            Exception: _failed,
        },
    )
    return Guard(app, settings.host, settings.token.get_secret_value())


def _in_thread(
    site: Site, handler: Handler, limiter: CapacityLimiter
) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        return await to_thread.run_sync(handler, site, request, limiter=limiter)

    return endpoint


async def _healthz(request: Request) -> Response:
    """The process is alive; nothing else is asked."""
    return PlainTextResponse("ok\n")


def _readyz(site: Site, request: Request) -> Response:
    try:
        readiness = site.readiness()
    except (StateRefused, sqlite3.Error) as error:
        readiness = unusable(error)
    body = {
        "ready": readiness.is_ready,
        "problems": readiness.problems,
        "warnings": readiness.warnings,
        "reading": readiness.is_reading,
        "lag_seconds": readiness.lag_seconds,
    }
    return Response(orjson.dumps(body), 200 if readiness.is_ready else 503, media_type="application/json")


def _metrics(registry: CollectorRegistry, request: Request) -> Response:
    body, content_type = metrics.exposition(registry, request.headers.get("accept", ""))
    return Response(body, headers={"Content-Type": content_type})


def _static(files: dict[str, tuple[bytes, str]], request: Request) -> Response:
    if request.path_params["name"] not in files:
        raise HTTPException(404)
    return rendering.answer(request, *files[request.path_params["name"]])


def _is_for_programs(request: Request) -> bool:
    return request.url.path.startswith(("/api/", "/metrics", "/readyz", "/v1/"))


def _told(request: Request, heading: str, status: int, **values: object) -> Response:
    """The words of `<heading>.text` under their heading."""
    if _is_for_programs(request):
        text = ENGLISH(f"{heading}.text", **values)
        return Response(orjson.dumps({"error": text}), status, media_type="application/json")
    return rendering.message(request, heading, language_of(request)(f"{heading}.text", **values), status)


def _refused(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 400
    if status == 404:
        return _told(request, "error.nowhere", 404)
    allowed = (error.headers or {}).get("Allow", "GET") if isinstance(error, HTTPException) else "GET"
    answer = _told(request, "error.method", status, allowed=allowed)
    answer.headers["Allow"] = allowed
    return answer


def _not_understood(request: Request, error: Exception) -> Response:
    assert isinstance(error, NotUnderstood)
    if _is_for_programs(request):
        body = {"error": pages.words_of(error)}
        return Response(orjson.dumps(body), 400, media_type="application/json")
    return rendering.message(request, "error.asked", pages.words_of(error, language_of(request)), 400)


def _state_refused(request: Request, error: Exception) -> Response:
    log.error("state_not_read", error=str(error))
    if isinstance(error, StateRefused):
        return _told(request, "error.state", 503, problem=error, hint=error.hint)
    return _told(request, "error.unreadable", 503)


def _failed(request: Request, error: Exception) -> Response:
    """The server logs the error itself; the reader gets no inner words."""
    return _told(request, "error.ours", 500)
