"""Where a node's steps hang: under the run, or under a round of the iteration or loop that ran them.

Child rows name their container by its graph node id and their round by an index. A container that ran several times
(inside a loop) is told apart by the order in which nodes started; of two named containers the inner one is the parent.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from exporter import ids
from exporter.model import Status, Step, StepKind
from exporter.sources.rows import NodeRow

Built = tuple[NodeRow, Sequence[Step]]
_WORST = (Status.ERROR, Status.UNFINISHED, Status.STOPPED, Status.OK)


def nest(trace_id: str, parent_id: str | None, built: Sequence[Built]) -> Iterator[Step]:
    """All steps with their parents set, depth first, each level in order of its start. `built` is in the order in which the
    nodes started, which times in whole seconds alone do not tell."""
    heads = [steps[0] for _, steps in built]
    rests = {steps[0].span_id: steps[1:] for _, steps in built}
    homes = {head.span_id: _home(place, heads) for place, head in enumerate(heads)}
    below: dict[str | None, list[Step]] = {}
    for head in heads:
        home = homes[head.span_id]
        if home is None:
            below.setdefault(parent_id, []).append(_below(head, parent_id))
        else:
            below.setdefault(_round_id(trace_id, *home), []).append(_below(head, _round_id(trace_id, *home)))
    for (container, index), members in sorted(_rounds(heads, homes).items(), key=lambda item: item[0]):
        below.setdefault(container, []).append(_round_step(trace_id, container, index, members))
    yield from _walk(parent_id, below, rests)


def _walk(
    at: str | None, below: dict[str | None, list[Step]], rests: dict[str, Sequence[Step]]
) -> Iterator[Step]:
    for step in sorted(below.get(at, []), key=lambda step: step.started_at):
        yield step
        yield from rests.get(step.span_id, ())
        yield from _walk(step.span_id, below, rests)


def _below(step: Step, parent_id: str | None) -> Step:
    """The step under that parent. Spelled out: `dataclasses.replace` is ten times slower, and this is every node."""
    return Step(
        step.span_id, parent_id, step.kind, step.name, step.started_at, step.ended_at, step.status, step.error,
        step.input, step.output, step.facts, step.call, step.link,
    )  # fmt: skip


def _home(place: int, heads: Sequence[Step]) -> tuple[str, int] | None:
    """(container span id, round index) of the step in that place, or None when it hangs on the run."""
    head = heads[place]
    facts = dict(head.facts)
    found: list[tuple[Step, int]] = []
    for role in ("iteration", "loop"):
        node_id, index = facts.get(f"{role}.id"), facts.get(f"{role}.index")
        if node_id is None or node_id == facts.get("node.id"):
            continue
        same = _runs(str(node_id), heads[:place]) or _runs(str(node_id), heads[place + 1 :])[:1]
        if same:
            found.append((same[-1], index if isinstance(index, int) else 0))
    if not found:
        return None
    inner, index = min(found, key=lambda item: (item[0].ended_at - item[0].started_at, -item[0].started_at))
    return inner.span_id, index


def _runs(node_id: str, steps: Sequence[Step]) -> list[Step]:
    """The runs of that container among these steps; the latest one before a step is the one that it ran in."""
    return [step for step in steps if dict(step.facts).get("node.id") == node_id]


def _rounds(
    heads: Sequence[Step], homes: dict[str, tuple[str, int] | None]
) -> dict[tuple[str, int], list[Step]]:
    grouped: dict[tuple[str, int], list[Step]] = {}
    for head in heads:
        home = homes[head.span_id]
        if home is not None:
            grouped.setdefault(home, []).append(head)
    return grouped


def _round_id(trace_id: str, container: str, index: int) -> str:
    return ids.synthetic_span_id(trace_id, "round", container, index)


def _round_step(trace_id: str, container: str, index: int, members: Sequence[Step]) -> Step:
    return Step(
        span_id=_round_id(trace_id, container, index),
        parent_id=container,
        kind=StepKind.ROUND,
        name=f"round {index + 1}",
        started_at=min(step.started_at for step in members),
        ended_at=max(step.ended_at for step in members),
        status=next(status for status in _WORST if any(step.status is status for step in members)),
        facts=(("round", index + 1),),
    )
