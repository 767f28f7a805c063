"""Apps by the names that people know them by, so that two apps of one name stay two."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from exporter.state.names import AppNames

_SHORT = 8
"""Digits of an id that are shown; more where these are the same."""


def told_apart(apps: Iterable[AppNames]) -> dict[str, str]:
    """What to call each app, by id: its name; with its workspace (where they differ) and the beginning of its id where
    another app has the same name."""
    by_name: dict[str, list[AppNames]] = defaultdict(list)
    for app in apps:
        by_name[app.name].append(app)
    return {
        app.app_id: _shown(app, same) if len(same) > 1 else name
        for name, same in by_name.items()
        for app in same
    }


def ids_of(apps: Iterable[AppNames], text: str) -> frozenset[str]:
    """The ids of the apps that a user means by an id, or by a name that they have or had."""
    return frozenset(app.app_id for app in apps if text == app.app_id or text in app.names)


def _shown(app: AppNames, same: Sequence[AppNames]) -> str:
    short = _SHORT
    while len({other.app_id[:short] for other in same}) < len(same):
        short += 1
    is_one_workspace = len({other.workspace_id for other in same}) == 1
    workspace = "" if is_one_workspace else app.workspace_name or app.workspace_id[:_SHORT]
    return f"{app.name} ({', '.join(filter(None, (workspace, app.app_id[:short])))})"
