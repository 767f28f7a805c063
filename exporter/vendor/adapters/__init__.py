"""Where an evidence format is added: one module with one function, from a parsed JSON value to canonical records.

An adapter yields nothing for entries that are no model requests, `Unreadable` for an entry it should understand and
cannot, and leaves every other check to `record.parse`. It keeps no state and never looks at another entry.
"""

from __future__ import annotations

from collections.abc import Mapping

from exporter.vendor.adapters.base import Adapter, Unreadable
from exporter.vendor.adapters.generic import generic

ADAPTERS: Mapping[str, Adapter] = {"generic": generic}
"""Every known `format` of a vendor source, which is also the last part of the push address."""

__all__ = ["ADAPTERS", "Adapter", "Unreadable"]
