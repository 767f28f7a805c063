"""Which Dify this is, from its migration head or, when that is unknown, from the tables and columns it has.

Many releases share a head, so the answer is a range. An unknown head is normal (newer release, main branch, fork).
Source: the migration chain of the langgenius/dify release tags; 1.15.0 and later as derived from its main branch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

HEADS = {
    "a91b476a53de": "0.15.0–0.15.8", "08ec4f75af5e": "1.0.0", "f051706725cc": "1.0.1", "d20049ed0af6": "1.1.0–1.1.3",
    "6a9f914f656c": "1.2.0–1.3.1", "d28f2004b072": "1.4.0", "2adcbe1f5dfb": "1.4.1", "4474872b0ee6": "1.4.2–1.4.3",
    "0ab65e1cc7fa": "1.5.0–1.5.1", "58eb7bdb93fe": "1.6.0", "8bcc02c9bd07": "1.7.0–1.7.1", "532b3f888abf": "1.7.2",
    "0e154742a5fa": "1.8.0", "b95962a3885c": "1.8.1", "68519ad5cd18": "1.9.0–1.9.1", "ae662b25d9bc": "1.9.2",
    "669ffd70119c": "1.10.0", "09cfdda155d1": "1.10.1", "d57accd375ae": "1.11.0–1.11.1", "03ea244985ce": "1.11.2",
    "905527cc8fd3": "1.11.3–1.11.4", "788d3099ae3a": "1.12.0–1.12.1", "fce013ca180e": "1.13.0",
    "6b5f9f8b1a2c": "1.13.1–1.13.3", "227822d22895": "1.14.0", "a4f2d8c9b731": "1.14.1–1.14.2",
    "d9e8f7a6b5c4": "1.15.0", "7a1c2d9e4b60": "1.16.0", "c3f1a9b2e6d4": "1.17.1",
}  # fmt: skip
"""Releases by the migration they end with, oldest first."""

_PROBES: tuple[tuple[str, str, str | None], ...] = (
    ("1.0.0", "account_plugin_permissions", None),
    ("1.0.1", "workflows", "marked_name"),
    ("1.1.0", "dataset_metadatas", None),
    ("1.4.1", "workflow_draft_variables", None),
    ("1.6.0", "app_mcp_servers", None),
    ("1.7.0", "tool_oauth_tenant_clients", None),
    ("1.8.0", "provider_credentials", None),
    ("1.8.1", "oauth_provider_apps", None),
    ("1.9.0", "workflow_node_execution_offload", None),
    ("1.9.2", "messages", "app_mode"),
    ("1.10.0", "workflow_pauses", None),
    ("1.11.0", "workflow_pause_reasons", None),
    ("1.11.3", "tenant_credit_pools", None),
    ("1.12.0", "workflow_archive_logs", None),
    ("1.13.0", "human_input_forms", None),
    ("1.14.0", "workflow_comments", None),
    ("1.15.0", "apps", "maintainer"),
    ("1.16.0", "workflow_run_archive_bundles", None),
    ("1.17", "workflows", "version_number"),
)

PROBED_TABLES = tuple(sorted({table for _, table, _ in _PROBES}))
"""Tables whose mere existence says something; they need not be readable."""


Numbers = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Releases:
    """The releases that this Dify may be: from `since` up to, but not including, `before` (None: no end is known)."""

    words: str
    since: Numbers
    before: Numbers | None

    def overlap(self, since: str, before: str | None) -> bool:
        """True when some of them lie from `since` up to, not including, `before` (None: no end)."""
        return (self.before is None or numbers(since) < self.before) and (
            before is None or self.since < numbers(before)
        )

    def are_within(self, since: str, before: str | None) -> bool:
        """True when all of them lie from `since` up to, not including, `before` (None: no end)."""
        ends = before is None or (self.before is not None and self.before <= numbers(before))
        return numbers(since) <= self.since and ends


def numbers(version: str) -> Numbers:
    """`1.12.1` as numbers that compare."""
    return tuple(int(part) for part in version.split("."))


def known_releases() -> tuple[Releases, ...]:
    """One for each known head, oldest first."""
    return tuple(_of_head(head) for head in HEADS)


def releases(heads: tuple[str, ...], columns: Mapping[str, frozenset[str]]) -> Releases:
    """In words `1.12.0–1.12.1`, or `1.13.0 or newer, before 1.14.0` when the head is not a known release's.

    `columns` are all columns by table, whether readable or not.
    """
    if len(heads) == 1 and heads[0] in HEADS:
        return _of_head(heads[0])
    newest = -1
    for number, (_, table, column) in enumerate(_PROBES):
        if table in columns and (column is None or column in columns[table]):
            newest = number
    since = _PROBES[newest][0] if newest >= 0 else None
    before = _PROBES[newest + 1][0] if newest + 1 < len(_PROBES) else None
    words = (f"{since} or newer" if since else "", f"before {before}" if before else "")
    return Releases(
        ", ".join(part for part in words if part),
        numbers(since or "0"),
        numbers(before) if before else None,
    )


def _of_head(head: str) -> Releases:
    first, _, last = HEADS[head].partition("–")
    return Releases(HEADS[head], numbers(first), _next(numbers(last or first)))


def _next(version: Numbers) -> Numbers:
    return (*version[:-1], version[-1] + 1)
