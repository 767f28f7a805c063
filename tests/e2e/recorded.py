"""The whole recordings: restored databases, the vendor's own log, and what each README says they add up to."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from exporter import config
from exporter.demo.database import dify_database

# What each recording's README says: input and output of Dify, of what the vendor billed in all, and of the parts of that
# which belong to no message or run.
TRUTH = {
    "1.12.1": {
        "dify": (111_828, 9_941),
        "billed": (135_870, 14_129),
        "title": (79, 15_476, 2_733),
        "suggested_questions": (6, 1_017, 115),
        "embedding": (24, 396, 0),
        "rerank": (3, 688, 0),
        "credential_check": (6, 48, 364),
        "out_of_reach": (0, 0),
    },
    "1.14.0": {
        "dify": (383_820, 7_065),
        "billed": (399_196, 9_797),
        "title": (40, 8_056, 1_348),
        "suggested_questions": (2, 299, 38),
        "embedding": (10, 197, 0),
        "rerank": (1, 130, 0),
        "credential_check": (8, 64, 470),
        "out_of_reach": (37, 36),
    },
}
"""`out_of_reach`: one stopped call of 1.14.0 that left nothing to recognise it by, of a provider that sends no user."""

LOG = {"1.12.1": "vendor-calls.jsonl", "1.14.0": "vendor-calls-1.14.0.jsonl"}


@dataclass
class Dump:
    """A restored dump and the vendor's own log of it."""

    version: str
    dsn: str
    log: list[dict[str, Any]]


CAUSES: dict[str, dict[str, tuple[int, int]]] = {
    "1.12.1": {
        "nothing kept of a call": (3_060, 952),
        "no usage sent": (20, -24),
        "price-weighted": (3_318, 0),
        "rows deleted": (19, 48),
        "agent total": (0, 0),
    },
    "1.14.0": {
        "nothing kept of a call": (1_331, 713),
        "no usage sent": (16, -7),
        "price-weighted": (3_318, 0),
        "rows deleted": (0, 0),
        "agent total": (1_965, 170),
    },
}
"""The causes of the READMEs, those added up that differ only in how a call came to leave nothing (stopped, hung up, cut,
killed, failed)."""


@contextmanager
def restored(version: str, shared: Path) -> Iterator[Dump]:
    """A server of its own with the dump."""
    log = [json.loads(line) for line in (shared / "dify" / LOG[version]).read_text("utf-8").splitlines()]
    with dify_database() as url:
        restore(url, shared / "dify" / f"dify-{version}.sql.gz")
        yield Dump(version, url.replace("/postgres?", "/dify?"), log)


def settings_for(
    dump: Dump, entries: list[dict[str, Any]] | None, form: str, folder: Path
) -> config.Settings:
    """Settings for the dump with the vendor's log in that format; None: without the log."""
    wanted: dict[str, Any] = {"dify.database.url": dump.dsn, "state.path": str(folder / "s.db")}
    if entries is not None:
        file = folder / "vendor.jsonl"
        file.write_text("".join(json.dumps(entry) + "\n" for entry in entries), "utf-8")
        wanted["vendor"] = [{"kind": "file", "path": str(file), "format": form, "name": "log"}]
    return config.load(Path(os.devnull), {}, wanted).settings


def restore(url: str, dump: Path) -> None:
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
