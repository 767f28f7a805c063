"""From Dify's tables to our state file: what may not leave is not even stored, per destination and per app."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from living_dify import insert, living_dify, message, stamp, uuid_of

from exporter import config
from exporter.daemon import App
from exporter.errors import Misconfigured
from exporter.state import outbox
from tests.spans.secret_examples import SECRETS

WORDS = "the window of the north hall"
NOBODY = "http://127.0.0.1:9"
DESTINATIONS = [
    {"kind": "langfuse", "endpoint": NOBODY, "public_key": "pk-lf-1", "secret_key": "sk-lf-1"},
    {"kind": "langsmith", "endpoint": NOBODY, "api_key": "lsv2_pt_1"},
    {"kind": "otlp", "endpoint": NOBODY},
    {"kind": "phoenix", "endpoint": NOBODY},
]


@pytest.fixture(scope="module")
def dify() -> Iterator[str]:
    """A chat in which every secret of the list was said, by the person and by the model."""
    with living_dify() as url:
        with psycopg.connect(url) as connection:
            insert(
                connection,
                "messages",
                [
                    message(
                        f"said {number}",
                        stamp(600 - number),
                        query=f"{WORDS}: {text}",
                        answer=text,
                        message=[{"role": "user", "text": f"{WORDS}: {text}", "files": []}],
                        error=f"refused: {text}",
                        status="error" if number % 2 else "normal",
                        inputs={"note": text},
                    )
                    for number, (text, _, _) in enumerate(SECRETS)
                ],
            )
        yield url


def exported(dify: str, folder: Path, **wanted: Any) -> tuple[bytes, dict[str, bytes]]:
    """All bytes of the state's files while and after it ran, and the spans that wait, by destination."""
    flags = {
        "dify.database.url": dify,
        "state.path": str(folder / "s.db"),
        "destinations": DESTINATIONS,
        **wanted,
    }
    settings = config.load(Path(os.devnull), {}, flags).settings
    with App(settings) as app:
        done = app.poll(hurry=True)
        assert done.exported == len(SECRETS)
        with app.store.read() as connection:
            waiting = {
                item.name: b"".join(
                    unit.spans for unit in outbox.take(connection, item.name, app.now(), 1000)
                )
                for item in settings.destinations
            }
        during = _bytes(folder)
    return during + _bytes(folder), waiting


def _bytes(folder: Path) -> bytes:
    return b"".join(file.read_bytes() for file in sorted(folder.iterdir()))


def _found(held: bytes) -> list[str]:
    return [secret for _, secret, _ in SECRETS if max(secret.splitlines(), key=len).encode() in held]


def test_what_is_full_is_there_so_the_search_would_find_it(dify: str, tmp_path: Path) -> None:
    held, waiting = exported(dify, tmp_path)
    assert _found(held) == [secret for _, secret, _ in SECRETS]
    assert all(_found(spans) for spans in waiting.values())
    assert all(WORDS.encode() in spans for spans in waiting.values())


def test_no_secret_is_stored_when_texts_are_redacted(dify: str, tmp_path: Path) -> None:
    held, waiting = exported(dify, tmp_path, content={"mode": "redacted"})
    assert _found(held) == []
    for spans in waiting.values():
        assert WORDS.encode() in spans
        assert all(mark in spans for mark in (b"[email]", b"[phone]", b"[id card]", b"[bank card]", b"[key]"))


def test_no_text_at_all_is_stored_in_mode_none(dify: str, tmp_path: Path) -> None:
    held, waiting = exported(dify, tmp_path, content={"mode": "none"})
    assert all(waiting.values())
    assert _found(held) == []
    assert WORDS.encode() not in held


def test_each_destination_gets_what_its_own_content_says(dify: str, tmp_path: Path) -> None:
    own = ({"mode": "redacted"}, {"mode": "none"}, {}, {"mode": "redacted", "builtin": ["email"]})
    wanted = [
        {**destination, "content": content} for destination, content in zip(DESTINATIONS, own, strict=True)
    ]
    _, waiting = exported(dify, tmp_path, destinations=wanted, content={"mode": "full"})
    assert _found(waiting["langfuse"]) == []
    assert WORDS.encode() in waiting["langfuse"]
    assert WORDS.encode() not in waiting["langsmith"]
    assert len(_found(waiting["otlp"])) == len(SECRETS)
    emails = [secret for _, secret, mark in SECRETS if mark == "[email]"]
    assert set(emails).isdisjoint(_found(waiting["phoenix"]))
    assert len(_found(waiting["phoenix"])) == len(SECRETS) - len(emails)


def test_an_apps_rule_holds_at_every_destination_also_at_those_with_content_of_their_own(
    dify: str, tmp_path: Path
) -> None:
    wanted = [{**DESTINATIONS[0], "content": {"mode": "full"}}, DESTINATIONS[2]]
    held, waiting = exported(
        dify,
        tmp_path,
        destinations=wanted,
        content={"apps": [{"match": "supp*", "mode": "none"}]},
    )
    assert len(waiting) == 2
    assert all(waiting.values())
    assert WORDS.encode() not in held


def test_one_destination_may_still_say_otherwise_for_an_app(dify: str, tmp_path: Path) -> None:
    own = {"apps": [{"match": "Support", "mode": "redacted"}]}
    wanted = [{**DESTINATIONS[0], "content": own}, DESTINATIONS[2]]
    _, waiting = exported(
        dify, tmp_path, destinations=wanted, content={"apps": [{"match": "Support", "mode": "none"}]}
    )
    assert WORDS.encode() in waiting["langfuse"]
    assert _found(waiting["langfuse"]) == []
    assert WORDS.encode() not in waiting["otlp"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"patterns": ["("]}, "is not a regular expression"),
        ({"patterns": ["x*"]}, "matches the empty text"),
        ({"patterns": [r"(\w+\s?)+$"]}, "can take for ever"),
        ({"builtin": ["passport"]}, "content.builtin"),
        ({"apps": [{"match": "", "mode": "none"}]}, "content.apps"),
        ({"apps": [{"match": "x"}]}, "content.apps"),
    ],
)
def test_content_that_cannot_work_is_told_at_the_start(content: dict[str, Any], words: str) -> None:
    with pytest.raises(Misconfigured) as told:
        config.load(Path(os.devnull), {}, {"dify.database.url": "postgresql://h/d", "content": content})
    assert words in str(told.value) + " ".join(told.value.problems)


def test_ids_of_the_record_are_never_taken_for_secrets(dify: str, tmp_path: Path) -> None:
    _, waiting = exported(dify, tmp_path, content={"mode": "redacted"})
    assert all(uuid_of("said 0").encode() in spans for spans in waiting.values())
