"""What is said in advance of a release, also where several releases fit; and what Dify has put away."""

from __future__ import annotations

from typing import Any

import pytest
from dify_tables import Database, insert

from exporter.sources.by_version import LIMITS, gains, limits
from exporter.sources.versions import known_releases, numbers, releases


def told(head: str, columns: dict[str, frozenset[str]] | None = None) -> dict[str, bool]:
    """Limits of that head or these tables, with whether they are certain."""
    found = releases((head,), columns or {})
    return {limit.what: is_certain for limit, is_certain in limits(found)}


@pytest.mark.parametrize(
    ("head", "words", "is_certain"),
    [
        ("a91b476a53de", "do not name their model", True),
        ("6a9f914f656c", "do not name their model", False),  # 1.2.0 to 1.3.1, mended in 1.3.0
        ("68519ad5cd18", "show 0 tokens", True),
        ("669ffd70119c", "runs and chatflow messages count iterations and loops twice", True),
        ("fce013ca180e", "a later start than its message", True),
    ],
)
def test_a_limit_holds_for_all_or_for_some_of_the_releases_that_fit(
    head: str, words: str, is_certain: bool
) -> None:
    assert [certain for what, certain in told(head).items() if words in what] == [is_certain]


@pytest.mark.parametrize(
    ("head", "words"),
    [
        ("ae662b25d9bc", "show 0 tokens"),
        ("09cfdda155d1", "runs and chatflow messages count"),
        ("6b5f9f8b1a2c", "a later start than its message"),
        ("788d3099ae3a", "agents of the new kind"),
    ],
)
def test_a_limit_that_is_mended_or_still_to_come_is_not_told(head: str, words: str) -> None:
    assert [what for what in told(head) if words in what] == []


def test_an_unknown_migration_is_told_what_may_hold() -> None:
    tables = {"workflow_pauses": frozenset({"id"}), "messages": frozenset({"app_mode"})}
    found = told("fedcba987654", tables)  # 1.10.0 or newer, before 1.11.0
    doubled = [certain for what, certain in found.items() if "iterations and loops twice" in what]
    assert doubled == [False, False]


def test_the_limits_of_sums_follow_each_other_without_a_gap() -> None:
    """Every known release has exactly one way of adding up a chatflow's message."""
    sums = [
        limit for limit in LIMITS if "chatflow messages" in limit.what and "agent nodes" not in limit.what
    ]
    for release in known_releases():
        assert sum(release.overlap(limit.since, limit.before) for limit in sums) == 1, release.words


def test_what_is_gained_is_only_told_where_every_release_that_fits_has_it() -> None:
    unknown = releases(("fedcba987654",), {"workflow_node_execution_offload": frozenset({"id"})})
    assert unknown.since == numbers("1.9.0")
    words = [gain.words for gain in gains(unknown)]
    assert any("long values" in text for text in words)
    assert not any("person" in text for text in words)


def test_archived_runs_are_told_with_their_number(dify: Database, open_source: Any) -> None:
    assert "archive" not in dict(open_source(dify.url).describe())
    for _ in range(3):
        insert(dify.connection, "workflow_archive_logs")
    assert dict(open_source(dify.url).describe())["archive"].startswith("3 runs were archived")
