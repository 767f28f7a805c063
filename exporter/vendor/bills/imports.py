"""A console's exported usage or bill as buckets: columns found by preset and settings, every row accounted for.

A row becomes part of a bucket, or is counted as empty, a total or of another product, or is set aside with its line and
the reason; never lost. Importing the same file again changes nothing.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import tzinfo
from decimal import Decimal
from pathlib import Path

from exporter.config.bills import BillSettings
from exporter.config.values import time_zone
from exporter.errors import Misconfigured
from exporter.model import Micros, Tokens
from exporter.vendor.bills.cells import is_nothing, number, stretch
from exporter.vendor.bills.presets import FIELDS, PRESETS, Preset
from exporter.vendor.bills.tables import Table, read_table
from exporter.vendor.bills.values import merged, summed
from exporter.vendor.pullers.base import Bucket, Refused, Told

_COUNTS = ("input", "output", "cache_read", "cache_write", "reasoning", "uncached_input", "requests")
_TOTALS = frozenset(
    {"total", "totals", "grandtotal", "subtotal", "sum", "合计", "总计", "小计", "汇总", "总额"}
)
_UNITS = {
    "token": 1, "tokens": 1, "个": 1, "1ktokens": 1_000, "1ktoken": 1_000, "ktokens": 1_000, "ktoken": 1_000,
    "千token": 1_000, "千tokens": 1_000, "千个token": 1_000, "1000tokens": 1_000, "万tokens": 10_000,
    "万token": 10_000, "mtokens": 1_000_000, "1mtokens": 1_000_000, "百万token": 1_000_000, "百万tokens": 1_000_000,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Imported:
    """What a file came to. `rows` = those in buckets + `empty` + `totals` + `other_products` + refused."""

    buckets: tuple[Bucket, ...]
    refused: tuple[Refused, ...]
    told: tuple[Told, ...]
    rows: int
    empty: int
    totals: int
    other_products: int
    columns: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class _Reading:
    """How a file is read: its columns, and what its cells mean."""

    settings: BillSettings
    preset: Preset
    columns: Mapping[str, tuple[str, ...]]
    zone: tzinfo
    currency: str
    has_decimal_comma: bool


def read_file(path: Path, settings: BillSettings) -> Imported:
    """The file's usage. Raises Misconfigured when it cannot be read, or has no columns that are looked for."""
    preset = _preset(settings)
    table = read_table(path, settings.encoding, lambda names: _is_heading(_columns(names, preset, settings)))
    columns = _columns(table.headings, preset, settings)
    if not _is_heading(columns):
        raise Misconfigured(
            [
                f"{path} needs a column of times and one of counts or costs; it has {', '.join(table.headings[:20])}"
            ],
            "name them in `columns`: {time: ..., input: ..., cost: ...}",
        )
    zone = time_zone(settings.time_zone or preset.time_zone)
    currency = (settings.currency or preset.currency).upper()
    return _imported(
        path, table, _Reading(settings, preset, columns, zone, currency, table.has_decimal_comma)
    )


def _preset(settings: BillSettings) -> Preset:
    if settings.preset and settings.preset not in PRESETS:
        raise Misconfigured(
            [f"bills {settings.name}: preset is none of {', '.join(PRESETS)}"],
            "or leave it out and name `columns`",
        )
    unknown = sorted(set(settings.columns) - set(FIELDS))
    if unknown:
        raise Misconfigured([f"bills {settings.name}: columns.{unknown[0]} is none of {', '.join(FIELDS)}"])
    return PRESETS[settings.preset] if settings.preset else Preset({})


def _columns(
    headings: Sequence[str], preset: Preset, settings: BillSettings
) -> Mapping[str, tuple[str, ...]]:
    """Our fields → the file's headings that are there, in the order in which they are preferred."""
    by_name = {_bare(heading): heading for heading in reversed(headings) if heading}
    own = {name: [given] if isinstance(given, str) else given for name, given in settings.columns.items()}
    wanted: dict[str, Sequence[str]] = {**preset.columns, **own}
    found = {
        name: tuple(dict.fromkeys(by_name[_bare(item)] for item in names if _bare(item) in by_name))
        for name, names in wanted.items()
    }
    return {name: names for name, names in found.items() if names}


def _is_heading(columns: Mapping[str, tuple[str, ...]]) -> bool:
    return "time" in columns and any(name in columns for name in (*_COUNTS, "cost", "quantity"))


def _bare(heading: str) -> str:
    """Letters, digits and signs of words alone, in lower case."""
    return re.sub(r"[\W_]+", "", heading).lower()


def _imported(path: Path, table: Table, reading: _Reading) -> Imported:
    buckets: list[Bucket] = []
    refused: list[Refused] = []
    left_out: Counter[str] = Counter()
    for line, row in table.rows:
        reason = _left_out(row, reading)
        if reason:
            left_out[reason] += 1
            continue
        try:
            buckets += _buckets(row, reading)
        except ValueError as problem:
            refused.append(Refused(f"{path.name} line {line}", str(problem)))
    found = tuple(merged(buckets))
    return Imported(
        found, tuple(refused), _told(found, reading) if not refused else (), len(table.rows),
        left_out["empty"], left_out["total"], left_out["product"], reading.columns,
    )  # fmt: skip


def _left_out(row: Mapping[str, str], reading: _Reading) -> str | None:
    """Why a row is no usage: empty, total or product."""
    if all(is_nothing(cell) for cell in row.values()):
        return "empty"
    first = [_bare(cell) for cell in row.values() if not is_nothing(cell)][:2]
    if any(cell in _TOTALS for cell in first):
        return "total"
    products = [_bare(name) for name in reading.settings.products] or reading.preset.products
    sold = [_bare(row.get(name, "")) for name in reading.columns.get("product", ())]
    if products and sold and not any(name in cell for name in products for cell in sold):
        return "product"
    return None


def _told(buckets: Sequence[Bucket], reading: _Reading) -> tuple[Told, ...]:
    if not buckets or not reading.settings.replaces:
        return ()
    since, until = min(item.starts_at for item in buckets), max(item.ends_at for item in buckets)
    return (Told(reading.settings.name, buckets[0].report, since, until),)


def _buckets(row: Mapping[str, str], reading: _Reading) -> Iterator[Bucket]:
    """A row's counts, and its money apart from them where the row is of one kind of usage. Raises ValueError."""
    starts_at, ends_at = _stretch(row, reading)
    counts = _counts(row, reading)
    cost = _number(row, "cost", reading)
    part = _text(row, "part", reading) or ""
    model = _text(row, "model", reading)
    if model is None and reading.preset.has_model_in_part and "," in part:
        model = part.partition(",")[0].strip() or None
    if all(value is None for value in counts.values()) and cost is None:
        raise ValueError("the row has neither a count nor a cost that is known")
    is_typed = "type" in reading.columns
    if is_typed and any(value is not None for value in counts.values()):
        yield _bucket(reading, (starts_at, ends_at), model, row, counts, None, "")
        counts = dict.fromkeys(counts)
    if cost is not None or not is_typed:
        yield _bucket(reading, (starts_at, ends_at), model, row, counts, cost, part)


def _bucket(
    reading: _Reading,
    when: tuple[Micros, Micros],
    model: str | None,
    row: Mapping[str, str],
    counts: Mapping[str, int | None],
    cost: Decimal | None,
    part: str,
) -> Bucket:
    currency = (_text(row, "currency", reading) or reading.currency).upper()
    if cost is not None and not currency:
        raise ValueError("the amount has no currency; set `currency`")
    input_tokens = counts["input"]
    if counts["uncached_input"] is not None:
        input_tokens = summed(counts["uncached_input"], counts["cache_read"], counts["cache_write"])
    return Bucket(
        source=reading.settings.name,
        starts_at=when[0],
        ends_at=when[1],
        model=model,
        key=_text(row, "key", reading),
        tokens=Tokens(
            input_tokens, counts["output"], counts["cache_read"], counts["cache_write"], counts["reasoning"]
        ),
        requests=counts["requests"],
        cost=cost,
        currency=None if cost is None else _CURRENCIES.get(currency, currency),
        group=part,
        report=reading.settings.preset,
    )


_CURRENCIES = {"人民币": "CNY", "RMB": "CNY", "元": "CNY", "美元": "USD", "¥": "CNY", "$": "USD"}


def _stretch(row: Mapping[str, str], reading: _Reading) -> tuple[Micros, Micros]:
    cell = _text(row, "time", reading)
    if cell is None:
        raise ValueError("the row has no time")
    try:
        return stretch(cell, _text(row, "end", reading) or "", reading.zone)
    except (ValueError, OverflowError):
        raise ValueError(f"{reading.columns['time'][0]} is not a time") from None


def _counts(row: Mapping[str, str], reading: _Reading) -> dict[str, int | None]:
    found = {name: _count(row, name, reading) for name in _COUNTS}
    if "type" not in reading.columns:
        return found
    quantity = _number(row, "quantity", reading)
    unit = _bare(_text(row, "unit", reading) or "tokens")
    fields = _fields_of_type(_bare(_text(row, "type", reading) or ""), reading.preset)
    if quantity is None or not fields or (unit not in _UNITS and fields != ("requests",)):
        return found
    value = _whole(quantity * _UNITS.get(unit, 1), reading.columns["quantity"][0])
    return found | dict.fromkeys(fields, value)


def _fields_of_type(kind: str, preset: Preset) -> tuple[str, ...]:
    return next((fields for name, fields in preset.types if name in kind), ())


def _count(row: Mapping[str, str], name: str, reading: _Reading) -> int | None:
    """All its columns together."""
    values = [_cell_number(row, heading, reading) for heading in reading.columns.get(name, ())]
    return summed(*(None if value is None else _whole(value, name) for value in values))


def _whole(value: Decimal, name: str) -> int:
    """Bills round thousands of tokens to some digits; what is left after the point is less than a token."""
    if value < 0:
        raise ValueError(f"{name} is less than nothing")
    return int(value.to_integral_value())


def _number(row: Mapping[str, str], name: str, reading: _Reading) -> Decimal | None:
    """The first of its columns with a value."""
    values = (_cell_number(row, heading, reading) for heading in reading.columns.get(name, ()))
    return next((value for value in values if value is not None), None)


def _cell_number(row: Mapping[str, str], heading: str, reading: _Reading) -> Decimal | None:
    try:
        return number(row.get(heading, ""), has_decimal_comma=reading.has_decimal_comma)
    except ValueError as problem:
        raise ValueError(f"{heading} {problem}") from None


def _text(row: Mapping[str, str], name: str, reading: _Reading) -> str | None:
    cells = (row.get(heading, "") for heading in reading.columns.get(name, ()))
    return next((cell for cell in cells if not is_nothing(cell)), None)
