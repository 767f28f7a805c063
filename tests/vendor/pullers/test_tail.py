"""A growing file is followed through every way of rotating it; nothing that was written is missed."""

from __future__ import annotations

import gzip
import json
import os
import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from exporter.clock import micros
from exporter.errors import Misconfigured, Unreachable
from exporter.vendor.pullers.base import Puller
from exporter.vendor.pullers.tail import FilePuller
from tests.vendor.pullers.pulling import NOON, Intake, ids, recorded, settings, spread


def line(name: str, at: datetime = NOON) -> str:
    record = {"id": name, "started_at": at.isoformat(), "model": "m", "usage": {"prompt_tokens": 1}}
    return json.dumps(record) + "\n"


def write(path: Path, *names: str) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.writelines(line(name) for name in names)


def maker(path: Path, **values: Any) -> Callable[[], Puller]:
    source = settings(kind="file", path=path, name="gw", **values)
    return lambda: FilePuller(source)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "calls.jsonl"


def later(path: Path, seconds: int) -> None:
    """Files of a test are written within one tick of a coarse clock; rotations are hours apart."""
    at = NOON.timestamp() + seconds
    os.utime(path, (at, at))


def test_recorded_requests_are_read_as_they_are_written(log: Path) -> None:
    store, written = Intake(maker(log), restarts=True), []
    for record in recorded():
        written.append(record)
        with log.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")
        if len(written) % 7 == 0:
            assert store.take()
    assert store.take()
    assert store.ids == ids(written)
    assert set(store.given.values()) == {1}


@pytest.mark.parametrize(
    "name", ["calls.jsonl.1", "calls.jsonl-20261124", "calls-2026-11-24.jsonl", "archive-7"]
)
def test_what_was_written_before_a_rename_is_read(log: Path, name: str) -> None:
    store = Intake(maker(log), restarts=True)
    write(log, "a")
    assert store.take()
    write(log, "b", "c")
    log.rename(log.with_name(name))
    write(log, "d")
    assert store.take()
    assert store.ids == ["a", "b", "c", "d"]
    assert set(store.given.values()) == {1}


@pytest.mark.parametrize(
    "name", ["calls.jsonl.1.gz", "calls.jsonl-20261124.gz", "calls-2026-11-24.jsonl.gz", "calls.jsonl.gz"]
)
def test_what_was_written_before_a_compressed_rotation_is_read(log: Path, name: str) -> None:
    store = Intake(maker(log), restarts=True)
    write(log, "a")
    assert store.take()
    write(log, "b", "c")
    log.with_name(name).write_bytes(gzip.compress(log.read_bytes()))
    log.unlink()
    write(log, "d")
    assert store.take()
    assert store.ids == ["a", "b", "c", "d"]
    assert set(store.given.values()) == {1}


def test_what_was_written_before_a_copy_and_a_cut_is_read(log: Path) -> None:
    store = Intake(maker(log), restarts=True)
    write(log, "a", "b")
    assert store.take()
    write(log, "c")
    shutil.copy(log, log.with_name("calls.jsonl.1"))
    os.truncate(log, 0)
    write(log, "d")
    assert store.take()
    assert store.ids == ["a", "b", "c", "d"]


def test_several_rotations_between_two_pulls_are_read_in_their_order(log: Path) -> None:
    store = Intake(maker(log))
    write(log, "a1")
    assert store.take()
    write(log, "a2")
    for number, names in ((3, ("b1", "b2")), (2, ("c1",)), (1, ("d1", "d2"))):
        log.rename(log.with_name(f"calls.jsonl.{number}"))
        later(log.with_name(f"calls.jsonl.{number}"), -number * 3_600)
        write(log, *names)
    compressed = log.with_name("calls.jsonl.3.gz")
    compressed.write_bytes(gzip.compress(log.with_name("calls.jsonl.3").read_bytes()))
    later(compressed, -3 * 3_600)
    log.with_name("calls.jsonl.3").unlink()
    later(log, 0)
    assert store.take()
    assert list(store.given) == ["a1", "a2", "b1", "b2", "c1", "d1", "d2"]


def test_a_writer_that_finishes_late_into_the_old_file_is_heard(log: Path) -> None:
    store = Intake(maker(log), restarts=True)
    write(log, "a")
    assert store.take()
    old = log.rename(log.with_name("calls.jsonl.1"))
    write(log, "c")
    assert store.take()
    write(old, "b")
    assert store.take()
    assert store.ids == ["a", "b", "c"]
    old.unlink()
    write(log, "d")
    assert store.take()
    assert store.ids == ["a", "b", "c", "d"]


def test_a_file_that_is_gone_for_a_moment_is_no_fault(log: Path) -> None:
    store = Intake(maker(log))
    write(log, "a", "b")
    assert store.take()
    log.rename(log.with_name("calls.jsonl.1"))
    assert store.take()
    write(log, "c")
    assert store.take()
    assert store.ids == ["a", "b", "c"]


def test_other_logs_in_the_folder_are_left_alone(log: Path) -> None:
    write(log.with_name("calls-other.jsonl"), "x")
    write(log.with_name("other.jsonl.1"), "y")
    write(log.with_name("calls.jsonl.swp"), "z")
    store = Intake(maker(log))
    write(log, "a")
    assert store.take()
    log.unlink()
    write(log, "b")
    assert store.take()
    assert store.ids == ["a", "b"]


def test_a_large_rotated_file_is_read_in_parts(log: Path) -> None:
    names = [f"r{number:05}" for number in range(12_000)]
    store = Intake(maker(log), restarts=True, loses=lambda pull: pull in (2, 5))
    write(log, *names[:10])
    assert store.once()
    write(log, *names[10:11_000])
    log.rename(log.with_name("calls.jsonl.1"))
    write(log, *names[11_000:])
    assert store.take()
    assert store.ids == names
    assert store.largest <= 5_000


STEPS = ["write", "half a line", "rename", "gzip", "copy and cut", "pull", "lost pull"]


@hypothesis_settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(st.sampled_from(STEPS), max_size=40))
def test_nothing_is_lost_however_writing_rotating_and_pulling_mix(tmp_path: Path, steps: list[str]) -> None:
    folder = tmp_path / str(len(list(tmp_path.iterdir())))
    folder.mkdir()
    log = folder / "calls.jsonl"
    store, rest = Intake(maker(log), restarts=True), ""
    write(log, "first")
    later(log, 0)
    assert store.take()
    for clock, step in enumerate(steps, start=1):
        if step in ("write", "half a line"):
            text = rest or line(f"w{clock:04}")
            cut = len(text) // 2 if step == "half a line" and not rest else len(text)
            with log.open("a", encoding="utf-8") as file:
                file.write(text[:cut])
            rest = text[cut:]
        elif step in ("pull", "lost pull"):
            store.loses = lambda _, is_lost=step == "lost pull": is_lost
            store.once()
        elif not rest and log.stat().st_size:
            rotate(log, step, clock)
        later(log, clock * 10)
    store.loses = lambda _: False
    assert store.take()
    assert set(wanted(folder)) <= set(store.ids)


def rotate(log: Path, how: str, number: int) -> None:
    """One rotation; the new file is empty, the old one as old as its last line."""
    old = log.with_name(f"{log.name}-{number:04}")
    if how == "copy and cut":
        shutil.copy2(log, old)
        os.truncate(log, 0)
        return
    log.rename(old)
    log.touch()
    if how == "gzip":
        packed = old.with_name(old.name + ".gz")
        packed.write_bytes(gzip.compress(old.read_bytes()))
        os.utime(packed, (old.stat().st_atime, old.stat().st_mtime))
        old.unlink()


def wanted(folder: Path) -> list[str]:
    """The ids of every whole line in the files of a folder."""
    found = []
    for path in folder.iterdir():
        body = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        found += [
            json.loads(text)["id"] for text in body.decode().splitlines(keepends=True) if text.endswith("\n")
        ]
    return found


def test_start_now_leaves_out_what_ended_before(log: Path) -> None:
    log.write_text(line("old", NOON - timedelta(seconds=5)), "utf-8")
    store = Intake(maker(log, start="now"), restarts=True)
    assert store.take()
    with log.open("a") as file:
        file.write(line("older", NOON - timedelta(hours=1)) + line("new", NOON + timedelta(seconds=5)))
    assert store.take(NOON + timedelta(minutes=1))
    assert store.ids == ["new"]


def test_times_without_a_zone_are_read_in_the_zone_of_the_source(log: Path) -> None:
    bare = {"id": "bare", "started_at": "2026-11-24T20:00:00", "model": "m", "usage": {"prompt_tokens": 1}}
    zoned = {**bare, "id": "zoned", "started_at": "2026-11-24T12:00:00Z"}
    log.write_text(json.dumps(bare) + "\n" + json.dumps(zoned) + "\n")
    store = Intake(maker(log, time_zone="Asia/Shanghai"))
    assert store.take()
    assert {record.started_at for record in store.records.values()} == {
        micros(datetime(2026, 11, 24, 12, tzinfo=UTC))
    }


def test_a_bad_line_is_named_with_its_file_and_line(log: Path) -> None:
    log.write_text(line("a") + "{broken\n" + line("b"))
    store = Intake(maker(log))
    assert store.take()
    assert [(bad.place, bad.reason) for bad in store.refused.values()] == [
        ("calls.jsonl: line 2", "not valid JSON")
    ]


def test_check_tells_how_the_records_read(log: Path) -> None:
    with pytest.raises(Unreachable, match=r"calls\.jsonl"):
        maker(log)().check()
    log.write_text('{"no": "record"}\n')
    with pytest.raises(Misconfigured, match="no usable record"):
        maker(log)().check()
    write(log, "a")
    assert "1 of the first records usable, 1 refused" in maker(log)().check()


def test_a_file_that_was_never_there_is_named(log: Path) -> None:
    with pytest.raises(Unreachable, match=r"calls\.jsonl"):
        Intake(maker(log)).take()
    log.write_text("".join(json.dumps(record) + "\n" for record in spread(3)))
    store = Intake(maker(log))
    assert store.take()
    assert len(store.ids) == 3
