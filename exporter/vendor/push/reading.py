"""Entries of a pushed body become records: through the adapter of their format, texts counted and dropped.

One entry that cannot be read is named and the others are kept. Pure: stores nothing, asks for no time.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

import structlog

from exporter.vendor.adapters import ADAPTERS, Adapter, Unreadable
from exporter.vendor.record import BadRecord, VendorCall, parse

log = structlog.get_logger()

_FAULTS = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)


@dataclass(frozen=True, slots=True)
class RefusedEntry:
    """An entry that was left out: its number in the body, and why."""

    number: int
    reason: str


@dataclass(slots=True)
class Pushed:
    """What a body held. `source` is for entries that name none; `ignored` ones are no model requests (gateways log
    others too)."""

    format: str
    source: str
    records: list[VendorCall] = field(default_factory=list)
    refused: list[RefusedEntry] = field(default_factory=list)
    ignored: int = 0


def read_pushed(entries: Iterable[tuple[int, object]], format: str, source: str | None) -> Pushed:
    """The records of numbered entries. `source` names all of them; None: each names its own, else the format does.

    Raises KeyError for an unknown format, and what `entries` raises.
    """
    adapter = ADAPTERS[format]
    pushed = Pushed(format, source or format)
    for number, value in entries:
        found = tuple(_records(adapter, value, format, source))
        pushed.ignored += not found
        for item in found:
            if isinstance(item, Unreadable):
                pushed.refused.append(RefusedEntry(number, item.reason))
            else:
                pushed.records.append(item)
    return pushed


def _records(
    adapter: Adapter, value: object, format: str, source: str | None
) -> Iterator[VendorCall | Unreadable]:
    if isinstance(value, Unreadable):
        yield value
        return
    try:
        for entry in adapter(value):
            yield _record(entry, format, source)
    except _FAULTS as fault:
        yield _fault(format, fault)


def _record(entry: object, format: str, source: str | None) -> VendorCall | Unreadable:
    try:
        record = parse(entry, source or format)
    except BadRecord as problem:
        return Unreadable(str(problem))
    except _FAULTS as fault:
        return _fault(format, fault)
    return replace(record, source=source) if source else record


def _fault(format: str, fault: Exception) -> Unreadable:
    """Our own mistake costs the one record, not the batch and not the sender's connection."""
    log.error("record_not_read", format=format, fault=type(fault).__name__, line=_line(fault))
    return Unreadable(
        f"a fault of dify-exporter: this {format} record cannot be read ({type(fault).__name__})"
    )


def _line(fault: Exception) -> str:
    """Where it happened; the message could repeat content."""
    trace = fault.__traceback__
    while trace and trace.tb_next:
        trace = trace.tb_next
    return f"{trace.tb_frame.f_code.co_filename.rpartition('/')[2]}:{trace.tb_lineno}" if trace else ""
