"""Days and months as bills of Chinese clouds have them: of UTC+8, which knows no summer time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, timedelta, timezone

from exporter.clock import micros
from exporter.model import Micros
from exporter.vendor.bills.stretches import Span
from exporter.vendor.bills.values import DAY_SECONDS

UTC_8_SECONDS = 8 * 3_600
_CHINA = timezone(timedelta(seconds=UTC_8_SECONDS))


def china_day(moment: int) -> str:
    """The day of UTC+8 of a moment in Unix seconds, as 2026-11-23."""
    return datetime.fromtimestamp(moment, UTC).astimezone(_CHINA).date().isoformat()


def days(span: Span) -> Iterator[str]:
    """The days of UTC+8 in a span that begins and ends with one."""
    for moment in range(span.since, span.until, DAY_SECONDS):
        yield china_day(moment)


def months(span: Span) -> list[str]:
    """The months of those days, as 2026-11."""
    return sorted({day[:7] for day in days(span)})


def day_stretch(text: str) -> tuple[Micros, Micros]:
    """First moment and end of a day, written 2026-11-23 or 20261123. Raises ValueError."""
    try:
        day = date.fromisoformat(text)
    except ValueError:
        raise ValueError("the row's day is not a day") from None
    begins = datetime(day.year, day.month, day.day, tzinfo=_CHINA)
    return micros(begins), micros(begins + timedelta(days=1))


def is_sold(names: Iterable[object], products: Iterable[str]) -> bool:
    """Whether one of a row's names has one of the products' names in it."""
    written = [str(name).lower().replace(" ", "") for name in names if name]
    return any(product.lower() in name for product in products for name in written)
