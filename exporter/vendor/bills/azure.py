"""Azure OpenAI's metrics in Azure Monitor: tokens and calls per stretch and deployment. No money, no cache split.

Facts (Azure Monitor REST reference, "Metrics - List"; "Azure OpenAI monitoring data reference"): the metrics
ProcessedPromptTokens, GeneratedTokens and AzureOpenAIRequests of a Microsoft.CognitiveServices account, with the dimensions
ModelDeploymentName and Region; grains PT1M, PT1H, P1D in UTC; kept for 93 days; `top` is 10 unless it is asked for.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from exporter.config.bills import BillSettings
from exporter.destinations.http import Http, shown_address
from exporter.errors import Misconfigured
from exporter.model import SECOND, Tokens
from exporter.vendor.bills.choices import chosen_dimension, chosen_reports
from exporter.vendor.bills.pages import Answer, Row, Taken, unknown_form
from exporter.vendor.bills.stretches import BucketPuller, Cut, Read, Span
from exporter.vendor.bills.values import DAY_SECONDS, WIDTHS, count, rfc3339_seconds, unix_seconds
from exporter.vendor.pullers.answers import ask, read_json
from exporter.vendor.pullers.base import Bucket, Puller, Refused, Traits

PUBLIC_URL = "https://management.azure.com"
LOGIN_URL = "https://login.microsoftonline.com"
IDENTITY_URL = "http://169.254.169.254"
TRAITS = Traits(
    per_request=False, delay_seconds=600.0, reread_seconds=1.0 * DAY_SECONDS, includes_cached=True
)
_METRICS = {"processedprompttokens": "input", "generatedtokens": "output", "azureopenairequests": "requests"}
_DIMENSIONS = {"resource": "", "region": "Region"}
_GRAINS = {"1m": "PT1M", "1h": "PT1H", "1d": "P1D"}
_MOST_SERIES = 1_000
_SPANS = {"1m": DAY_SECONDS, "1h": 30 * DAY_SECONDS, "1d": 90 * DAY_SECONDS}
_KEY_HINT = (
    "give the application (or managed identity) the role Monitoring Reader on the Azure OpenAI account"
)
_LOGIN_HINT = (
    "check tenant, key (client id) and secret (AZURE_TENANT_ID, AZURE_CLIENT_ID, AZURE_CLIENT_SECRET)"
)


def puller(settings: BillSettings) -> Puller:
    """The metrics of one account. Raises Misconfigured for an unknown report or grouping."""
    chosen_reports(settings, ("metrics",))
    return BucketPuller(
        settings, TRAITS, [_Metrics(settings, chosen_dimension(settings, _DIMENSIONS), _Login(settings))]
    )


@dataclass(frozen=True, slots=True)
class _Login:
    """How a token for Azure's management is got: by a client's secret, else by the machine's managed identity."""

    settings: BillSettings

    def http(self) -> Http:
        """A session that carries a fresh token. Raises Misconfigured when the login is refused."""
        settings = self.settings
        audience = f"{(settings.url or PUBLIC_URL).rstrip('/')}/"
        if not settings.tenant:
            url = f"{settings.login_url or IDENTITY_URL}/metadata/identity/oauth2/token"
            asked = {"api-version": "2018-02-01", "resource": audience}
            answer = read_json(
                ask(Http({"Metadata": "true"}, settings.timeout), url, asked, _LOGIN_HINT), url
            )
        else:
            url = f"{settings.login_url or LOGIN_URL}/{settings.tenant}/oauth2/v2.0/token"
            form = urlencode({
                "grant_type": "client_credentials",
                "client_id": settings.key.get_secret_value(),
                "client_secret": settings.secret.get_secret_value(),
                "scope": f"{audience}.default",
            })  # fmt: skip
            reply = Http({}, settings.timeout).post(url, form.encode(), "application/x-www-form-urlencoded")
            if reply.status in (400, 401, 403):
                raise Misconfigured(
                    [f"{shown_address(url)} refused the login (HTTP {reply.status})"], _LOGIN_HINT
                )
            answer = read_json(reply, url)
        token = answer.get("access_token") if isinstance(answer, Mapping) else None
        if not isinstance(token, str):
            raise unknown_form(url)
        return Http({"Authorization": f"Bearer {token}"}, settings.timeout)


@dataclass(frozen=True, slots=True)
class _Metrics:
    """Three metrics of one account, put together per deployment and stretch."""

    settings: BillSettings
    dimension: str
    login: _Login
    name: str = "metrics"

    @property
    def shape(self) -> str:
        """Width and grouping."""
        return f"{self.settings.width} {self.dimension}"

    @property
    def cut(self) -> Cut:
        """Metrics are there within minutes."""
        width = self.settings.width
        return Cut(WIDTHS[width], _SPANS[width], int(TRAITS.delay_seconds), int(TRAITS.reread_seconds))

    def read(self, span: Span) -> Read:
        """A span in one answer."""
        answer = self._ask(span)
        taken = Taken(f"{self.name} of {rfc3339_seconds(span.since)}")
        series = [item for metric in answer["value"] for item in metric.get("timeseries") or ()]
        taken.take(_rows(answer), self._bucket)
        read = taken.read()
        if len(series) < _MOST_SERIES:
            return read
        cut_short = Refused(
            f"{taken.place} series {_MOST_SERIES}", "there may be more series than are told at once"
        )
        return Read(read.buckets, (*read.refused, cut_short), is_whole=False)

    def check(self) -> str:
        """Whether the metrics can be read."""
        self._ask(Span(1_767_225_600, 1_767_225_600 + DAY_SECONDS))
        return f"metrics of {self.settings.resource.rpartition('/')[2]} can be read"

    def _ask(self, span: Span) -> Answer:
        dimensions = ["ModelDeploymentName", *([self.dimension] if self.dimension else [])]
        asked = {
            "api-version": "2024-02-01",
            "metricnames": "ProcessedPromptTokens,GeneratedTokens,AzureOpenAIRequests",
            "aggregation": "Total",
            "interval": _GRAINS[self.settings.width],
            "timespan": f"{rfc3339_seconds(span.since)}/{rfc3339_seconds(span.until)}",
            "$filter": " and ".join(f"{name} eq '*'" for name in dimensions),
            "top": str(_MOST_SERIES),
        }
        base = (self.settings.url or PUBLIC_URL).rstrip("/")
        url = f"{base}/{self.settings.resource.strip('/')}/providers/Microsoft.Insights/metrics"
        answer = read_json(ask(self.login.http(), url, asked, _KEY_HINT), url)
        if not isinstance(answer, Mapping) or not isinstance(answer.get("value"), list):
            raise unknown_form(url)
        return answer

    def _bucket(self, names: Answer, point: Answer) -> Bucket | None:
        if not any(point.get(name) for name in _METRICS.values()):
            return None  # an idle stretch
        starts_at = unix_seconds(point, "timeStamp")
        key = (
            names.get(self.dimension.lower()) if self.dimension else self.settings.resource.rpartition("/")[2]
        )
        return Bucket(
            source=self.settings.name,
            starts_at=starts_at * SECOND,
            ends_at=(starts_at + WIDTHS[self.settings.width]) * SECOND,
            model=names.get("modeldeploymentname") or None,
            key=key or None,
            tokens=Tokens(count(point, "input"), count(point, "output")),
            requests=count(point, "requests"),
            report=self.name,
        )


def _rows(answer: Answer) -> Iterator[Row]:
    """The points of the metrics as one row per group and time."""
    found: dict[tuple[tuple[str, str], ...], dict[str, dict[str, Any]]] = defaultdict(dict)
    for metric in answer["value"]:
        field = _METRICS.get(str((metric.get("name") or {}).get("value")).lower())
        for series in metric.get("timeseries") or () if field else ():
            names = tuple(
                sorted(
                    (str((item.get("name") or {}).get("value")).lower(), str(item.get("value") or ""))
                    for item in series.get("metadatavalues") or ()
                )
            )
            for point in series.get("data") or ():
                time = str(point.get("timeStamp"))
                row = found[names].setdefault(time, {"timeStamp": time})
                row[str(field)] = point.get("total")
    for names, points in found.items():
        for point in points.values():
            yield dict(names), point
