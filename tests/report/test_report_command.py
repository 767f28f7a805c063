"""The report as a user asks for it: odd names, odd windows, and what is not known."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from exporter.cli import app as program
from exporter.clock import rfc3339
from exporter.model import Micros
from exporter.state.store import Store
from tests.web.traces_by_hand import NOON, SECOND, build_trace, keep

DAY = 86_400 * SECOND


def ask(state: Path, *more: str) -> Result:
    return CliRunner().invoke(program, ["--state", str(state), "report", *more])


def around(moment: Micros) -> list[str]:
    return ["--since", rfc3339(moment - DAY), "--until", rfc3339(moment + DAY), "--zone", "UTC"]


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """One call of an app with an odd name, of which the vendor was not heard."""
    store = Store(tmp_path / "state.db")
    keep(store, build_trace(1, app="[prod] b[/b]ot", started_at=NOON, calls=[{"vendor": None}]))
    store.close()
    return store.path


def test_brackets_in_a_name_are_shown_as_they_are(state: Path) -> None:
    done = ask(state, *around(NOON), "--by", "app")
    assert done.exit_code == 0, done.output
    assert "[prod]" in done.stdout
    assert "b[/b]ot" in done.stdout


def test_a_reading_that_nobody_told_is_an_empty_cell_and_a_dash_and_no_0(state: Path) -> None:
    (row,) = csv.DictReader(io.StringIO(ask(state, *around(NOON), "--csv").stdout))
    assert (row["dify_input"], row["vendor_input"], row["vendor_output"]) == ("12", "", "")
    assert "0 → 0" not in ask(state, *around(NOON)).stdout
    assert "0 / 0" not in ask(state, *around(NOON), "--html", "-").stdout.split("<h2>By App")[1]


@pytest.mark.parametrize(
    "window",
    [
        ["--month", "9999-12"],
        ["--month", "2026-13"],
        ["--since", "0206-11-01"],
        ["--since", "0001-01-01", "--zone", "+08:00"],
    ],
)
def test_a_time_that_is_a_slip_of_the_pen_is_refused(state: Path, window: list[str]) -> None:
    done = ask(state, *window)
    assert (type(done.exception).__name__, "expected a" in str(done.exception)) == ("Misconfigured", True)


def test_an_empty_ledger_has_a_report_in_every_form(tmp_path: Path) -> None:
    Store(tmp_path / "empty.db").close()
    for form in ([], ["--json"], ["--csv"], ["--html", "-"], ["--html", "-", "--lang", "zh"]):
        done = ask(tmp_path / "empty.db", *around(NOON), *form)
        assert done.exit_code == 0, done.output
