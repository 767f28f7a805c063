"""The tree of one assessed trace as the dialects walk it: parents that exist, and each call's assessment."""

from __future__ import annotations

from dataclasses import dataclass

from exporter.model import AssessedTrace, Assessment, Step, Trace


@dataclass(frozen=True, slots=True)
class Tree:
    """An assessed trace with its lookups made once. `trace_id` is the 16 bytes of the wire."""

    assessed: AssessedTrace
    trace_id: bytes
    parents: dict[str, str | None]
    assessments: dict[str, Assessment]

    @property
    def trace(self) -> Trace:
        """The trace itself."""
        return self.assessed.trace

    def is_root(self, step: Step) -> bool:
        """True for the step that the trace begins with."""
        return step is self.assessed.trace.steps[0]

    def assessment(self, step: Step) -> Assessment | None:
        """What was found out about the step's call, None for a step without one."""
        return None if step.call is None else self.assessments.get(step.call.call_id)


def tree(assessed: AssessedTrace) -> Tree:
    """The lookups of a trace. A step whose parent is not in the trace hangs on the root: LangSmith holds a span back,
    and after hours drops it, while its parent is missing."""
    trace = assessed.trace
    root = trace.steps[0].span_id
    known = {step.span_id for step in trace.steps}
    return Tree(
        assessed,
        bytes.fromhex(trace.trace_id),
        {
            step.span_id: None
            if step.span_id == root
            else step.parent_id
            if step.parent_id in known
            else root
            for step in trace.steps
        },
        {assessment.call.call_id: assessment for assessment in assessed.assessments},
    )
