"""Pushing our metrics by OTLP, for those who do not scrape: the same families, read afresh for every push.

Sums are cumulative, so a push that failed needs no repetition: the next one says all of it. Nothing that the receiver
wrote gets into an error.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from http import HTTPStatus

import orjson
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceResponse
from prometheus_client import CollectorRegistry

from exporter import __version__
from exporter.config import Settings
from exporter.destinations.http import JSON, PROTOBUF, Http, Reply, shown_address
from exporter.errors import Misconfigured, Unreachable
from exporter.model import Micros
from exporter.state import health, sightings
from exporter.state.store import Store
from exporter.web import otlp_metrics
from exporter.web.metrics import build_registry
from exporter.web.readiness import Readiness

_BEGAN = "metrics.began"
_HINTS = {
    401: "set metrics.otlp.headers to what the receiver asks for",
    403: "set metrics.otlp.headers to what the receiver asks for",
    404: "set metrics.otlp.endpoint to the whole address, path included",
    413: "raise the receiver's limit, or lower web.top_apps and web.top_models",
}


class Push:
    """One receiver. Used by one thread at a time."""

    def __init__(
        self,
        store: Store,
        registry: CollectorRegistry,
        settings: Settings,
        clock: Callable[[], Micros],
    ) -> None:
        self._store, self._registry, self._clock = store, registry, clock
        self._settings = otlp = settings.metrics.otlp
        self._http = Http(
            {name: value.get_secret_value() for name, value in otlp.headers.items()}, otlp.timeout
        )
        self._resource = {
            "service.name": "dify-exporter",
            "service.version": __version__,
            "service.instance.id": settings.dify.name,
            **settings.resource,
        }
        self._process_began = clock()
        self._state_began: Micros | None = None
        self.interval_seconds = otlp.interval

    def push(self) -> None:
        """Send what /metrics would show now. Raises Unreachable when another try may help, Misconfigured when not."""
        now = self._clock()
        at = otlp_metrics.Moments(now, self._began(now), self._process_began)
        export = otlp_metrics.request(self._registry.collect(), self._resource, at)
        if self._settings.protocol == "http/json":
            body, content_type = otlp_metrics.as_json(export), JSON
        else:
            body, content_type = export.SerializeToString(), PROTOBUF
        judge(self._http.post(self._settings.url, body, content_type), self._settings.url)

    def _began(self, now: Micros) -> Micros:
        """Since when the state counts: the same for as long as it lives."""
        if self._state_began is None:
            with self._store.read() as connection:
                known = health.remembered(connection, _BEGAN)
                first = sightings.first_met(connection) if known is None else None
            self._state_began = int(known) if known is not None else min(first or now, now)
            if known is None:
                with self._store.transaction("metrics began") as connection:
                    health.remember(connection, _BEGAN, str(self._state_began))
        return self._state_began


def build(
    store: Store,
    readiness: Callable[[], Readiness],
    settings: Settings,
    destinations: Sequence[str],
    clock: Callable[[], Micros],
) -> Push | None:
    """The push that the settings ask for; None without an endpoint. Raises Misconfigured for a header that cannot be."""
    if not settings.metrics.otlp.endpoint:
        return None
    return Push(store, build_registry(store, readiness, settings.web, destinations, clock), settings, clock)


def judge(reply: Reply, url: str) -> None:
    """Nothing when the receiver took all of it. Raises Unreachable when another try may help, else Misconfigured."""
    what = f"pushing metrics to {shown_address(url)} failed: {_named(reply.status)}"
    if 200 <= reply.status < 300:
        if rejected := _rejected(reply):
            raise Misconfigured([f"{what}, but {rejected:,} data points were rejected"])
        return
    if reply.status in (408, 425, 429) or reply.status >= 500:
        raise Unreachable(what)
    raise Misconfigured([what], _HINTS.get(reply.status))


def _rejected(reply: Reply) -> int:
    """`partial_success.rejected_data_points` of an answer that has one; 0 for any other body."""
    if reply.content_type == PROTOBUF:
        try:
            return int(
                ExportMetricsServiceResponse.FromString(reply.body).partial_success.rejected_data_points
            )
        except DecodeError:
            return 0
    if reply.content_type != JSON:
        return 0
    try:
        answer = orjson.loads(reply.body)
    except orjson.JSONDecodeError:
        return 0
    partial = answer.get("partialSuccess") if isinstance(answer, dict) else None
    rejected = str(partial.get("rejectedDataPoints", 0)) if isinstance(partial, dict) else "0"
    return int(rejected) if rejected.isdecimal() else 0


def _named(status: int) -> str:
    try:
        return f"HTTP {status} {HTTPStatus(status).phrase}"
    except ValueError:
        return f"HTTP {status}"
