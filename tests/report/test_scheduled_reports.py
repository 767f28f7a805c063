"""A scheduled report is made once, when its day, week or month has ended in the time zone of the settings, and made up for."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from exporter import clock, config
from exporter.config import Settings
from exporter.errors import Misconfigured, Unreachable
from exporter.report.scheduled import due_reports, make_due
from exporter.state.store import Store
from tests.web.traces_by_hand import NOON, SECOND, build_trace, keep

HOUR, DAY = 3600 * SECOND, 86_400 * SECOND


def settings(zone: str = "UTC", **entry: Any) -> Settings:
    wanted = {"report.time_zone": zone, "report.schedule": [{"folder": "/nowhere", **entry}]}
    return config.load(Path(os.devnull), {}, wanted).settings


def stretches(known: Settings, now: int, made: dict[str, str] | None = None) -> list[tuple[str, str]]:
    zone = config.time_zone(known.report.time_zone)
    return [
        (clock.at(due.window.since, zone).isoformat(), clock.at(due.window.until, zone).isoformat())
        for due in due_reports(known, made or {}, now)
    ]


def micros(text: str) -> int:
    return clock.micros(config.parse_time(text))


def test_a_day_is_due_at_its_time_after_it_has_ended_in_the_zone() -> None:
    shanghai = settings("Asia/Shanghai", after="06:30")
    before, after = micros("2026-11-23T22:29:00Z"), micros("2026-11-23T22:30:00Z")
    assert stretches(shanghai, before) == [("2026-11-22T00:00:00+08:00", "2026-11-23T00:00:00+08:00")]
    assert stretches(shanghai, after) == [("2026-11-23T00:00:00+08:00", "2026-11-24T00:00:00+08:00")]


def test_weeks_begin_on_monday_and_months_on_the_first() -> None:
    tuesday = micros("2026-11-24T12:00:00Z")
    assert stretches(settings(every="week"), tuesday) == [
        ("2026-11-16T00:00:00+00:00", "2026-11-23T00:00:00+00:00")
    ]
    assert stretches(settings(every="month"), tuesday) == [
        ("2026-10-01T00:00:00+00:00", "2026-11-01T00:00:00+00:00")
    ]


def test_a_day_with_another_length_is_a_whole_day() -> None:
    """Clocks went back in Berlin on 2026-10-25, so that day had 25 hours."""
    ((since, until),) = stretches(settings("Europe/Berlin"), micros("2026-10-26T08:00:00Z"))
    assert (micros(until) - micros(since)) == 25 * HOUR


def test_missed_ones_are_made_up_for_oldest_first_and_none_twice() -> None:
    now = micros("2026-11-24T12:00:00Z")
    made = {"report.day": str(micros("2026-11-21T00:00:00Z"))}
    days = [since[:10] for since, _ in stretches(settings(), now, made)]
    assert days == ["2026-11-21", "2026-11-22", "2026-11-23"]
    assert stretches(settings(), now, {"report.day": str(micros("2026-11-24T00:00:00Z"))}) == []


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(tmp_path / "state.db")
    keep(store, build_trace(1))
    return store


def test_files_are_written_once_in_every_format(store: Store, tmp_path: Path) -> None:
    wanted = settings(folder=str(tmp_path / "reports"), formats=["html", "json", "csv"])
    now = NOON - NOON % DAY + DAY + 7 * HOUR
    assert make_due(store, wanted, now, lambda: False) == 1
    assert make_due(store, wanted, now + HOUR, lambda: False) == 0
    day = clock.rfc3339(NOON)[:10]
    names = sorted(path.name for path in (tmp_path / "reports").iterdir())
    assert names == [f"dify-tokens-day-{day}.{form}" for form in ("csv", "html", "json")]
    document = json.loads((tmp_path / "reports" / f"dify-tokens-day-{day}.json").read_text("utf-8"))
    assert document["total"]["dify"]["input"] == 12
    assert make_due(Store(store.path), wanted, now + 2 * HOUR, lambda: False) == 0


def test_a_folder_that_cannot_be_written_is_named_and_tried_again(store: Store, tmp_path: Path) -> None:
    blocked = tmp_path / "blocked"
    blocked.write_text("a file", "utf-8")
    wanted = settings(folder=str(blocked))
    with pytest.raises(Misconfigured, match="cannot be written"):
        make_due(store, wanted, NOON + 2 * DAY, lambda: False)
    blocked.unlink()
    assert make_due(store, wanted, NOON + 2 * DAY, lambda: False) == 1


class Hook(HTTPServer):
    """A webhook that keeps what it is told."""

    status = 200

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.bodies: list[dict[str, Any]] = []


class _Handler(BaseHTTPRequestHandler):
    server: Hook

    def do_POST(self) -> None:
        self.server.bodies.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(self.server.status)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


@pytest.fixture
def hook() -> Iterator[Hook]:
    with Hook() as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def test_a_webhook_gets_the_document_and_a_refusal_is_tried_again_without_telling_its_address(
    store: Store, hook: Hook
) -> None:
    address = f"http://127.0.0.1:{hook.server_port}/SECRETPATH"
    wanted = settings(folder=None, webhook=address)
    hook.status = 500
    with pytest.raises(Unreachable, match="answered 500") as refused:
        make_due(store, wanted, NOON + 2 * DAY, lambda: False)
    assert "SECRETPATH" not in str(refused.value)
    hook.status = 204
    assert make_due(store, wanted, NOON + 2 * DAY, lambda: False) == 1
    assert [body["window"]["time_zone"] for body in hook.bodies] == ["UTC", "UTC"]


def test_an_entry_that_cannot_be_delivered_keeps_no_other_entry_back(store: Store, tmp_path: Path) -> None:
    blocked = tmp_path / "blocked"
    blocked.write_text("a file", "utf-8")
    entries = [
        {"every": "day", "folder": str(blocked)},
        {"every": "day", "folder": str(tmp_path / "open"), "name": "another"},
    ]
    wanted = config.load(Path(os.devnull), {}, {"report.schedule": entries}).settings
    with pytest.raises(Misconfigured, match="blocked cannot be written"):
        make_due(store, wanted, NOON + 2 * DAY, lambda: False)
    assert list((tmp_path / "open").glob("*.json"))


def test_two_entries_of_one_length_need_names_and_then_keep_files_and_memory_apart(
    store: Store, tmp_path: Path
) -> None:
    def entries(*names: str) -> Settings:
        folder = str(tmp_path / "reports")
        schedule = [{"folder": folder, "formats": ["csv"], "by": ["model"], "name": name} for name in names]
        return config.load(Path(os.devnull), {}, {"report.schedule": schedule}).settings

    with pytest.raises(Misconfigured, match="two entries are named 'day'"):
        entries("", "day")
    assert make_due(store, entries("day"), NOON + 2 * DAY, lambda: False) == 1
    assert make_due(store, entries("for finance", "day"), NOON + 2 * DAY, lambda: False) == 1
    assert len(list((tmp_path / "reports").iterdir())) == 2
