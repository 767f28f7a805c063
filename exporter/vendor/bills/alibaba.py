"""Alibaba Cloud: what Model Studio's models cost per day of UTC+8, by API key or workspace; or the account's bill. No tokens.

Facts (Alibaba Cloud API reference, Model Studio 2026-02-10 GetBillingTrend; BSS 2017-12-14 DescribeInstanceBill): a trend has
one grouping at a time and twenty groups, the rest in one, so that models of a key are asked for with a filter. Bills come per
day, 300 items a page. Signed with ACS3-HMAC-SHA256 by Alibaba's own signer.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from exporter.config.bills import BillSettings
from exporter.errors import Misconfigured
from exporter.model import Tokens
from exporter.vendor.bills.alibaba_client import Client, client_of
from exporter.vendor.bills.choices import chosen_dimension, chosen_reports
from exporter.vendor.bills.days import UTC_8_SECONDS, china_day, day_stretch, days, is_sold
from exporter.vendor.bills.pages import Answer, Row, Taken, unknown_form
from exporter.vendor.bills.stretches import BucketPuller, Cut, Read, Report, Span
from exporter.vendor.bills.values import DAY_SECONDS, amount, text
from exporter.vendor.pullers.base import Bucket, Puller, Traits

MODEL_STUDIO_URL = "https://modelstudio.{region}.aliyuncs.com"
BSS_URL = "https://business.aliyuncs.com"
TRAITS = Traits(
    per_request=False,
    delay_seconds=43_200.0,
    reread_seconds=10.0 * DAY_SECONDS,
    has_cost=True,
    time_zone="Asia/Shanghai",
)
PRODUCTS = ("百炼", "大模型", "灵积", "bailian", "dashscope", "modelstudio", "sfm")
_DIMENSIONS = {"key": "API_KEY_ID", "workspace": "WORKSPACE_ID", "model": ""}
_OTHERS = "DIMENSION_GROUP_OTHERS_VALUE"
_MOST_GROUPS = 20
_ITEMS = 300


def puller(settings: BillSettings) -> Puller:
    """One report of one account: both tell the same money. Raises Misconfigured, also when the signer is missing."""
    names = chosen_reports(settings, ("trend", "bill"), ("trend",))
    if len(names) > 1:
        raise Misconfigured([f"bills {settings.name}: trend and bill tell the same money; choose one"])
    client = client_of(settings)
    report: Report = (
        _Bill(settings, client)
        if names[0] == "bill"
        else _Trend(settings, chosen_dimension(settings, _DIMENSIONS), client)
    )
    return BucketPuller(settings, TRAITS, [report])


@dataclass(frozen=True, slots=True)
class _Trend:
    """What each model cost, per day and key or workspace."""

    settings: BillSettings
    dimension: str
    client: Client
    name: str = "trend"

    @property
    def shape(self) -> str:
        """The grouping."""
        return f"1d {self.dimension}"

    @property
    def cut(self) -> Cut:
        """Days of UTC+8, there about a day later."""
        return Cut(DAY_SECONDS, 31 * DAY_SECONDS, 12 * 3_600, 10 * DAY_SECONDS, UTC_8_SECONDS)

    def read(self, span: Span) -> Read:
        """The models of each group, and of what is in none of the first twenty."""
        taken = Taken(f"{self.name} of {china_day(span.since)}")
        for key, only in self._groups(span):
            taken.take(_details(self._ask(span, "BASE_MODEL", only), key), self._bucket)
        return taken.read()

    def check(self) -> str:
        """Whether the trend can be read."""
        day = 1_767_225_600 - UTC_8_SECONDS
        self._ask(Span(day, day + DAY_SECONDS), "BASE_MODEL", None)
        return "Model Studio's billing trend can be read"

    def _groups(self, span: Span) -> Iterator[tuple[str | None, dict[str, Any] | None]]:
        """Each key or workspace with the filter for it."""
        if not self.dimension:
            yield None, None
            return
        found = _details(self._ask(span, self.dimension, None), None)
        keys = list(dict.fromkeys(str(detail.get("key")) for _, detail in found))
        named = [key for key in keys if key != _OTHERS]
        for key in named:
            yield key, {"code": self.dimension, "values": [key], "selectType": "IN"}
        if _OTHERS in keys:
            yield None, {"code": self.dimension, "values": named, "selectType": "NOT"}

    def _ask(self, span: Span, code: str, only: dict[str, Any] | None) -> Answer:
        query = {
            "granularity": "DAY",
            "timePeriod": json.dumps(
                {"start": china_day(span.since), "end": china_day(span.until - DAY_SECONDS)}
            ),
            "groupBy": json.dumps([{"code": code}]),
            "topNum": str(_MOST_GROUPS),
        }
        if only is not None:
            query["filter"] = json.dumps({"dimensions": [only]})
        base = MODEL_STUDIO_URL.format(region=self.settings.region or "cn-beijing")
        answer = self.client.ask(base, "/modelstudio/billing/trend", "GetBillingTrend", "2026-02-10", query)
        data = answer.get("data")
        if not isinstance(data, Mapping) or not isinstance(data.get("resultByTime"), list):
            raise unknown_form(self.settings.url or base)
        return data

    def _bucket(self, period: Answer, detail: Answer) -> Bucket | None:
        cost = amount(detail, "amount")
        if cost is None:
            raise ValueError("amount is missing")
        if not cost:
            return None
        starts_at, ends_at = day_stretch(str(period.get("period")))
        model = text(detail, "key")
        return Bucket(
            source=self.settings.name,
            starts_at=starts_at,
            ends_at=ends_at,
            model=None if model == _OTHERS else model,
            key=period["group"],
            tokens=Tokens(),
            cost=cost,
            currency=text(period.get("total") or {}, "currency") or self.settings.currency or "CNY",
            group="others" if model == _OTHERS else "",
            report=self.name,
        )


def _details(data: Answer, group: str | None) -> Iterator[Row]:
    """Each group of each period; `group` is the key that was asked for."""
    for period in data["resultByTime"]:
        for detail in period.get("periodDetails") or ():
            yield {**period, "group": group}, detail


@dataclass(frozen=True, slots=True)
class _Bill:
    """What each billing item of Model Studio cost, per day and instance."""

    settings: BillSettings
    client: Client
    name: str = "bill"

    @property
    def shape(self) -> str:
        """There is one only."""
        return "1d"

    @property
    def cut(self) -> Cut:
        """Days of UTC+8, there on the next, that may change until the month is settled."""
        return Cut(DAY_SECONDS, 31 * DAY_SECONDS, 12 * 3_600, 10 * DAY_SECONDS, UTC_8_SECONDS)

    def read(self, span: Span) -> Read:
        """All pages of each day."""
        taken = Taken(f"{self.name} of {china_day(span.since)}")
        for day in days(span):
            taken.take(self._items(day), self._bucket)
        return taken.read()

    def check(self) -> str:
        """Whether the bill can be read."""
        next(self._items("2026-01-01"), None)
        return "the bill can be read"

    def _items(self, day: str) -> Iterator[Row]:
        query = {
            "BillingCycle": day[:7],
            "BillingDate": day,
            "Granularity": "DAILY",
            "IsBillingItem": "true",
            "MaxResults": str(_ITEMS),
        }
        while True:
            answer = self.client.ask(BSS_URL, "/", "DescribeInstanceBill", "2017-12-14", query)
            data = answer.get("Data")
            if answer.get("Success") is False or not isinstance(data, Mapping):
                raise unknown_form(self.settings.url or BSS_URL)
            for item in data.get("Items") or ():
                names = [
                    item.get(name)
                    for name in ("ProductName", "ProductCode", "CommodityCode", "ProductDetail")
                ]
                if is_sold(names, self.settings.products or PRODUCTS):
                    yield {"day": day}, item
            following = data.get("NextToken")
            if not following or following == query.get("NextToken"):
                return
            query["NextToken"] = str(following)

    def _bucket(self, place: Answer, item: Answer) -> Bucket:
        starts_at, ends_at = day_stretch(place["day"])
        cost = amount(item, "PretaxAmount")
        if cost is None:
            raise ValueError("PretaxAmount is missing")
        return Bucket(
            source=self.settings.name,
            starts_at=starts_at,
            ends_at=ends_at,
            model=None,
            key=text(item, "InstanceID") or text(item, "Region"),
            tokens=Tokens(),
            cost=cost,
            currency=text(item, "Currency") or self.settings.currency or "CNY",
            group=text(item, "BillingItem") or text(item, "BillingItemCode") or "",
            report=self.name,
        )
