"""docs/versions.md: its table is that of the code, and no known release is left out."""

from __future__ import annotations

import re

from docs.generate_versions import PAGE, generated
from exporter.sources.by_version import GAINS, LIMITS
from exporter.sources.versions import known_releases, numbers

TEXT = PAGE.read_text("utf-8")


def test_the_table_is_that_of_the_code() -> None:
    assert generated(TEXT) == TEXT, "run `python docs/generate_versions.py`"


def test_every_known_release_lies_in_one_row() -> None:
    found = re.findall(r"^\| (\d[\d.]*)(?:–(\d[\d.]*))? \|", TEXT, re.MULTILINE)
    rows = [(numbers(first), numbers(last or first)) for first, last in found]
    assert rows == sorted(rows)
    for release in known_releases():
        first, _, last = release.words.partition("–")
        ends = numbers(first), numbers(last or first)
        assert [low <= ends[0] and ends[1] <= high for low, high in rows].count(True) == 1, release.words


def test_every_fact_has_its_place() -> None:
    facts = [gain.words for gain in GAINS] + [text for limit in LIMITS for text in (limit.what, limit.why)]
    assert [text for text in facts if text not in TEXT] == []
