"""The families of /metrics as an OTLP request: cumulative sums, gauges, and histograms with exemplars.

What opentelemetry-proto's metrics.proto asks for is kept: a sum never falls and keeps its start time as long as what
counts it lives (the state file, or the process), and no two points of a metric have the same attributes.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from google.protobuf.json_format import MessageToDict  # type: ignore[import-untyped]
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.metrics.v1 import metrics_pb2
from prometheus_client.core import Metric
from prometheus_client.samples import Sample

from exporter import __version__
from exporter.model import Micros
from exporter.spans.otlp import put_text

CUMULATIVE = metrics_pb2.AGGREGATION_TEMPORALITY_CUMULATIVE
_NANOS = 1_000
_UNITS = {
    "seconds": "s",
    "bytes": "By",
    "tokens": "{token}",
    "calls": "{call}",
    "traces": "{trace}",
    "spans": "{span}",
}
"""By the last word of a name; units of UCUM, as OpenTelemetry asks for."""
_OF_PROCESS = ("process_", "dify_exporter_tokenizer_")


@dataclass(frozen=True, slots=True)
class Moments:
    """Now, since when the counters of the state count, and since when those of the process do."""

    now: Micros
    state_began: Micros
    process_began: Micros


def request(
    families: Iterable[Metric], resource: Mapping[str, str], at: Moments
) -> ExportMetricsServiceRequest:
    """One request with every family that has a sample."""
    export = ExportMetricsServiceRequest()
    holder = export.resource_metrics.add()
    for key, value in resource.items():
        put_text(holder.resource.attributes.add, key, value)
    scope = holder.scope_metrics.add()
    scope.scope.name, scope.scope.version = "dify-exporter", __version__
    for family in families:
        if family.samples:
            _metric(scope.metrics.add(), family, at)
    return export


def as_json(export: ExportMetricsServiceRequest) -> bytes:
    """OTLP's own JSON: enums are numbers, and ids are hexadecimal where protobuf's JSON has base64."""
    document = MessageToDict(export, use_integers_for_enums=True)
    for resource in document["resourceMetrics"]:
        for scope in resource["scopeMetrics"]:
            for metric in scope["metrics"]:
                for point in metric.get("histogram", {}).get("dataPoints", ()):
                    for exemplar in point.get("exemplars", ()):
                        exemplar["traceId"] = base64.b64decode(exemplar["traceId"]).hex()
    return orjson.dumps(document)


def _metric(metric: Any, family: Metric, at: Moments) -> None:
    metric.name, metric.description = family.name, family.documentation
    metric.unit = _UNITS.get(family.name.rpartition("_")[2], "")
    began = at.process_began if family.name.startswith(_OF_PROCESS) else at.state_began
    if family.type == "histogram":
        metric.histogram.aggregation_temporality = CUMULATIVE
        _histograms(metric.histogram.data_points.add, family.samples, began, at.now)
        return
    if family.type == "counter":
        metric.sum.aggregation_temporality, metric.sum.is_monotonic = CUMULATIVE, True
    points = metric.sum.data_points if family.type == "counter" else metric.gauge.data_points
    for sample in family.samples:
        point = points.add()
        _attributes(point, sample.labels)
        if family.type == "counter":
            point.start_time_unix_nano = began * _NANOS
        point.time_unix_nano = at.now * _NANOS
        point.as_double = sample.value


def _histograms(add: Callable[[], Any], samples: Iterable[Sample], began: Micros, now: Micros) -> None:
    """Buckets that add up become buckets each on its own. A series ends with its `_sum`."""
    point, reached = None, 0.0
    for sample in samples:
        if sample.name.endswith("_bucket"):
            if point is None:
                point, reached = add(), 0.0
                point.start_time_unix_nano, point.time_unix_nano = began * _NANOS, now * _NANOS
                _attributes(point, {key: value for key, value in sample.labels.items() if key != "le"})
            if sample.labels["le"] != "+Inf":
                point.explicit_bounds.append(float(sample.labels["le"]))
            point.bucket_counts.append(round(sample.value - reached))
            reached = sample.value
            _exemplar(point, sample)
        elif point is not None and sample.name.endswith("_count"):
            point.count = round(sample.value)
        elif point is not None and sample.name.endswith("_sum"):
            point.sum = sample.value
            point = None


def _exemplar(point: Any, sample: Sample) -> None:
    if sample.exemplar is None:
        return
    exemplar = point.exemplars.add()
    exemplar.trace_id = bytes.fromhex(sample.exemplar.labels["trace_id"])
    exemplar.as_double = sample.exemplar.value
    exemplar.time_unix_nano = round(float(sample.exemplar.timestamp or 0) * 1e6) * _NANOS


def _attributes(point: Any, labels: Mapping[str, str]) -> None:
    for key, value in labels.items():
        put_text(point.attributes.add, key, value)
