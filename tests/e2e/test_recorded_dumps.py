"""The whole recorded databases through the whole program: every call is there, and every number is the recorded one."""

from __future__ import annotations

import gzip
import json
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest

from exporter import config
from exporter.daemon import App
from exporter.demo.database import dify_database
from exporter.once import OnceReport
from exporter.state import ledger
from tests.vendor.convert_recording import convert

# What each recording's README says of Dify and of the vendor: input and output.
TRUTH = {
    "1.12.1": {"dify": (111_828, 9_941), "vendor_minus_dify": (6_417, 976), "out_of_reach": (19, 48)},
    "1.14.0": {"dify": (383_820, 7_065), "vendor_minus_dify": (6_630, 876), "out_of_reach": (37, 36)},
}
"""`out_of_reach`: a conversation that was deleted, and a stopped call that left nothing to recognise it by."""


@dataclass
class Exported:
    """A dump after `run --once`."""

    version: str
    report: OnceReport
    calls: list[dict[str, Any]]
    vendor_log: dict[str, dict[str, Any]]
    dsn: str


@pytest.fixture(scope="module", params=sorted(TRUTH))
def exported(
    request: pytest.FixtureRequest, shared: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Exported]:
    version = request.param
    folder = tmp_path_factory.mktemp("dump")
    suffix = "" if version == "1.12.1" else f"-{version}"
    recorded = shared / "dify" / f"vendor-calls{suffix}.jsonl"
    convert(recorded, folder / "vendor.jsonl")
    log = {entry["id"]: entry for entry in map(json.loads, recorded.read_text("utf-8").splitlines())}
    with dify_database() as url:
        _restore(url, shared / "dify" / f"dify-{version}.sql.gz")
        dsn = url.replace("/postgres?", "/dify?")
        wanted = {
            "dify.database.url": dsn,
            "vendor": [{"kind": "file", "path": str(folder / "vendor.jsonl"), "name": "log"}],
            "state.path": str(folder / "s.db"),
        }
        with App(config.load(Path(os.devnull), {}, wanted).settings) as app:
            report = app.run_once()
            with app.store.read() as connection:
                calls = [json.loads(line) for line in ledger.calls(connection, ledger.CallFilter())]
        yield Exported(version, report, calls, log, dsn)


def _restore(url: str, dump: Path) -> None:
    """The dump as it is, but for the extension that the wheel's PostgreSQL lacks."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE DATABASE dify")
    text = gzip.decompress(dump.read_bytes()).decode("utf-8")
    with psycopg.connect(url.replace("/postgres?", "/dify?"), autocommit=True) as connection:
        connection.execute(
            "CREATE FUNCTION public.uuid_generate_v4() RETURNS uuid LANGUAGE sql AS 'SELECT gen_random_uuid()'"
        )
        statements: list[str] = []
        lines = iter(text.splitlines(keepends=True))
        for line in lines:
            if "EXTENSION" in line or line.startswith("\\"):
                continue
            if line.startswith("COPY ") and line.rstrip().endswith("FROM stdin;"):
                connection.execute("".join(statements).encode())
                statements.clear()
                with connection.cursor().copy(line.strip().rstrip(";").encode()) as copy:
                    for row in lines:
                        if row.rstrip("\n") == "\\.":
                            break
                        copy.write(row)
                continue
            statements.append(line)
        connection.execute("".join(statements).encode())


def _sum(calls: list[dict[str, Any]], reading: str, *, independent: bool = False) -> tuple[int, int]:
    readings = [call["readings"][reading] for call in calls]
    chosen = [item for item in readings if item and (not independent or item["independent"])]
    return sum(item["input"] or 0 for item in chosen), sum(item["output"] or 0 for item in chosen)


def test_dify_readings_sum_to_what_dify_recorded(exported: Exported) -> None:
    assert _sum(exported.calls, "dify") == TRUTH[exported.version]["dify"]
    assert exported.report.set_aside == 0
    assert exported.report.problems == ()


def test_every_leaf_call_of_the_database_has_its_row(exported: Exported) -> None:
    with psycopg.connect(exported.dsn) as connection:
        nodes = connection.execute(
            "SELECT id::text, process_data::json->'usage'->>'prompt_tokens', process_data::json->'usage'->>'completion_tokens'"
            " FROM workflow_node_executions WHERE node_type IN ('llm', 'question-classifier', 'parameter-extractor')"
        ).fetchall()
        agents = connection.execute(
            "SELECT id::text FROM workflow_node_executions WHERE node_type = 'agent'"
        ).fetchall()
        messages = connection.execute(
            "SELECT id::text, message_tokens, answer_tokens FROM messages WHERE workflow_run_id IS NULL"
        ).fetchall()
    by_node = {call["node_execution_id"]: call for call in exported.calls if call["node_execution_id"]}
    assert set(by_node) == {row[0] for row in (*nodes, *agents)}
    for node_id, prompt, completion in nodes:
        reading = by_node[node_id]["readings"]["dify"]
        if prompt is None:
            assert reading is None or reading["kind"] == "zero"
        else:
            assert (reading["input"], reading["output"]) == (int(prompt), int(completion))
    for message_id, prompt, completion in messages:
        mine = [call for call in exported.calls if call["message_id"] == message_id]
        if mine:
            assert _sum(mine, "dify") == (prompt, completion), message_id


def test_a_vendor_reading_is_the_logs_own_number(exported: Exported) -> None:
    owners: Counter[str] = Counter()
    for call in exported.calls:
        reading = call["readings"]["vendor"]
        if reading is None or not reading["independent"]:
            continue
        billed = [exported.vendor_log[attempt["id"]] for attempt in reading["attempts"]]
        owners.update(entry["id"] for entry in billed)
        assert (reading["input"], reading["output"]) == tuple(
            map(sum, zip(*map(_billed, billed), strict=True))
        )
        assert not [
            entry["kind"]
            for entry in billed
            if entry["kind"] in ("title", "suggested", "embedding", "rerank")
        ]
    assert set(owners.values()) == {1}


def _billed(entry: dict[str, Any]) -> tuple[int, int]:
    """Input with cached parts, and output, as the vendor's log has them."""
    usage = entry["usage"] or {}
    cached = usage.get("cache_creation_input_tokens", 0) + usage.get("cache_read_input_tokens", 0)
    return (
        usage.get("prompt_tokens", usage.get("input_tokens", 0)) + cached,
        usage.get("completion_tokens", usage.get("output_tokens", 0)),
    )


def test_every_difference_is_explained_and_they_add_up_to_the_whole(exported: Exported) -> None:
    assert Counter(call["verdict"] for call in exported.calls)["unexplained"] == 0
    found = [finding for call in exported.calls for finding in call["findings"]]
    explained = sum(item["input"] for item in found), sum(item["output"] for item in found)
    whole, lost = (TRUTH[exported.version][name] for name in ("vendor_minus_dify", "out_of_reach"))
    assert explained == (whole[0] - lost[0], whole[1] - lost[1])


def test_local_counts_of_openai_text_calls_equal_the_vendor(exported: Exported) -> None:
    exact = [
        call
        for call in exported.calls
        if call["readings"]["local"] and call["readings"]["local"]["accuracy"] == "exact"
        if call["readings"]["vendor"] and call["readings"]["vendor"]["independent"]
        if len(call["readings"]["vendor"]["attempts"]) == 1
    ]
    assert len(exact) > 50
    for call in exact:
        assert call["readings"]["local"]["input"] == call["readings"]["vendor"]["input"], call["call_id"]
