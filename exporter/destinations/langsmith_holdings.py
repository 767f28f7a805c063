"""What LangSmith's projects hold: root runs by time window, and every run of a sample of traces.

Run ids follow from the ledger (start and ids of a step), so they are asked for by name. A trace whose root the window does
not show is asked for run by run before it counts as absent: ids ignore every other filter.
Source: LangSmith's documentation of `/runs/query` and of its filter language (`is_root`, `start_time`, `lt`, `trace`, `id`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any

from exporter.destinations.holdings import CannotAsk, Exported, Held, Questions, compared, iso, window
from exporter.destinations.http import Http
from exporter.destinations.projects import Project
from exporter.spans.langsmith_runs import uuid7

_PAGE = 100  # the most that /runs/query returns at once


class LangSmithHoldings:
    """Asks the project of each trace; where apps have projects of their own, for single traces all of them."""

    def __init__(self, http: Http, api: str, project: Project) -> None:
        self._ask = Questions(http, api)
        self._project = project

    def held(self, traces: Sequence[Exported], sample: AbstractSet[str]) -> dict[str, Held]:
        """See Holdings."""
        found: dict[str, Held] = {}
        for name, group in self._project.split(traces).items():
            found.update(self._held(self._project_id(name), group, sample))
        return found

    def _held(
        self, project_id: str | None, traces: Sequence[Exported], sample: AbstractSet[str]
    ) -> dict[str, Held]:
        is_only = self._project.fixed is not None
        if project_id is None and is_only:
            return {trace.trace_id: Held(len(trace.spans), 0) for trace in traces}
        where = {"session": [project_id]} if is_only else {}
        roots = self._roots(project_id, traces) if project_id is not None else set()
        found = self._by_id(where, [trace for trace in traces if _run_ids(trace)[0] not in roots])
        for trace in traces:
            if trace.trace_id not in found:
                is_compared = trace.trace_id in sample
                found[trace.trace_id] = self._whole(where, trace) if is_compared else Held(0, 0, False)
        return found

    def _project_id(self, name: str) -> str | None:
        """None while the project does not exist; its first trace makes it."""
        found = self._ask.get("/sessions", {"name": name, "limit": "1"})
        if not isinstance(found, list):
            raise CannotAsk("the list of projects is not one")
        return str(found[0]["id"]) if found else None

    def _roots(self, project_id: str, traces: Sequence[Exported]) -> set[str]:
        wanted = {_run_ids(trace)[0] for trace in traces}
        since, until = window(traces)
        question = {
            "session": [project_id],
            "is_root": True,
            "start_time": iso(since),
            "filter": f'lt(start_time, "{iso(until)}")',
        }
        return {run_id for run_id in self._runs(question) if run_id in wanted}

    def _by_id(self, where: Mapping[str, Any], traces: Sequence[Exported]) -> dict[str, Held]:
        """What is held of traces whose root was not seen."""
        asked = [run_id for trace in traces for run_id in _run_ids(trace)]
        there: set[str] = set()
        for start in range(0, len(asked), _PAGE):
            there.update(self._runs({**where, "id": asked[start : start + _PAGE]}))
        return {
            trace.trace_id: compared(_run_ids(trace), sorted(there.intersection(_run_ids(trace))))
            for trace in traces
        }

    def _whole(self, where: Mapping[str, Any], trace: Exported) -> Held:
        expected = _run_ids(trace)
        return compared(expected, sorted(set(self._runs({**where, "trace": expected[0]}))))

    def _runs(self, question: dict[str, Any]) -> Iterator[str]:
        """The ids of the runs that answer a question."""
        question = {**question, "select": ["id"], "limit": _PAGE}
        while True:
            answer = self._ask.query("/runs/query", question)
            if not isinstance(answer, dict):
                raise CannotAsk("the answer to a read is not a JSON object")
            yield from (str(run.get("id")) for run in answer.get("runs") or ())
            cursor = (answer.get("cursors") or {}).get("next")
            if not cursor:
                return
            question["cursor"] = cursor


def _run_ids(trace: Exported) -> list[str]:
    """The ids of the trace's runs, root first, as its spans were given them."""
    return [uuid7(start, trace.trace_id, span) for span, start in trace.spans]
