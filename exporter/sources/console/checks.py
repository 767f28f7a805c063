"""What `dify-exporter check` says of the Console API: who lets us in, which lists may be read, and what cannot be seen at all."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from exporter.config import DifySettings
from exporter.destinations.base import Checked
from exporter.errors import ExporterError
from exporter.sources.console.opened import Opened
from exporter.sources.console.source import open_console
from exporter.sources.http.asking import Denied
from exporter.sources.tracing import Tracing

_LISTS = {
    "workflow": ("workflow-app-logs", "runs of workflow apps"),
    "advanced-chat": ("advanced-chat/workflow-runs", "runs of chatflows"),
    "chat": ("chat-conversations", "conversations"),
    "agent-chat": ("chat-conversations", "conversations"),
    "completion": ("completion-conversations", "entries of completion apps"),
}


def check_console(dify: DifySettings, refusals: Path | None = None) -> list[Checked]:
    """One line per thing tested. A few requests per workspace, none of which changes anything. Raises nothing of its own."""
    try:
        source = open_console(dify, refusals)
    except ExporterError as error:
        return [Checked("console", False, str(error), error.hint)]
    try:
        lists = [line for opened in source.opened for line in _lists(opened)]
        return [*(_line(name, words) for name, words in source.describe()), *lists]
    except ExporterError as error:
        return [Checked("console", False, str(error), error.hint)]
    finally:
        source.close()


def ask_tracing(dify: DifySettings, refusals: Path | None = None) -> Tracing:
    """For `check`: Dify's own tracing. Raises nothing: what went wrong is the reason why nothing is known."""
    try:
        source = open_console(dify, refusals)
    except ExporterError as error:
        return Tracing(unknown=str(error))
    try:
        return source.tracing()
    except ExporterError as error:
        return Tracing(unknown=str(error))
    finally:
        source.close()


def _line(name: str, words: str) -> Checked:
    return Checked(name, not name.startswith(("refused", "trouble")), words)


def _lists(opened: Opened) -> Iterator[Checked]:
    """The lists of one app of each mode: what is refused there is refused everywhere, by the account's role."""
    session, tried = opened.workspace.session, set[str]()
    for app in opened.workspace.apps.values():
        path, what = _LISTS.get(app.mode, ("", ""))
        if not path or path in tried:
            continue
        tried.add(path)
        try:
            session.get(f"/apps/{app.id}/{path}", {"limit": 1})
            yield Checked(what, True, f"can be listed (tried with {app.name!r})")
        except Denied as denied:
            hint = "the account needs the role editor" if denied.status == 403 else denied.hint
            yield Checked(what, False, f"app {app.name!r}: {denied}", hint)
