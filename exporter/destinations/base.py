"""What the delivery loop needs of a destination, and what it hands over.

A unit is one trace for one destination: the outbox row. A destination renders a trace to span bytes, tries one
request, and says what the answer means. It never retries, sleeps or stores anything by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol, runtime_checkable

from exporter.model import AssessedTrace, Micros


@dataclass(frozen=True, slots=True)
class Unit:
    """One trace (or, after a split, a part of it) waiting for one destination.

    `spans` is the concatenation of `ScopeSpans.spans` fields (tag 0x12, varint length, span bytes), root first, so
    that requests are made by joining bytes. `was_sent` is True when an earlier send of this very revision was never
    answered (in doubt).
    """

    seq: int
    trace_id: str
    revision: int
    spans: bytes
    span_count: int
    started_at: Micros
    ended_at: Micros
    was_sent: bool = False


class Outcome(StrEnum):
    """What an answer means for the units of the request."""

    ACCEPTED = "accepted"
    DUPLICATE = "duplicate"  # the destination already holds (part of) this request
    REFUSED = "refused"  # the content is bad: bisect, then dead letter
    TOO_LARGE = "too_large"  # split
    HOLD = "hold"  # keys, address or rights are wrong: wait long, tell the operator
    RETRY = "retry"  # worth another try after a pause


@dataclass(frozen=True, slots=True)
class Answer:
    """The outcome of one request. `retry_after` is in seconds; `reason` names status and cause, never content."""

    outcome: Outcome
    reason: str = ""
    retry_after: float | None = None


class Confirmation(StrEnum):
    """When an acknowledged unit may be forgotten."""

    AT_ONCE = "at_once"
    READ_BACK = "read_back"
    AGE = "age"


@dataclass(frozen=True, slots=True)
class Limits:
    """How requests are packed and paced. `needs_parents`: a span whose parent never comes is lost there."""

    max_spans: int
    max_bytes: int
    traces_per_request: int  # 0 = no limit
    requests_per_second: float  # 0 = no limit
    needs_parents: bool = False


@dataclass(frozen=True, slots=True)
class Checked:
    """One line of `check`: what was tested, whether it works, what was seen, and how to mend it."""

    name: str
    ok: bool
    seen: str
    hint: str | None = None


class Destination(Protocol):
    """One configured destination. Used by one worker thread at a time."""

    @property
    def name(self) -> str:
        """The operator's name for it; key in the outbox and metric label."""

    @property
    def kind(self) -> str:
        """langfuse, langsmith, otlp."""

    @property
    def limits(self) -> Limits:
        """Packing and pacing."""

    @property
    def confirmation(self) -> Confirmation:
        """The rule that decides when an acknowledged unit is forgotten."""

    @property
    def corrects(self) -> bool:
        """True when a later revision of a trace corrects what is there; else only the first is ever sent."""

    def render(self, trace: AssessedTrace) -> list[bytes]:
        """The trace's spans in this destination's dialect, serialised, root first. Pure: same trace, same bytes."""

    def send(self, units: Sequence[Unit]) -> Answer:
        """One request with these units. Never raises for what the other side does."""

    def missing(self, units: Sequence[Unit]) -> set[int] | None:
        """The `seq` of units that are not (completely) there; None when the destination cannot be asked now."""

    def check(self) -> list[Checked]:
        """Test address, keys and rights without leaving a trace behind."""

    def link(self, trace_id: str) -> str | None:
        """Where a person finds the trace, when that can be known without asking."""


class Way(StrEnum):
    """How a trace goes to a destination where Dify's own tracing may have written it already."""

    OWN = "own"  # with spans of ours
    ENRICHED = "enriched"  # what we know is added to Dify's own trace
    SKIPPED = "skipped"  # not at all: Dify wrote no trace of it, and one of ours is not wanted


@runtime_checkable
class Enriches(Protocol):
    """A destination that can add to the traces which Dify's own tracing wrote there."""

    def enrich(self, trace: AssessedTrace) -> list[bytes]:
        """What is added, in this destination's own form and never with usage; empty where that is the part of another
        queue of the platform, or Dify's trace cannot be addressed. Pure, as `render`."""


@dataclass(frozen=True, slots=True)
class Home:
    """Where a destination's traces live, as Dify's own tracing would name it. `takes_dify`: whether the server stores what
    Dify's own tracing sends. None where the destination cannot be asked now."""

    project: str | None = None
    takes_dify: bool | None = None


@runtime_checkable
class Homes(Protocol):
    """A destination that must be asked where its traces live."""

    def home(self) -> Home:
        """Asks the platform. May be called by any one thread, beside the one that delivers. Never raises."""


@runtime_checkable
class RunPages(Protocol):
    """A destination whose page of a trace is that of its root's run, in a project that must be asked for."""

    def learn_pages(self) -> None:
        """Asks the platform where its pages are; without an answer there are none. Never raises."""

    def run_page(self, trace_id: str, root_span_id: str, started_at: Micros) -> str | None:
        """The page of a trace, by its root span and that span's start; None until it was learned."""


def rendered(destination: Destination, trace: AssessedTrace, way: Way) -> list[bytes]:
    """The trace as it goes there this way; where nothing can be added to Dify's own trace, nothing goes that way."""
    if way is Way.OWN:
        return destination.render(trace)
    return destination.enrich(trace) if way is Way.ENRICHED and isinstance(destination, Enriches) else []
