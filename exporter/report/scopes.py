"""Whose usage a vendor's key, project or region is: the settings' scopes, first match wins.

A scope names its apps or workspaces, or says that it is not Dify's at all. Usage that no scope names is not guessed to be
anybody's: it is compared with the models it is for, and said to be unmapped.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from exporter.config import ScopeSettings
from exporter.state.sums import Group

UNMAPPED = ""


@dataclass(frozen=True, slots=True)
class Scope:
    """One rule of the settings; `name` is unique among them."""

    name: str
    source: str
    key: str
    model: str
    apps: tuple[str, ...]
    workspaces: tuple[str, ...]
    is_foreign: bool

    def takes(self, source: str, key: str, model: str) -> bool:
        """Whether the rule is about this usage."""
        return _fits(source, self.source) and _fits(key, self.key) and _fits(model, self.model)

    def holds(self, group: Group) -> bool:
        """Whether calls of this group are paid from here, by app and workspace."""
        by_app = not self.apps or any(
            _fits(group.app_name, app) or _fits(group.app_id, app) for app in self.apps
        )
        return by_app and (not self.workspaces or group.workspace_id in self.workspaces)


def scopes(settings: Sequence[ScopeSettings]) -> tuple[Scope, ...]:
    """The rules in their order; one without a name is called by its apps, else by its key."""
    found: list[Scope] = []
    for item in settings:
        name = item.name or ", ".join(item.apps) or item.key
        while any(name == other.name for other in found):
            name += "'"
        found.append(
            Scope(
                name,
                item.source,
                item.key,
                item.model,
                tuple(item.apps),
                tuple(item.workspaces),
                item.foreign,
            )
        )
    return tuple(found)


def scope_of(known: Sequence[Scope], source: str, key: str, model: str) -> Scope | None:
    """The first rule that is about this usage; None: unmapped."""
    return next((scope for scope in known if scope.takes(source, key, model)), None)


def _fits(text: str, glob: str) -> bool:
    return fnmatchcase(text.lower(), glob.lower())
