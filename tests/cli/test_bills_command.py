"""`bills import`, as a person runs it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from exporter.cli import bills
from exporter.cli.common import app
from exporter.state import buckets
from exporter.state.store import Store

EXPORT = """\
Day,Model,Prompt tokens,Answer tokens,Paid
2026-11-23,gpt-4o,"1,000",50,0.25
2026-11-23,gpt-4o,200,10,0.05
Total,,1200,60,0.30
"""
COLUMNS = [
    "--column", "time=Day", "--column", "model=Model", "--column", "input=Prompt tokens",
    "--column", "output=Answer tokens", "--column", "cost=Paid", "--currency", "eur", "--name", "console",
]  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "usage.csv").write_text(EXPORT, "utf-8")
    return tmp_path


def run(*arguments: str) -> Any:
    assert bills.bills.registered_commands
    return CliRunner().invoke(app, ["--state", "state.db", "bills", "import", *arguments])


def stored(folder: Path) -> list[tuple[Any, ...]]:
    store = Store(folder / "state.db")
    try:
        with store.read() as connection:
            return [
                (row.source, row.model, row.tokens.input, row.tokens.output, str(row.cost), row.currency)
                for row in buckets.between(connection, 0, 2**60)
            ]
    finally:
        store.close()


def test_an_export_with_columns_of_its_own_is_in_the_state_file_once(folder: Path) -> None:
    for _ in range(2):
        result = run("usage.csv", *COLUMNS, "--json")
        assert result.exit_code == 0, result.output
    told = json.loads(result.output)["files"][0]
    assert (told["rows"], told["totals"], told["input"], told["cost"]) == (3, 1, 1_200, {"EUR": "0.30"})
    assert stored(folder) == [("console", "gpt-4o", 1_200, 60, "0.3", "EUR")]


def test_a_dry_run_says_what_is_there_and_stores_nothing(folder: Path) -> None:
    result = run("usage.csv", *COLUMNS, "--dry-run")
    assert result.exit_code == 0
    assert "tokens 1,200 → 60, 0.30 EUR" in result.output
    assert not (folder / "state.db").exists()


def test_refused_rows_are_shown_kept_and_make_the_command_fail(folder: Path) -> None:
    (folder / "usage.csv").write_text(EXPORT + "2026-11-23,gpt-4o,many,1,0\n", "utf-8")
    result = run("usage.csv", *COLUMNS)
    assert result.exit_code == 1
    assert "usage.csv line 5: Prompt tokens is not a number" in result.output
    store = Store(folder / "state.db")
    with store.read() as connection:
        kept = connection.execute("SELECT source, place FROM refused_evidence").fetchall()
    store.close()
    assert kept == [("console", "usage.csv line 5")]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["usage.csv"], "file needs preset or columns"),
        (["usage.csv", "--preset", "deepseek"], "no line with the columns"),
        (["usage.csv", "--column", "time"], "expected field=heading"),
        (["missing.csv", "--preset", "deepseek"], "cannot be read"),
        (["usage.csv", "--preset", "deepseek", "--time-zone", "Mars"], "unknown time zone"),
    ],
)
def test_what_cannot_be_imported_is_said_in_words(folder: Path, arguments: list[str], words: str) -> None:
    result = run(*arguments)
    assert (result.exit_code, words in " ".join(result.stderr.split())) == (2, True), result.stderr
    assert "settings" not in result.stderr
