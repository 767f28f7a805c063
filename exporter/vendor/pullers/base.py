"""What the intake needs of a place that vendor evidence is fetched from, and what that place declares about itself.

A puller is a function of its position: it stores nothing, and the intake stores position and records in one transaction.
Reading a record twice is harmless, because `(source, id)` is idempotent.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Protocol

from exporter.model import Micros, Tokens
from exporter.vendor.record import VendorCall


@dataclass(frozen=True, slots=True)
class Refused:
    """A record that was left out: where it stood, and why; never what it said."""

    place: str
    reason: str


@dataclass(frozen=True, slots=True)
class Traits:
    """What a source says of its own records, so that nothing else needs to know which vendor it is.

    `delay_seconds`: how late a record may appear; `reread_seconds`: how far back is read again because records may come
    late or change. `includes_cached`: whether the source's input counts hold cached tokens (None: decided per record by
    its usage shape). `time_zone` is that of its days and of times written without a zone.
    """

    per_request: bool = True
    delay_seconds: float = 0.0
    reread_seconds: float = 0.0
    includes_cached: bool | None = None
    has_texts: bool = False
    has_users: bool = False
    has_cost: bool = False
    time_zone: str = "UTC"


@dataclass(frozen=True, slots=True)
class Bucket:
    """Usage that a vendor tells only per stretch of time and group; compared over windows, never spread over calls."""

    source: str
    starts_at: Micros
    ends_at: Micros
    model: str | None
    key: str | None
    tokens: Tokens
    requests: int | None = None
    cost: Decimal | None = None
    currency: str | None = None
    group: str = ""  # what else tells the row from others of the same time, model and key
    report: str = ""  # which of the source's reports tells it, where it has several


@dataclass(frozen=True, slots=True)
class Told:
    """[since, until) of which a source told everything that it has: rows of it that are not there any more are gone."""

    source: str
    report: str
    since: Micros
    until: Micros


@dataclass(frozen=True, slots=True)
class Pulled:
    """What one pull found. `position` is opaque text for the next pull; `is_caught_up`: nothing more is there now."""

    records: tuple[VendorCall, ...] = ()
    refused: tuple[Refused, ...] = ()
    buckets: tuple[Bucket, ...] = ()
    position: str = ""
    is_caught_up: bool = True
    told: tuple[Told, ...] = ()


class Puller(Protocol):
    """One configured place. Used by one thread at a time; raises Unreachable or Misconfigured, nothing else."""

    @property
    def name(self) -> str:
        """The source's name in readings, and the key of its position."""

    @property
    def traits(self) -> Traits:
        """What it declares about its records."""

    @property
    def every_seconds(self) -> float:
        """The pause between pulls once it is caught up."""

    def pull(self, position: str | None, now: Micros) -> Pulled:
        """What is there behind the position (None: from the configured start), a bounded amount at a time."""

    def check(self) -> str:
        """For `check`: what was seen there, in words. Raises ExporterError with the way to mend it."""

    def close(self) -> None:
        """Give back connections."""
