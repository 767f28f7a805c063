"""What `check` says of Dify's own tracing to a Langfuse or LangSmith that traces are sent to as well."""

from __future__ import annotations

from collections.abc import Sequence

from exporter import problems
from exporter.config import DestinationSettings
from exporter.destinations.base import Checked, Home
from exporter.existing import may_be_here
from exporter.problems import PLATFORMS
from exporter.sources.tracing import Tracing


def checked(entry: DestinationSettings, instance: str, tracing: Tracing, home: Home) -> list[Checked]:
    """The lines of `check` for one Langfuse or LangSmith."""
    name, platform = f"{entry.name}: existing", PLATFORMS[entry.kind]
    whose = f"Dify's own {platform} tracing"
    if tracing.unknown:
        hint = "without it `existing: auto` sends everything; `existing: enrich` needs to know nothing"
        return [Checked(name, entry.existing != "auto", f"cannot know whether {whose} is on: {tracing.unknown}", hint)]  # fmt: skip
    traced = tracing.at(entry.kind)
    here = [item for item in traced if may_be_here(entry, instance, item, home)]
    elsewhere = [item.app.name for item in traced if item not in here]
    if not traced:
        return [_none(name, whose, entry)]
    if home.takes_dify is False:
        return [_refused(name, whose, entry, [item.app.name for item in traced])]
    found = [_here(name, platform, entry, [item.app.name for item in here])] if here else []
    if elsewhere:
        found.append(Checked(name, True, f"{whose} of {problems.named(elsewhere)} goes to another project"))
    if here and tracing.vague:
        what = "cannot know into which project and since when Dify traces them"
        found.append(Checked(name, True, f"{what}, so this one and always are assumed: {tracing.vague}"))
    return found


def _none(name: str, whose: str, entry: DestinationSettings) -> Checked:
    hint = "set existing: auto, and their traces are sent" if entry.existing == "enrich" else None
    return Checked(name, hint is None, f"{whose} is on for no app that is exported", hint)


def _refused(name: str, whose: str, entry: DestinationSettings, apps: Sequence[str]) -> Checked:
    """Langfuse servers of the newest kind answer Dify's events with 400 inside of a 207; only Dify's log shows it."""
    seen = (
        f"{whose} is on for {problems.named(apps)}, but this server is in write mode events_only and refuses"
        " everything it sends: nothing of it arrives"
    )
    if entry.existing == "enrich":
        hint = "set existing: auto, which sends our own traces here, or run Langfuse in write mode dual"
        return Checked(name, False, seen, hint)
    return Checked(name, True, seen, "switch it off in Dify, the exporter's traces replace it")


def _here(name: str, platform: str, entry: DestinationSettings, apps: Sequence[str]) -> Checked:
    if entry.existing == "send":
        seen = f"tokens are counted twice: Dify's own {platform} tracing is on for {problems.named(apps)}"
        return Checked(name, "existing" in entry.model_fields_set, seen, problems.TWICE_ADVICE)
    others = "are sent as usual" if entry.existing == "auto" else "are not sent"
    return Checked(
        name, True, f"added to Dify's own traces of {problems.named(apps)}; traces of other apps {others}"
    )
