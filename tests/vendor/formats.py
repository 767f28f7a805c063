"""A recorded vendor log, line by line, as each gateway would have logged the same request.

`FORMATS[name](line)` is one entry in the gateway's own field names and types: numbers as text where the gateway writes
text, nothing that the gateway cannot know. `KNOWS[name]` says what a format carries, `record_id(name, line)` the id that
the record of the line has afterwards. `VARIANTS` holds further forms of the same formats. Lines are those of
vendor-calls.jsonl; all functions are pure.
"""

from __future__ import annotations

from collections.abc import Callable

from tests.vendor.adapters.as_access_logs import envoy, envoy_nested, higress, higress_with_texts
from tests.vendor.adapters.as_apisix import apisix, apisix_log_format
from tests.vendor.adapters.as_bedrock import bedrock, bedrock_event
from tests.vendor.adapters.as_kong import kong, kong_old
from tests.vendor.adapters.as_litellm import litellm, litellm_bare_row, litellm_id, litellm_row
from tests.vendor.adapters.as_new_api import new_api, one_api
from tests.vendor.adapters.as_otlp import otlp, otlp_events, otlp_old
from tests.vendor.adapters.line_facts import Entry, Line, is_failed, micros, same_uuid, started
from tests.vendor.convert_recording import canonical

FORMATS: dict[str, Callable[[Line], Entry]] = {
    "generic": canonical,
    "litellm": litellm,
    "apisix": apisix,
    "kong": kong,
    "higress": higress,
    "envoy": envoy,
    "new-api": new_api,
    "bedrock": bedrock,
    "otlp": otlp,
}
"""One entry of each format for a recorded line, by the adapter's name."""

VARIANTS: dict[str, tuple[str, Callable[[Line], Entry]]] = {
    "litellm rows": ("litellm", litellm_row),
    "litellm rows without texts": ("litellm", litellm_bare_row),
    "apisix log_format": ("apisix", apisix_log_format),
    "kong 3.6": ("kong", kong_old),
    "higress with texts": ("higress", higress_with_texts),
    "envoy nested": ("envoy", envoy_nested),
    "one-api": ("new-api", one_api),
    "bedrock in CloudWatch": ("bedrock", bedrock_event),
    "otlp old names": ("otlp", otlp_old),
    "otlp events": ("otlp", otlp_events),
}
"""Further forms: the adapter's name and the converter."""

_ALL = frozenset({"texts", "user", "usage", "cache", "failed", "times"})
KNOWS: dict[str, frozenset[str]] = {
    "generic": _ALL,
    "litellm": _ALL,
    "apisix": _ALL,
    "kong": _ALL - {"cache"},
    "higress": frozenset({"usage", "times"}),
    "envoy": frozenset({"usage", "cache", "failed", "times"}),
    "new-api": frozenset({"usage", "cache", "failed"}),
    "bedrock": frozenset({"texts", "usage", "cache", "failed"}),
    "otlp": _ALL,
    "litellm rows": _ALL,
    "litellm rows without texts": _ALL - {"texts"},
    "apisix log_format": _ALL - {"texts"},
    "kong 3.6": frozenset({"user", "usage", "failed", "times"}),
    "higress with texts": frozenset({"texts", "usage", "times"}),
    "envoy nested": frozenset({"usage", "cache", "failed", "times"}),
    "one-api": frozenset({"usage", "failed"}),
    "bedrock in CloudWatch": frozenset({"texts", "usage", "cache", "failed"}),
    "otlp old names": _ALL,
    "otlp events": _ALL,
}
"""What a format carries: request and answer texts, the end user, usage, its cached part, failed attempts, and both
times of a request finer than a second (`new-api` has whole seconds, `bedrock` one moment in whole seconds)."""


def converter(name: str) -> tuple[str, Callable[[Line], Entry]]:
    """The adapter's name and the converter of a format or variant."""
    return VARIANTS[name] if name in VARIANTS else (name, FORMATS[name])


def record_id(name: str, line: Line) -> str:
    """The id that the record of a line has after its adapter, by which tests find the line again."""
    adapter = converter(name)[0]
    if adapter == "litellm":
        return f"{litellm_id(line)}#{micros(started(line))}" if is_failed(line) else line["id"]
    if adapter == "otlp":
        span = otlp(line)["resourceSpans"][0]["scopeSpans"][0]["spans"][0]
        return f"{span['traceId']}:{span['spanId']}"
    if name == "new-api":
        return str(line["seq"])
    if adapter == "kong":
        return same_uuid(line, "kong").replace("-", "")
    return line["id"] if adapter == "generic" else same_uuid(line, name if name == "one-api" else adapter)
