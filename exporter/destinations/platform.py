"""What every platform's destination is made from: packing, confirmation rule, request frame, and reading our own bytes.

The settings decide; where they leave it open, the platform's known limits do.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from exporter import __version__
from exporter.config import DestinationSettings
from exporter.destinations.base import Answer, Checked, Confirmation, Limits, Outcome, Unit
from exporter.spans import otlp


@dataclass(frozen=True, slots=True)
class Envelope:
    """The resource and scope that go around the spans of every request, serialised once."""

    resource: bytes
    scope: bytes

    def request(self, units: Sequence[Unit]) -> bytes:
        """The body of one export request."""
        return otlp.request(self.resource, self.scope, (unit.spans for unit in units))


def envelope(resource: Mapping[str, str]) -> Envelope:
    """An envelope with these resource attributes; the scope is this program and its version."""
    return Envelope(otlp.resource(resource), otlp.scope("dify-exporter", __version__))


def limits(
    settings: DestinationSettings,
    traces_per_request: int = 0,
    requests_per_second: float = 0.0,
    *,
    needs_parents: bool = False,
) -> Limits:
    """Packing and pacing: the operator's, else the platform's."""
    return Limits(
        max_spans=settings.max_spans,
        max_bytes=settings.max_bytes,
        traces_per_request=traces_per_request,
        requests_per_second=settings.requests_per_second or requests_per_second,
        needs_parents=needs_parents,
    )


def confirmation(settings: DestinationSettings, platform: Confirmation) -> Confirmation:
    """The operator's rule, or the platform's for `auto`."""
    return platform if settings.confirm == "auto" else Confirmation(settings.confirm)


def extra_headers(settings: DestinationSettings) -> dict[str, str]:
    """The operator's own request headers."""
    return {name: value.get_secret_value() for name, value in settings.headers.items()}


def base_address(endpoint: str, *suffixes: str) -> str:
    """The endpoint without a trailing slash and without any of the path suffixes people paste along."""
    address = endpoint.strip().rstrip("/")
    for suffix in suffixes:
        address = address.removesuffix(suffix).rstrip("/")
    return address


def checked_export(answer: Answer) -> Checked:
    """The line of `check` for an export request without spans."""
    works = answer.outcome is Outcome.ACCEPTED
    hint = (
        None
        if works
        else _HINTS.get(answer.outcome, "look at the receiver's log: it refused a request without spans")
    )
    return Checked("sending", works, "an empty request was accepted" if works else answer.reason, hint)


_HINTS = {
    Outcome.HOLD: "correct the endpoint, the keys or their rights",
    Outcome.RETRY: "see that the address is reachable from here, and try again",
}
