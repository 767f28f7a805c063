"""What a Langfuse project holds, span by span: by time window, so that a day costs pages and not a read per trace.

A server with the v4 store lists observations; its key is (trace, span, start in milliseconds), so a span that came with two
starts is two rows, counted twice by every sum. A server with only the v3 store lists traces with the ids of their spans.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any

from exporter.destinations.holdings import CannotAsk, Exported, Held, Questions, compared, iso, window
from exporter.destinations.http import Http

_PAGE = 1000
_LEGACY_PAGE = 100


class LangfuseHoldings:
    """Asks one project."""

    def __init__(self, http: Http, host: str) -> None:
        self._ask = Questions(http, f"{host}/api/public")
        self._is_legacy: bool | None = None

    def held(self, traces: Sequence[Exported], sample: AbstractSet[str]) -> dict[str, Held]:
        """See Holdings. Every trace is compared span by span: the listing shows spans anyway."""
        if self._is_legacy is None:
            self._is_legacy = self._ask.get("/v2/observations", {"limit": "1"}) is None
        rows = self._legacy_rows(traces) if self._is_legacy else self._rows(traces)
        return {
            trace.trace_id: compared({span for span, _ in trace.spans}, rows[trace.trace_id])
            for trace in traces
        }

    def _rows(self, traces: Sequence[Exported]) -> dict[str, list[str]]:
        """The span ids of every row of these traces."""
        since, until = window(traces)
        found: dict[str, set[tuple[str, str]]] = {trace.trace_id: set() for trace in traces}
        for row in self._observations({"fromStartTime": iso(since), "toStartTime": iso(until)}):
            rows = found.get(str(row.get("traceId")))
            if rows is not None:
                rows.add((str(row.get("id")), str(row.get("startTime"))))
        for trace in traces:
            if any(not since <= start < until for _, start in trace.spans):
                found[trace.trace_id] = {
                    (str(row.get("id")), str(row.get("startTime")))
                    for row in self._observations({"traceId": trace.trace_id})
                }
        return {trace_id: [span for span, _ in rows] for trace_id, rows in found.items()}

    def _observations(self, where: Mapping[str, str]) -> Iterator[dict[str, Any]]:
        params = {**where, "fields": "core", "limit": str(_PAGE)}
        while True:
            answer = _object(self._ask.get("/v2/observations", params))
            yield from answer.get("data") or ()
            cursor = (answer.get("meta") or {}).get("cursor")
            if not cursor:
                return
            params["cursor"] = str(cursor)

    def _legacy_rows(self, traces: Sequence[Exported]) -> dict[str, list[str]]:
        """As `_rows` from a v3 store. Which moment the store takes for a trace's own is its affair, so a trace that the
        window does not show is asked for by its id."""
        wanted = {trace.trace_id for trace in traces}
        found: dict[str, list[str]] = {}
        for row in self._legacy_traces(*window(traces)):
            if row.get("id") in wanted:
                found[row["id"]] = [str(span) for span in row.get("observations") or ()]
        for trace_id in wanted.difference(found):
            answer = self._ask.get(f"/traces/{trace_id}", {})
            spans = _object(answer).get("observations") if answer is not None else None
            found[trace_id] = [str(span.get("id")) for span in spans or ()]
        return found

    def _legacy_traces(self, since: int, until: int) -> Iterator[dict[str, Any]]:
        params = {
            "fromTimestamp": iso(since), "toTimestamp": iso(until), "fields": "core,observations",
            "limit": str(_LEGACY_PAGE),
        }  # fmt: skip
        page = pages = 1
        while page <= pages:
            answer = _object(self._ask.get("/traces", {**params, "page": str(page)}))
            yield from answer.get("data") or ()
            pages = int((answer.get("meta") or {}).get("totalPages") or 0)
            page += 1


def _object(answer: Any) -> dict[str, Any]:
    if not isinstance(answer, dict):
        raise CannotAsk("the answer to a read is not a JSON object, or the server changed its kind")
    return answer
