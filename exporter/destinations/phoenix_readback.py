"""Which spans Phoenix holds, asked through its REST API: to confirm what was sent, and for the audit.

Phoenix answers 200 before it writes: spans wait in memory and are lost when it dies. A span sent again is ignored where
it is held already, so what is missing may be sent again as it was. All spans of a trace stay in the project of its first,
whatever later ones name, and a person may move a trace: one that its project does not show is looked for elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any
from urllib.parse import quote

import orjson

from exporter.destinations.base import Unit
from exporter.destinations.holdings import CannotAsk, Exported, Held, Questions, compared
from exporter.destinations.http import Http
from exporter.destinations.projects import Project, by_project
from exporter.errors import Misconfigured, Unreachable
from exporter.spans import otlp

_PAGE_SPANS = 1000
_TRACES_ASKED = 20  # a trace id takes 42 characters of the address

_Get = Callable[[str, Mapping[str, str]], Any | None]
"""Path and parameters to the parsed answer, None for a 404. Raises CannotAsk."""


class PhoenixReadBack:
    """Asks the project of each trace."""

    def __init__(self, http: Http, address: str, project: Project) -> None:
        self._http = http
        self._address = address
        self._patient = Questions(http, address)
        self._project = project

    def missing(self, units: Sequence[Unit]) -> set[int] | None:
        """The `seq` of units of which a span is not held; None when Phoenix cannot be asked now."""
        fixed = self._project.fixed
        groups = by_project(units) if fixed is None else {fixed: units}
        told = {project: [unit.trace_id for unit in group] for project, group in groups.items()}
        try:
            rows = self._rows(told, self._get)
        except CannotAsk:
            return None
        return {unit.seq for unit in units if not _spans(unit).issubset(rows[unit.trace_id])}

    def held(self, traces: Sequence[Exported], sample: AbstractSet[str]) -> dict[str, Held]:
        """See Holdings. Every trace is compared span by span: the listing shows spans anyway."""
        groups = self._project.split(traces)
        told = {project: [trace.trace_id for trace in group] for project, group in groups.items()}
        rows = self._rows(told, self._patient.get)
        return {
            trace.trace_id: compared({span for span, _ in trace.spans}, rows[trace.trace_id])
            for trace in traces
        }

    def _rows(self, told: Mapping[str, Sequence[str]], get: _Get) -> dict[str, list[str]]:
        """The span ids that are held, by trace; `told` are the traces by the project that they were sent to."""
        rows: dict[str, list[str]] = {}
        for project, trace_ids in told.items():
            rows.update(self._rows_in(project, trace_ids, get))
        for project, trace_ids in self._elsewhere([of for of, spans in rows.items() if not spans]).items():
            rows.update(self._rows_in(project, trace_ids, get))
        return rows

    def _elsewhere(self, trace_ids: Sequence[str]) -> dict[str, list[str]]:
        """Those of these traces that Phoenix holds in whatever project, by that. Its page's own interface tells; where
        that is closed, they are nowhere."""
        found: dict[str, list[str]] = {}
        for start in range(0, len(trace_ids), _TRACES_ASKED):
            asked = trace_ids[start : start + _TRACES_ASKED]
            for trace_id, project in self._projects(asked):
                found.setdefault(project, []).append(trace_id)
        return found

    def _projects(self, trace_ids: Sequence[str]) -> Iterator[tuple[str, str]]:
        fields = (
            f't{at}:getTraceByOtelId(traceId:"{of}"){{project{{name}}}}' for at, of in enumerate(trace_ids)
        )
        question = orjson.dumps({"query": f"{{{' '.join(fields)}}}"})
        try:
            reply = self._http.query(f"{self._address}/graphql", question)
            told = orjson.loads(reply.body) if reply.status == 200 else None
        except (Unreachable, Misconfigured, orjson.JSONDecodeError):
            return
        data = told.get("data") if isinstance(told, dict) else None
        for at, trace_id in enumerate(trace_ids):
            trace = (data or {}).get(f"t{at}")
            if trace:
                yield trace_id, str(trace["project"]["name"])

    def _rows_in(self, project: str, trace_ids: Sequence[str], get: _Get) -> dict[str, list[str]]:
        """The span ids that one project holds, by trace."""
        found: dict[str, list[str]] = {trace_id: [] for trace_id in trace_ids}
        for start in range(0, len(trace_ids), _TRACES_ASKED):
            for row in self._pages(project, trace_ids[start : start + _TRACES_ASKED], get):
                context = row.get("context") or {}
                if context.get("trace_id") in found:
                    found[context["trace_id"]].append(str(context.get("span_id")))
        return found

    def _pages(self, project: str, trace_ids: Sequence[str], get: _Get) -> Iterator[dict[str, Any]]:
        asked = "&".join(f"trace_id={trace_id}" for trace_id in trace_ids)
        params = {"limit": str(_PAGE_SPANS)}
        while True:
            answer = get(f"/v1/projects/{quote(project, safe='')}/spans?{asked}", params)
            if answer is None:  # the project is made by the first span that is written
                return
            if not isinstance(answer, dict):
                raise CannotAsk("the answer to a read is not a JSON object")
            yield from answer.get("data") or ()
            if not answer.get("next_cursor"):
                return
            params["cursor"] = str(answer["next_cursor"])

    def _get(self, path: str, params: Mapping[str, str]) -> Any | None:
        """Without patience: who confirms comes again soon."""
        try:
            reply = self._http.get(self._address + path, params)
        except (Unreachable, Misconfigured) as error:
            raise CannotAsk(str(error)) from error
        if reply.status == 404:
            return None
        if reply.status != 200:
            raise CannotAsk(f"HTTP {reply.status} when reading")
        try:
            return orjson.loads(reply.body)
        except orjson.JSONDecodeError as error:
            raise CannotAsk("the answer to a read is not JSON") from error


def _spans(unit: Unit) -> set[str]:
    return {otlp.parse(span).span_id.hex() for span in otlp.split(unit.spans)}
