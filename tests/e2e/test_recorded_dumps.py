"""The whole recorded databases through the whole program: every call is there, and every number is the recorded one."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest

from exporter import calls, evidence_report, models_report
from exporter.daemon import App
from exporter.once import OnceReport
from exporter.state import ledger
from tests.e2e.recorded import TRUTH, Dump, restored, settings_for
from tests.vendor.convert_recording import canonical
from tests.vendor.formats import FORMATS, KNOWS, converter, record_id


@dataclass
class Exported:
    """A dump after `run --once` with the vendor's log in one format."""

    version: str
    report: OnceReport
    calls: list[dict[str, Any]]
    evidence: dict[str, Any]
    models: dict[str, dict[str, Any]]
    vendor_log: dict[str, dict[str, Any]]
    dsn: str


@pytest.fixture(scope="module", params=sorted(TRUTH))
def dump(request: pytest.FixtureRequest, shared: Path) -> Iterator[Dump]:
    with restored(request.param, shared) as found:
        yield found


@pytest.fixture(scope="module")
def exported(dump: Dump, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    records = [canonical(line) for line in dump.log]
    return export(dump, records, "generic", tmp_path_factory.mktemp("generic"))


def export(dump: Dump, entries: list[dict[str, Any]], form: str, folder: Path) -> Exported:
    """What the program makes of the dump when the vendor's log comes in that format."""
    with App(settings_for(dump, entries, form, folder)) as app:
        report = app.run_once()
        with app.store.read() as connection:
            found = calls.listing(connection, ledger.CallFilter(), app.settings.compare)
            documents = [json.loads(line) for line in found]
        told = evidence_report.document(app.store, app.settings, app.now())
        models = {item["model"]: item for item in models_report.documents(app.store, app.settings)}
    log = {entry["id"]: entry for entry in dump.log}
    return Exported(dump.version, report, documents, told, models, log, dump.dsn)


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
    assert set(owners.values()) == {1}


def test_everything_that_the_vendor_billed_is_a_call_of_difys(exported: Exported) -> None:
    truth = TRUTH[exported.version]
    whole, lost = truth["billed"], truth["out_of_reach"]
    assert _sum(exported.calls, "vendor", independent=True) == (whole[0] - lost[0], whole[1] - lost[1])


@pytest.mark.parametrize(
    "purpose", ["title", "suggested_questions", "embedding", "rerank", "credential_check"]
)
def test_hidden_calls_are_those_of_the_readme(exported: Exported, purpose: str) -> None:
    mine = [call for call in exported.calls if call["kind"] == f"hidden:{purpose}"]
    assert (len(mine), *_sum(mine, "vendor", independent=True)) == TRUTH[exported.version][purpose]
    assert {call["verdict"] for call in mine} == {"explained"}


def test_only_what_left_nothing_behind_is_called_foreign(exported: Exported) -> None:
    foreign = exported.evidence["foreign"]
    assert (sum(group["input"] for group in foreign), sum(group["output"] for group in foreign)) == TRUTH[
        exported.version
    ]["out_of_reach"]


def _billed(entry: dict[str, Any]) -> tuple[int, int]:
    """Input with cached parts, and output, as the vendor's log has them."""
    usage = entry["usage"] or {}
    cached = usage.get("cache_creation_input_tokens", 0) + usage.get("cache_read_input_tokens", 0)
    return (
        usage.get("prompt_tokens", usage.get("input_tokens", usage.get("total_tokens", 0))) + cached,
        usage.get("completion_tokens", usage.get("output_tokens", 0)),
    )


def test_every_difference_is_explained_and_they_add_up_to_the_whole(exported: Exported) -> None:
    assert Counter(call["verdict"] for call in exported.calls)["unexplained"] == 0
    truth = TRUTH[exported.version]
    found = [finding for call in exported.calls for finding in call["findings"]]
    explained = sum(item["input"] for item in found), sum(item["output"] for item in found)
    assert explained == tuple(
        truth["billed"][place] - truth["dify"][place] - truth["out_of_reach"][place] for place in (0, 1)
    )


def attempts(exported: Exported) -> dict[str, str]:
    """Which call each request of the log was given to."""
    return {
        attempt["id"]: call["call_id"]
        for call in exported.calls
        if call["trace_id"] and call["readings"]["vendor"] and not call["kind"].startswith("hidden:")
        for attempt in call["readings"]["vendor"]["attempts"]
    }


def _says_the_same(exported: Exported, identity: str, call: str, truth: dict[str, str]) -> bool:
    """Equal requests of equal calls are told apart by times alone, which some formats keep in whole seconds."""
    mine = exported.vendor_log[identity]
    others = [exported.vendor_log[other] for other, owner in truth.items() if owner == call]
    return any(
        (_billed(mine), mine["model"], mine["response_text"], mine["http_status"])
        == (_billed(other), other["model"], other["response_text"], other["http_status"])
        for other in others
    )


@pytest.mark.parametrize("name", [*FORMATS, "apisix log_format", "kong 3.6", "litellm rows without texts"])
def test_every_format_gives_the_same_reconciliation(
    dump: Dump, exported: Exported, name: str, tmp_path: Path
) -> None:
    """Nothing is ever given to a wrong call. With texts, users and exact times all but a few requests find theirs; with
    users and times alone nine of ten; where the gateway logs no users, or times in whole seconds, most that were billed."""
    form, convert = converter(name)
    found = export(dump, [convert(line) for line in dump.log], form, tmp_path)
    ids = {record_id(name, line): line["id"] for line in dump.log}
    truth = attempts(exported)
    given = {ids[identity]: call for identity, call in attempts(found).items()}
    wrong = {
        identity: call
        for identity, call in given.items()
        if truth.get(identity) != call and not _says_the_same(exported, identity, call, truth)
    }
    assert wrong == {}
    billed = {identity for identity in truth if exported.vendor_log[identity]["usage"]}
    recall = len(given.keys() & truth.keys()) / len(truth)
    if KNOWS[name] >= {"texts", "user", "times"}:
        assert recall >= 0.98
        assert Counter(call["verdict"] for call in found.calls)["unexplained"] == 0
    elif KNOWS[name] >= {"user", "times"}:
        assert recall >= 0.90
    else:
        assert len(given.keys() & billed) / len(billed) >= 0.80


def test_local_counts_of_openai_text_calls_equal_the_vendor(exported: Exported) -> None:
    exact = [
        call
        for call in exported.calls
        if call["readings"]["local"] and call["readings"]["local"]["accuracy"] == "exact"
        if call["readings"]["vendor"] and call["readings"]["vendor"]["independent"]
        if [attempt["status"] for attempt in call["readings"]["vendor"]["attempts"]] == ["ok"]
        if not call["kind"].startswith("hidden:")
    ]
    assert len(exact) > 50
    for call in exact:
        assert call["readings"]["local"]["input"] == call["readings"]["vendor"]["input"], call["call_id"]


def test_models_show_their_class_and_that_the_ledger_bears_it_out(exported: Exported) -> None:
    """Of models whose vendor number follows a real vocabulary; the stand-in's rules for the others are its own."""
    mini = exported.models["gpt-4o-mini"]
    assert (mini["tokenizer"], mini["accuracy"], mini["error_pct"]) == ("o200k_base", "exact", 0.0)
    assert mini["dify_kinds"]["vendor_passed"] > 10
    seen = mini["observed"]["output"]
    assert seen["calls"] > 50
    assert seen["equal"] / seen["calls"] > 0.9
    assert set(exported.models) >= {"gpt-4o", "qwen-plus", "text-embedding-3-small"}
