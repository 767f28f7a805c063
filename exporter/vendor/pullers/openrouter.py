"""OpenRouter's activity: what each completed UTC day cost per model, over the last 30 days. Never single calls.

Facts (OpenRouter API reference, "Get user activity"): GET /api/v1/activity with a management key gives `data` rows with
date, model, endpoint_id, provider_name, usage (USD, credits spent), byok_usage_inference (USD, billed elsewhere),
requests, prompt_tokens, completion_tokens, reasoning_tokens.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any

from exporter.clock import micros
from exporter.config import BillSettings, VendorSettings
from exporter.destinations.http import Http, shown_address
from exporter.errors import Misconfigured, Unreachable
from exporter.model import Micros, Tokens
from exporter.vendor.pullers.answers import ask, read_json
from exporter.vendor.pullers.base import Bucket, Pulled, Refused, Told, Traits

PUBLIC_URL = "https://openrouter.ai"
TRAITS = Traits(
    per_request=False,
    delay_seconds=86_400.0,
    reread_seconds=3 * 86_400.0,
    includes_cached=True,
    has_cost=True,
)
"""A day is there once it is over; the last three are read again, because late requests are added to them."""

_LEAST_PAUSE_SECONDS = 3_600.0
_KEY_HINT = "set key to an OpenRouter management key (a key for models cannot read the activity)"
_DAY = timedelta(days=1)
_TOLD_DAYS = 30


@dataclass(frozen=True, slots=True)
class _Place:
    """No day before `floor` is taken; `through` is the last completed day that was read."""

    floor: date
    through: date

    def text(self) -> str:
        return json.dumps({"floor": self.floor.isoformat(), "through": self.through.isoformat()})


class ActivityPuller:
    """The activity of one OpenRouter account."""

    def __init__(self, settings: VendorSettings | BillSettings) -> None:
        self._name, self._start = settings.name, settings.start
        self._every_seconds = max(settings.poll_interval, _LEAST_PAUSE_SECONDS)
        self._url = (settings.url or PUBLIC_URL).rstrip("/")
        self._http = Http({"Authorization": f"Bearer {settings.key.get_secret_value()}"}, settings.timeout)

    @property
    def name(self) -> str:
        """The source's name."""
        return self._name

    @property
    def traits(self) -> Traits:
        """What the source declares."""
        return TRAITS

    @property
    def every_seconds(self) -> float:
        """At least an hour: days change once a day."""
        return self._every_seconds

    def pull(self, position: str | None, now: Micros) -> Pulled:
        """The rows of completed days from three days before the position on."""
        today = datetime.fromtimestamp(now / 1_000_000, UTC).date()
        place = _read_place(position) or _Place(self._first_day(today), date.min)
        first = max(place.floor, place.through - 3 * _DAY) if place.through > date.min else place.floor
        buckets: list[Bucket] = []
        refused: list[Refused] = []
        for number, row in enumerate(self._rows(), start=1):
            try:
                day = _day(row)
                if first <= day < today:
                    buckets.append(_bucket(self._name, day, row))
            except ValueError as problem:
                refused.append(Refused(f"entry {number} of {today}", str(problem)))
        text = _Place(place.floor, max(today - _DAY, place.through)).text()
        since = max(first, today - _TOLD_DAYS * _DAY)
        told = () if refused else (Told(self._name, "", _midnight(since), _midnight(today)),)
        return Pulled(buckets=tuple(buckets), refused=tuple(refused), position=text, told=told)

    def check(self) -> str:
        """Whether the key may read the activity, and of how many days there is any."""
        days = {str(row.get("date")) for row in self._rows() if isinstance(row, Mapping)}
        return f"OpenRouter activity at {shown_address(self._url)}: {len(days)} days with requests"

    def close(self) -> None:
        """Nothing is held between requests but an idle connection."""

    def _first_day(self, today: date) -> date:
        if self._start == "beginning":
            return date.min
        return today if self._start == "now" else self._start.astimezone(UTC).date()

    def _rows(self) -> list[Any]:
        reply = ask(self._http, f"{self._url}/api/v1/activity", {}, _KEY_HINT)
        if reply.status == 404:
            raise Misconfigured(
                [f"{shown_address(self._url)} has no /api/v1/activity (HTTP 404)"],
                f"leave url out: the public service is {PUBLIC_URL}",
            )
        answer = read_json(reply, self._url)
        if not isinstance(answer, dict) or not isinstance(answer.get("data"), list):
            raise Unreachable(f"{shown_address(self._url)} gave an activity in an unknown form")
        return list(answer["data"])


def _read_place(position: str | None) -> _Place | None:
    """None for no position and for one of another kind of source."""
    try:
        days = json.loads(position or "null")
        return (
            _Place(date.fromisoformat(days["floor"]), date.fromisoformat(days["through"])) if days else None
        )
    except (ValueError, KeyError, TypeError):
        return None


def _day(row: object) -> date:
    if not isinstance(row, Mapping):
        raise ValueError("the entry is not an object")
    try:
        return date.fromisoformat(str(row.get("date"))[:10])
    except ValueError:
        raise ValueError("date is not a day such as 2026-11-23") from None


def _midnight(day: date) -> Micros:
    return micros(datetime(day.year, day.month, day.day, tzinfo=UTC))


def _bucket(source: str, day: date, row: Mapping[str, Any]) -> Bucket:
    """One row. `cost` is what OpenRouter bills; what a key of one's own is billed elsewhere is not in it."""
    output, reasoning = _count(row, "completion_tokens"), _count(row, "reasoning_tokens")
    if reasoning is not None and (output is None or reasoning > output):
        reasoning = None  # not a part of the output, so nothing that it could be counted as
    places = (row.get("provider_name"), row.get("endpoint_id"))
    return Bucket(
        source=source,
        starts_at=_midnight(day),
        ends_at=_midnight(day + _DAY),
        model=str(row["model"]) if row.get("model") else None,
        key=None,
        tokens=Tokens(input=_count(row, "prompt_tokens"), output=output, reasoning=reasoning),
        requests=_count(row, "requests"),
        cost=_amount(row, "usage"),
        currency="USD",
        group=" ".join(str(place) for place in places if place),
    )


def _count(row: Mapping[str, Any], name: str) -> int | None:
    value = row.get(name)
    if value is None:
        return None
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or value < 0 or not float(value).is_integer():
        raise ValueError(f"{name} is not a count")
    return int(value)


def _amount(row: Mapping[str, Any], name: str) -> Decimal | None:
    value = row.get(name)
    if value is None:
        return None
    try:
        amount = Decimal(str(value))
    except InvalidOperation:
        raise ValueError(f"{name} is not an amount") from None
    if isinstance(value, bool) or not amount.is_finite():
        raise ValueError(f"{name} is not an amount")
    return amount
