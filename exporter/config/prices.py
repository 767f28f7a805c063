"""What models cost: the operator's own prices and exchange rates, inline or in a file of their own."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import yaml
from pydantic import BeforeValidator, ConfigDict, Field, PrivateAttr, ValidationError, model_validator

from exporter.config.section import Section

_HOURS = re.compile(r"^([01]\d|2[0-3]):([0-5]\d)\s*-\s*([01]\d|2[0-3]):([0-5]\d)$")


def _moment(value: object) -> object:
    """A day or a time as YAML or text gives it; without an offset it stays naive, for the entry's own time zone."""
    if isinstance(value, datetime):
        return value
    if isinstance(value, date):
        return datetime.combine(value, time())
    try:
        return datetime.fromisoformat(str(value))
    except ValueError:
        raise ValueError("expected a day or a time such as 2026-11-01 or 2026-11-01T00:00:00+08:00") from None


def _window(value: object) -> object:
    match = _HOURS.match(str(value).strip())
    if not match:
        raise ValueError("expected hours such as 08:30-18:00")
    start, end = time(int(match[1]), int(match[2])), time(int(match[3]), int(match[4]))
    if start == end:
        raise ValueError("hours begin and end at the same time; leave them out for the whole day")
    return start, end


Moment = Annotated[datetime, BeforeValidator(_moment)]
Window = Annotated[tuple[time, time], BeforeValidator(_window)]
Price = Annotated[Decimal, Field(ge=0, allow_inf_nan=False)]
Currency = Annotated[str, Field(pattern=r"^[A-Z]{3}$")]


class _PriceSection(Section):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, populate_by_name=True)


class PriceTier(_PriceSection):
    """Other prices for requests with a longer input; what a tier leaves out stays as without it."""

    above: int = Field(gt=0, description="input tokens of one request above which all of it costs this")
    input: Price | None = None
    cached_input: Price | None = None
    cache_write: Price | None = None
    output: Price | None = None
    reasoning: Price | None = None


class PriceEntry(_PriceSection):
    """What some models cost, from a day on, perhaps at some hours only."""

    provider: str = Field("*", min_length=1, description="Dify's provider or the gateway's; * and ? as usual")
    model: str = Field(min_length=1, description="the model's name; * and ? stand for any characters")
    currency: Currency = Field(description="three letters, such as USD or CNY")
    since: Moment | None = Field(None, alias="from", description="from when; default: always")
    hours: list[Window] = Field(default=[], description="only at these times of day, such as 08:30-18:00")
    time_zone: str = Field("UTC", description="zone of hours, and of from where it has none")
    input: Price | None = Field(None, description="a million input tokens")
    cached_input: Price | None = Field(None, description="a million from the cache; default: as input")
    cache_write: Price | None = Field(None, description="a million written to the cache; default: as input")
    output: Price | None = Field(None, description="a million output tokens")
    reasoning: Price | None = Field(None, description="a million reasoning tokens; default: as output")
    tiers: list[PriceTier] = Field(default=[], description="other prices for longer inputs")
    batch_factor: Price | None = Field(None, description="what a batch costs of the same tokens, such as 0.5")
    per_request: Price | None = Field(None, description="each request besides its tokens")
    per_character: Price | None = Field(None, description="each character, where a vendor bills so")

    @model_validator(mode="after")
    def _usable(self) -> PriceEntry:
        zone = _zone(self.time_zone)
        if self.since is not None and self.since.tzinfo is None:
            object.__setattr__(self, "since", self.since.replace(tzinfo=zone).astimezone(UTC))
        if not any(
            price is not None for price in (self.input, self.output, self.per_request, self.per_character)
        ):
            raise ValueError("one of input, output, per_request and per_character is needed")
        starts = [tier.above for tier in self.tiers]
        if len(set(starts)) < len(starts):
            raise ValueError("two tiers begin above the same number of tokens")
        return self


class ExchangeRate(_PriceSection):
    """How much of one currency another one is worth, from a day on."""

    currency: Currency = Field(description="7.1 CNY per USD: CNY")
    per: Currency = Field(description="7.1 CNY per USD: USD")
    rate: Price = Field(gt=0, description="7.1 CNY per USD: 7.1")
    date: Moment | None = Field(None, description="from when; default: always")

    @model_validator(mode="after")
    def _usable(self) -> ExchangeRate:
        if self.currency == self.per:
            raise ValueError("currency and per are the same")
        if self.date is not None and self.date.tzinfo is None:
            object.__setattr__(self, "date", self.date.replace(tzinfo=UTC))
        return self


class PriceFile(_PriceSection):
    """What a price file may hold: the same lists as the settings."""

    entries: list[PriceEntry] = Field(default=[])
    rates: list[ExchangeRate] = Field(default=[])


class PriceSettings(_PriceSection):
    """What models cost."""

    entries: list[PriceEntry] = Field(default=[], description="your own prices; they win over all others")
    file: Path | None = Field(None, description="YAML file with entries and rates besides those here")
    rates: list[ExchangeRate] = Field(
        default=[], description="exchange rates; no amount is converted without"
    )
    list_prices: bool = Field(
        True, description="whether public list prices (genai-prices) are used where yours say nothing"
    )
    _of_file: PriceFile = PrivateAttr(default_factory=PriceFile)

    @model_validator(mode="after")
    def _read(self) -> PriceSettings:
        if self.file is not None:
            self._of_file = _read_file(self.file)
        return self

    @property
    def of_file(self) -> PriceFile:
        """What the price file held when the settings were read."""
        return self._of_file


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, ZoneInfoNotFoundError):
        raise ValueError(f"time_zone {name!r} is no zone name such as Asia/Shanghai or UTC") from None


def _read_file(path: Path) -> PriceFile:
    try:
        content: Any = yaml.safe_load(path.read_text("utf-8"))
    except OSError as error:
        raise ValueError(f"file {path} cannot be read: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError):
        raise ValueError(f"file {path} is not valid YAML") from None
    try:
        return PriceFile.model_validate(content if content is not None else {})
    except ValidationError as error:
        problems = "; ".join(_problem(item["loc"], item["msg"]) for item in error.errors())
        raise ValueError(f"file {path}: {problems}") from None


def _problem(place: Sequence[int | str], message: str) -> str:
    where = ".".join(str(part) for part in place)
    return f"{where}: {message.removeprefix('Value error, ')}" if where else "entries: or rates: are missing"
