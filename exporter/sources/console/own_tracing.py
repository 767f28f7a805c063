"""For which apps Dify's own tracing is on, asked of the Console API: each app's switch, and of a traced one the project and address.

An app is asked once, again when Dify's list shows it changed, and after an hour; an interrupted round goes on where it ended. Keys come
masked and are not kept. Asked for its settings, Dify looks the project up at the platform, as its own page makes it do; where that fails
the app is traced to who knows where. Source: Dify's AppTraceApi, TraceAppConfigApi and OpsService.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from exporter.clock import micros
from exporter.config import DifySettings
from exporter.errors import SourceRefused, Unreachable
from exporter.model import App, Micros
from exporter.sources.console.opened import APPS_AGAIN_SECONDS, AppTracing, Opened
from exporter.sources.filters import reason_to_leave_out
from exporter.sources.http.asking import Denied
from exporter.sources.tracing import TracedApp, Tracing

AGAIN_SECONDS = 3600.0
_TROUBLE = "Dify's own tracing of some apps"


def tracing_of(workspaces: Iterable[Opened], dify: DifySettings) -> Tracing:
    """Of all apps that the filters let through. Raises `Unreachable`, and `SourceRefused` where no workspace lets us in."""
    asked: list[AppTracing] = []
    locked: list[SourceRefused] = []
    for opened in workspaces:
        apps = [app for app in opened.workspace.apps.values() if not reason_to_leave_out(dify, app, False)]
        try:
            for app in apps:
                _look(opened, app)
        except SourceRefused as error:
            opened.lock_out(error)
            locked.append(error)
        mine = [opened.tracing[app.id] for app in apps if app.id in opened.tracing]
        _tell(opened, [item.refused for item in mine if item.refused])
        asked += mine
    if locked and not asked:
        raise locked[0]
    if asked and all(item.refused and item.traced is None for item in asked):
        return Tracing(unknown=f"Dify's Console API does not tell it: {asked[0].refused}")
    traced = sorted(
        (item.traced for item in asked if item.traced), key=lambda item: (item.app.name, item.app.id)
    )
    return Tracing(tuple(traced), vague=next((item.vague for item in asked if item.vague), None))


def _look(opened: Opened, app: App) -> None:
    """Ask when it is time. Where Dify refuses, what was known stays."""
    changed = opened.workspace.changed.get(app.id)
    known = opened.tracing.get(app.id)
    if known is not None and not _is_due(known, changed):
        return
    try:
        traced, vague = _asked(opened, app)
    except Denied as denied:
        before = known.traced if known is not None else None
        opened.tracing[app.id] = AppTracing(time.monotonic(), changed, before, refused=denied)
        return
    opened.tracing[app.id] = AppTracing(time.monotonic(), changed, traced, vague)


def _tell(opened: Opened, refused: Sequence[Denied]) -> None:
    """One trouble for all apps: a role that may not look at one may look at none."""
    denied = next((item for item in refused if not item.is_gone), None)
    if denied is None:
        opened.mended(_TROUBLE)
    else:
        opened.trouble(_TROUBLE, denied)


def _is_due(known: AppTracing, changed: int | None) -> bool:
    is_whole = known.refused is None and known.vague is None
    pause = AGAIN_SECONDS if is_whole else APPS_AGAIN_SECONDS
    return known.changed != changed or time.monotonic() >= known.asked_at + pause


def _asked(opened: Opened, app: App) -> tuple[TracedApp | None, str | None]:
    """How the app is traced, and why the rest is not known."""
    session = opened.workspace.session
    told = session.get(f"/apps/{app.id}/trace")
    if not isinstance(told, dict) or "enabled" not in told:
        raise Denied("an answer without the switch of Dify's own tracing", 502)
    provider = told.get("tracing_provider") if told["enabled"] else None
    if not isinstance(provider, str) or not provider:
        return None, None
    try:
        config = session.get(f"/apps/{app.id}/trace-config", {"tracing_provider": provider})
    except (Denied, Unreachable) as error:
        return TracedApp(app, provider), f"Dify's Console API does not tell it of app {app.name!r}: {error}"
    if isinstance(config, dict) and config.get("has_not_configured"):
        return None, None  # switched on, and its settings were removed: Dify sends nothing
    if not isinstance(config, dict) or not config.get("tracing_provider"):
        return TracedApp(app, provider), f"what Dify answers of app {app.name!r} are no settings"
    return _traced(app, provider, config), None


def _traced(app: App, provider: str, config: Mapping[str, Any]) -> TracedApp:
    given = config.get("tracing_config")
    told = given if isinstance(given, dict) else {}
    project = _text(told.get("project")) if provider == "langsmith" else _project_id(told)
    host = _text(told.get("host")) or _text(told.get("endpoint"))
    return TracedApp(app, provider, _moment(config.get("created_at")), project, host)


def _project_id(told: Mapping[str, Any]) -> str | None:
    """Of Langfuse: the address of the project's page ends in its id; it does not where Dify could not look it up."""
    _, found, project_id = (_text(told.get("project_url")) or "").partition("/project/")
    return project_id.partition("/")[0] or None if found else _text(told.get("project_key"))


def _moment(text: Any) -> Micros | None:
    """A time as Dify's database holds it, in UTC and without saying so."""
    try:
        moment = datetime.fromisoformat(text) if isinstance(text, str) else None
    except ValueError:
        return None
    return micros(moment if moment.tzinfo else moment.replace(tzinfo=UTC)) if moment else None


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None
