"""The operator's filters: why a record is left out, or None. Pure."""

from __future__ import annotations

from exporter.config import DifySettings, Filter
from exporter.model import App


def reason_to_leave_out(dify: DifySettings, app: App, is_debug: bool) -> str | None:
    """Words for the record, naming the setting that leaves it out."""
    if is_debug and not dify.debug_runs:
        return "a debug run, and dify.debug_runs is off"
    for setting, names in _traits(app):
        wanted = _listed(dify.include, setting)
        if wanted and names.isdisjoint(wanted):
            return f"{_said(setting, app)} is not in dify.include.{setting}"
        if not names.isdisjoint(_listed(dify.exclude, setting)):
            return f"{_said(setting, app)} is in dify.exclude.{setting}"
    return None


def _traits(app: App) -> tuple[tuple[str, set[str]], ...]:
    """Each list of a filter with the names or ids that match this app."""
    return (
        ("workspaces", {app.tenant_id, app.tenant_name or app.tenant_id}),
        ("apps", {app.id, app.name}),
        ("modes", {app.mode}),
    )


def _listed(lists: Filter, setting: str) -> list[str]:
    return {"workspaces": lists.workspaces, "apps": lists.apps, "modes": lists.modes}[setting]


def _said(setting: str, app: App) -> str:
    return {
        "workspaces": f"workspace {app.tenant_name or app.tenant_id!r}",
        "apps": f"app {app.name!r}",
        "modes": f"mode {app.mode!r}",
    }[setting]
