"""The destinations the settings name, ready to use. A platform that takes OTLP is a row of
`presets`; one with an API of its own is a module and a line here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from exporter import __version__
from exporter.config import ContentSettings, DestinationSettings, Settings
from exporter.destinations.base import Destination
from exporter.destinations.langfuse import Langfuse
from exporter.destinations.langfuse_scores import LangfuseScores
from exporter.destinations.langsmith import LangSmith
from exporter.destinations.langsmith_feedback import LangSmithFeedback
from exporter.destinations.otlp import Otlp
from exporter.destinations.postgresql import PostgresqlCopy
from exporter.destinations.presets import PRESETS
from exporter.errors import Misconfigured

_KINDS: dict[str, Callable[[DestinationSettings, ContentSettings, Mapping[str, str]], Destination]] = {
    "langfuse": Langfuse,
    "langsmith": LangSmith,
    "postgresql": PostgresqlCopy,
    **dict.fromkeys(PRESETS, Otlp),
}
_SCORES: dict[str, Callable[[DestinationSettings, Mapping[str, str]], Destination]] = {
    "langfuse": LangfuseScores,
    "langsmith": LangSmithFeedback,
}


def build(settings: Settings) -> list[Destination]:
    """One destination per entry of the settings, and behind it the one for its scores where the platform has such. Raises
    Misconfigured for a key that cannot be a header, or a name that the scores of another entry take."""
    resource = resource_attributes(settings)
    built: list[Destination] = []
    for item in settings.destinations:
        built.append(_KINDS[item.kind](item, item.content or settings.content, resource))
        if item.scores and item.kind in _SCORES:
            built.append(_SCORES[item.kind](_of_scores(item), resource))
    _refuse_double_names([item.name for item in built])
    return built


def _refuse_double_names(names: Sequence[str]) -> None:
    """Entries differ among themselves (the settings see to that), but one may be named like the scores of another."""
    for name in dict.fromkeys(names):
        if names.count(name) > 1:
            raise Misconfigured(
                [f"destinations: {name!r} is how another entry's scores are named; choose another name"]
            )


def delivery_settings(settings: Settings) -> dict[str, DestinationSettings]:
    """How each queue is sent and confirmed, by the name of its destination."""
    own = {item.name: item for item in settings.destinations}
    return {**{scores.name: scores for scores in map(_of_scores, own.values())}, **own}


def entry_names(settings: Settings) -> dict[str, str]:
    """The name of the settings' entry that each destination belongs to, by the name of the destination."""
    names = {_of_scores(item).name: item.name for item in settings.destinations}
    return {**names, **{item.name: item.name for item in settings.destinations}}


def _of_scores(item: DestinationSettings) -> DestinationSettings:
    """The entry as its scores use it. A trace's feedback takes up to ten requests at LangSmith."""
    each = 10 if item.kind == "langsmith" else 1
    return item.model_copy(
        update={
            "name": f"{item.name} scores",
            "requests_per_second": item.requests_per_second / each,
        }
    )


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
