"""A report's rows as CSV: one line a row, numbers plain, money one column per reading and currency."""

from __future__ import annotations

import csv
import io
from typing import Any

from exporter.report.table import is_known

Document = dict[str, Any]

_READINGS = ("dify", "local", "vendor")
_PARTS = ("input", "output", "cache_read", "cache_write", "reasoning")


def csv_text(document: Document) -> str:
    """The rows of a report document with a header; a cell is empty where nothing is known. A text that a spreadsheet would take
    for a formula is written with an apostrophe before it (OWASP: CSV injection)."""
    currencies = sorted(
        {currency for row in document["rows"] for name in _READINGS for currency in row[name]["cost"]}
    )
    codes = sorted(
        {finding["code"] for row in document["rows"] for finding in row["findings"] if _amount(finding)}
    )
    target = io.StringIO()
    writer = csv.writer(target, lineterminator="\n")
    writer.writerow([*document["by"], *_heads(currencies), *(f"finding_{code}" for code in codes)])
    for row in document["rows"]:
        writer.writerow([*(_plain(row[name]) for name in document["by"]), *_cells(row, currencies, codes)])
    return target.getvalue()


def _heads(currencies: list[str]) -> list[str]:
    return [
        "calls", "requests", "verified_calls",
        *(f"{name}_{part}" for name in _READINGS for part in _PARTS),
        "difference_input", "difference_output", "unexplained_input", "unexplained_output", "unexplained_percent",
        *(f"{name}_cost_{currency}" for name in _READINGS for currency in currencies),
        "verdict",
    ]  # fmt: skip


def _cells(row: Document, currencies: list[str], codes: list[str]) -> list[object]:
    difference, rest = row["difference"] or {}, row["unexplained"] or {}
    amounts = {finding["code"]: _amount(finding) for finding in row["findings"]}
    return [
        row["calls"], row["requests"], row["verified_calls"],
        *(row[name][part] if is_known(row, name) else None for name in _READINGS for part in _PARTS),
        difference.get("input"), difference.get("output"),
        rest.get("input"), rest.get("output"), rest.get("percent"),
        *(row[name]["cost"].get(currency) for name in _READINGS for currency in currencies),
        row["verdict"],
        *(amounts.get(code, 0) for code in codes),
    ]  # fmt: skip


def _amount(finding: Document) -> int:
    return int(finding["input"] + finding["output"])


def _plain(text: str) -> str:
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text
