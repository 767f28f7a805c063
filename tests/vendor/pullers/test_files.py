"""Evidence files are read as they grow: whole lines once, from where the last read ended, through rotation and damage."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path

import pytest

from exporter.errors import Unreachable
from exporter.vendor.pullers.files import FileRead, read_file


def record(number: int) -> dict[str, object]:
    return {
        "id": f"r{number}",
        "started_at": "2026-11-23T19:17:07.433Z",
        "model": "gpt-4o-mini",
        "usage": {"prompt_tokens": number, "completion_tokens": 1},
    }


def line(number: int) -> str:
    return json.dumps(record(number)) + "\n"


def ids(part: FileRead) -> list[str]:
    return [call.id for call in part.records]


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "calls.jsonl"


def test_only_what_was_added_is_read(log: Path) -> None:
    log.write_text(line(1) + line(2))
    first = read_file(log, source="gw")
    assert ids(first) == ["r1", "r2"]
    assert {call.source for call in first.records} == {"gw"}
    with log.open("a") as file:
        file.write(line(3))
    second = read_file(log, first.position, source="gw")
    assert ids(second) == ["r3"]


def test_an_unchanged_file_gives_its_position_back(log: Path) -> None:
    log.write_text(line(1))
    first = read_file(log, source="gw")
    again = read_file(log, first.position, source="gw")
    assert (again.records, again.position) == ((), first.position)


def test_a_half_written_line_waits_for_its_end(log: Path) -> None:
    log.write_text(line(1) + line(2)[:40])
    first = read_file(log, source="gw")
    assert (ids(first), first.is_cut_short, first.refused) == (["r1"], True, ())
    log.write_text(line(1) + line(2))
    assert ids(read_file(log, first.position, source="gw")) == ["r2"]


def test_a_last_line_without_a_line_end_counts_when_it_is_whole(log: Path) -> None:
    log.write_text(line(1) + line(2).rstrip())
    first = read_file(log, source="gw")
    assert ids(first) == ["r1", "r2"]
    with log.open("a") as file:
        file.write("\nnot json\n")
    second = read_file(log, first.position, source="gw")
    assert (ids(second), [bad.place for bad in second.refused]) == ([], ["line 3"])


def test_every_line_arrives_once_however_the_file_is_cut_up(log: Path) -> None:
    whole = "".join(line(number) for number in range(1, 6)).encode()
    for step in (1, 7, 64, 200):
        log.unlink(missing_ok=True)
        position, seen = None, []
        for end in [*range(step, len(whole), step), len(whole)]:
            with log.open("ab") as file:
                file.write(whole[log.stat().st_size : end])
            part = read_file(log, position, source="gw")
            position = part.position
            seen += ids(part)
            assert part.refused == ()
        assert seen == ["r1", "r2", "r3", "r4", "r5"]


def test_a_bad_line_is_named_and_the_rest_is_kept(log: Path) -> None:
    bad = json.dumps({**record(2), "model": None, "response_text": "secret words"})
    log.write_text(line(1) + "{broken\n" + bad + "\n\n" + line(5))
    part = read_file(log, source="gw")
    assert ids(part) == ["r1", "r5"]
    assert [(refused.place, refused.reason) for refused in part.refused] == [
        ("line 2", "not valid JSON"),
        ("line 3", "model is missing"),
    ]


def test_a_limit_hands_the_file_out_in_parts(log: Path) -> None:
    log.write_text("".join(line(number) for number in range(1, 8)))
    position, parts = None, []
    while True:
        part = read_file(log, position, source="gw", limit=3)
        if part.position == position:
            break
        position = part.position
        parts.append(ids(part))
    assert parts == [["r1", "r2", "r3"], ["r4", "r5", "r6"], ["r7"]]


def test_a_rotated_file_is_read_from_its_start(log: Path) -> None:
    log.write_text(line(1) + line(2))
    first = read_file(log, source="gw")
    log.rename(log.with_suffix(".1"))
    log.write_text(line(3))
    assert ids(read_file(log, first.position, source="gw")) == ["r3"]


def test_a_file_cut_in_place_is_read_from_its_start(log: Path) -> None:
    log.write_text(line(1) + line(2))
    first = read_file(log, source="gw")
    os.truncate(log, 0)
    with log.open("a") as file:
        file.write(line(3))
    assert ids(read_file(log, first.position, source="gw")) == ["r3"]


def test_a_file_overwritten_with_a_longer_one_is_read_from_its_start(log: Path) -> None:
    log.write_text(line(1))
    first = read_file(log, source="gw")
    log.write_text(line(7) + line(8) + line(9))
    assert ids(read_file(log, first.position, source="gw")) == ["r7", "r8", "r9"]


def test_a_json_array_is_read_as_a_whole_and_again_when_it_changes(log: Path) -> None:
    log.write_text(json.dumps([record(1), {"id": "r2"}, record(3)], indent=2))
    first = read_file(log, source="gw")
    assert ids(first) == ["r1", "r3"]
    assert first.refused[0].place == "entry 2"
    assert read_file(log, first.position, source="gw").records == ()
    log.write_text(json.dumps([record(1), record(2), record(3), record(4)]))
    assert ids(read_file(log, first.position, source="gw")) == ["r1", "r2", "r3", "r4"]


def test_an_array_that_is_still_being_written_is_named_and_read_later(log: Path) -> None:
    whole = json.dumps([record(1), record(2)], indent=2)
    log.write_text(whole[:100])
    first = read_file(log, source="gw")
    assert (first.records, first.is_cut_short, len(first.refused)) == ((), True, 1)
    log.write_text(whole)
    assert ids(read_file(log, first.position, source="gw")) == ["r1", "r2"]


def test_one_object_over_several_lines_is_one_record(log: Path) -> None:
    log.write_text(json.dumps(record(1), indent=2))
    assert ids(read_file(log, source="gw")) == ["r1"]


def test_a_gzip_file_is_read_and_read_on(tmp_path: Path) -> None:
    log = tmp_path / "calls.jsonl.gz"
    log.write_bytes(gzip.compress((line(1) + line(2)).encode()))
    first = read_file(log, source="gw", limit=1)
    second = read_file(log, first.position, source="gw", limit=5)
    assert (ids(first), ids(second)) == (["r1"], ["r2"])
    log.write_bytes(gzip.compress((line(1) + line(2) + line(3)).encode()))
    assert "r3" in ids(read_file(log, second.position, source="gw"))


def test_odd_bytes_do_not_stop_the_file(log: Path) -> None:
    torn = json.dumps({**record(2), "response_text": "\ud83d"})
    log.write_bytes(
        b"\xef\xbb\xbf" + line(1).encode() + torn.encode() + b"\n\xff\xfe\n" + b"\x00\n" + line(3).encode()
    )
    part = read_file(log, source="gw")
    assert ids(part) == ["r1", "r2", "r3"]
    assert [bad.place for bad in part.refused] == ["line 3", "line 4"]


def test_an_empty_file_is_no_fault(log: Path) -> None:
    log.write_text("")
    first = read_file(log, source="gw")
    assert (first.records, first.refused) == ((), ())
    log.write_text(line(1))
    assert ids(read_file(log, first.position, source="gw")) == ["r1"]


@pytest.mark.parametrize("content", [None, b"\x1f\x8b\x08\x00cut"], ids=["missing", "broken gzip"])
def test_a_file_that_cannot_be_read_says_which(tmp_path: Path, content: bytes | None) -> None:
    log = tmp_path / "calls.jsonl.gz"
    if content is not None:
        log.write_bytes(content)
    with pytest.raises(Unreachable, match=r"calls\.jsonl\.gz"):
        read_file(log, source="gw")
