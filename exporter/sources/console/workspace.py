"""One workspace as its account sees it: its name, the account's time zone, and its apps with their present models."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from exporter.errors import SourceRefused
from exporter.model import App
from exporter.sources.console.login import AdminKey
from exporter.sources.console.session import Session
from exporter.sources.http.asking import listed

PAGE = 100


@dataclass(frozen=True, slots=True)
class Model:
    """The model that an app without a graph is set to, since a time (seconds)."""

    provider: str | None
    name: str | None
    since: int


@dataclass(slots=True)
class Workspace:
    """An opened workspace. `zone_looks` counts how often the account's zone was asked for, because a person may change it; `changed` is
    when each app was changed last, where the list tells it; `apps_read_at` is Dify's clock at the last look at the apps, in seconds."""

    session: Session
    id: str
    name: str | None
    zone: ZoneInfo
    zone_looks: int = 0
    apps: Mapping[str, App] = field(default_factory=dict)
    models: Mapping[str, Model] = field(default_factory=dict)
    changed: Mapping[str, int | None] = field(default_factory=dict)
    apps_read_at: float = 0.0

    def look_at_zone(self) -> None:
        """Read the account's zone anew. Raises as `Session.get`, and `SourceRefused` for one that this system does not know."""
        self.zone = _zone(self.session)
        self.zone_looks += 1

    def look_at_apps(self) -> None:
        """Read the apps anew. Raises as `Session.get`."""
        read_at = self.session.asker.now()
        found, name = _identity(self.session)
        if self.id and found != self.id:
            raise SourceRefused(
                f"a person changed the account's current workspace from {self.name or self.id} to {name or found}",
                "change it back, and let nobody else use the account",
            )
        self.id, self.name = found, name
        entries = list(_entries(self.session))
        self.apps = {entry["id"]: self._app(entry) for entry in entries}
        self.models = {entry["id"]: model for entry in entries if (model := _model(entry)) is not None}
        self.changed = {entry["id"]: _second(entry.get("updated_at")) for entry in entries}
        self.apps_read_at = read_at

    def model_at(self, app_id: str, created_at: int) -> Model | None:
        """The model in force at that time (seconds), or None when the settings were changed since. May read the apps anew:
        what was read before that time does not tell."""
        if self.apps_read_at < created_at + 1:
            self.look_at_apps()
        model = self.models.get(app_id)
        return model if model is not None and model.since <= created_at else None

    def _app(self, entry: Mapping[str, Any]) -> App:
        return App(
            str(entry["id"]), str(entry.get("name") or ""), str(entry.get("mode") or ""), self.id, self.name
        )


def open_workspace(session: Session) -> Workspace:
    """Look at the account and its current workspace. Raises as `Session.get`."""
    workspace = Workspace(session, "", None, ZoneInfo("UTC"))
    workspace.look_at_zone()
    workspace.look_at_apps()
    return workspace


def _zone(session: Session) -> ZoneInfo:
    """The account's, in which the filters of conversations are."""
    profile = session.get("/account/profile")
    told = profile.get("timezone") if isinstance(profile, dict) else None
    try:
        return ZoneInfo(told or "UTC")
    except (ValueError, OSError, ZoneInfoNotFoundError):
        raise SourceRefused(
            "the time zone of the account is not known to this system",
            "set another zone in the account's settings, or install the system's time zone data (tzdata)",
        ) from None


def _identity(session: Session) -> tuple[str, str | None]:
    """Id and name of the workspace that the credential sees; an account's current one can be changed by its person."""
    found = [entry for entry in listed(session.get("/workspaces"), "workspaces") if isinstance(entry, dict)]
    if isinstance(session.credential, AdminKey):
        wanted = session.credential.workspace
        name = next((entry.get("name") for entry in found if entry.get("id") == wanted), None)
        return wanted, name
    current = [entry for entry in found if entry.get("current")] or (found if len(found) == 1 else [])
    if not current:
        raise SourceRefused("the account has no current workspace", "log in once and choose one")
    return str(current[0]["id"]), current[0].get("name")


def _entries(session: Session) -> Iterator[dict[str, Any]]:
    """The list of apps is ordered by their time of creation, newest first; an app may come twice while one is added."""
    number, met = 1, set[str]()
    while True:
        page = session.get("/apps", {"page": number, "limit": PAGE})
        for entry in listed(page):
            if isinstance(entry, dict) and isinstance(entry.get("id"), str) and entry["id"] not in met:
                met.add(entry["id"])
                yield entry
        if not page.get("has_more"):
            return
        number += 1


def _model(entry: Mapping[str, Any]) -> Model | None:
    """From the settings that are in force: Dify saves each change as a new row, so its age says since when."""
    settings = entry.get("model_config")
    model = settings.get("model") if isinstance(settings, dict) else None
    since = settings.get("created_at") if isinstance(settings, dict) else None
    if not isinstance(model, dict) or not isinstance(since, int):
        return None
    return Model(model.get("provider"), model.get("name"), since)


def _second(value: Any) -> int | None:
    return value if isinstance(value, int) else None
