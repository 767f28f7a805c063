"""A receiver of OTLP metrics that keeps the rules of opentelemetry-proto's metrics.proto and of the data model's text.

Sums and histograms are cumulative, monotonic, and of one start time; times go on; points of a metric differ in their
attributes; metrics of a scope differ in their names; a histogram's counts fit its bounds; an exemplar lies in its bucket.
"""

from __future__ import annotations

import json
import re
from base64 import b64encode
from bisect import bisect_left
from collections import Counter
from itertools import pairwise
from typing import Any

from google.protobuf.json_format import ParseDict, ParseError
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.metrics.v1 import metrics_pb2

from tests.contract.twin_server import Refused, Request, Response, Twin, attributes, twice

CUMULATIVE = metrics_pb2.AGGREGATION_TEMPORALITY_CUMULATIVE
_INSTRUMENT = re.compile(r"^[A-Za-z][A-Za-z0-9_./-]{0,254}$")
Series = tuple[str, tuple[tuple[str, Any], ...]]


class OtlpMetricsTwin(Twin):
    """Holds the last value of every series, and every request."""

    def __init__(self, headers: dict[str, str] | None = None, path: str = "/v1/metrics") -> None:
        super().__init__()
        self.path, self.wanted = path, headers or {}
        self.values: dict[Series, float] = {}
        self.resources: list[dict[str, Any]] = []
        self.exemplars: list[tuple[str, float]] = []
        self.types: Counter[str] = Counter()
        self.rejects = 0
        self._starts: dict[Series, int] = {}
        self._times: dict[Series, int] = {}

    def answer(self, request: Request) -> Response:
        """Metrics in; an answer in the form of the request."""
        if request.method != "POST" or request.path != self.path:
            raise Refused(404, "no such route")
        if any(request.headers.get(name) != value for name, value in self.wanted.items()):
            raise Refused(401, "who are you")
        media_type = request.headers.get("content-type", "")
        self.types[media_type] += 1
        hang_up = self.take_any(request, lambda: self._keep(_decoded(request.body, media_type)))
        if self.rejects:
            return Response(
                200, {"partialSuccess": {"rejectedDataPoints": str(self.rejects)}}, hang_up=hang_up
            )
        return Response(200, {}, hang_up=hang_up)

    def held(self) -> dict[str, Any]:
        """How much is held."""
        return {"series": len(self.values)}

    def value(self, name: str, **wanted: str) -> float:
        """The sum over the series of a metric with these attributes."""
        return sum(
            value
            for (metric, told), value in self.values.items()
            if metric == name and wanted.items() <= dict(told).items()
        )

    def _keep(self, export: ExportMetricsServiceRequest) -> None:
        for holder in export.resource_metrics:
            self.resources.append(attributes(holder.resource))
            if "service.name" not in self.resources[-1]:
                self.note("a resource has no service.name")
            for scope in holder.scope_metrics:
                names = Counter(metric.name for metric in scope.metrics)
                for name in (name for name, number in names.items() if number > 1):
                    self.note(f"{name} comes twice in a scope")
                for metric in scope.metrics:
                    self._metric(metric)

    def _metric(self, metric: Any) -> None:
        if not _INSTRUMENT.match(metric.name) or not metric.description:
            self.note(f"{metric.name!r} is no name, or has no description")
        kind = metric.WhichOneof("data")
        data = getattr(metric, kind)
        if kind != "gauge" and data.aggregation_temporality != CUMULATIVE:
            self.note(f"{metric.name} is not cumulative")
        if kind == "sum" and not data.is_monotonic:
            self.note(f"{metric.name} is a counter and not monotonic")
        if not data.data_points:
            self.note(f"{metric.name} has no point")
        seen: set[Series] = set()
        for point in data.data_points:
            if twice(point):
                self.note(f"{metric.name}: an attribute comes twice")
            series = (metric.name, tuple(sorted(attributes(point).items())))
            if series in seen:
                self.note(f"{metric.name}: two points have the same attributes")
            seen.add(series)
            self._point(series, kind, point)

    def _point(self, series: Series, kind: str, point: Any) -> None:
        name = series[0]
        if point.time_unix_nano <= self._times.get(series, 0):
            self.note(f"{name}: time stands still")
        self._times[series] = point.time_unix_nano
        if kind == "histogram":
            self._histogram(name, point)
        value = float(point.count) if kind == "histogram" else point.as_double
        if kind != "gauge":
            self._grows(series, value, point)
        self.values[series] = value

    def _grows(self, series: Series, value: float, point: Any) -> None:
        name, start = series[0], point.start_time_unix_nano
        if not 0 < start <= point.time_unix_nano:
            self.note(f"{name}: the start time is {start}")
        if self._starts.setdefault(series, start) == start:
            if value < self.values.get(series, 0.0):
                self.note(f"{name} falls without a new start time")
        elif start <= self._starts[series]:
            self.note(f"{name}: the start time goes back")
        else:
            self._starts[series] = start

    def _histogram(self, name: str, point: Any) -> None:
        bounds, counts = list(point.explicit_bounds), list(point.bucket_counts)
        if len(counts) != len(bounds) + 1 or sum(counts) != point.count:
            self.note(f"{name}: the buckets do not fit")
        if any(first >= second for first, second in pairwise(bounds)):
            self.note(f"{name}: the bounds do not rise")
        for exemplar in point.exemplars:
            if len(exemplar.trace_id) != 16 or not exemplar.time_unix_nano:
                self.note(f"{name}: an exemplar without a trace or a time")
            if not counts[bisect_left(bounds, exemplar.as_double)]:
                self.note(f"{name}: an exemplar of an empty bucket")
            self.exemplars.append((exemplar.trace_id.hex(), exemplar.as_double))


def _decoded(body: bytes, media_type: str) -> ExportMetricsServiceRequest:
    try:
        if media_type == "application/x-protobuf":
            return ExportMetricsServiceRequest.FromString(body)
        if media_type == "application/json":
            return ParseDict(_with_base64_ids(json.loads(body)), ExportMetricsServiceRequest())
    except (DecodeError, ParseError, ValueError):
        raise Refused(400, "the body cannot be decoded") from None
    raise Refused(415, "unsupported content type")


def _with_base64_ids(value: Any) -> Any:
    """OTLP's JSON has ids in hexadecimal, protobuf's own in base64."""
    if isinstance(value, list):
        return [_with_base64_ids(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        key: _base64(item) if key in ("traceId", "spanId") else _with_base64_ids(item)
        for key, item in value.items()
    }


def _base64(text: str) -> str:
    return b64encode(bytes.fromhex(text)).decode()
