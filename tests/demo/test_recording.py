"""The bundled recording: fresh ids everywhere, times moved together, nothing in it that must not leave the house."""

from __future__ import annotations

import gzip
import json
import os
import re
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from exporter import demo
from exporter.demo import recording
from exporter.demo.tables import TABLES, TIMES
from exporter.vendor.record import parse

BUNDLED = Path(demo.__file__).with_name("recording.json.gz")
UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


def bundled_text() -> str:
    return gzip.decompress(BUNDLED.read_bytes()).decode()


def replayed(run: str, seconds: int = 0) -> tuple[list[recording.Row], list[str]]:
    loaded = recording.load(run)
    rows = [*loaded.standing, *(row for episode in loaded.episodes for row in episode.rows(seconds))]
    return rows, [line for episode in loaded.episodes for line in episode.vendor_records(seconds)]


def test_no_recorded_id_comes_back() -> None:
    rows, vendor = replayed("one")
    text = "\n".join([row for _, row in rows] + vendor)
    recorded = set(UUID.findall(bundled_text()))
    assert len(recorded) > 400
    assert recorded.isdisjoint(UUID.findall(text))


def test_a_run_gives_the_same_ids_again_and_another_run_gives_others() -> None:
    assert replayed("one") == replayed("one")
    first, second = (set(UUID.findall(str(replayed(run)))) for run in ("one", "two"))
    assert len(first) == len(second)
    assert first.isdisjoint(second)


def test_ids_still_point_to_each_other() -> None:
    rows, _ = replayed("one")
    tables: dict[str, list[dict[str, Any]]] = {}
    for table, row in rows:
        tables.setdefault(table, []).append(json.loads(row))
    ids = {table: {row["id"] for row in found if "id" in row} for table, found in tables.items()}
    for row in tables["messages"]:
        assert row["app_id"] in ids["apps"]
        assert row.get("workflow_run_id") is None or row["workflow_run_id"] in ids["workflow_runs"]
    for row in tables["workflow_node_executions"]:
        assert row["app_id"] in ids["apps"]
        assert "workflow_run_id" not in row or row["workflow_run_id"] in ids["workflow_runs"]
    for row in tables["message_agent_thoughts"]:
        assert row["message_id"] in ids["messages"]
    for row in tables["apps"]:
        assert row["tenant_id"] in ids["tenants"]
    inside_json = json.loads(tables["workflow_runs"][0]["inputs"])
    assert inside_json["sys.workflow_run_id"] == tables["workflow_runs"][0]["id"]


def test_all_times_move_by_the_same_whole_seconds() -> None:
    still, moved = replayed("one")[0], replayed("one", 86_400 * 200 + 7)[0]
    seen = 0
    for (_, before), (_, after) in zip(still, moved, strict=True):
        old, new = json.loads(before), json.loads(after)
        for name in old:
            if name in TIMES:
                shift = datetime.fromisoformat(new[name]) - datetime.fromisoformat(old[name])
                assert shift == timedelta(days=200, seconds=7)
                seen += 1
            else:
                assert new[name] == old[name]
    assert seen > 500


def test_vendor_records_are_canonical_and_lie_inside_their_episode() -> None:
    for episode in recording.load("one").episodes:
        for line in episode.vendor_records(3600):
            call = parse(json.loads(line), "file")
            assert call.source == "gateway"
            assert call.end <= episode.ended_at + 3600 * 1_000_000
            assert call.tokens is not None or call.status == "error"


def test_the_recording_holds_only_columns_that_the_exporter_reads() -> None:
    document = json.loads(bundled_text())
    for tables in (document["tables"], *(episode["tables"] for episode in document["episodes"])):
        for table, rows in tables.items():
            assert {name for row in rows for name in row} <= set(TABLES[table])


def test_the_recording_is_small_and_holds_no_key_mail_or_signature() -> None:
    text = bundled_text()
    assert BUNDLED.stat().st_size < 300_000
    for pattern in (
        r"[\w.+-]+@[\w-]+\.\w+",
        r"\b(?:sk|app|pk)-[A-Za-z0-9]{16,}",
        r"(?i)bearer ",
        r"[?&]sign=",
    ):
        assert re.findall(pattern, text) == []


def test_the_recording_is_what_its_maker_makes() -> None:
    shared = Path(os.environ.get("DIFY_EXPORTER_SHARED", Path(__file__).parents[3] / "shared")) / "dify"
    if not (shared / "dify-1.14.0.sql.gz").exists():
        pytest.skip("the full recordings are not here (set DIFY_EXPORTER_SHARED to their folder)")
    command = [sys.executable, Path(__file__).with_name("make_recording.py"), shared, "--compare"]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_no_episode_is_told_twice() -> None:
    shown = [episode.shows for episode in recording.load("one").episodes]
    assert len(shown) == len(set(shown)) == len(json.loads(bundled_text())["episodes"])
    assert all(
        episode.ended_at < datetime.now(UTC).timestamp() * 1_000_000
        for episode in recording.load("x").episodes
    )
