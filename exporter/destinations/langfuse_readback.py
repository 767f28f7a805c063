"""Asking a Langfuse server what it holds: by time window in its v4 store, trace by trace in its v3 store.

Three kinds of server answer at one address: `legacy` (v3 store), `dual` (both) and `events_only` (v4 store). Reads of
a kind that the server does not have are 404. Windows, because a hobby account may read thirty times a minute.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import orjson

from exporter.destinations.base import Unit
from exporter.destinations.http import Http, Reply
from exporter.errors import Misconfigured, Unreachable
from exporter.spans import otlp
from exporter.spans.langfuse import USAGE

_WINDOW_MS = 15 * 60 * 1000
_PAGE = 1000
_PAGES = 20
_FIELDS = "core,usage"

SpanKey = tuple[str, str]
"""(trace id, span id)"""


@dataclass(frozen=True, slots=True)
class Sent:
    """One span of a unit as it was sent: where it must be found, and with which usage."""

    key: SpanKey
    start_ms: int
    usage: Mapping[str, int] | None


class CannotAsk(Exception):
    """The server does not answer the question now."""


def sent_spans(unit: Unit) -> list[Sent]:
    """The spans of a unit, read from its own bytes. Usage is only of interest for a correction: the same span with
    other numbers was there before."""
    found: list[Sent] = []
    for serialised in otlp.split(unit.spans):
        span = otlp.parse(serialised)
        usage = otlp.text_attributes(span, (USAGE,)).get(USAGE) if unit.revision > 0 else None
        key = (span.trace_id.hex(), span.span_id.hex())
        found.append(
            Sent(key, span.start_time_unix_nano // 1_000_000, orjson.loads(usage) if usage else None)
        )
    return found


class ReadBack:
    """Reads observations of one project."""

    def __init__(self, http: Http, host: str) -> None:
        self._http = http
        self._api = f"{host}/api/public"
        self._is_legacy: bool | None = None

    def missing(self, units: Sequence[Unit]) -> set[int]:
        """The `seq` of units of which a span is absent or, for a correction, still has its old usage. Raises
        CannotAsk."""
        sent = {unit.seq: sent_spans(unit) for unit in units}
        traces = list(dict.fromkeys(unit.trace_id for unit in units))
        held = self._legacy_traces(traces) if self.is_legacy() else None
        if held is None:
            held = {}
            for group in _windows([spans for spans in sent.values() if spans]):
                held.update(self._group(group))
        return {seq for seq, spans in sent.items() if not all(_is_held(span, held) for span in spans)}

    def is_legacy(self) -> bool:
        """True when the server has no v4 store. Asked once, and again after a 404 where there was an answer before."""
        if self._is_legacy is None:
            self._is_legacy = self.get("/v2/observations", {"limit": "1"}).status == 404
        return self._is_legacy

    def mode(self) -> str:
        """The kind of server: legacy, dual or events_only. Raises CannotAsk."""
        if self.is_legacy():
            return "legacy"
        return "dual" if self.get("/traces", {"limit": "1"}).status == 200 else "events_only"

    def get(self, path: str, params: Mapping[str, str] | None = None) -> Reply:
        """One read; 404 is an answer, any other failure raises CannotAsk."""
        try:
            reply = self._http.get(self._api + path, params)
        except (Unreachable, Misconfigured) as error:
            raise CannotAsk(str(error)) from error
        if reply.status not in (200, 404):
            raise CannotAsk(f"HTTP {reply.status} when reading back")
        return reply

    def _group(self, group: Sequence[Sequence[Sent]]) -> dict[SpanKey, Mapping[str, int]]:
        """What is held of traces that lie close together; of a crowded window, trace by trace."""
        wanted = {span.key for spans in group for span in spans}
        starts = [span.start_ms for spans in group for span in spans]
        if max(starts) - min(starts) <= _WINDOW_MS:
            found = self._observations(_between(min(starts), max(starts)), wanted, _PAGES)
            if found is not None:
                return found
        held: dict[SpanKey, Mapping[str, int]] = {}
        for trace_id in dict.fromkeys(trace_id for trace_id, _ in wanted):
            keys = {key for key in wanted if key[0] == trace_id}
            held.update(self._observations({"traceId": trace_id}, keys, None) or {})
        return held

    def _observations(
        self, where: Mapping[str, str], wanted: set[SpanKey], most_pages: int | None
    ) -> dict[SpanKey, Mapping[str, int]] | None:
        """Those of the wanted spans that are held; None when there are more pages than we want to read."""
        held: dict[SpanKey, Mapping[str, int]] = {}
        params = {**where, "fields": _FIELDS, "limit": str(_PAGE)}
        pages = 0
        while most_pages is None or pages < most_pages:
            answer = self._page(params)
            held.update((key, usage) for key, usage in _rows(answer.get("data"), None) if key in wanted)
            pages += 1
            cursor = (answer.get("meta") or {}).get("cursor")
            if not cursor or len(held) == len(wanted):
                return held
            params["cursor"] = str(cursor)
        return None

    def _page(self, params: Mapping[str, str]) -> dict[str, Any]:
        reply = self.get("/v2/observations", params)
        if reply.status == 404:
            self._is_legacy = None
            raise CannotAsk("the server changed its kind; asked again next time")
        return _json(reply)

    def _legacy_traces(self, trace_ids: Sequence[str]) -> dict[SpanKey, Mapping[str, int]] | None:
        """What is held of these traces; None when a 404 turns out to mean that the server is no longer a v3 one."""
        held: dict[SpanKey, Mapping[str, int]] = {}
        for trace_id in trace_ids:
            reply = self.get(f"/traces/{trace_id}")
            if reply.status == 200:
                held.update(_rows(_json(reply).get("observations"), trace_id))
            elif not self._is_still_legacy():
                return None
        return held

    def _is_still_legacy(self) -> bool:
        self._is_legacy = None
        return self.is_legacy()


def _windows(traces: Iterable[Sequence[Sent]]) -> Iterator[list[Sequence[Sent]]]:
    """Traces grouped so that each group fits one window; a trace that is longer than one is a group of its own."""
    group: list[Sequence[Sent]] = []
    first = 0
    for begin, end, spans in sorted(((*_reach(spans), spans) for spans in traces), key=lambda item: item[:2]):
        if group and end - first > _WINDOW_MS:
            yield group
            group = []
        first = first if group else begin
        group.append(spans)
    if group:
        yield group


def _reach(spans: Sequence[Sent]) -> tuple[int, int]:
    """The first and the last start of a trace's spans."""
    starts = [span.start_ms for span in spans]
    return min(starts), max(starts)


def _between(first_ms: int, last_ms: int) -> dict[str, str]:
    """The window's parameters; `toStartTime` is exclusive, and start times are kept in whole milliseconds."""
    return {"fromStartTime": _iso(first_ms), "toStartTime": _iso(last_ms + 1)}


def _iso(moment_ms: int) -> str:
    whole, milliseconds = divmod(moment_ms, 1000)
    return f"{datetime.fromtimestamp(whole, UTC):%Y-%m-%dT%H:%M:%S}.{milliseconds:03}Z"


def _rows(rows: Any, trace_id: str | None) -> Iterator[tuple[SpanKey, Mapping[str, int]]]:
    for row in rows if isinstance(rows, list) else ():
        of = row.get("traceId") or trace_id
        if of:
            yield (str(of), str(row.get("id"))), row.get("usageDetails") or {}


def _is_held(span: Sent, held: Mapping[SpanKey, Mapping[str, int]]) -> bool:
    usage = held.get(span.key)
    return usage is not None and all(usage.get(name) == count for name, count in (span.usage or {}).items())


def _json(reply: Reply) -> dict[str, Any]:
    try:
        answer = orjson.loads(reply.body)
    except orjson.JSONDecodeError as error:
        raise CannotAsk("the answer to a read is not JSON") from error
    if not isinstance(answer, dict):
        raise CannotAsk("the answer to a read is not a JSON object")
    return answer
