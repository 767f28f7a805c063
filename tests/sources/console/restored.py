"""Recorded Dify databases to read from, each in a PostgreSQL of its own, and Console twins in front of them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg

from exporter import config
from exporter.config import Settings
from exporter.demo.database import dify_database
from tests.contract.console_twin import ConsoleTwin, Login
from tests.e2e.recorded import restore

PASSWORD = "pässword:with/odd characters"
VERSIONS = ("1.12.1", "1.14.0")


@contextmanager
def restored(shared: Path, version: str) -> Iterator[str]:
    """The address of the recorded database of that version."""
    with dify_database() as url:
        restore(url, shared / "dify" / f"dify-{version}.sql.gz")
        yield url.replace("/postgres?", "/dify?")


def twin_of(url: str, version: str, **more: Any) -> ConsoleTwin:
    """A twin that serves every workspace of the database, each by an account of its own."""
    with psycopg.connect(url) as connection:
        tenants = [row[0] for row in connection.execute("SELECT id::text FROM tenants ORDER BY id")]
    logins = {f"reader{number}@example.com": Login(PASSWORD, tenant) for number, tenant in enumerate(tenants)}
    return ConsoleTwin(url, version=version, logins=logins, **more)


def console(twin: ConsoleTwin, **more: Any) -> dict[str, Any]:
    """The settings that read this twin with all its accounts, as fast as it can answer."""
    accounts = [{"email": email, "password": PASSWORD} for email in twin.logins]
    return {"url": twin.url, "accounts": accounts, "requests_per_minute": 100_000, **more}


def settings(folder: Path, name: str = "state", **flags: Any) -> Settings:
    """Settings with a state file in the folder; flags are dotted paths with __ for the dots."""
    dotted = {key.replace("__", "."): value for key, value in flags.items()}
    return config.load(Path(os.devnull), {}, {"state.path": str(folder / f"{name}.db"), **dotted}).settings
