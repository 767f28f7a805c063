"""Both doors for scores of the Langfuse twin keep the rules that were measured, and the SDK's own array goes by them."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime
from typing import Any

import pytest
import requests

from tests.contract.langfuse_twin import PUBLIC_KEY, SECRET_KEY, LangfuseTwin

SCORE = {"id": "s-1", "traceId": "ab" * 16, "name": "quality", "value": 0.5, "dataType": "NUMERIC"}
PAST = "2026-11-01T10:00:00.000Z"
MODES = ("legacy", "dual", "events_only")

# What a user of the SDK writes; a process of its own, because the SDK keeps threads and a tracer.
BY_SDK = """
import sys
from langfuse import Langfuse
client = Langfuse(public_key=sys.argv[2], secret_key=sys.argv[3], base_url=sys.argv[1], tracing_enabled=True)
client.create_score(name="quality", value=0.5, trace_id="ab" * 16, score_id="s-1", data_type="NUMERIC")
client.flush()
"""


def post(twin: LangfuseTwin, path: str, body: Any) -> requests.Response:
    keys = (PUBLIC_KEY, SECRET_KEY)
    return requests.post(f"{twin.url}/api/public{path}", json=body, auth=keys, timeout=10)


def event(**changes: Any) -> dict[str, Any]:
    return {"batch": [{"id": "e-1", "type": "score-create", "timestamp": PAST, "body": {**SCORE, **changes}}]}


def times(twin: LangfuseTwin) -> list[str]:
    return [row["timestamp"] for row in twin.scores.rows.values()]


@pytest.mark.parametrize("mode", MODES)
def test_every_mode_takes_scores_by_both_doors(mode: str) -> None:
    with LangfuseTwin(mode) as twin:
        assert post(twin, "/ingestion", event()).status_code == 207
        answer = post(twin, "/scores", {**SCORE, "id": "s-2"})
        assert (answer.status_code, answer.json()) == (200, {"id": "s-2"})
        assert len(twin.scores.rows) == 2


def test_only_the_ingestion_door_dates_a_score() -> None:
    with LangfuseTwin() as twin:
        post(twin, "/ingestion", event())
        assert times(twin) == [PAST]
        post(twin, "/scores", {**SCORE, "id": "s-2", "timestamp": PAST})
        assert times(twin)[1][:4] == str(datetime.now(UTC).year)


def test_a_single_score_sent_again_on_another_day_is_a_second_one() -> None:
    with LangfuseTwin() as twin:
        post(twin, "/ingestion", event())
        post(twin, "/scores", SCORE)
        assert len(twin.scores.rows) == 2
        assert "held 2 times" in twin.violations[0]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({**SCORE, "value": "text"}, 400),
        ({**SCORE, "traceId": ""}, 400),
        ({**SCORE, "comment": "x" * 1_000_001}, 413),
        ([SCORE], 400),
        ([], 400),
    ],
)
def test_what_4_16_refuses_at_the_second_door(body: Any, status: int) -> None:
    with LangfuseTwin() as twin:
        assert post(twin, "/scores", body).status_code == status
        assert not twin.scores.rows


def test_a_newer_server_takes_an_array_with_times_and_counts_what_it_rejects() -> None:
    with LangfuseTwin() as twin:
        twin.scores.takes_arrays = True
        first = {**SCORE, "timestamp": PAST}
        answer = post(twin, "/scores", [first])
        assert (answer.status_code, answer.json()) == (202, {"message": "Accepted"})
        mixed = post(twin, "/scores", [{**first, "value": 0.7}, {**first, "id": "s-2", "value": "text"}])
        assert mixed.status_code == 207
        assert (mixed.json()["accepted"], mixed.json()["rejected"]) == (1, 1)
        assert [row["value"] for row in twin.scores.rows.values()] == [0.7]
        assert twin.violations == []
        post(twin, "/scores", [{**SCORE, "timestamp": "2026-11-01T10:00:00.001Z"}])
        assert "same id and timestamp" in twin.violations[0]


def test_a_server_may_have_closed_the_first_door() -> None:
    with LangfuseTwin() as twin:
        twin.scores.takes_events = False
        answer = post(twin, "/ingestion", event())
        assert (answer.status_code, answer.json()["errors"][0]["status"]) == (207, 400)
        twin.has_ingestion = False
        assert post(twin, "/ingestion", event()).status_code in (404, 405)


@pytest.mark.parametrize(("is_newer", "held"), [(False, 0), (True, 1)])
def test_the_array_of_langfuses_own_sdk_is_lost_at_4_16_and_taken_by_a_newer_server(
    is_newer: bool, held: int
) -> None:
    with LangfuseTwin() as twin:
        twin.scores.takes_arrays = is_newer
        command = [sys.executable, "-c", BY_SDK, twin.url, PUBLIC_KEY, SECRET_KEY]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        assert len(twin.scores.rows) == held
        assert json.dumps(list(twin.scores.rows.values())).count('"value": 0.5') == held
