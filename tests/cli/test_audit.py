"""`audit` on a small Dify and both platforms: what was acknowledged and lost is found, named, and repaired."""

from __future__ import annotations

import json
import re
import sqlite3
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from command import lines, run
from living_dify import insert, living_dify, message, uuid_of

from tests.contract import langfuse_twin, langsmith_twin
from tests.contract.langfuse_twin import LangfuseTwin
from tests.contract.langsmith_twin import LangSmithTwin

TODAY = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
MIDNIGHT = TODAY - timedelta(days=2)
EVENING, MORNING = (MIDNIGHT - timedelta(days=1)).date().isoformat(), MIDNIGHT.date().isoformat()
SINCE = ["--since", (MIDNIGHT - timedelta(days=3)).date().isoformat()]
MESSAGES = {"noon": -43_200.0, "evening": -0.25, "midnight": 0.0, "morning": 30_000.0, "next": 31_000.0}
"""Seconds around a midnight of UTC at which the messages began."""


def trace_of(name: str) -> str:
    return uuid_of(name).replace("-", "")


@dataclass
class Site:
    """A folder with settings and state, the Dify it reads, and what the platforms hold."""

    folder: Path
    env: dict[str, str]
    langfuse: LangfuseTwin
    langsmith: LangSmithTwin

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        done = run(*arguments, cwd=self.folder, env=self.env)
        assert "Traceback" not in done.stderr, done.stderr
        return done

    def export(self) -> None:
        done = self.run("run", "--once")
        assert done.returncode == 0, done.stderr

    def audit(self, *arguments: str) -> tuple[int, list[dict[str, Any]]]:
        done = self.run("audit", *SINCE, "--json", *arguments)
        return done.returncode, lines(done.stdout)

    def settings(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.folder / "dify-exporter.yaml").read_text())
        return found

    def write(self, settings: dict[str, Any]) -> None:
        (self.folder / "dify-exporter.yaml").write_text(json.dumps(settings))

    def change(self, place: int, **values: Any) -> None:
        """Other settings of one destination."""
        settings = self.settings()
        settings["destinations"][place].update(values)
        self.write(settings)

    def lose_span(self, name: str, *, root: bool) -> None:
        """Langfuse forgets one span that it has acknowledged and shown."""
        for key, row in list(self.langfuse.events.items()):
            if row["traceId"] == trace_of(name) and (row["parentObservationId"] is None) == root:
                del self.langfuse.events[key]

    def root_run(self, name: str) -> dict[str, Any]:
        return next(
            run_
            for run_ in self.langsmith.runs.values()
            if run_["parent_run_id"] is None and uuid_of(name) in json.dumps(run_["metadata"])
        )


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with living_dify() as url, psycopg.connect(url) as connection:
        rows = [
            message(name, (MIDNIGHT + timedelta(seconds=at)).replace(tzinfo=None).isoformat())
            for name, at in MESSAGES.items()
        ]
        insert(connection, "messages", rows)
        connection.commit()
        yield url


@pytest.fixture
def site(server: str, tmp_path: Path) -> Iterator[Site]:
    with LangfuseTwin() as langfuse, LangSmithTwin() as langsmith:
        settings = {
            "destinations": [
                {
                    "kind": "langfuse", "endpoint": langfuse.url, "public_key": langfuse_twin.PUBLIC_KEY,
                    "secret_key": langfuse_twin.SECRET_KEY, "confirm_after": "0.02s", "timeout": "5s", "scores": False,
                },
                {
                    "kind": "langsmith", "endpoint": langsmith.url, "api_key": langsmith_twin.API_KEY,
                    "project": "dify", "confirm_after": "0.02s", "timeout": "5s", "scores": False,
                    "requests_per_second": 1000,
                },
            ]
        }  # fmt: skip
        (tmp_path / "dify-exporter.yaml").write_text(json.dumps(settings))
        yield Site(tmp_path, {"DIFY_DATABASE_URL": server}, langfuse, langsmith)


def of(documents: list[dict[str, Any]], destination: str) -> dict[str, dict[str, Any]]:
    return {item["day"]: item for item in documents if item["destination"] == destination}


def missing(documents: list[dict[str, Any]]) -> set[tuple[str, str]]:
    return {(item["destination"], found["trace_id"]) for item in documents for found in item["missing"]}


def doubled(documents: list[dict[str, Any]]) -> set[tuple[str, str]]:
    return {(item["destination"], found["trace_id"]) for item in documents for found in item["doubled"]}


def test_a_destination_that_holds_everything_is_clean_day_by_day_in_utc(site: Site) -> None:
    site.export()
    code, documents = site.audit()
    assert code == 0
    for destination in ("langfuse", "langsmith"):
        days = of(documents, destination)
        assert {day: (item["exported"], item["there"]) for day, item in days.items()} == {
            EVENING: (2, 2),
            MORNING: (3, 3),
        }
        assert all(item["asked"] and not item["missing"] and not item["doubled"] for item in days.values())
        assert sum(item["compared_by_span"] for item in days.values()) == 5
    assert site.run("audit", *SINCE).returncode == 0


def test_a_stretch_that_begins_at_midnight_leaves_the_evening_out(site: Site) -> None:
    site.export()
    border = MIDNIGHT.isoformat()
    done = site.run("audit", "--since", border, "--json")
    assert {item["day"]: item["exported"] for item in lines(done.stdout)} == {MORNING: 3}
    done = site.run("audit", *SINCE, "--until", border, "--json")
    assert {item["day"]: item["exported"] for item in lines(done.stdout)} == {EVENING: 2}


def test_what_langfuse_acknowledged_and_lost_is_found_and_repaired(site: Site) -> None:
    site.export()
    site.lose_span("noon", root=False)
    site.lose_span("morning", root=False)
    site.lose_span("morning", root=True)
    code, documents = site.audit()
    assert code == 1
    days = of(documents, "langfuse")
    assert days[EVENING]["missing"] == [{"trace_id": trace_of("noon"), "spans_missing": 1, "spans": 2}]
    assert days[MORNING]["missing"] == [{"trace_id": trace_of("morning"), "spans_missing": 2, "spans": 2}]
    assert missing(documents) == {("langfuse", trace_of("noon")), ("langfuse", trace_of("morning"))}

    code, documents = site.audit("--repair")
    assert code == 1
    assert sum(item["queued_again"] for item in documents) == 2
    _, documents = site.audit()
    assert missing(documents) == set()
    assert {day: item["waiting"]["reading"] for day, item in of(documents, "langfuse").items()} == {
        EVENING: 1,
        MORNING: 1,
    }
    assert sum(item["there"] for item in of(documents, "langsmith").values()) == 5

    site.export()
    code, documents = site.audit()
    assert (code, missing(documents), doubled(documents)) == (0, set(), set())
    assert set(site.langfuse.counts().values()) == {1}
    assert len(site.langfuse.counts()) == len(site.langsmith.runs) == 10
    assert site.langsmith.violations == []


def test_what_langsmith_lost_is_found_by_its_root_and_repaired(site: Site) -> None:
    site.export()
    root = site.root_run("midnight")
    for run_id in [run_["id"] for run_ in site.langsmith.runs.values() if run_["trace_id"] == root["id"]]:
        del site.langsmith.runs[run_id]
    code, documents = site.audit("--sample", "0", "--repair")
    assert code == 1
    assert of(documents, "langsmith")[MORNING]["missing"] == [
        {"trace_id": trace_of("midnight"), "spans_missing": 2, "spans": 2}
    ]
    site.export()
    code, documents = site.audit()
    assert (code, missing(documents)) == (0, set())
    assert len(site.langsmith.runs) == 10


def test_a_lost_child_run_is_found_when_its_trace_is_in_the_sample(site: Site) -> None:
    site.export()
    root = site.root_run("evening")
    child = next(run_["id"] for run_ in site.langsmith.runs.values() if run_["parent_run_id"] == root["id"])
    del site.langsmith.runs[child]
    code, documents = site.audit("--destination", "langsmith")
    assert (code, missing(documents)) == (1, {("langsmith", trace_of("evening"))})
    code, documents = site.audit("--destination", "langsmith", "--sample", "0")
    assert code == 0
    assert sum(item["compared_by_span"] for item in documents) == 0
    assert "by their root" in site.run("audit", *SINCE, "--sample", "0").stdout


def test_a_span_that_came_with_two_starts_is_doubled(site: Site) -> None:
    site.export()
    for (trace_id, span_id, start), row in list(site.langfuse.events.items()):
        if trace_id == trace_of("next") and row["parentObservationId"] is not None:
            moved = start.replace("Z", "")[:-1] + "9Z"
            site.langfuse.events[trace_id, span_id, moved] = {**row, "startTime": moved}
    code, documents = site.audit("--repair")
    assert (code, doubled(documents), missing(documents)) == (1, {("langfuse", trace_of("next"))}, set())
    assert of(documents, "langfuse")[MORNING]["doubled"][0]["rows_too_many"] == 1
    assert sum(item["queued_again"] for item in documents) == 0


def test_a_run_that_the_ledger_does_not_have_is_doubled(site: Site) -> None:
    site.export()
    root = site.root_run("noon")
    child = next(run_ for run_ in site.langsmith.runs.values() if run_["parent_run_id"] == root["id"])
    copy = child["id"][:-1] + ("0" if child["id"][-1] != "0" else "1")
    site.langsmith.runs[copy] = {**child, "id": copy}
    code, documents = site.audit()
    assert (code, doubled(documents)) == (1, {("langsmith", trace_of("noon"))})


def test_what_only_waits_is_not_missing(site: Site) -> None:
    site.langfuse.faults.redirect = 1000
    assert site.run("run", "--once").returncode == 3
    code, documents = site.audit()
    assert (code, missing(documents)) == (0, set())
    waits = [item["waiting"] for item in of(documents, "langfuse").values()]
    assert sum(item["ready"] + item["in_doubt"] for item in waits) == 5
    assert sum(item["there"] for item in of(documents, "langsmith").values()) == 5


@pytest.mark.parametrize(("rule", "state"), [("age", "acked"), ("at_once", "fresh")])
def test_what_was_acknowledged_and_not_proven_yet_is_not_missing(rule: str, state: str, site: Site) -> None:
    site.change(0, confirm=rule)
    site.langfuse.faults.lose_spans = 1000
    site.export()
    code, documents = site.audit("--destination", "langfuse", "--repair")
    assert (code, missing(documents)) == (0, set())
    assert sum(item["waiting"][state] for item in documents) == 5
    assert sum(item["queued_again"] for item in documents) == 0


def test_a_destination_that_came_later_is_filled_by_a_repair(site: Site) -> None:
    everything = site.settings()
    site.write({"destinations": everything["destinations"][:1]})
    site.export()
    site.write(everything)
    code, documents = site.audit("--repair")
    assert code == 1
    assert missing(documents) == {("langsmith", trace_of(name)) for name in MESSAGES}
    site.export()
    code, documents = site.audit()
    assert (code, sum(item["there"] for item in documents)) == (0, 10)
    assert site.langsmith.violations == []


def test_what_was_refused_is_a_dead_letter_and_not_missing(site: Site) -> None:
    site.export()
    span = next(key[1] for key in site.langfuse.events if key[0] == trace_of("noon"))
    site.langfuse.events.clear()
    site.langfuse.faults.poison = [span]
    assert site.audit("--repair")[0] == 1
    assert site.run("run", "--once").returncode == 1
    code, documents = site.audit("--destination", "langfuse")
    assert code == 0
    assert of(documents, "langfuse")[EVENING]["waiting"]["dead"] == 1


def test_a_destination_that_is_down_is_exit_3_and_the_other_one_is_still_audited(site: Site) -> None:
    site.export()
    site.langfuse.down()
    code, documents = site.audit()
    assert code == 3
    assert all(not item["asked"] and item["there"] is None for item in of(documents, "langfuse").values())
    assert sum(item["there"] for item in of(documents, "langsmith").values()) == 5
    shown = site.run("audit", *SINCE)
    assert shown.returncode == 3
    assert "connection refused" in shown.stdout


def test_something_lost_is_exit_1_though_another_destination_is_down(site: Site) -> None:
    site.export()
    site.lose_span("noon", root=True)
    site.langsmith.down()
    assert site.audit()[0] == 1


def test_wrong_keys_are_exit_3_and_never_shown(site: Site) -> None:
    site.export()
    site.change(0, secret_key="sk-wrong-one")
    done = site.run("audit", *SINCE, "--json", "--destination", "langfuse")
    assert done.returncode == 3
    assert "HTTP 401" in done.stdout
    assert "sk-wrong-one" not in done.stdout + done.stderr


def test_rate_limits_are_waited_out(site: Site) -> None:
    site.export()
    site.langfuse.faults.no_reads = site.langsmith.faults.no_reads = 2
    assert site.audit()[0] == 0
    assert site.langfuse.faults.no_reads == site.langsmith.faults.no_reads == 0


@pytest.mark.parametrize("mode", ["legacy", "dual"])
def test_older_kinds_of_langfuse_are_audited_too(mode: str, site: Site) -> None:
    site.langfuse.mode = mode
    site.export()
    assert site.audit()[0] == 0
    held = site.langfuse.observations if mode == "legacy" else site.langfuse.events
    key = next(key for key, row in held.items() if row["traceId"] == trace_of("midnight"))
    del held[key]  # type: ignore[arg-type]
    code, documents = site.audit()
    assert (code, missing(documents)) == (1, {("langfuse", trace_of("midnight"))})


def test_days_of_many_pages_are_read_to_the_end(site: Site, server: str) -> None:
    names = [f"crowd {number}" for number in range(230)]
    at = (MIDNIGHT + timedelta(hours=9)).replace(tzinfo=None).isoformat()
    with psycopg.connect(server) as connection:
        insert(connection, "messages", [message(name, at) for name in names])
    try:
        site.langsmith.page = 40
        site.export()
        code, documents = site.audit("--sample", "5")
        assert code == 0
        assert of(documents, "langsmith")[MORNING]["there"] == 233
        for name in names[::50]:
            site.lose_span(name, root=True)
        code, documents = site.audit("--destination", "langfuse")
        assert missing(documents) == {("langfuse", trace_of(name)) for name in names[::50]}
    finally:
        with psycopg.connect(server) as connection:
            connection.execute(
                "DELETE FROM messages WHERE id = ANY(%s::uuid[])", ([uuid_of(n) for n in names],)
            )


def test_a_plain_receiver_cannot_be_asked_and_that_is_said(site: Site) -> None:
    site.export()
    destinations = site.settings()["destinations"]
    site.write({"destinations": [*destinations, {"kind": "otlp", "endpoint": site.langfuse.url}]})
    code, documents = site.audit()
    assert code == 0
    assert [item["asked"] for item in of(documents, "otlp").values()] == [False, False]
    assert "cannot be asked" in site.run("audit", *SINCE).stdout
    assert site.audit("--destination", "otlp")[0] == 3


def test_a_destination_that_is_not_configured_is_a_mistake(site: Site) -> None:
    site.export()
    done = site.run("audit", *SINCE, "--destination", "elsewhere")
    assert done.returncode == 2
    assert "langfuse, langsmith" in done.stderr


def test_a_person_sees_day_ids_and_what_was_done(site: Site) -> None:
    site.export()
    site.lose_span("evening", root=True)
    text = site.run("audit", *SINCE, "--repair").stdout
    assert re.search(rf"missing +{EVENING} langfuse +{trace_of('evening')} +1 of 2 spans", text)
    assert "1 queued again" in text
    nothing = site.run("audit", "--since", "2001-01-01", "--until", "2001-02-01")
    assert nothing.returncode == 0
    assert "nothing" in nothing.stdout


def test_the_last_whole_audit_is_kept_for_the_metrics(site: Site) -> None:
    site.export()
    site.lose_span("evening", root=True)
    site.langsmith.down()
    site.audit()
    with sqlite3.connect(site.folder / "dify-exporter.db") as state:
        facts = dict(state.execute("SELECT key, value FROM meta WHERE key GLOB 'audit.*'").fetchall())
    assert list(facts) == ["audit.langfuse"]
    assert json.loads(facts["audit.langfuse"])["missing"] == 1
