"""Any OTLP/HTTP receiver by the preset of its kind: a collector, Opik, MLflow, Weave, Arize, Phoenix, an APM.

The preset says where spans go, how a request proves itself, what the platform reads and when it may be believed.
Where nothing is known of a span that comes twice, nothing is ever sent again as a correction.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from exporter.config import ContentSettings, DestinationSettings
from exporter.destinations import platform
from exporter.destinations.answers import export
from exporter.destinations.base import Answer, Checked, Limits, Unit
from exporter.destinations.holdings import Holdings
from exporter.destinations.http import Http
from exporter.destinations.presets import PRESETS, Preset, ReadBack, filled, filled_all
from exporter.model import AssessedTrace
from exporter.spans.content import content


class Otlp:
    """One OTLP/HTTP endpoint."""

    def __init__(
        self, settings: DestinationSettings, content_settings: ContentSettings, resource: Mapping[str, str]
    ) -> None:
        self.kind = settings.kind
        self.name = settings.name
        self._settings = settings
        self._preset = preset = PRESETS[settings.kind]
        self.corrects = preset.takes_again
        self.limits: Limits = _limits(settings, preset)
        self.confirmation = platform.confirmation(settings, preset.confirmation)
        path = filled(preset.path, settings) or preset.path
        pasted = [filled(end, settings) or end for end in (preset.path, *preset.pasted)]
        self._address = platform.base_address(
            settings.endpoint or filled(preset.address, settings) or "", *pasted
        )
        self._url = self._address + path
        headers = {**filled_all(preset.headers, settings), **platform.extra_headers(settings)}
        self._http = Http(headers, settings.timeout)
        self._envelope = platform.envelope({**resource, **filled_all(preset.resource, settings)})
        self._projector = preset.projector(content(content_settings))
        self._read_back: ReadBack | None = None
        if preset.read_back is not None:
            self._read_back = read_back = preset.read_back(self._http, self._address, settings.project)
            self.holdings: Callable[[], Holdings] = lambda: read_back  # there only where the audit may ask

    def render(self, trace: AssessedTrace) -> list[bytes]:
        """The trace's spans in the platform's dialect, root first."""
        return self._projector(trace)

    def send(self, units: Sequence[Unit]) -> Answer:
        """One request."""
        return export(self._http, self._url, self._envelope.request(units))

    def missing(self, units: Sequence[Unit]) -> set[int] | None:
        """Units of which a span is not there, where the platform can be asked; OTLP itself has no read side: None."""
        return self._read_back.missing(units) if self._read_back is not None else None

    def check(self) -> list[Checked]:
        """Send a request without spans."""
        return [platform.checked_export(self.send(()))]

    def link(self, trace_id: str) -> str | None:
        """The trace's page where the platform has an address for it; OTLP says nothing about pages."""
        if not self._preset.link:
            return None
        return filled(self._preset.link, self._settings, address=self._address, trace_id=trace_id)


def _limits(settings: DestinationSettings, preset: Preset) -> Limits:
    """The operator's packing; what he leaves open, the platform's."""
    limits = platform.limits(settings)
    if not preset.max_spans or "max_spans" in settings.model_fields_set:
        return limits
    return replace(limits, max_spans=min(limits.max_spans, preset.max_spans))
