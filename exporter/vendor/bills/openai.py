"""OpenAI's usage and costs of an organisation, per stretch, model and API key (or project, or member).

Facts (OpenAI API reference, "Usage" and "Costs"): GET /v1/organization/usage/<endpoint> and /v1/organization/costs with an
admin key; buckets of 1m, 1h or 1d, costs of 1d only, in UTC; pages by `next_page`. `input_tokens` holds cached and
cache-write tokens, `output_tokens` holds reasoning, which is not told apart. Failed requests are not in it.
"""

from __future__ import annotations

from dataclasses import dataclass

from exporter.config.bills import BillSettings
from exporter.destinations.http import Http, shown_address
from exporter.model import SECOND, Tokens
from exporter.vendor.bills.choices import chosen_dimension, chosen_reports
from exporter.vendor.bills.pages import Answer, Bucketed, Taken, in_stretches, pages
from exporter.vendor.bills.stretches import BucketPuller, Cut, Read, Span
from exporter.vendor.bills.values import (
    DAY_SECONDS,
    WIDTHS,
    amount,
    count,
    mapping,
    rfc3339_seconds,
    text,
    unix_seconds,
)
from exporter.vendor.pullers.answers import ask, read_json
from exporter.vendor.pullers.base import Bucket, Puller, Traits

PUBLIC_URL = "https://api.openai.com"
TRAITS = Traits(
    per_request=False,
    delay_seconds=300.0,
    reread_seconds=2.0 * DAY_SECONDS,
    includes_cached=True,
    has_cost=True,
)
USAGES = (
    "completions", "embeddings", "moderations", "images", "audio_speeches", "audio_transcriptions",
)  # fmt: skip
COSTS = "costs"
_DIMENSIONS = {"key": "api_key_id", "project": "project_id", "user": "user_id"}
_STRETCHES = {"1m": 1440, "1h": 168, "1d": 31}
_COST_STRETCHES = 180
_ONLY_INPUT = frozenset({"embeddings", "moderations"})
_KEY_HINT = (
    "set key (OPENAI_ADMIN_KEY) to an admin key of the organisation; a project's key cannot read its usage"
)


def puller(settings: BillSettings) -> Puller:
    """The reports of one organisation. Raises Misconfigured for an unknown report or grouping."""
    dimension = chosen_dimension(settings, _DIMENSIONS)
    http = Http({"Authorization": f"Bearer {settings.key.get_secret_value()}"}, settings.timeout)
    base = (settings.url or PUBLIC_URL).rstrip("/").removesuffix("/v1")
    reports = [
        _Costs(settings.name, http, f"{base}/v1/organization/costs", dimension)
        if name == COSTS
        else _Usage(
            settings.name, name, http, f"{base}/v1/organization/usage/{name}", dimension, settings.width
        )
        for name in chosen_reports(settings, (*USAGES, COSTS))
    ]
    return BucketPuller(settings, TRAITS, reports)


@dataclass(frozen=True, slots=True)
class _Usage:
    """One usage endpoint."""

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
        """As many stretches at once as one page may hold."""
        width = WIDTHS[self.width]
        return Cut(
            width, _STRETCHES[self.width] * width, int(TRAITS.delay_seconds), int(TRAITS.reread_seconds)
        )

    def read(self, span: Span) -> Read:
        """All pages of a span."""
        groups = [self.dimension, "model", *(["batch"] if self.name == "completions" else [])]
        return _read(self.http, self.url, span, self.width, groups, self.name, self._bucket)

    def check(self) -> str:
        """Whether the key may read it."""
        return _check(self.http, self.url, self.name)

    def _bucket(self, stretch: Answer, result: Answer) -> Bucket:
        return Bucket(
            source=self.source,
            starts_at=unix_seconds(stretch, "start_time") * SECOND,
            ends_at=unix_seconds(stretch, "end_time") * SECOND,
            model=text(result, "model"),
            key=text(result, self.dimension),
            tokens=Tokens(
                input=count(result, "input_tokens"),
                output=0 if self.name in _ONLY_INPUT else count(result, "output_tokens"),
                cache_read=count(result, "input_cached_tokens"),
                cache_write=count(result, "input_cache_write_tokens"),
            ),
            requests=count(result, "num_model_requests"),
            group="batch" if result.get("batch") else "",
            report=self.name,
        )


@dataclass(frozen=True, slots=True)
class _Costs:
    """What each day cost, by line item."""

    source: str
    http: Http
    url: str
    dimension: str
    name: str = COSTS

    @property
    def shape(self) -> str:
        """The grouping."""
        return self.dimension

    @property
    def cut(self) -> Cut:
        """Days of UTC, that are there some hours after their end and change for some days."""
        return Cut(DAY_SECONDS, _COST_STRETCHES * DAY_SECONDS, 6 * 3_600, 7 * DAY_SECONDS)

    def read(self, span: Span) -> Read:
        """All pages of a span."""
        groups = [self.dimension, "line_item"]
        return _read(self.http, self.url, span, "1d", groups, self.name, self._bucket)

    def check(self) -> str:
        """Whether the key may read it."""
        return _check(self.http, self.url, self.name)

    def _bucket(self, stretch: Answer, result: Answer) -> Bucket:
        cost = mapping(result.get("amount"), "amount")
        line_item = text(result, "line_item") or ""
        model, comma, _ = line_item.partition(",")  # `gpt-5-mini, input_tokens`; `web search` is of no model
        return Bucket(
            source=self.source,
            starts_at=unix_seconds(stretch, "start_time") * SECOND,
            ends_at=unix_seconds(stretch, "end_time") * SECOND,
            model=model.strip() if comma else None,
            key=text(result, self.dimension),
            tokens=Tokens(),
            cost=amount(cost, "value"),
            currency=(text(cost, "currency") or "").upper() or None,
            group=line_item,
            report=self.name,
        )


def _read(
    http: Http, url: str, span: Span, width: str, groups: list[str], name: str, bucket: Bucketed
) -> Read:
    asked: list[tuple[str, str | int]] = [
        ("start_time", span.since), ("end_time", span.until), ("bucket_width", width),
        ("limit", (span.until - span.since) // WIDTHS[width]), *(("group_by", group) for group in groups),
    ]  # fmt: skip
    taken = Taken(f"{name} of {rfc3339_seconds(span.since)}")
    for answer in pages(http, url, asked, _KEY_HINT):
        taken.take(in_stretches(answer, url), bucket)
    return taken.read()


def _check(http: Http, url: str, name: str) -> str:
    asked = {"start_time": "1767225600", "limit": "1"}
    read_json(ask(http, url, asked, _KEY_HINT), url)
    return f"{name} at {shown_address(url)} can be read"
