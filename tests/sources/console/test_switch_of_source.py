"""From the Console API to the database, and back, in the middle of the work: no span is sent twice and none is missing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from exporter.config import Settings
from exporter.daemon import App
from exporter.errors import Unreachable
from exporter.state import records
from tests.conftest import RecordedDify
from tests.contract import langfuse_twin
from tests.contract.console_twin import ConsoleTwin
from tests.contract.langfuse_twin import LangfuseTwin
from tests.contract.otlp_twin import OtlpTwin
from tests.sources.console.restored import console, settings


class Ends:
    """An OTLP platform and a Langfuse, and a state file before them."""

    def __init__(self, folder: Path, name: str) -> None:
        self.otlp, self.langfuse = OtlpTwin("otlp"), LangfuseTwin()
        self._folder, self._name = folder, name

    def __enter__(self) -> Ends:
        self.otlp.__enter__()
        self.langfuse.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self.otlp.__exit__(None, None, None)
        self.langfuse.__exit__(None, None, None)

    def settings(self, **source: Any) -> Settings:
        destinations = [
            {"kind": "otlp", "endpoint": self.otlp.url},
            {
                "kind": "langfuse", "endpoint": self.langfuse.url, "public_key": langfuse_twin.PUBLIC_KEY,
                "secret_key": langfuse_twin.SECRET_KEY, "confirm_after": "0.02s",
            },
        ]  # fmt: skip
        return settings(self._folder, self._name, destinations=destinations, **source)

    def once(self, *, set_aside: int = 0, **source: Any) -> None:
        with App(self.settings(**source)) as app:
            report = app.run_once()
        assert report.problems == ()
        assert report.set_aside == set_aside

    def counts(self, **source: Any) -> dict[str, int]:
        with App(self.settings(**source)) as app, app.store.read() as connection:
            return records.counts(connection)

    def check(self) -> None:
        """Nothing came twice."""
        assert self.otlp.violations == []
        assert self.langfuse.violations == []
        assert self.otlp.arrivals == len(self.otlp.spans)


@pytest.fixture
def plain(recorded_dify: RecordedDify, tmp_path: Path) -> set[tuple[str, str]]:
    """The spans that the database alone gives."""
    with Ends(tmp_path, "plain") as ends:
        ends.once(dify__database__url=recorded_dify.url)
        return set(ends.otlp.spans)


@pytest.mark.parametrize("answers", [70, 135, 150, 170])
def test_a_switch_to_the_database_in_mid_flight_neither_doubles_nor_loses(
    answers: int, recorded_dify: RecordedDify, twin: ConsoleTwin, plain: set[tuple[str, str]], tmp_path: Path
) -> None:
    with Ends(tmp_path, "switched") as ends:
        twin.trouble.dies_after = answers
        with App(ends.settings(dify__console=console(twin))) as app, pytest.raises(Unreachable):
            app.run_once()
        met = ends.counts(dify__console=console(twin))
        assert met
        by_console = set(ends.otlp.spans)
        assert by_console < plain
        assert bool(by_console) is (answers > 100)
        ends.once(dify__database__url=recorded_dify.url)
        ends.check()
        assert set(ends.otlp.spans) == plain


def test_going_back_and_forth_sends_nothing_again(
    recorded_dify: RecordedDify, twin: ConsoleTwin, plain: set[tuple[str, str]], tmp_path: Path
) -> None:
    with Ends(tmp_path, "back") as ends:
        ends.once(dify__console=console(twin))
        ends.once(dify__database__url=recorded_dify.url)
        assert set(ends.otlp.spans) == plain
        arrivals = ends.otlp.arrivals
        ends.once(dify__console=console(twin))
        ends.check()
        assert ends.otlp.arrivals == arrivals


@pytest.mark.parametrize("first", ["console", "database"])
def test_a_correction_after_the_switch_replaces_what_was_sent(
    first: str, recorded_dify: RecordedDify, twin: ConsoleTwin, tmp_path: Path
) -> None:
    """Evidence comes when the other source is read. Langfuse tells spans apart by their start too, to the millisecond."""
    sources: list[dict[str, Any]] = [
        {"dify__console": console(twin)},
        {"dify__database__url": recorded_dify.url},
    ]
    if first == "database":
        sources.reverse()
    evidence = {"vendor": [{"kind": "file", "path": str(recorded_dify.vendor_log), "name": "gateway"}]}
    with Ends(tmp_path, "corrected") as ends:
        ends.once(**sources[0])
        ends.langfuse.settle()
        before = set(ends.langfuse.events)
        single_steps = sum(
            row["workflow_run_id"] is None for row in twin.rows.tables["workflow_node_executions"]
        )
        ends.once(set_aside=single_steps if first == "database" else 0, **sources[1], **evidence)
        ends.langfuse.settle()
        assert ends.langfuse.violations == []
        spans = [(trace, span) for trace, span, _ in ends.langfuse.events]
        assert len(spans) == len(set(spans))
        assert before <= set(ends.langfuse.events)
        corrected = [row for row in ends.langfuse.events.values() if "gateway" in str(row)]
        assert len(corrected) > 20
