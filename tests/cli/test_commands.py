"""Every command on a recorded Dify: what it prints, and its exit code."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from command import lines, run

from tests.conftest import RecordedDify
from tests.contract import langfuse_twin
from tests.contract.langfuse_twin import LangfuseTwin

KEYS = {
    "trace_id", "call_id", "kind", "app_id", "app_name", "app_mode", "message_id", "workflow_run_id", "node_execution_id",
    "node_title", "provider", "model", "started_at", "ended_at", "status", "readings", "verdict", "findings",
}  # fmt: skip


@dataclass
class Ran:
    """A folder in which `run --once` was done."""

    folder: Path
    env: dict[str, str]
    twin: LangfuseTwin


@pytest.fixture(scope="module")
def ran(recorded_dify: RecordedDify, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ran]:
    folder = tmp_path_factory.mktemp("cli")
    (folder / "dify-exporter.yaml").write_text(
        f"vendor: [{{kind: file, path: '{recorded_dify.vendor_log}', format: generic}}]\n"
    )
    with LangfuseTwin() as twin:
        env = {
            "DIFY_DATABASE_URL": recorded_dify.url, "LANGFUSE_HOST": twin.url,
            "LANGFUSE_PUBLIC_KEY": langfuse_twin.PUBLIC_KEY, "LANGFUSE_SECRET_KEY": langfuse_twin.SECRET_KEY,
        }  # fmt: skip
        done = run("run", "--once", cwd=folder, env=env)
        assert done.returncode == 0, done.stderr
        yield Ran(folder, env, twin)


def test_calls_gives_one_object_a_call_with_the_agreed_fields(ran: Ran, recorded_dify: RecordedDify) -> None:
    done = run("calls", "--json", cwd=ran.folder, env=ran.env)
    assert done.returncode == 0
    calls = lines(done.stdout)
    assert all(set(call) >= KEYS for call in calls)
    with psycopg.connect(recorded_dify.url) as connection:
        nodes = connection.execute(
            "SELECT id::text, (process_data::json->'usage'->>'prompt_tokens')::int, (process_data::json->'usage'->>'completion_tokens')::int"
            " FROM workflow_node_executions WHERE node_type IN ('llm', 'question-classifier', 'parameter-extractor')"
            " AND process_data::json->'usage' IS NOT NULL"
        ).fetchall()
    by_node = {call["node_execution_id"]: call["readings"]["dify"] for call in calls}
    assert nodes
    for node_id, prompt, completion in nodes:
        assert (by_node[node_id]["input"], by_node[node_id]["output"]) == (prompt, completion)


def test_findings_and_rest_add_up_to_vendor_minus_dify(ran: Ran) -> None:
    proven = 0
    for call in lines(run("calls", "--json", cwd=ran.folder, env=ran.env).stdout):
        vendor, dify = call["readings"]["vendor"], call["readings"]["dify"]
        if vendor is None or not vendor["independent"]:
            continue
        for part in ("input", "output"):
            said = sum(finding[part] for finding in call["findings"]) + (call["unexplained"] or {}).get(
                part, 0
            )
            assert said == vendor[part] - ((dify or {}).get(part) or 0), call["call_id"]
            proven += 1
    assert proven > 100


def test_calls_can_be_narrowed_by_app_model_verdict_time_and_trace(ran: Ran) -> None:
    everything = lines(run("calls", "--json", cwd=ran.folder, env=ran.env).stdout)
    some = [call for call in everything if call["model"]][len(everything) // 2]
    for arguments, matches in (
        (["--app", some["app_name"]], lambda call: call["app_name"] == some["app_name"]),
        (["--model", some["model"]], lambda call: call["model"] == some["model"]),
        (["--verdict", "explained"], lambda call: call["verdict"] == "explained"),
        (["--since", some["started_at"]], lambda call: call["started_at"] >= some["started_at"]),
        (["--until", some["started_at"]], lambda call: call["started_at"] < some["started_at"]),
        (["--trace", some["trace_id"]], lambda call: call["trace_id"] == some["trace_id"]),
    ):
        found = lines(run("calls", "--json", *arguments, cwd=ran.folder, env=ran.env).stdout)
        assert found == [call for call in everything if matches(call)], arguments


def test_explain_takes_message_run_and_trace_ids_and_fits_a_screen(ran: Ran) -> None:
    call = lines(run("calls", "--json", "--verdict", "explained", cwd=ran.folder, env=ran.env).stdout)[0]
    document = json.loads(run("explain", call["trace_id"], "--json", cwd=ran.folder, env=ran.env).stdout)
    assert call in document["calls"]
    dashed = call["message_id"] or call["workflow_run_id"]
    text = run("explain", dashed, cwd=ran.folder, env=ran.env).stdout
    for word in (
        "dify",
        "local",
        "vendor",
        "verdict",
        call["findings"][0]["code"],
        call["findings"][0]["advice"][:20],
    ):
        assert word in text


def test_unknown_and_malformed_ids_are_told_apart(ran: Ran) -> None:
    assert run("explain", "0" * 32, cwd=ran.folder, env=ran.env).returncode == 1
    assert run("explain", "nonsense", cwd=ran.folder, env=ran.env).returncode == 2
    assert run("calls", "--trace", "nonsense", cwd=ran.folder, env=ran.env).returncode == 2


def test_status_says_what_is_delivered_and_which_dify_it_reads(ran: Ran) -> None:
    done = run("status", "--json", cwd=ran.folder, env=ran.env)
    assert done.returncode == 0, done.stdout
    status = json.loads(done.stdout)
    assert status["daemon"] is False
    assert status["destinations"][0]["delivered_traces"] > 50
    assert status["destinations"][0]["waiting"] == 0
    assert any("1.14" in words for words in status["source"].values())
    assert status["evidence"][0]["matched"] > 50
    assert "langfuse" in run("status", cwd=ran.folder, env=ran.env).stdout


def test_check_is_content_with_what_works(ran: Ran) -> None:
    done = run("check", cwd=ran.folder, env=ran.env)
    assert done.returncode == 0, done.stdout
    assert "1.14" in done.stdout


def test_check_says_what_does_not_work_and_what_to_do(ran: Ran) -> None:
    env = {**ran.env, "LANGFUSE_SECRET_KEY": "sk-wrong-and-secret"}
    done = run("check", "--json", cwd=ran.folder, env=env)
    assert done.returncode in (1, 3)
    failed = [item for item in lines(done.stdout) if not item["ok"]]
    assert [item["hint"] is not None for item in failed] == [True]
    assert "sk-wrong-and-secret" not in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("postgresql://u:geheim@127.0.0.1:9/dify", "127.0.0.1"),
        ("postgresql://u:geheim@no-such-host.invalid/dify", "no-such-host.invalid"),
    ],
)
def test_a_database_that_cannot_be_reached_is_exit_3_and_never_prints_the_password(
    tmp_path: Path, url: str, said: str
) -> None:
    for command in (["run", "--once"], ["check"]):
        done = run(*command, cwd=tmp_path, env={"DIFY_DATABASE_URL": url})
        assert done.returncode == 3, done.stderr
        assert said in done.stderr + done.stdout
        assert "geheim" not in done.stderr + done.stdout


def test_a_database_that_is_not_difys_is_said(recorded_dify: RecordedDify, tmp_path: Path) -> None:
    with psycopg.connect(recorded_dify.url, autocommit=True) as connection:
        connection.execute("CREATE DATABASE something_else")
    url = recorded_dify.url.replace("/postgres?", "/something_else?")
    done = run("run", "--once", cwd=tmp_path, env={"DIFY_DATABASE_URL": url})
    assert done.returncode == 3
    assert "Dify" in done.stderr


def test_every_problem_of_the_settings_is_in_one_message(tmp_path: Path) -> None:
    (tmp_path / "dify-exporter.yaml").write_text(
        "dify: {poll_interval: soon, pages: 3}\ndestinations: [{kind: langfuse}, {kind: smoke-signal}]\nweb: {port: 99999}\n"
    )
    done = run("run", "--once", cwd=tmp_path, env={"DIFY_EXPORTER_STATE__PTH": "x"})
    assert done.returncode == 2
    for name in (
        "dify.poll_interval",
        "dify.pages",
        "destinations.0",
        "destinations.1.kind",
        "web.port",
        "DIFY_EXPORTER_STATE__PTH",
    ):
        assert name in done.stderr, name


@pytest.mark.parametrize(
    "command", [["run"], ["run", "--once"], ["check"], ["backfill", "--since", "2026-01-01"]]
)
def test_a_missing_database_address_is_said_at_once(command: list[str], tmp_path: Path) -> None:
    done = run(*command, cwd=tmp_path)
    assert done.returncode in (2, 3)
    assert "DIFY_DATABASE_URL" in done.stdout + done.stderr


def test_config_show_tells_where_each_value_came_from_and_masks_secrets(ran: Ran) -> None:
    done = run("--set", "dify.poll_interval=9s", "config", "show", "--json", cwd=ran.folder, env=ran.env)
    shown = json.loads(done.stdout)
    assert shown["dify.poll_interval"] == {"value": 9.0, "origin": "flag"}
    assert "DIFY_DATABASE_URL" in shown["dify.database.url"]["origin"]
    assert shown["vendor"]["origin"].endswith("dify-exporter.yaml")
    assert shown["web.port"]["origin"] == "default"
    assert langfuse_twin.SECRET_KEY not in done.stdout


def test_a_damaged_state_file_is_refused_with_what_to_do(ran: Ran, tmp_path: Path) -> None:
    (tmp_path / "dify-exporter.db").write_bytes(b"not a database" * 1000)
    done = run("run", "--once", cwd=tmp_path, env=ran.env)
    assert done.returncode == 2
    assert "not started over" in done.stderr
    assert "Try:" in done.stderr


def test_replay_says_how_many_come_back(ran: Ran) -> None:
    done = run("replay", cwd=ran.folder, env=ran.env)
    assert done.returncode == 0
    assert done.stdout.startswith("0 dead letters")


def test_backfill_counts_and_then_finds_nothing_new(ran: Ran) -> None:
    counted = run("backfill", "--since", "2020-01-01", "--dry-run", "--json", cwd=ran.folder, env=ran.env)
    assert sum(json.loads(counted.stdout).values()) > 50
    before = ran.twin.requests
    done = run("backfill", "--since", "2020-01-01", cwd=ran.folder, env=ran.env)
    assert done.returncode == 0, done.stderr
    assert ran.twin.requests == before


def test_backfill_takes_a_stretch_of_time_and_no_more(
    ran: Ran, recorded_dify: RecordedDify, tmp_path: Path
) -> None:
    with psycopg.connect(recorded_dify.url) as connection:
        since, until, expected = connection.execute(  # type: ignore[misc]
            "SELECT min(created_at), percentile_disc(0.5) WITHIN GROUP (ORDER BY created_at), count(*) FROM messages"
        ).fetchone()
        expected = connection.execute(
            "SELECT count(*) FROM messages WHERE created_at >= %s AND created_at < %s", (since, until)
        ).fetchone()[0]  # type: ignore[index]
    done = run(
        "backfill", "--since", since.isoformat(), "--until", until.isoformat(), cwd=tmp_path, env=ran.env
    )
    assert done.returncode == 0, done.stderr
    calls = lines(run("calls", "--json", cwd=tmp_path, env=ran.env).stdout)
    messages = {call["message_id"] for call in calls if call["message_id"]}
    assert 0 < len(messages) <= expected
    assert all(
        since.isoformat() <= call["started_at"]
        for call in calls
        if call["message_id"] and call["app_mode"] == "chat"
    )


@pytest.mark.parametrize(
    "command", ["demo", "check", "run", "backfill", "status", "calls", "explain", "replay", "config"]
)
def test_every_command_has_help(command: str, tmp_path: Path) -> None:
    done = run(command, "--help", cwd=tmp_path)
    assert done.returncode == 0
    assert "Usage" in done.stdout


def test_backfill_delivers_while_it_reads_so_a_small_backlog_is_enough(ran: Ran, tmp_path: Path) -> None:
    small = ["--set", "state.max_backlog=60KiB", "--set", "dify.page_size=5"]
    with LangfuseTwin() as twin:
        (tmp_path / "dify-exporter.yaml").write_text(
            "destinations: [{kind: langfuse, confirm_after: 100ms}]\n"
        )
        env = {**ran.env, "LANGFUSE_HOST": twin.url, "DIFY_EXPORTER_STATE_PATH": "small.db"}
        done = run(*small, "backfill", "--since", "2020-01-01", cwd=tmp_path, env=env)
        assert done.returncode == 0, done.stderr
        state = json.loads(run("status", "--json", cwd=tmp_path, env=env).stdout)
        assert state["destinations"][0]["waiting"] == 0
        assert len({trace for trace, _ in twin.counts()}) == state["destinations"][0]["delivered_traces"] > 50
        assert set(twin.counts().values()) == {1}
