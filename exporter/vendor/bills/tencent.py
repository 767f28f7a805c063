"""Tencent Cloud: TokenHub's tokens per stretch, key and model, and the bill's money per day of UTC+8.

Facts (Tencent Cloud API reference, TokenHub 2026-03-22 DescribeUsageRankList; Billing 2018-07-09 DescribeBillDetail): ten
objects a page; series are JSON arrays inside text, with nulls; CacheTotalToken is part of InputTotalToken; the finest period
depends on the span. The bill tells whole months, lines have components with their own prices. Signed with TC3 by Tencent's
own SDK core.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from exporter.config.bills import BillSettings
from exporter.model import SECOND, Tokens
from exporter.vendor.bills.choices import chosen_dimension, chosen_reports
from exporter.vendor.bills.days import UTC_8_SECONDS, china_day, day_stretch, is_sold, months
from exporter.vendor.bills.pages import Answer, Row, Taken
from exporter.vendor.bills.stretches import BucketPuller, Cut, Read, Report, Span
from exporter.vendor.bills.tencent_client import Ask, client_of
from exporter.vendor.bills.values import DAY_SECONDS, WIDTHS, amount, count, rfc3339_seconds, rows, text
from exporter.vendor.pullers.base import Bucket, Puller, Traits

TRAITS = Traits(
    per_request=False,
    delay_seconds=1_800.0,
    reread_seconds=2.0 * DAY_SECONDS,
    includes_cached=True,
    has_cost=True,
    time_zone="Asia/Shanghai",
)
PRODUCTS = ("混元", "大模型", "hunyuan", "tokenhub", "deepseek")
_SPANS = {"1m": DAY_SECONDS, "1h": 10 * DAY_SECONDS, "1d": 90 * DAY_SECONDS}
_PAGE = 10
_LINES = 300
_SERIES = {
    "input": "InputTotalToken",
    "output": "OutputTotalToken",
    "cache_read": "CacheTotalToken",
    "requests": "RequestCount",
}


def puller(settings: BillSettings) -> Puller:
    """TokenHub's usage and the bill of one account. Raises Misconfigured, also when the SDK's core is missing."""
    dimension = chosen_dimension(settings, {"key": "key", "model": "model"})
    reports: dict[str, Report] = {
        "usage": _Usage(settings, dimension, client_of(settings, "tokenhub", "2026-03-22")),
        "bill": _Bill(settings, client_of(settings, "billing", "2018-07-09")),
    }
    return BucketPuller(
        settings, TRAITS, [reports[name] for name in chosen_reports(settings, tuple(reports))]
    )


@dataclass(frozen=True, slots=True)
class _Usage:
    """Tokens per stretch. By key: per key and model, with requests; by model: per model, without."""

    settings: BillSettings
    dimension: str
    ask: Ask
    name: str = "usage"

    @property
    def shape(self) -> str:
        """Width and grouping."""
        return f"{self.settings.width} {self.dimension}"

    @property
    def cut(self) -> Cut:
        """As long a span as the width allows; days are UTC+8's."""
        width = self.settings.width
        offset = UTC_8_SECONDS if width == "1d" else 0
        return Cut(
            WIDTHS[width], _SPANS[width], int(TRAITS.delay_seconds), int(TRAITS.reread_seconds), offset
        )

    def read(self, span: Span) -> Read:
        """All pages of all keys, or of all models."""
        taken = Taken(f"{self.name} of {rfc3339_seconds(span.since)}")
        if self.dimension == "model":
            taken.take(self._rows(span, None), self._bucket)
        else:
            listed = self.ask("DescribeUsageRankList", self._asked(span, "apikey") | {"ShowAll": True})
            for item in rows(listed.get("TopList") or [], "TopList"):
                taken.take(self._rows(span, str(item.get("Key"))), self._bucket)
        return taken.read()

    def check(self) -> str:
        """How many models were used on one day."""
        day = Span(1_767_225_600, 1_767_225_600 + DAY_SECONDS)
        found = self.ask("DescribeUsageRankList", self._asked(day, "model") | {"ShowAll": True})
        return f"TokenHub's usage can be read ({len(found.get('TopList') or [])} models on 2026-01-01)"

    def _asked(self, span: Span, dimension: str) -> dict[str, Any]:
        return {
            "Dimension": dimension,
            "StartTime": rfc3339_seconds(span.since),
            "EndTime": rfc3339_seconds(span.until),
        }

    def _rows(self, span: Span, key: str | None) -> Iterator[Row]:
        """Each point of each model."""
        asked = self._asked(span, "model") | {"Period": WIDTHS[self.settings.width]}
        if key is not None:
            asked |= {"MetricType": "apikey_usage", "Anchor": key}
        offset = 0
        while True:
            answer = self.ask("DescribeUsageRankList", asked | {"Offset": offset})
            models = answer.get("TopList") or []
            for model in models:
                yield from _points(key, model, answer.get("Timestamps") or [])
            offset += _PAGE
            if not models or offset >= int(answer.get("Total") or 0):
                return

    def _bucket(self, place: Answer, point: Answer) -> Bucket | None:
        if "bad" in point:
            raise ValueError(f"{point['bad']} is not a list as long as Timestamps")
        if not any(point.get(name) for name in _SERIES):
            return None  # an idle stretch
        return Bucket(
            source=self.settings.name,
            starts_at=place["at"] * SECOND,
            ends_at=(place["at"] + WIDTHS[self.settings.width]) * SECOND,
            model=place["model"],
            key=place["key"],
            tokens=Tokens(count(point, "input"), count(point, "output"), count(point, "cache_read")),
            requests=count(point, "requests"),
            report=self.name,
        )


def _points(key: str | None, model: Answer, times: list[int]) -> Iterator[Row]:
    """The series of a model, which are lists written as text; one row for all of them when one cannot be read."""
    told = {name: model.get("Series", {}).get(theirs) for name, theirs in _SERIES.items()}
    series = {name: _list(written) for name, written in told.items() if written is not None}
    place = {"model": text(model, "Key"), "key": key}
    for name, values in series.items():
        if values is None or len(values) != len(times):
            yield place, {"bad": _SERIES[name]}
            return
    for number, at in enumerate(times):
        yield (
            place | {"at": at},
            {name: values[number] for name, values in series.items() if values is not None},
        )


def _list(written: object) -> list[Any] | None:
    try:
        values = json.loads(str(written))
    except ValueError:
        return None
    return values if isinstance(values, list) else None


@dataclass(frozen=True, slots=True)
class _Bill:
    """What each component of each line cost, per day."""

    settings: BillSettings
    ask: Ask
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
        """The months that the span touches; of them, its days."""
        taken = Taken(f"{self.name} of {china_day(span.since)}")
        for month in months(span):
            taken.take(self._lines(month, span), self._bucket)
        return taken.read()

    def check(self) -> str:
        """Whether the bill can be read."""
        self.ask("DescribeBillDetail", {"Month": "2026-01", "Offset": 0, "Limit": 1})
        return "the bill can be read"

    def _lines(self, month: str, span: Span) -> Iterator[Row]:
        """Each component of each line about models."""
        asked: dict[str, Any] = {"Month": month, "Limit": _LINES}
        offset = 0
        while True:
            answer = self.ask("DescribeBillDetail", asked | {"Offset": offset})
            lines = answer.get("DetailSet") or []
            for line in lines:
                names = [
                    line.get(name)
                    for name in ("BusinessCodeName", "ProductCodeName", "BusinessCode", "ProductCode")
                ]
                day = str(line.get("BillDay") or line.get("FeeBeginTime"))[:10]
                if is_sold(names, self.settings.products or PRODUCTS) and china_day(
                    span.since
                ) <= day < china_day(span.until):
                    for component in line.get("ComponentSet") or ():
                        yield {**line, "day": day}, component
            offset += _LINES
            if len(lines) < _LINES:
                return
            asked["Context"] = answer.get("Context")

    def _bucket(self, line: Answer, component: Answer) -> Bucket:
        starts_at, ends_at = day_stretch(line["day"])
        cost = amount(component, "RealCost")
        if cost is None:
            raise ValueError("RealCost is missing")
        parts = (text(component, "ComponentCodeName"), text(component, "ItemCodeName"))
        return Bucket(
            source=self.settings.name,
            starts_at=starts_at,
            ends_at=ends_at,
            model=None,
            key=text(line, "ResourceId") or text(line, "ProjectName"),
            tokens=Tokens(),
            cost=cost,
            currency=self.settings.currency or "CNY",
            group=" ".join(part for part in parts if part),
            report=self.name,
        )
