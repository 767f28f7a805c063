"""What is known of the Console API source, in words: for `status`, `check` and the log line at start. Above all what it cannot see."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from exporter.config import DifySettings
from exporter.errors import ExporterError
from exporter.sources.console import versions
from exporter.sources.console.login import AdminKey
from exporter.sources.console.opened import Opened
from exporter.sources.console.streams import MODES, Stream

BLIND = (
    ("times", "whole seconds only"),
    ("prices", "none of a message; those of workflow steps are there"),
    ("agent rounds", "the total of each round, not input and output, where a message has several"),
    ("models", "of a message only while the app's settings stay as they were when it was made"),
    ("completion apps", "only entries that a person has opened in Dify: opening one marks it as read"),
    ("single-step runs", "not seen"),
    ("triggered runs", "webhook, schedule and plugin runs only where Dify writes them into the app's log"),
    ("knowledge pipelines", "not seen"),
    ("large values", "cut, as Dify shows them, and marked so"),
)
"""What this source cannot tell, whatever the version."""


def described(
    dify: DifySettings, opened: Iterable[Opened], refused: Iterable[ExporterError], streams: Iterable[Stream]
) -> Iterator[tuple[str, str]]:
    """(name, words) pairs, most important first."""
    opened = list(opened)
    yield "Dify", version_words(opened[0])
    yield "console", f"{dify.console.url}, at most {dify.console.requests_per_minute} requests a minute"
    for number, item in enumerate(opened, 1):
        yield f"workspace {number}", workspace_words(item)
    locked = [item.refused.reason for item in opened if item.refused]
    for number, words in enumerate([*map(str, refused), *locked], 1):
        yield f"refused {number}", words
    for item in opened:
        yield from ((f"trouble with {where}", trouble.reason) for where, trouble in item.troubles.items())
    unread = sum(stream.unread for stream in streams)
    if unread:
        yield "not read", f"{unread} entries of completion apps that nobody has opened in Dify"
    if not versions.has(opened[0].workspace.session.asker.version, versions.RUNS_BY_TRIGGER):
        yield "chatflow runs", "this Dify lists no runs of chatflows; they are found by their conversations"
    yield from ((f"cannot see: {name}", words) for name, words in BLIND)


def troubles_of(opened: Iterable[Opened], refused: Iterable[ExporterError]) -> Iterator[str]:
    """What is not read now, in sentences: what, why, what to do."""
    for error in refused:
        yield f"A workspace of Dify is not read: {_words(str(error), error.hint)}. Then restart"
    for item in opened:
        if item.refused is not None:
            yield f"Dify's workspace {_name(item)} is not read any more: {_words(item.refused.reason, item.refused.hint)}"
        for where, trouble in item.troubles.items():
            yield (
                f"Dify's Console API refuses {where}, in workspace {_name(item)}: {_words(trouble.reason, trouble.hint)}."
                " The rest is read, and this is tried again by itself"
            )


def _words(reason: str, hint: str | None) -> str:
    return f"{reason}; {hint}" if hint else reason


def _name(opened: Opened) -> str:
    return opened.workspace.name or opened.workspace.id


def version_words(opened: Opened) -> str:
    """The version that Dify's answers name."""
    return f"{opened.workspace.session.asker.version or 'version not told'} (Console API)"


def workspace_words(opened: Opened) -> str:
    """Name, number of apps by mode, and how it is read."""
    workspace = opened.workspace
    modes = Counter(app.mode for app in workspace.apps.values())
    apps = ", ".join(f"{number} {mode}" for mode, number in sorted(modes.items())) or "no apps"
    unread = sorted(mode for mode in modes if mode not in MODES)
    rest = f"; not read: {', '.join(unread)}" if unread else ""
    by = "admin key" if isinstance(workspace.session.credential, AdminKey) else "account"
    return f"{_name(opened)} by {by}, times in {workspace.zone.key}: {apps}{rest}"
