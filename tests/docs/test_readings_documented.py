"""docs/readings.md tells of every kind, accuracy and verdict; the example record of docs/evidence.md is taken."""

from __future__ import annotations

import json
import re
from enum import StrEnum
from pathlib import Path

import pytest

from docs.generate_tables import generated
from exporter.compare.catalog import ESTIMATE_RULES, FINDINGS
from exporter.model import Accuracy, Confidence, DifyKind, Tokens, Verdict
from exporter.report import definitions
from exporter.vendor.record import parse

TEXT = (Path(__file__).parents[2] / "docs" / "readings.md").read_text("utf-8")
EVIDENCE = (Path(__file__).parents[2] / "docs" / "evidence.md").read_text("utf-8")


@pytest.mark.parametrize("kinds", [DifyKind, Accuracy, Verdict])
def test_every_word_has_its_row(kinds: type[StrEnum]) -> None:
    assert [item.value for item in kinds if f"\n| `{item.value}` |" not in TEXT] == []


def test_every_confidence_is_named() -> None:
    assert all(f"`{item.value}`" in TEXT for item in Confidence)


def test_the_example_record_is_canonical() -> None:
    example = re.search(r"```json\n(.*?)```", EVIDENCE, re.DOTALL)
    assert example is not None
    call = parse(json.loads(example[1]), "docs")
    assert call.tokens is not None
    assert (call.tokens.input, call.tokens.output) == (8, 1)
    assert call.tokens == Tokens(8, 1)


def test_the_definitions_page_is_that_of_the_reports() -> None:
    """`python docs/generate_tables.py` writes it."""
    assert (Path(__file__).parents[2] / "docs" / "definitions.md").read_text(
        "utf-8"
    ) == definitions.markdown()


def test_the_findings_tables_are_those_of_the_catalogue() -> None:
    """`python docs/generate_tables.py` writes them."""
    assert generated(TEXT) == TEXT


def test_every_finding_has_its_row_and_no_other_has() -> None:
    section = TEXT.partition("## Findings")[2].partition("## Dify's own sums")[0]
    rows = re.findall(r"^\| `([a-z0-9_]+)` \|", section, re.MULTILINE)
    assert sorted(rows) == sorted([*FINDINGS, *ESTIMATE_RULES])


def test_only_what_stands_between_the_markers_is_generated() -> None:
    page = "before\n<!-- table:window -->\nstale table\n<!-- end -->\nafter\n"
    written = generated(page)
    assert written.startswith("before\n<!-- table:window -->\n| code |")
    assert written.endswith("<!-- end -->\nafter\n")
    assert "stale table" not in written
