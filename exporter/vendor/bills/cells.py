"""What people and consoles write into cells: numbers with thousands separators and signs of money, days in many forms."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta, tzinfo
from decimal import Decimal, InvalidOperation

from exporter.clock import micros
from exporter.model import Micros

_NOTHING = frozenset({"", "-", "--", "—", "–", "n/a", "na", "null", "none", "nan", "无", "/"})
_GROUPED = re.compile(r"\d{1,3}(?:[,\u00a0\u202f' ]\d{3})+(?:\.\d+)?$")
_MONEY_SIGNS = re.compile(r"^(?:US\$|USD|CNY|RMB|[$¥￥€£元])\s*|\s*(?:USD|CNY|RMB|[$€元])$", re.IGNORECASE)
_DAY = re.compile(r"(\d{4})[-/.年](\d{1,2})[-/.月](\d{1,2})日?$")
_AMERICAN = re.compile(r"(\d{1,2})/(\d{1,2})/(\d{4})$")
_MONTH = re.compile(r"(\d{4})(?:[-/年](\d{1,2})月?|(\d{2}))$")
_HOUR = timedelta(hours=1)


def is_nothing(cell: str) -> bool:
    """Whether the cell holds no value."""
    return cell.strip().lower() in _NOTHING


def number(cell: str, *, has_decimal_comma: bool = False) -> Decimal | None:
    """`1,234.50`, `¥0.3`, `(2.5)` for less than nothing. None for nothing; raises ValueError for what is no number."""
    if is_nothing(cell):
        return None
    text = _MONEY_SIGNS.sub("", cell.strip()).strip()
    is_negative = text.startswith("-") or (text.startswith("(") and text.endswith(")"))
    text = text.strip("()").lstrip("+-").strip()
    text = _MONEY_SIGNS.sub("", text)
    if has_decimal_comma and "," in text:
        text = text.replace(".", "").replace(",", ".")
    elif _GROUPED.match(text):
        text = re.sub(r"[,\u00a0\u202f' ]", "", text)
    try:
        value = Decimal(text)
    except InvalidOperation:
        raise ValueError("is not a number") from None
    if not value.is_finite():
        raise ValueError("is not a number")
    return -value if is_negative else value


def stretch(cell: str, end: str, zone: tzinfo) -> tuple[Micros, Micros]:
    """What stretch of time a row is of: from its time to its end where one is written, else the month, day or hour that the
    time is in. Times without an offset are in `zone`. Raises ValueError."""
    first, length = _moment(cell, zone)
    if not is_nothing(end):
        last, _ = _moment(end, zone)
        if last > first:
            return micros(first), micros(last)
    if length == _HOUR:
        first = first.replace(minute=0, second=0, microsecond=0)
    return micros(first), micros(first + length)


def _moment(cell: str, zone: tzinfo) -> tuple[datetime, timedelta]:
    """A time, and how long the stretch is that it stands for."""
    text = cell.strip()
    if re.fullmatch(r"\d{10}(?:\.0+)?", text):
        return datetime.fromtimestamp(int(text[:10]), UTC), _HOUR
    day = _day(text)
    if day is not None:
        return _days(day, day + timedelta(days=1), zone)
    month = _MONTH.match(text)
    if month is not None:
        begins = date(int(month[1]), int(month[2] or month[3]), 1)
        return _days(begins, (begins + timedelta(days=32)).replace(day=1), zone)
    try:
        moment = datetime.fromisoformat(text.removesuffix(" UTC").replace("/", "-"))
    except ValueError:
        raise ValueError("is not a time") from None
    if text.endswith(" UTC"):
        moment = moment.replace(tzinfo=UTC)
    return (moment if moment.tzinfo else moment.replace(tzinfo=zone)), _HOUR


def _day(text: str) -> date | None:
    found = _DAY.match(text)
    if found is not None:
        return date(int(found[1]), int(found[2]), int(found[3]))
    found = _AMERICAN.match(text)
    if found is not None:
        return date(int(found[3]), int(found[1]), int(found[2]))
    return date.fromisoformat(text) if re.fullmatch(r"\d{8}", text) else None


def _days(first: date, after: date, zone: tzinfo) -> tuple[datetime, timedelta]:
    """In UTC, so that a day on which clocks change is as long as it was."""
    begins, ends = (
        datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC) for day in (first, after)
    )
    return begins, ends - begins
