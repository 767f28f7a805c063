"""The destinations the settings name, ready to use. A new kind is one module and one line here."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from exporter import __version__
from exporter.config import ContentSettings, DestinationSettings, Settings
from exporter.destinations.base import Destination
from exporter.destinations.langfuse import Langfuse
from exporter.destinations.langsmith import LangSmith
from exporter.destinations.otlp import Otlp

_KINDS: dict[str, Callable[[DestinationSettings, ContentSettings, Mapping[str, str]], Destination]] = {
    "langfuse": Langfuse,
    "langsmith": LangSmith,
    "otlp": Otlp,
}


def build(settings: Settings) -> list[Destination]:
    """One destination per entry of the settings. Raises Misconfigured for a key that cannot be a header."""
    resource = resource_attributes(settings)
    return [
        _KINDS[item.kind](item, item.content or settings.content, resource) for item in settings.destinations
    ]


def resource_attributes(settings: Settings) -> dict[str, str]:
    """Who speaks: Dify, through us. The operator's attributes win. `service.version` is left to the operator, because
    Langfuse shows it as the version of every trace and we do not know Dify's."""
    return {
        "service.name": "dify",
        "telemetry.distro.name": "dify-exporter",
        "telemetry.distro.version": __version__,
        "dify_exporter.source.instance": settings.dify.name,
        **settings.resource,
    }
