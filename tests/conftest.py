"""Fixtures of more than one folder: a real PostgreSQL with recorded Dify rows, and the contract twins."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import structlog

from exporter import clock
from exporter.demo import recording, replay
from exporter.demo.database import dify_database

SECOND = 1_000_000


@dataclass(frozen=True)
class RecordedDify:
    """A running Dify database with the bundled recording in it, and the vendor's log of the same traffic."""

    url: str
    vendor_log: Path


@pytest.fixture(autouse=True)
def logs_as_they_were() -> Iterator[None]:
    """A command that runs inside of the test process sets logging up for all of it."""
    yield
    structlog.reset_defaults()


@pytest.fixture(scope="session")
def recorded_dify(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RecordedDify]:
    """The recording, ended two hours ago; read only."""
    log = tmp_path_factory.mktemp("vendor") / "vendor-calls.jsonl"
    with dify_database() as url:
        replay.play_at_once(url, recording.load("tests"), log, clock.now() - 7200 * SECOND)
        yield RecordedDify(url, log)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of the whole recordings; tests that need it are skipped where it is not."""
    folder = Path(os.environ.get("DIFY_EXPORTER_SHARED") or Path(__file__).parents[2] / "shared")
    if not (folder / "dify" / "dify-1.12.1.sql.gz").exists():
        pytest.skip("the whole recordings are not here (DIFY_EXPORTER_SHARED or ../shared)")
    return folder
