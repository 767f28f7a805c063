"""Values that Dify keeps in its object storage: put back from a folder or a bucket, or told on the trace; never waited for
in vain, never skipped for good."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from dify_tables import TENANT, Database, add_node, add_run, ago, insert, new_id
from source_calls import fetch_all, only_trace, settings, until_caught_up

from exporter.errors import Misconfigured, SourceRefused, Unreachable
from exporter.sources.assemble import assemble
from exporter.sources.checks import check_source
from exporter.sources.database import open_database
from tests.contract.s3_twin import ACCESS_KEY, BUCKET, REGION, SECRET_KEY, S3Twin

WHOLE = json.dumps(
    {"model_name": "gpt-4o", "prompts": [{"role": "user", "text": "word " * 60_000}], "usage": {"prompt_tokens": 60_007}}
)  # fmt: skip
CUT = json.dumps({"model_name": "gpt-4o", "prompts": "...", "usage": {"prompt_tokens": 60_007}})


@pytest.fixture
def offloading(dify: Database) -> Database:
    """Dify 1.12 with its table of files."""
    dify.connection.execute(
        "CREATE TABLE upload_files (id uuid PRIMARY KEY, tenant_id uuid, key varchar(255), size integer)"
    )
    return dify


def offloaded_run(dify: Database, *, key: str | None = None, size: int = len(WHOLE), minutes: int = 5) -> str:
    """A run with one cut node; returns the key of its value."""
    key = f"upload_files/{TENANT}/{new_id()}.json" if key is None else key
    run = add_run(dify.connection, status="succeeded", created_at=ago(minutes=minutes))
    node = add_node(
        dify.connection, run, node_id="write", node_type="llm", status="succeeded", process_data=CUT
    )  # fmt: skip
    file = insert(dify.connection, "upload_files", tenant_id=TENANT, key=key, size=size)
    insert(
        dify.connection, "workflow_node_execution_offload", node_execution_id=node, type="process_data", file_id=file
    )  # fmt: skip
    return key


def folder(root: Path, objects: dict[str, str | bytes]) -> dict[str, Any]:
    """The `dify.storage` of a folder with these files."""
    (root / "upload_files").mkdir(parents=True, exist_ok=True)
    for key, data in objects.items():
        (root / key).parent.mkdir(parents=True, exist_ok=True)
        (root / key).write_bytes(data.encode() if isinstance(data, str) else data)
    return {"path": root}


def bucket(twin: S3Twin, **more: Any) -> dict[str, Any]:
    """The `dify.storage` of the twin."""
    s3 = {
        "endpoint": twin.url,
        "bucket": BUCKET,
        "region": REGION,
        "access_key": ACCESS_KEY,
        "secret_key": SECRET_KEY,
    }
    return {"s3": s3 | more, "timeout": 5}  # fmt: skip


def test_a_value_in_a_mounted_folder_is_put_back(
    offloading: Database, open_source: Any, tmp_path: Path
) -> None:
    key = offloaded_run(offloading)
    source = open_source(offloading.url, storage=folder(tmp_path, {key: WHOLE}))
    trace = only_trace(source, "runs")
    assert (trace.nodes[0].process_data, trace.nodes[0].offloaded, trace.notes) == (WHOLE, (), ())
    (call,) = assemble(trace).calls
    assert call.prompt is not None
    assert len(call.prompt[0].text) == 300_000
    assert call.missing == ()
    assert dict(source.describe())["long values"] == f"read from folder {tmp_path}"


def test_a_value_in_a_bucket_is_put_back_with_one_signed_request(
    offloading: Database, open_source: Any
) -> None:
    key = offloaded_run(offloading)
    with S3Twin({key: WHOLE.encode()}) as twin:
        trace = only_trace(open_source(offloading.url, storage=bucket(twin)), "runs")
        assert (trace.nodes[0].process_data, trace.nodes[0].offloaded) == (WHOLE, ())
        assert twin.asked == [key]


def test_without_a_storage_the_cut_value_stays_and_it_is_said(offloading: Database, open_source: Any) -> None:
    offloaded_run(offloading)
    source = open_source(offloading.url)
    trace = only_trace(source, "runs")
    assert (trace.nodes[0].process_data, trace.nodes[0].offloaded) == (CUT, ("process_data",))
    assert "dify.storage is not set" in dict(source.describe())["long values"]
    (call,) = assemble(trace).calls
    assert call.missing == ("the rest of a long prompt",)


@pytest.mark.parametrize(
    ("stored", "why"),
    [
        (None, "not in Dify's storage any more"),
        ("[1]", "no JSON object"),
        ("{half", "no JSON"),
        (b'{"a": "\xff"}', "no JSON"),
        ("{" + " " * 2000 + "}", "larger than dify.storage.max_bytes (1,000)"),
    ],
)
@pytest.mark.parametrize("place", ["folder", "bucket"])
def test_a_value_that_cannot_be_had_is_a_note_and_the_trace_goes_on(
    offloading: Database, open_source: Any, tmp_path: Path, stored: str | bytes | None, why: str, place: str
) -> None:
    key = offloaded_run(offloading, size=10)
    objects = {} if stored is None else {key: stored}
    with S3Twin({name: d.encode() if isinstance(d, str) else d for name, d in objects.items()}) as twin:
        storage = folder(tmp_path, objects) if place == "folder" else bucket(twin)
        trace = only_trace(open_source(offloading.url, storage={**storage, "max_bytes": "1000B"}), "runs")
    assert (trace.nodes[0].process_data, trace.nodes[0].offloaded) == (CUT, ("process_data",))
    (note,) = trace.notes
    assert note.startswith("llm node 'write': no whole process_data, ")
    assert why in note
    assert any(note == told for told in assemble(trace).notes)


@pytest.mark.parametrize(
    "key", ["../secret.json", "upload_files/../../secret.json", "/etc/passwd", "link.json"]
)
def test_a_key_never_leads_out_of_the_folder(
    offloading: Database, open_source: Any, tmp_path: Path, key: str
) -> None:
    (tmp_path / "secret.json").write_text('{"secret": 1}')
    storage = folder(tmp_path / "storage", {})
    (tmp_path / "storage" / "link.json").symlink_to(tmp_path / "secret.json")
    offloaded_run(offloading, key=key)
    trace = only_trace(open_source(offloading.url, storage=storage), "runs")
    assert trace.nodes[0].process_data == CUT
    assert "secret" not in str(trace.notes)
    assert len(trace.notes) == 1


def _unmounted(_: S3Twin, root: Path) -> dict[str, Any]:
    return {"path": root / "not-mounted"}


def _failing(twin: S3Twin, _: Path) -> dict[str, Any]:
    twin.fail_with = (503, "SlowDown")
    return bucket(twin)


def _silent(twin: S3Twin, _: Path) -> dict[str, Any]:
    twin.delay_seconds = 2.0
    return bucket(twin) | {"timeout": 0.2}


def _broken(twin: S3Twin, _: Path) -> dict[str, Any]:
    twin.cut = True
    return bucket(twin)


def _closed(_: S3Twin, __: Path) -> dict[str, Any]:
    return {"s3": {"endpoint": "http://127.0.0.1:9", "bucket": BUCKET, "access_key": "a", "secret_key": "b"}}


@pytest.mark.parametrize("state", [_unmounted, _failing, _silent, _broken, _closed])
def test_a_storage_that_does_not_answer_makes_its_traces_wait(
    offloading: Database, open_source: Any, tmp_path: Path, state: Callable[[S3Twin, Path], dict[str, Any]]
) -> None:
    key = offloaded_run(offloading)
    with S3Twin({key: WHOLE.encode()}) as twin:
        source = open_source(offloading.url, storage=state(twin, tmp_path))
        refs, _ = until_caught_up(source, "runs")
        with pytest.raises(Unreachable, match="long value"):
            source.fetch(tuple(refs))
        twin.fail_with, twin.cut, twin.delay_seconds = None, False, 0.0
        again = open_source(offloading.url, storage=bucket(twin))
        assert again.fetch(tuple(refs)).traces[0].nodes[0].process_data == WHOLE


@pytest.mark.parametrize(
    "wrong",
    [
        {"secret_key": "another"},
        {"access_key": "AKIAOTHER"},
        {"bucket": "elsewhere"},
        {"region": "us-east-1"},
    ],
)
def test_a_storage_that_refuses_us_is_named_without_its_secret(
    offloading: Database, open_source: Any, wrong: dict[str, str]
) -> None:
    key = offloaded_run(offloading)
    with S3Twin({key: WHOLE.encode()}) as twin:
        source = open_source(offloading.url, storage=bucket(twin, **wrong))
        refs, _ = until_caught_up(source, "runs")
        with pytest.raises(SourceRefused, match="was refused") as caught:
            source.fetch(tuple(refs))
    said = f"{caught.value} {caught.value.hint}"
    assert "hunter2" not in said
    assert SECRET_KEY not in said
    assert "another" not in said


def test_who_may_not_list_cannot_tell_gone_from_refused_and_is_told_the_right_to_ask_for(
    offloading: Database, open_source: Any
) -> None:
    offloaded_run(offloading)
    with S3Twin({}) as twin:
        twin.may_list = False
        source = open_source(offloading.url, storage=bucket(twin))
        refs, _ = until_caught_up(source, "runs")
        with pytest.raises(SourceRefused) as caught:
            source.fetch(tuple(refs))
    assert "s3:ListBucket" in str(caught.value.hint)


def test_an_answer_that_grows_too_large_is_given_in_parts(
    offloading: Database, open_source: Any, tmp_path: Path
) -> None:
    keys = [offloaded_run(offloading, minutes=9 - number) for number in range(4)]
    storage = folder(tmp_path, dict.fromkeys(keys, WHOLE)) | {"max_bytes": f"{len(WHOLE)}B"}
    source = open_source(offloading.url, storage=storage)
    refs, _ = until_caught_up(source, "runs")
    assert len(source.fetch(tuple(refs)).traces) == 2
    whole = fetch_all(source, refs)
    assert [trace.nodes[0].process_data for trace in whole.traces] == [WHOLE] * 4


def test_a_single_trace_keeps_what_would_be_too_large_cut(
    offloading: Database, open_source: Any, tmp_path: Path
) -> None:
    key = offloaded_run(offloading)
    storage = folder(tmp_path, {key: WHOLE}) | {"max_bytes": "1000B"}
    trace = only_trace(open_source(offloading.url, storage=storage), "runs")
    assert trace.nodes[0].offloaded == ("process_data",)
    assert "larger than twice dify.storage.max_bytes together" in trace.notes[0]


def test_check_reads_the_newest_value(offloading: Database, tmp_path: Path) -> None:
    key = offloaded_run(offloading)
    checked = {
        item.name: item
        for item in check_source(settings(offloading.url, storage=folder(tmp_path, {key: WHOLE})))
    }
    assert checked["long values"].ok
    assert f"the newest has {len(WHOLE):,} bytes" in checked["long values"].seen
    (tmp_path / key).unlink()
    missing = {item.name: item for item in check_source(settings(offloading.url, storage={"path": tmp_path}))}
    assert not missing["long values"].ok
    assert "not in Dify's storage" in missing["long values"].seen


def test_a_missing_extra_is_said_at_start(dify: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "boto3", None)
    with pytest.raises(Misconfigured, match="needs boto3") as caught:
        open_database(settings(dify.url, storage={"s3": {"bucket": BUCKET}}))
    assert "dify-exporter[aws]" in str(caught.value.hint)


def test_two_stores_are_one_too_many(dify: Database, tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="both set"):
        open_database(settings(dify.url, storage={"path": tmp_path, "s3": {"bucket": BUCKET}}))
