"""Anthropic's usage and cost of an organisation, per stretch, model and API key (or workspace).

Facts (Anthropic Admin API reference, "Usage and Cost"; "Usage and Cost Analytics"): GET
/v1/organizations/usage_report/messages and /cost_report with an admin key; their successor is
/v1/organizations/analytics/usage and /cost. `uncached_input_tokens` holds neither cache reads nor writes. Amounts are
decimal text in cents of USD. `workspace_id` null is the default workspace, `api_key_id` null the Console.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal

from exporter.config.bills import BillSettings
from exporter.destinations.http import Http, shown_address
from exporter.errors import Misconfigured
from exporter.model import SECOND, Tokens
from exporter.vendor.bills.choices import chosen_dimension, chosen_reports
from exporter.vendor.bills.pages import Answer, Row, Taken, in_stretches, pages
from exporter.vendor.bills.stretches import BucketPuller, Cut, Read, Span
from exporter.vendor.bills.values import (
    DAY_SECONDS,
    WIDTHS,
    amount,
    count,
    mapping,
    rfc3339_seconds,
    summed,
    text,
    unix_seconds,
)
from exporter.vendor.pullers.base import Bucket, Puller, Traits

PUBLIC_URL = "https://api.anthropic.com"
ANALYTICS_BETA = "analytics-usage-cost-2026-08-24"
TRAITS = Traits(
    per_request=False,
    delay_seconds=300.0,
    reread_seconds=2.0 * DAY_SECONDS,
    includes_cached=True,
    has_cost=True,
)
_PATHS: dict[str, str] = {
    "usage_report": "usage_report/messages",
    "cost_report": "cost_report",
    "analytics_usage": "analytics/usage",
    "analytics_cost": "analytics/cost",
}
_DIMENSIONS = {"key": "api_key_id", "workspace": "workspace_id"}
_STRETCHES = {"1m": 1440, "1h": 168, "1d": 31}
_KEY_HINT = "set key (ANTHROPIC_ADMIN_KEY) to an admin key of the organisation (sk-ant-admin…)"


def puller(settings: BillSettings) -> Puller:
    """The reports of one organisation. Raises Misconfigured for an unknown report or grouping, and for two that tell the same."""
    names = chosen_reports(settings, tuple(_PATHS), ("usage_report", "cost_report"))
    for one, other in (("usage_report", "analytics_usage"), ("cost_report", "analytics_cost")):
        if one in names and other in names:
            raise Misconfigured([f"bills {settings.name}: {one} and {other} tell the same; choose one"])
    dimension = chosen_dimension(settings, _DIMENSIONS)
    headers = {"x-api-key": settings.key.get_secret_value(), "anthropic-version": "2023-06-01"}
    base = (settings.url or PUBLIC_URL).rstrip("/").removesuffix("/v1")
    reports = []
    for name in names:
        beta = {"anthropic-beta": ANALYTICS_BETA} if name.startswith("analytics") else {}
        http = Http(headers | beta, settings.timeout)
        width = settings.width if name.endswith(("usage_report", "usage")) else "1d"
        reports.append(
            _Report(settings.name, name, http, f"{base}/v1/organizations/{_PATHS[name]}", dimension, width)
        )
    return BucketPuller(settings, TRAITS, reports)


@dataclass(frozen=True, slots=True)
class _Report:
    """One of the four."""

    source: str
    name: str
    http: Http
    url: str
    dimension: str
    width: str

    @property
    def shape(self) -> str:
        """Width and grouping."""
        return f"{self.width} {self.dimension}"

    @property
    def cut(self) -> Cut:
        """Usage is there within minutes; costs of a day some hours after its end, and they may change."""
        width = WIDTHS[self.width]
        if self._is_cost:
            return Cut(width, 31 * width, 6 * 3_600, 7 * DAY_SECONDS)
        return Cut(
            width, _STRETCHES[self.width] * width, int(TRAITS.delay_seconds), int(TRAITS.reread_seconds)
        )

    def read(self, span: Span) -> Read:
        """All pages of a span."""
        taken = Taken(f"{self.name} of {rfc3339_seconds(span.since)}")
        for answer in pages(self.http, self.url, self._asked(span), _KEY_HINT):
            rows = self._rows(answer)
            taken.take(rows, self._cost if self._is_cost else self._usage)
        return taken.read()

    def check(self) -> str:
        """Whether the key may read it."""
        span = Span(1_767_225_600, 1_767_225_600 + DAY_SECONDS)
        next(pages(self.http, self.url, self._asked(span), _KEY_HINT))
        return f"{self.name} at {shown_address(self.url)} can be read"

    @property
    def _is_cost(self) -> bool:
        return "cost" in self.name

    @property
    def _is_analytics(self) -> bool:
        return self.name.startswith("analytics")

    def _asked(self, span: Span) -> list[tuple[str, str | int]]:
        if self._is_analytics:
            groups, width_name, limit = [self.dimension, "model"], "time_bucket_width", 1000
        else:
            limit = max(1, (span.until - span.since) // WIDTHS[self.width])
            width_name = "bucket_width"
            groups = [self.dimension, "model", "service_tier"]
            if self._is_cost:  # knows no keys
                groups = ["workspace_id", "description"]
        return [
            ("starting_at", rfc3339_seconds(span.since)), ("ending_at", rfc3339_seconds(span.until)),
            (width_name, self.width), ("limit", limit), *(("group_by[]", group) for group in groups),
        ]  # fmt: skip

    def _rows(self, answer: Answer) -> Iterator[Row]:
        if not self._is_analytics:
            yield from in_stretches(answer, self.url)
            return
        for row in answer["data"]:
            yield row, row

    def _usage(self, stretch: Answer, result: Answer) -> Bucket:
        group = mapping(result.get("group"), "group") if self._is_analytics else result
        usage = mapping(result.get("usage"), "usage") if self._is_analytics else result
        return self._bucket(stretch, group, _tokens(usage), requests=count(usage, "requests"))

    def _cost(self, stretch: Answer, result: Answer) -> Bucket:
        group = mapping(result.get("group"), "group") if self._is_analytics else result
        cents = amount(result, "amount")
        if cents is None:
            raise ValueError("amount is missing")
        return self._bucket(stretch, group, Tokens(), cost=cents / 100)

    def _bucket(
        self,
        stretch: Answer,
        group: Answer,
        tokens: Tokens,
        *,
        requests: int | None = None,
        cost: Decimal | None = None,
    ) -> Bucket:
        key = "workspace_id" if self.name == "cost_report" else self.dimension
        return Bucket(
            source=self.source,
            starts_at=unix_seconds(stretch, "starting_at") * SECOND,
            ends_at=unix_seconds(stretch, "ending_at") * SECOND,
            model=text(group, "model"),
            key=text(group, key),
            tokens=tokens,
            requests=requests,
            cost=cost,
            currency="USD" if self._is_cost else None,
            group=text(group, "description") or text(group, "service_tier") or "",
            report=self.name,
        )


def _tokens(usage: Answer) -> Tokens:
    """Input as everywhere else: what came from the cache and what went into it are part of it."""
    written = usage.get("cache_creation")
    writes = list(mapping(written, "cache_creation")) if written is not None else []
    cache_write = summed(*(count(mapping(written, "cache_creation"), name) for name in writes))
    cache_read = count(usage, "cache_read_input_tokens")
    uncached = count(usage, "uncached_input_tokens")
    if uncached is None:
        raise ValueError("uncached_input_tokens is missing")
    return Tokens(
        input=summed(uncached, cache_write, cache_read),
        output=count(usage, "output_tokens"),
        cache_read=cache_read,
        cache_write=cache_write,
    )
