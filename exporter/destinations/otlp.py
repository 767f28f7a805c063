"""Any OTLP receiver by the preset of its kind, over HTTP or gRPC: a collector, Opik, MLflow, Weave, Arize, Phoenix, an APM.

The preset says where spans go, how a request proves itself, what the platform reads and when it may be believed.
Where nothing is known of a span that comes twice, nothing is ever sent again as a correction.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from urllib.parse import urlsplit

from exporter.config import ContentSettings, DestinationSettings
from exporter.destinations import platform, projects
from exporter.destinations.answers import export
from exporter.destinations.base import Answer, Checked, Limits, Unit
from exporter.destinations.holdings import Holdings
from exporter.destinations.http import Http
from exporter.destinations.otlp_grpc import GrpcExport
from exporter.destinations.presets import PRESETS, Grpc, Preset, ReadBack, filled, filled_all
from exporter.model import AssessedTrace
from exporter.spans.content import content
from exporter.spans.otlp import piece, put_text

_GRPC_BYTES = 4 * 2**20 - 64 * 2**10
"""What gRPC servers take unless told otherwise, less what goes around the spans."""


class Otlp:
    """One OTLP endpoint."""

    def __init__(
        self, settings: DestinationSettings, content_settings: ContentSettings, resource: Mapping[str, str]
    ) -> None:
        self.kind = settings.kind
        self.name = settings.name
        self._project = project = projects.project(settings.project, resource)
        self._settings = settings = _with_project(settings, project.fixed or "")
        self._preset = preset = PRESETS[settings.kind]
        self.corrects = preset.takes_again
        self.limits: Limits = _limits(settings, preset)
        self.confirmation = platform.confirmation(settings, preset.confirmation)
        pasted = [filled(end, settings) or end for end in (preset.path, *preset.pasted)]
        self._address = platform.base_address(
            settings.endpoint or filled(preset.address, settings) or "", *pasted
        )
        self._url = self._address + (filled(preset.path, settings) or preset.path)
        self._http = Http(_headers(settings, preset.headers), settings.timeout)
        self._export = self._way()
        self._resource = dict(resource)
        self._envelopes: dict[str, platform.Envelope] = {}
        self._projector = preset.projector(content(content_settings))
        self._read_back: ReadBack | None = None
        if preset.read_back is not None:
            self._read_back = read_back = preset.read_back(self._http, self._address, project)
            self.holdings: Callable[[], Holdings] = lambda: read_back  # there only where the audit may ask

    def render(self, trace: AssessedTrace) -> list[bytes]:
        """The trace's spans in the platform's dialect, root first."""
        spans = self._projector(trace)
        if self._project.fixed is not None:
            return spans
        name = self._project.of(trace.trace.app)
        told = piece(lambda add: put_text(add, projects.ATTRIBUTE, name))
        return [span + told for span in spans]

    def send(self, units: Sequence[Unit]) -> Answer:
        """One request."""
        return self._export(self._request(units))

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

    def _request(self, units: Sequence[Unit]) -> bytes:
        """One resource, or one for every project that the units go to; a request without spans has one too."""
        fixed = self._project.fixed
        if fixed is not None:
            return self._envelope(fixed).request(units)
        groups = projects.by_project(units) or {self._project.template: []}
        return b"".join(self._envelope(name).request(group) for name, group in groups.items())

    def _envelope(self, project: str) -> platform.Envelope:
        if project not in self._envelopes:
            own = filled_all(self._preset.resource, _with_project(self._settings, project))
            self._envelopes[project] = platform.envelope({**self._resource, **own})
        return self._envelopes[project]

    def _way(self) -> Callable[[bytes], Answer]:
        """How a request's bytes get there."""
        settings, preset, how = self._settings, self._preset, self._preset.grpc
        if how is None or not settings.speaks_grpc:
            return partial(export, self._http, self._url)
        headers = _headers(settings, preset.headers if how.headers is None else how.headers)
        address = settings.grpc_endpoint or (_beside(self._address, how) if how.is_beside else self._address)
        return GrpcExport(settings.name, address, how.port, headers, settings.timeout)


def _with_project(settings: DestinationSettings, name: str) -> DestinationSettings:
    return settings.model_copy(update={"project": name})


def _headers(settings: DestinationSettings, templates: Mapping[str, str]) -> dict[str, str]:
    return {**filled_all(templates, settings), **platform.extra_headers(settings)}


def _beside(address: str, how: Grpc) -> str:
    """The same host at the port where it takes gRPC."""
    parts = urlsplit(address)
    return parts._replace(
        netloc=f"{parts.netloc.removesuffix(f':{parts.port}')}:{how.port}", path=""
    ).geturl()


def _limits(settings: DestinationSettings, preset: Preset) -> Limits:
    """The operator's packing; what he leaves open, the platform's and the transport's."""
    limits = platform.limits(settings)
    if preset.max_spans and "max_spans" not in settings.model_fields_set:
        limits = replace(limits, max_spans=min(limits.max_spans, preset.max_spans))
    if settings.speaks_grpc and "max_bytes" not in settings.model_fields_set:
        limits = replace(limits, max_bytes=min(limits.max_bytes, _GRPC_BYTES))
    return limits
