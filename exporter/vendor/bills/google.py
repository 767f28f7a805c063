"""Google Cloud Monitoring: tokens and invocations of Vertex AI's published models per stretch, model and location. No money.

Facts (Cloud Monitoring API reference, "projects.timeSeries.list"; Google Cloud metrics list): metrics
aiplatform.googleapis.com/publisher/online_serving/token_count (label type: input or output) and model_invocation_count of the
resource aiplatform.googleapis.com/PublisherModel; whole numbers come as text; a period is named by its end. What an AI Studio
key is used for is not in it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any
from urllib.parse import urlencode

from exporter.config.bills import BillSettings
from exporter.destinations.http import Http
from exporter.errors import Misconfigured, Unreachable
from exporter.model import SECOND, Tokens
from exporter.vendor.bills.choices import chosen_dimension, chosen_reports
from exporter.vendor.bills.pages import Answer, Row, Taken, unknown_form
from exporter.vendor.bills.stretches import BucketPuller, Cut, Read, Span
from exporter.vendor.bills.values import (
    DAY_SECONDS,
    WIDTHS,
    count,
    mapping,
    rfc3339_seconds,
    text,
    unix_seconds,
)
from exporter.vendor.pullers.answers import ask, read_json
from exporter.vendor.pullers.base import Bucket, Puller, Traits

PUBLIC_URL = "https://monitoring.googleapis.com"
TRAITS = Traits(
    per_request=False, delay_seconds=900.0, reread_seconds=1.0 * DAY_SECONDS, includes_cached=True
)
_SCOPE = "https://www.googleapis.com/auth/monitoring.read"
_METRIC = "aiplatform.googleapis.com/publisher/online_serving/"
_METRICS = ("token_count", "model_invocation_count")
_SPANS = {"1m": DAY_SECONDS, "1h": 30 * DAY_SECONDS, "1d": 42 * DAY_SECONDS}
_KEY_HINT = "give the service account the role Monitoring Viewer (roles/monitoring.viewer) on the project"
_LOGIN_HINT = "set credentials to a service account's key file, or GOOGLE_APPLICATION_CREDENTIALS"


def puller(settings: BillSettings) -> Puller:
    """The metrics of one project. Raises Misconfigured, also when google-auth is missing."""
    chosen_reports(settings, ("metrics",))
    chosen_dimension(settings, {"region": "region"})
    try:
        for name in ("google.auth.transport.requests", "google.oauth2.service_account"):
            import_module(name)
    except ImportError:
        raise Misconfigured(
            [f"bills {settings.name}: google needs google-auth, which is not installed"],
            "pip install 'dify-exporter[google]'",
        ) from None
    return BucketPuller(settings, TRAITS, [_Metrics(settings)])


def _http(settings: BillSettings) -> Http:
    """A session with a fresh token, of the key file or of where the program runs."""
    auth, errors = import_module("google.auth"), import_module("google.auth.exceptions")
    account, transport = (
        import_module("google.oauth2.service_account"),
        import_module("google.auth.transport.requests"),
    )
    try:
        credentials = (
            account.Credentials.from_service_account_file(str(settings.credentials), scopes=[_SCOPE])
            if settings.credentials
            else auth.default(scopes=[_SCOPE])[0]
        )
        credentials.refresh(transport.Request())
    except (errors.TransportError, errors.TimeoutError):
        raise Unreachable("Google's login cannot be reached", "it is tried again by itself") from None
    except (errors.GoogleAuthError, OSError, ValueError):
        raise Misconfigured(
            ["Google's login refused the credentials, or they cannot be read"], _LOGIN_HINT
        ) from None
    return Http({"Authorization": f"Bearer {credentials.token}"}, settings.timeout)


@dataclass(frozen=True, slots=True)
class _Metrics:
    """Two metrics, put together per model, location and stretch."""

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
        """All pages of both metrics; what each tells of a stretch is put together by whoever merges buckets."""
        taken = Taken(f"{self.name} of {rfc3339_seconds(span.since)}")
        http = _http(self.settings)
        for metric in _METRICS:
            taken.take(self._rows(http, metric, span), self._bucket)
        return taken.read()

    def check(self) -> str:
        """Whether the metrics can be read."""
        day = Span(1_767_225_600, 1_767_225_600 + DAY_SECONDS)
        next(self._rows(_http(self.settings), _METRICS[0], day), None)
        return f"metrics of {self.settings.project} can be read"

    def _rows(self, http: Http, metric: str, span: Span) -> Iterator[Row]:
        """Each point with its series."""
        url = (
            f"{(self.settings.url or PUBLIC_URL).rstrip('/')}/v3/projects/{self.settings.project}/timeSeries"
        )
        groups = ["resource.label.model_user_id", "resource.label.location"]
        asked = [
            ("filter", f'metric.type="{_METRIC}{metric}"'),
            ("interval.startTime", rfc3339_seconds(span.since)),
            ("interval.endTime", rfc3339_seconds(span.until)),
            ("aggregation.alignmentPeriod", f"{WIDTHS[self.settings.width]}s"),
            ("aggregation.perSeriesAligner", "ALIGN_DELTA"),
            ("aggregation.crossSeriesReducer", "REDUCE_SUM"),
            *(("aggregation.groupByFields", name) for name in groups),
            *([("aggregation.groupByFields", "metric.label.type")] if metric == "token_count" else []),
            ("pageSize", "10000"),
        ]
        page = ""
        while True:
            query = urlencode([*asked, *([("pageToken", page)] if page else [])])
            answer = read_json(ask(http, f"{url}?{query}", {}, _KEY_HINT), url)
            if not isinstance(answer, Mapping):
                raise unknown_form(url)
            for series in answer.get("timeSeries") or ():
                for point in series.get("points") or ():
                    yield {**series, "counts": metric}, point
            following = str(answer.get("nextPageToken") or "")
            if not following or following == page:
                return
            page = following

    def _bucket(self, series: Answer, point: Answer) -> Bucket | None:
        labels = mapping(mapping(series.get("resource"), "resource").get("labels"), "labels")
        ends_at = unix_seconds(mapping(point.get("interval"), "interval"), "endTime")
        value: Answer = mapping(point.get("value"), "value")
        number = count(value, "int64Value" if "int64Value" in value else "doubleValue")
        if not number:
            return None  # an idle stretch
        tokens, requests = self._counts(series, number)
        return Bucket(
            source=self.settings.name,
            starts_at=(ends_at - WIDTHS[self.settings.width]) * SECOND,
            ends_at=ends_at * SECOND,
            model=text(labels, "model_user_id"),
            key=text(labels, "location"),
            tokens=tokens,
            requests=requests,
            report=self.name,
        )

    def _counts(self, series: Answer, number: int | None) -> tuple[Tokens, int | None]:
        if series["counts"] != "token_count":
            return Tokens(), number
        labels: Any = mapping(series.get("metric"), "metric").get("labels") or {}
        kind = labels.get("type")
        if kind not in ("input", "output"):
            raise ValueError("type is neither input nor output")
        return Tokens(**{kind: number}), None
