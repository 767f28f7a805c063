"""Amazon Bedrock's metrics in CloudWatch: tokens and invocations per stretch, region and model. No money.

Facts (Bedrock user guide, "Amazon Bedrock runtime metrics"; CloudWatch API reference): namespace AWS/Bedrock, dimension
ModelId (an application inference profile has its own), statistic Sum, in UTC; InputTokenCount leaves the cache counts out.
Minutes are kept for 15 days, hours for 455. Metrics without data for two weeks are not listed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from exporter.config.bills import BillSettings
from exporter.model import SECOND, Tokens
from exporter.vendor.bills.choices import chosen_reports
from exporter.vendor.bills.pages import Answer, Row, Taken
from exporter.vendor.bills.stretches import BucketPuller, Cut, Read, Span
from exporter.vendor.bills.values import DAY_SECONDS, WIDTHS, count, rfc3339_seconds, summed
from exporter.vendor.pullers import aws
from exporter.vendor.pullers.base import Bucket, Puller, Traits

TRAITS = Traits(
    per_request=False, delay_seconds=600.0, reread_seconds=1.0 * DAY_SECONDS, includes_cached=True
)
_NAMESPACE = "AWS/Bedrock"
_METRICS = {
    "Invocations": "requests",
    "InputTokenCount": "uncached",
    "OutputTokenCount": "output",
    "CacheReadInputTokenCount": "cache_read",
    "CacheWriteInputTokenCount": "cache_write",
}
_SPANS = {"1m": DAY_SECONDS, "1h": 30 * DAY_SECONDS, "1d": 90 * DAY_SECONDS}
_MOST_QUERIES = 500


def puller(settings: BillSettings) -> Puller:
    """The metrics of one region. Raises Misconfigured for an unknown report."""
    chosen_reports(settings, ("metrics",))
    return BucketPuller(settings, TRAITS, [_Metrics(settings)])


@dataclass(frozen=True, slots=True)
class _Metrics:
    """Five metrics of each model, put together per stretch."""

    settings: BillSettings
    name: str = "metrics"

    @property
    def shape(self) -> str:
        """The width."""
        return self.settings.width

    @property
    def cut(self) -> Cut:
        """Metrics are there within minutes."""
        width = self.settings.width
        return Cut(WIDTHS[width], _SPANS[width], int(TRAITS.delay_seconds), int(TRAITS.reread_seconds))

    def read(self, span: Span) -> Read:
        """All pages of a span, of all models that CloudWatch lists."""
        client = aws.client("cloudwatch", self.settings)
        taken = Taken(f"{self.name} of {rfc3339_seconds(span.since)}")
        with aws.asking("Amazon CloudWatch"):
            listed = list(_listed(client))
            for first in range(0, len(listed), _MOST_QUERIES):
                taken.take(self._rows(client, listed[first : first + _MOST_QUERIES], span), self._bucket)
        return taken.read()

    def check(self) -> str:
        """How many models there are metrics of."""
        client = aws.client("cloudwatch", self.settings)
        with aws.asking("Amazon CloudWatch"):
            models = {model for model, _ in _listed(client)}
        return f"Bedrock's metrics in {self.settings.region}: {len(models)} models in the last two weeks"

    def _rows(self, client: Any, listed: list[tuple[str, str]], span: Span) -> Iterator[Row]:
        points: dict[tuple[str, int], dict[str, Any]] = defaultdict(dict)
        queries = [
            {
                "Id": f"m{number}",
                "MetricStat": {
                    "Metric": {
                        "Namespace": _NAMESPACE,
                        "MetricName": metric,
                        "Dimensions": [{"Name": "ModelId", "Value": model}],
                    },
                    "Period": WIDTHS[self.settings.width],
                    "Stat": "Sum",
                },
            }
            for number, (model, metric) in enumerate(listed)
        ]
        pages = client.get_paginator("get_metric_data").paginate(
            MetricDataQueries=queries,
            StartTime=datetime.fromtimestamp(span.since, UTC),
            EndTime=datetime.fromtimestamp(span.until, UTC),
            ScanBy="TimestampAscending",
        )
        for page in pages:
            for series in page["MetricDataResults"]:
                model, metric = listed[int(series["Id"][1:])]
                for moment, value in zip(series["Timestamps"], series["Values"], strict=True):
                    points[(model, int(moment.timestamp()))][_METRICS[metric]] = value
        for (model, moment), values in points.items():
            yield {"model": model, "at": moment}, values

    def _bucket(self, place: Answer, values: Answer) -> Bucket:
        read, write = count(values, "cache_read"), count(values, "cache_write")
        uncached = count(values, "uncached")
        return Bucket(
            source=self.settings.name,
            starts_at=place["at"] * SECOND,
            ends_at=(place["at"] + WIDTHS[self.settings.width]) * SECOND,
            model=place["model"],
            key=self.settings.region,
            tokens=Tokens(
                None if uncached is None else summed(uncached, read, write),
                count(values, "output"),
                read,
                write,
            ),
            requests=count(values, "requests"),
            report=self.name,
        )


def _listed(client: Any) -> Iterator[tuple[str, str]]:
    """Each model with each of its metrics; series with further dimensions tell the same again."""
    for page in client.get_paginator("list_metrics").paginate(Namespace=_NAMESPACE):
        for metric in page["Metrics"]:
            dimensions = {item["Name"]: item["Value"] for item in metric["Dimensions"]}
            if metric["MetricName"] in _METRICS and set(dimensions) == {"ModelId"}:
                yield dimensions["ModelId"], metric["MetricName"]
