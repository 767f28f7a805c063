"""Writes the tables of metrics.md from the catalogue of metrics, between its markers: `python docs/generate_metrics.py`.

Nothing outside the markers is touched; a test fails while the tables are not those of the code.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from exporter.web import metrics_catalog as catalog
from exporter.web.metrics_catalog import Family

PAGE = Path(__file__).with_name("metrics.md")
_MARKED = re.compile(r"(<!-- metrics:(\w+) -->\n).*?(<!-- end -->\n)", re.DOTALL)
_TABLES: dict[str, tuple[Family, ...]] = {
    "ledger": (*catalog.LEDGER, catalog.RATIO, catalog.JUDGED),
    "evidence": (catalog.EVIDENCE_REQUESTS, catalog.EVIDENCE_TOKENS, catalog.FOREIGN_TOKENS),
    "own": catalog.OWN,
}


def generated(page: str) -> str:
    """The page with its tables written anew."""
    return _MARKED.sub(lambda place: f"{place[1]}{_table(_TABLES[place[2]])}{place[3]}", page)


def _table(families: Iterable[Family]) -> str:
    rows = [("metric", "type", "labels", "means"), ("---",) * 4, *(_row(family) for family in families)]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in rows)


def _row(family: Family) -> tuple[str, ...]:
    labels = ", ".join(f"`{label}`" for label in family.labels) or "–"
    return f"`{family.shown}`", family.kind, labels, family.help.removesuffix(catalog.AT_EXPORT)


if __name__ == "__main__":
    PAGE.write_text(generated(PAGE.read_text("utf-8")), "utf-8")
