"""Any OTLP/HTTP receiver: a collector, Phoenix, MLflow, Tempo and others.

Its answer is its receipt. What such a receiver does with a span that it gets twice is not known, so nothing is ever
sent again as a correction.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from exporter.config import ContentSettings, DestinationSettings
from exporter.destinations import platform
from exporter.destinations.answers import export
from exporter.destinations.base import Answer, Checked, Confirmation, Limits, Unit
from exporter.destinations.http import Http
from exporter.model import AssessedTrace
from exporter.spans.content import content
from exporter.spans.plain import PlainProjector

_PATH = "/v1/traces"


class Otlp:
    """One OTLP/HTTP endpoint."""

    kind = "otlp"
    corrects = False

    def __init__(
        self, settings: DestinationSettings, content_settings: ContentSettings, resource: Mapping[str, str]
    ) -> None:
        self.name = settings.name
        self.limits: Limits = platform.limits(settings)
        self.confirmation = platform.confirmation(settings, Confirmation.AT_ONCE)
        self._url = platform.base_address(settings.endpoint, _PATH) + _PATH
        self._http = Http(platform.extra_headers(settings), settings.timeout)
        self._envelope = platform.envelope(resource)
        self._projector = PlainProjector(content(content_settings))

    def render(self, trace: AssessedTrace) -> list[bytes]:
        """The trace's spans in the plain dialect, root first."""
        return self._projector(trace)

    def send(self, units: Sequence[Unit]) -> Answer:
        """One request."""
        return export(self._http, self._url, self._envelope.request(units))

    def missing(self, units: Sequence[Unit]) -> set[int] | None:
        """OTLP has no read side: always None."""
        return None

    def check(self) -> list[Checked]:
        """Send a request without spans."""
        return [platform.checked_export(self.send(()))]

    def link(self, trace_id: str) -> str | None:
        """OTLP says nothing about pages: always None."""
        return None
