"""Writes the findings tables of readings.md from the catalogue, between its markers: `python docs/generate_findings.py`.

Nothing outside the markers is touched; a test fails while the tables are not those of the catalogue.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from exporter.compare.catalog import ESTIMATE_RULES, FINDINGS, Level

PAGE = Path(__file__).with_name("readings.md")
_MARKED = re.compile(r"(<!-- findings:(\w+) -->\n).*?(<!-- end -->\n)", re.DOTALL)


def generated(page: str) -> str:
    """The page with its findings tables written anew."""
    return _MARKED.sub(lambda place: f"{place[1]}{_table(place[2])}{place[3]}", page)


def _table(name: str) -> str:
    if name == "rules":
        rows = [
            (f"`{rule}`", words.format(vocabulary="its vocabulary")) for rule, words in ESTIMATE_RULES.items()
        ]
        return _rows(("rule", "Dify's number is"), rows)
    found = [
        (f"`{code}`", f"**{words.title}.** {words.means}", words.advice)
        for code, words in FINDINGS.items()
        if words.level is Level(name)
    ]
    return _rows(("code", "means", "what to do"), found)


def _rows(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


if __name__ == "__main__":
    PAGE.write_text(generated(PAGE.read_text("utf-8")), "utf-8")
