"""A report's rows as CSV: one line a row, numbers plain, money one column per reading, finding and currency."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import Any

from exporter.report.table import is_known

Document = dict[str, Any]

_READINGS = ("dify", "local", "vendor")
_PARTS = ("input", "output", "cache_read", "cache_write", "reasoning")


def csv_text(document: Document) -> str:
    """The rows of a report document with a header; a cell is empty where nothing is known. A text that a spreadsheet would take
    for a formula is written with an apostrophe before it (OWASP: CSV injection)."""
    rows = document["rows"]
    names = [
        column for name in document["by"] for column in (("app", "app_id") if name == "app" else (name,))
    ]
    currencies = sorted({currency for row in rows for name in _READINGS for currency in row[name]["cost"]})
    causes = _causes(rows)
    target = io.StringIO()
    writer = csv.writer(target, lineterminator="\n")
    writer.writerow([*names, *_heads(currencies), *(_head(*cause) for cause in causes)])
    for row in rows:
        findings = {finding["code"]: finding for finding in row["findings"]}
        amounts = (_amount(findings.get(code), currency) for code, currency in causes)
        writer.writerow([*(_plain(row[name]) for name in names), *_cells(row, currencies), *amounts])
    return target.getvalue()


def _causes(rows: Sequence[Document]) -> list[tuple[str, str]]:
    """The columns of findings, each its code and currency; no currency: its tokens. A finding has those that any row fills."""
    found: set[tuple[str, str]] = set()
    for finding in (finding for row in rows for finding in row["findings"]):
        found |= {(finding["code"], currency) for currency in finding["cost"]}
        if finding["input"] + finding["output"]:
            found.add((finding["code"], ""))
    return sorted(found)


def _head(code: str, currency: str) -> str:
    return f"finding_{code}_cost_{currency}" if currency else f"finding_{code}"


def _amount(finding: Document | None, currency: str) -> object:
    """Of a finding that a row does not have, 0; money that nobody can tell, nothing."""
    if finding is None:
        return 0
    return finding["cost"].get(currency) if currency else finding["input"] + finding["output"]


def _heads(currencies: list[str]) -> list[str]:
    return [
        "calls", "requests", "verified_calls",
        *(f"{name}_{part}" for name in _READINGS for part in _PARTS),
        "difference_input", "difference_output", "unexplained_input", "unexplained_output", "unexplained_percent",
        *(f"{name}_cost_{currency}" for name in _READINGS for currency in currencies),
        "verdict",
    ]  # fmt: skip


def _cells(row: Document, currencies: list[str]) -> list[object]:
    difference, rest = row["difference"] or {}, row["unexplained"] or {}
    return [
        row["calls"], row["requests"], row["verified_calls"],
        *(row[name][part] if is_known(row, name) else None for name in _READINGS for part in _PARTS),
        difference.get("input"), difference.get("output"),
        rest.get("input"), rest.get("output"), rest.get("percent"),
        *(row[name]["cost"].get(currency) for name in _READINGS for currency in currencies),
        row["verdict"],
    ]  # fmt: skip


def _plain(text: str) -> str:
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text
