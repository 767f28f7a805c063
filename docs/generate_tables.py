"""Writes the tables of readings.md that the code knows, findings and families, between its markers, and definitions.md:
`python docs/generate_tables.py`.

Nothing outside the markers is touched; a test fails while the tables are not those of the code.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from exporter.compare.catalog import ESTIMATE_RULES, FINDINGS, Level
from exporter.local.family import Family
from exporter.local.table import BY_NAME
from exporter.report import definitions

PAGE = Path(__file__).with_name("readings.md")
DEFINITIONS = Path(__file__).with_name("definitions.md")
_MARKED = re.compile(r"(<!-- table:(\w+) -->\n).*?(<!-- end -->\n)", re.DOTALL)


def generated(page: str) -> str:
    """The page with its findings tables written anew."""
    return _MARKED.sub(lambda place: f"{place[1]}{_table(place[2])}{place[3]}", page)


def _table(name: str) -> str:
    if name == "families":
        return _families()
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


def _families() -> str:
    """Families that count alike share a row, in the order in which names are looked up."""
    alike: dict[tuple[str, ...], list[str]] = {}
    for family in BY_NAME.values():
        vocabulary = f"`{family.vocabulary}`" if family.vocabulary else "–"
        error, note = _error(family) or ("0" if family.vocabulary else "–"), family.note or ""
        if family.stand_in is not None:
            other = family.stand_in
            scale = f" x {other.scale:g}" if other.scale != 1.0 else ""
            error += f"; without the extra `{other.vocabulary}`{scale}: {_error(other)}"
        alike.setdefault((vocabulary, f"`{family.accuracy.value}`", error, note), []).append(
            f"`{family.name}`"
        )
    rows = [(", ".join(names), *cells) for cells, names in alike.items()]
    return _rows(("family", "vocabulary", "accuracy", "input off by up to", "note"), rows)


def _error(family: Family) -> str:
    tokens = f"{family.error_tokens} tokens" if family.error_tokens else ""
    percent = f"{family.error_pct:g} %" if family.error_pct else ""
    return " + ".join(part for part in (percent, tokens) if part)


def _rows(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


if __name__ == "__main__":
    PAGE.write_text(generated(PAGE.read_text("utf-8")), "utf-8")
    DEFINITIONS.write_text(definitions.markdown(), "utf-8")
