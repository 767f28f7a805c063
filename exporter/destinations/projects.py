"""Which project a trace goes to, where the settings name one by a template such as `dify-{app}`.

A trace's project is decided when it is rendered and travels with its spans, so that an app that is renamed later changes
nothing for what waits. Names that people gave lose what addresses and headers cannot hold.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from exporter.config.projects import OF_INSTANCE, OF_TRACE, places
from exporter.destinations.base import Unit
from exporter.destinations.holdings import Exported
from exporter.model import App
from exporter.spans import otlp

ATTRIBUTE = "dify_exporter.project"
"""Where a span says its project, when traces differ in theirs."""

_INSTANCE = "dify_exporter.source.instance"
_DEFAULT = "default"
_UNFIT = re.compile(r"[/?#\\\x00-\x1f\x7f]+")
"""What Phoenix's documentation forbids in the names that its addresses hold, and what no header can spell."""


@dataclass(frozen=True, slots=True)
class Project:
    """The template, and the name of the Dify that is read."""

    template: str
    instance: str

    @property
    def fixed(self) -> str | None:
        """The one name for all traces, None when it differs from trace to trace."""
        return None if places(self.template) & OF_TRACE else self._filled({})

    def of(self, app: App) -> str:
        """The project of a trace of this app."""
        return self._filled(
            {
                "app": app.name.strip() or app.id,
                "app_id": app.id,
                "mode": app.mode,
                "workspace": app.tenant_name or app.tenant_id,
            }
        )

    def split(self, traces: Sequence[Exported]) -> dict[str, list[Exported]]:
        """Exported traces by their project, each in the order in which they came."""
        found: dict[str, list[Exported]] = {}
        fixed = self.fixed
        for trace in traces:
            found.setdefault(self.of(trace.app) if fixed is None else fixed, []).append(trace)
        return found

    def _filled(self, names: dict[str, str]) -> str:
        return self.template.format(
            **{name: _fit(text) for name, text in {OF_INSTANCE: self.instance, **names}.items()}
        )


def project(template: str, resource: Mapping[str, str]) -> Project:
    """The project of a destination; the resource attributes say which Dify is read."""
    return Project(template, resource.get(_INSTANCE, ""))


def by_project(units: Iterable[Unit]) -> dict[str, list[Unit]]:
    """The units by the project that their spans say, in the order in which they came. What waits since before there was
    a template says none, and goes where the platforms put such."""
    found: dict[str, list[Unit]] = {}
    for unit in units:
        first = otlp.parse(otlp.split(unit.spans)[0])
        name = otlp.text_attributes(first, (ATTRIBUTE,)).get(ATTRIBUTE, _DEFAULT)
        found.setdefault(name, []).append(unit)
    return found


def _fit(text: str) -> str:
    return _UNFIT.sub("-", text).strip()
