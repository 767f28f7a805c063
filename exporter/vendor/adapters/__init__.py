"""Where an evidence format is added: one module with one function, from a parsed JSON value to canonical records.

An adapter yields nothing for entries that are no model requests, `Unreadable` for an entry it should understand and
cannot, and leaves every other check to `record.parse`. It keeps no state and never looks at another entry.
"""

from __future__ import annotations

from collections.abc import Mapping

from exporter.vendor.adapters.apisix import apisix
from exporter.vendor.adapters.base import Adapter, Unreadable
from exporter.vendor.adapters.bedrock import bedrock
from exporter.vendor.adapters.envoy import envoy
from exporter.vendor.adapters.generic import generic
from exporter.vendor.adapters.higress import higress
from exporter.vendor.adapters.kong import kong
from exporter.vendor.adapters.litellm import litellm
from exporter.vendor.adapters.new_api import new_api
from exporter.vendor.adapters.otlp import otlp

ADAPTERS: Mapping[str, Adapter] = {
    "generic": generic,
    "litellm": litellm,
    "apisix": apisix,
    "kong": kong,
    "higress": higress,
    "envoy": envoy,
    "new-api": new_api,
    "bedrock": bedrock,
    "otlp": otlp,
}
"""Every known `format` of a vendor source, which is also the last part of the push address."""

__all__ = ["ADAPTERS", "Adapter", "Unreadable"]
