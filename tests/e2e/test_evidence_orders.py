"""Evidence before, after, twice, in pieces, out of order, with a clock that is wrong: one and the same ledger.

Dify's rows and the vendor's records are a recording; what is compared is the ledger and what Langfuse and LangSmith hold at the end,
each against the plain order: all evidence there before the first trace is read.
"""

from __future__ import annotations

import json
import os
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from exporter import calls, config
from exporter.daemon import App
from exporter.demo import recording, replay
from exporter.demo.database import dify_database
from exporter.state.ledger import CallFilter
from tests.contract import langfuse_twin, langsmith_twin
from tests.contract.langfuse_twin import LangfuseTwin
from tests.contract.langsmith_twin import LangSmithTwin

Record = dict[str, Any]
Document = dict[str, Any]
BEGIN = 1_795_000_000_000_000
"""Any fixed time: the recording ends there."""


@pytest.fixture(scope="module")
def dify() -> Iterator[str]:
    """The recording's rows in a Dify of their own."""
    recorded = recording.load("orders")
    seconds = (BEGIN - recorded.episodes[-1].ended_at) // 1_000_000
    with dify_database() as url:
        with psycopg.connect(url) as connection:
            replay._insert(connection, recorded.standing)
            for episode in recorded.episodes:
                replay._insert(connection, episode.rows(seconds))
        yield url


@pytest.fixture(scope="module")
def requests() -> list[Record]:
    """The vendor's records of the recording, in order of time."""
    recorded = recording.load("orders")
    seconds = (BEGIN - recorded.episodes[-1].ended_at) // 1_000_000
    found = [json.loads(line) for episode in recorded.episodes for line in episode.vendor_records(seconds)]
    return sorted(found, key=lambda record: (record["started_at"], record["id"]))


class Run:
    """One exporter with one evidence file and a Langfuse of its own."""

    def __init__(self, dify: str, folder: Path) -> None:
        self.folder, self.log = folder, folder / "vendor.jsonl"
        self.log.touch()
        self.langfuse, self.langsmith = LangfuseTwin(), LangSmithTwin()
        self._dify = dify

    def __enter__(self) -> Run:
        self.langfuse.__enter__()
        self.langsmith.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self.langfuse.__exit__(None, None, None)
        self.langsmith.__exit__(None, None, None)

    def app(self, **more: Any) -> App:
        wanted = {
            "dify.database.url": self._dify,
            "state.path": str(self.folder / "s.db"),
            "vendor": [{"kind": "file", "path": str(self.log), "name": "gateway"}],
            "destinations": [{
                "kind": "langfuse", "endpoint": self.langfuse.url, "public_key": langfuse_twin.PUBLIC_KEY,
                "secret_key": langfuse_twin.SECRET_KEY, "confirm_after": "0.02s",
            }, {
                "kind": "langsmith", "endpoint": self.langsmith.url, "api_key": langsmith_twin.API_KEY,
                "confirm_after": "0.02s", "requests_per_second": 1000,
            }],
            **more,
        }  # fmt: skip
        return App(config.load(Path(os.devnull), {}, wanted).settings)

    def add(self, records: list[Record], path: Path | None = None) -> None:
        with (path or self.log).open("a", encoding="utf-8") as log:
            log.writelines(json.dumps(record) + "\n" for record in records)

    def once(self, **more: Any) -> None:
        with self.app(**more) as app:
            report = app.run_once()
        assert report.problems == ()
        assert report.set_aside == 0

    def ledger(self) -> list[Document]:
        with self.app() as app, app.store.read() as connection:
            found = calls.listing(connection, CallFilter(), app.settings.compare)
            return [_comparable(json.loads(text)) for text in found]

    def sent(self) -> dict[str, Any]:
        """What Langfuse and LangSmith hold."""
        assert self.langfuse.violations == []
        assert self.langsmith.violations == []
        assert set(self.langsmith.arrivals.values()) == {1}
        self.langfuse.settle()
        runs = {
            run_id: {name: value for name, value in run.items() if name not in ("visible_at", "expires_at")}
            for run_id, run in self.langsmith.runs.items()
        }
        scores = {
            identity: (row["name"], row["value"]) for identity, row in self.langfuse.scores.rows.items()
        }
        feedback = {
            identity: (row["key"], row.get("score"), row.get("value"))
            for identity, row in self.langsmith.feedback.rows.items()
        }
        return {
            "langfuse": {row["id"]: row for row in self.langfuse.rows()},
            "langsmith": runs,
            "scores": scores,
            "feedback": feedback,
        }


def _comparable(document: Document) -> Document:
    """Without the times of attempts, which a corrected clock moves by less than a second."""
    vendor = document["readings"]["vendor"]
    if vendor is not None:
        for attempt in vendor["attempts"]:
            del attempt["started_at"], attempt["ended_at"]
    if document["trace_id"] is None or document["kind"].startswith("hidden:"):
        del document["started_at"], document["ended_at"]
    return document


def _by_id(documents: list[Document]) -> dict[str, Document]:
    return {document["call_id"]: document for document in documents}


def _moved(record: Record, seconds: float) -> Record:
    moved = {}
    for name in ("started_at", "ended_at"):
        time = datetime.fromisoformat(record[name]).astimezone(UTC) + timedelta(seconds=seconds)
        moved[name] = time.isoformat()
    return {**record, **moved}


@pytest.fixture(scope="module")
def plain(
    dify: str, requests: list[Record], tmp_path_factory: pytest.TempPathFactory
) -> tuple[list[Document], dict[str, Any]]:
    """Ledger and Langfuse when all evidence was there first."""
    with Run(dify, tmp_path_factory.mktemp("plain")) as run:
        run.add(requests)
        run.once()
        return run.ledger(), run.sent()


def test_the_plain_order_matches_and_attaches_what_the_recording_holds(
    plain: tuple[list[Document], dict[str, Any]], requests: list[Record]
) -> None:
    documents, _ = plain
    attempts = [
        attempt["id"]
        for document in documents
        if document["readings"]["vendor"]
        for attempt in document["readings"]["vendor"]["attempts"]
    ]
    assert len(attempts) == len(set(attempts))
    assert len(attempts) >= 0.97 * len(requests)
    assert {document["kind"] for document in documents} >= {"chat", "hidden:title"}
    assert not [d for d in documents if d["verdict"] in ("unexplained", "pending")]


def test_evidence_an_hour_after_the_traces_gives_the_same_ledger_and_corrects_what_was_sent(
    dify: str, requests: list[Record], plain: tuple[list[Document], dict[str, Any]], tmp_path: Path
) -> None:
    with Run(dify, tmp_path) as run:
        run.once()
        assert not [
            d for d in run.ledger() if d["readings"]["vendor"] and d["readings"]["vendor"]["independent"]
        ]
        run.add(requests)
        run.once()
        assert _by_id(run.ledger()) == _by_id(plain[0])
        assert run.sent() == plain[1]


def test_evidence_twice_gives_the_same_ledger(
    dify: str, requests: list[Record], plain: tuple[list[Document], dict[str, Any]], tmp_path: Path
) -> None:
    with Run(dify, tmp_path) as run:
        run.add([*requests, *requests])
        run.once()
        run.add(requests)
        run.once()
        assert _by_id(run.ledger()) == _by_id(plain[0])


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_evidence_in_pieces_and_out_of_order_gives_the_same_ledger(
    dify: str,
    requests: list[Record],
    plain: tuple[list[Document], dict[str, Any]],
    tmp_path: Path,
    seed: int,
) -> None:
    shuffled, chance = list(requests), random.Random(seed)
    chance.shuffle(shuffled)
    with Run(dify, tmp_path) as run:
        while shuffled:
            size = chance.randint(1, 40)
            run.add(shuffled[:size])
            shuffled = shuffled[size:]
            run.once()
        assert _by_id(run.ledger()) == _by_id(plain[0])
        assert run.sent() == plain[1]


@pytest.mark.parametrize("seconds", [-120.0, 120.0])
def test_a_clock_two_minutes_off_gives_the_same_ledger(
    dify: str,
    requests: list[Record],
    plain: tuple[list[Document], dict[str, Any]],
    tmp_path: Path,
    seconds: float,
) -> None:
    with Run(dify, tmp_path) as run:
        run.add([_moved(record, seconds) for record in requests])
        run.once()
        assert _by_id(run.ledger()) == _by_id(plain[0])


def test_two_sources_that_log_the_same_requests_count_once(
    dify: str, requests: list[Record], plain: tuple[list[Document], dict[str, Any]], tmp_path: Path
) -> None:
    other = tmp_path / "other.jsonl"
    with Run(dify, tmp_path) as run:
        run.add(requests)
        run.add(requests, other)
        run.once(vendor=[
            {"kind": "file", "path": str(run.log), "name": "gateway"},
            {"kind": "file", "path": str(other), "name": "vendor-log"},
        ])  # fmt: skip
        found = _by_id(run.ledger())
    assert set(found) == set(_by_id(plain[0]))
    for call_id, document in _by_id(plain[0]).items():
        mine, theirs = found[call_id]["readings"]["vendor"], document["readings"]["vendor"]
        assert (mine is None) == (theirs is None)
        if mine is not None:
            assert (mine["input"], mine["output"]) == (theirs["input"], theirs["output"])
