"""The recorded Dify 1.14.0 with its recorded object storage: the prompts that its database cut are whole again, from a folder
and from a bucket, and our recount of them is the vendor's number."""

from __future__ import annotations

import json
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from exporter import config
from exporter.calls import listing
from exporter.daemon import App
from exporter.state import ledger
from tests.contract.s3_twin import ACCESS_KEY, BUCKET, REGION, SECRET_KEY, S3Twin
from tests.e2e.recorded import Dump, restored

CUT_CALLS = {"bc254307-fe8c-49c3-bc50-705e51e2d500": 92_320, "0e007cd4-4308-4561-818a-c971390c1708": 269_245}
"""Node rows whose prompt was cut, with the prompt tokens that the vendor billed (rows 69 and 70 of the recording)."""
APP = "Big text workflow"


@pytest.fixture(scope="module")
def dump(shared: Path) -> Iterator[Dump]:
    with restored("1.14.0", shared) as found:
        yield found


@pytest.fixture(scope="module")
def storage(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The recorded object storage as Dify's storage folder."""
    folder = tmp_path_factory.mktemp("storage")
    with tarfile.open(shared / "dify" / "object-storage-1.14.0.tar.gz") as archive:
        archive.extractall(folder, filter="data")
    return folder / "object-storage-1.14.0"


def export(dump: Dump, state: Path, storage: dict[str, Any]) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """The calls of the big texts by node row, and the notes of their traces."""
    wanted = {
        "dify.database.url": dump.dsn, "state.path": str(state / "s.db"), "dify.include.apps": [APP], **storage,
    }  # fmt: skip
    with App(config.load(Path(os.devnull), {}, wanted).settings) as app:
        report = app.run_once()
        assert (report.set_aside, report.problems) == (0, ())
        with app.store.read() as connection:
            calls = [
                json.loads(line) for line in listing(connection, ledger.CallFilter(), app.settings.compare)
            ]
            traces = [ledger.trace(connection, call["trace_id"]) for call in calls]
    notes = [note for trace in traces if trace is not None for note in trace["notes"]]
    return {call["node_execution_id"]: call for call in calls}, notes


def test_without_the_storage_the_recount_is_too_low_and_says_why(dump: Dump, tmp_path: Path) -> None:
    calls, notes = export(dump, tmp_path, {})
    assert sum("is cut" in note for note in notes) == 3
    for node, tokens in CUT_CALLS.items():
        local = calls[node]["readings"]["local"]
        assert local["input"] < tokens
        assert local["accuracy"] == "lower_bound"


def test_from_the_mounted_folder_the_recount_is_the_vendors_number(
    dump: Dump, storage: Path, tmp_path: Path
) -> None:
    calls, notes = export(dump, tmp_path, {"dify.storage.path": str(storage)})
    assert notes == []
    for node, tokens in CUT_CALLS.items():
        readings = calls[node]["readings"]
        assert (readings["dify"]["input"], readings["local"]["input"]) == (tokens, tokens)


def test_from_the_bucket_it_is_the_same(dump: Dump, storage: Path, tmp_path: Path) -> None:
    files = {str(path.relative_to(storage)): path.read_bytes() for path in storage.rglob("*.json")}
    with S3Twin(files) as twin:
        s3 = {"endpoint": twin.url, "bucket": BUCKET, "region": REGION, "access_key": ACCESS_KEY,
              "secret_key": SECRET_KEY}  # fmt: skip
        calls, notes = export(dump, tmp_path, {"dify.storage.s3": s3})
        assert len(twin.asked) == 3
    assert notes == []
    assert {node: calls[node]["readings"]["local"]["input"] for node in CUT_CALLS} == CUT_CALLS
