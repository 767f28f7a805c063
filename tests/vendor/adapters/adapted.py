"""Shared by the adapters' tests: an entry through its adapter and through `parse`."""

from __future__ import annotations

from typing import Any

from exporter.vendor.adapters import ADAPTERS
from exporter.vendor.record import VendorCall, parse


def record(adapter: str, entry: object) -> dict[str, Any]:
    """The one canonical record of an entry."""
    (found,) = ADAPTERS[adapter](entry)
    assert isinstance(found, dict), found
    return found


def call(adapter: str, entry: object) -> VendorCall:
    """The one vendor call of an entry."""
    return parse(record(adapter, entry), "x")


def refusals(adapter: str, entry: object) -> list[str]:
    """Why entries are unreadable."""
    return [found.reason for found in ADAPTERS[adapter](entry) if not isinstance(found, dict)]  # type: ignore[attr-defined]
