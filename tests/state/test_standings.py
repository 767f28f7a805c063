"""What a request is that belongs to no recorded call: hidden, unrecorded, a credential check, or foreign."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from exporter import config
from exporter.matching import Matching
from exporter.state import evidence, standings
from exporter.state.store import Store
from exporter.vendor.fingerprint import user_hashes
from exporter.vendor.record import VendorCall
from tests.vendor.hidden.hidden_by_hand import embedding, message, request, title

ALICE = tuple(f"user:{hash_}" for hash_ in user_hashes("alice"))
FAMILIAR = ("app:app-support", "key:dify-key", *ALICE)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "s.db")


def of(store: Store, one: VendorCall, familiar: tuple[str, ...] = FAMILIAR) -> str:
    """What the state says of a request that arrives alone."""
    with store.transaction("test") as connection:
        connection.execute("DELETE FROM evidence")
        connection.execute("DELETE FROM familiar")
        connection.executemany("INSERT INTO familiar VALUES (?)", [(name,) for name in familiar])
        evidence.add(connection, [one], one.end)
    Matching(store, config.Settings().compare, lambda: one.end).catch_up()
    with store.read() as connection:
        (group,) = standings.groups(connection)
    return group.purpose if group.purpose == "credential_check" else group.standing


def test_a_title_is_hidden_though_no_trace_is_known(store: Store) -> None:
    assert of(store, title("t")) == "hidden"
    assert of(store, title("t", "gone", key="another key")) == "hidden"


def test_a_request_of_a_known_end_user_without_a_row_is_unrecorded(store: Store) -> None:
    assert of(store, request("r", "What was deleted", user="alice")) == "unrecorded"
    assert of(store, request("r", "What was deleted", user="mallory")) == "foreign"
    assert of(store, request("r", "What was deleted")) == "foreign"


def test_an_end_user_who_becomes_known_later_makes_the_request_difys(store: Store) -> None:
    assert of(store, request("r", "What was deleted", user="alice"), ()) == "foreign"
    with store.transaction("test") as connection:
        connection.executemany("INSERT INTO familiar VALUES (?)", [(name,) for name in ALICE])
        assert [group.standing for group in standings.groups(connection)] == ["unrecorded"]


def test_difys_own_name_for_nobody_and_its_app_id_are_difys(store: Store) -> None:
    assert of(store, request("r", "plugin", user="unknown")) == "unrecorded"
    assert of(store, request("r", "plugin", dify_app_id="app-support")) == "unrecorded"
    assert of(store, request("r", "plugin", dify_app_id="app-of-another-dify")) == "foreign"


@pytest.mark.parametrize("fields", [{}, {"user": "alice"}])
def test_a_ping_is_a_credential_check_unless_somebody_said_it(store: Store, fields: dict[str, Any]) -> None:
    expected = "unrecorded" if fields else "credential_check"
    assert of(store, request("r", "ping", **fields)) == expected
    assert of(store, request("r", message("Be kind.", "system"), "ping", **fields)) != "credential_check"


def test_pings_of_embedding_models_stay_embeddings(store: Store) -> None:
    assert of(store, embedding("e", "ping")) == "hidden"


def test_an_embedding_is_foreign_only_when_its_user_or_key_or_app_is(store: Store) -> None:
    assert of(store, embedding("e", "A document.")) == "hidden"
    assert of(store, embedding("e", "A document.", key="dify-key")) == "hidden"
    assert of(store, embedding("e", "A document.", key="another key")) == "foreign"
    assert of(store, embedding("e", "A document.", key="another key"), ()) == "hidden"
    assert of(store, embedding("e", "A document.", key="another key", user="alice")) == "hidden"
    assert of(store, embedding("e", "A document.", user="mallory")) == "foreign"
    assert of(store, embedding("e", "A document.", dify_app_id="app-of-another-dify")) == "foreign"
