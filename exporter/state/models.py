"""What the ledger knows of each model: its calls, the kinds of Dify's numbers, and pairs of local and vendor counts."""

from __future__ import annotations

import sqlite3
from collections import Counter
from dataclasses import dataclass, field

from exporter.model import Micros

_NEWEST = 200_000
"""Calls looked at: the newest, because plugins and tokenizers change."""

_IS_PAIR = (
    "has_vendor AND json_array_length(document, '$.readings.vendor.attempts') = 1"
    " AND json_extract(document, '$.readings.vendor.attempts[0].status') = 'ok'"
    " AND json_extract(document, '$.readings.local.accuracy') NOT IN ('lower_bound', 'none')"
)


@dataclass(slots=True)
class ModelCalls:
    """One model of one provider. Pairs are (local, vendor) of calls with a single vendor request that was answered, and
    with a local count that claims to be whole."""

    provider: str | None
    model: str
    calls: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    inputs: list[tuple[int, int]] = field(default_factory=list)
    outputs: list[tuple[int, int]] = field(default_factory=list)


def seen(
    connection: sqlite3.Connection, since: Micros | None = None, until: Micros | None = None
) -> list[ModelCalls]:
    """Every model of the newest calls that began in the stretch, most used first."""
    found: dict[tuple[str | None, str], ModelCalls] = {}
    rows = connection.execute(
        "SELECT provider, model, json_extract(document, '$.readings.dify.kind'),"
        f" {_IS_PAIR},"
        " json_extract(document, '$.readings.local.input'), json_extract(document, '$.readings.vendor.input'),"
        " json_extract(document, '$.readings.local.output'), json_extract(document, '$.readings.vendor.output')"
        " FROM calls WHERE model IS NOT NULL AND started_at >= ? AND started_at < ? ORDER BY started_at DESC LIMIT ?",
        (since if since is not None else -(2**62), until if until is not None else 2**62, _NEWEST),
    )
    for provider, model, kind, is_pair, local_in, vendor_in, local_out, vendor_out in rows:
        one = found.setdefault((provider, model), ModelCalls(provider, model))
        one.calls += 1
        if kind is not None:
            one.kinds[kind] += 1
        if is_pair and local_in is not None and vendor_in is not None:
            one.inputs.append((local_in, vendor_in))
        if is_pair and local_out is not None and vendor_out is not None:
            one.outputs.append((local_out, vendor_out))
    return sorted(found.values(), key=lambda item: (-item.calls, item.model, item.provider or ""))


def newest_of(connection: sqlite3.Connection, app_name: str) -> tuple[str | None, str] | None:
    """Provider and model of the newest call of the app of that name."""
    row = connection.execute(
        "SELECT provider, model FROM calls WHERE app_name = ? AND model IS NOT NULL ORDER BY started_at DESC LIMIT 1",
        (app_name,),
    ).fetchone()
    return None if row is None else (row[0], row[1])
