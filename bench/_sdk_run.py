"""The measured SDK: the traces that the exporter sent, sent once more with Langfuse's own client.

The same observations in the same tree with the same input, output, usage, cost, model and further attributes (as metadata).
What the client cannot be given (ids and start times of the past) it makes itself. Flushed before its queue is full, so
that it drops nothing.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from bench._common import KEYS
from bench._measured import measured
from bench._received import received_spans, values

_SPANS_PER_FLUSH = 1000
_OWN = "langfuse.observation."


@dataclass(slots=True)
class _Observation:
    """What one `start_observation` is given, and the observations below it."""

    given: dict[str, Any]
    below: list[_Observation] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Trace:
    """A trace with what is said of it as a whole."""

    about: dict[str, Any]
    root: _Observation
    spans: int


def main() -> None:
    """Send what lies in the folder of received bodies (Langfuse dialect) with the SDK."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("core", type=int)
    parser.add_argument("bodies", type=Path)
    parser.add_argument("sink")
    given = parser.parse_args()

    from langfuse import Langfuse, propagate_attributes

    traces = _traces(given.bodies)
    client = Langfuse(
        base_url=given.sink,
        environment="production",
        public_key=KEYS["public_key"],
        secret_key=KEYS["secret_key"],
    )

    def work() -> tuple[int, dict[str, float]]:
        sent = waiting = 0
        for trace in traces:
            if waiting + trace.spans > _SPANS_PER_FLUSH:
                client.flush()
                waiting = 0
            with propagate_attributes(**trace.about):
                _send(client, trace.root)
            waiting += trace.spans
            sent += trace.spans
        client.flush()
        return sent, {}

    measured(given.core, work)
    client.shutdown()


def _send(parent: Any, observation: _Observation) -> None:
    started = parent.start_observation(**observation.given)
    for child in observation.below:
        _send(started, child)
    started.end()


def _traces(folder: Path) -> list[_Trace]:
    """The received spans as the client wants them; roots come before their children."""
    observations: dict[bytes, _Observation] = {}
    roots: dict[bytes, tuple[dict[str, Any], _Observation]] = {}
    counts: dict[bytes, int] = {}
    for span in received_spans(folder):
        attributes = values(span)
        observation = _Observation(_given(span.name, attributes))
        observations[span.span_id] = observation
        counts[span.trace_id] = counts.get(span.trace_id, 0) + 1
        if span.parent_span_id:
            observations[span.parent_span_id].below.append(observation)
        else:
            roots[span.trace_id] = (_about(attributes), observation)
    return [_Trace(about, root, counts[trace_id]) for trace_id, (about, root) in roots.items()]


def _about(attributes: dict[str, Any]) -> dict[str, Any]:
    about = {
        "trace_name": attributes.get("langfuse.trace.name"),
        "user_id": attributes.get("langfuse.user.id"),
        "session_id": attributes.get("langfuse.session.id"),
        "tags": attributes.get("langfuse.trace.tags"),
        "version": attributes.get("langfuse.version"),
    }
    return {name: value for name, value in about.items() if value}


def _given(name: str, attributes: dict[str, Any]) -> dict[str, Any]:
    given: dict[str, Any] = {"name": name, "as_type": attributes[f"{_OWN}type"]}
    for key in ("input", "output"):
        if f"{_OWN}{key}" in attributes:
            given[key] = _value(attributes[f"{_OWN}{key}"])
    given["metadata"] = {
        **orjson.loads(attributes.get(f"{_OWN}metadata", "{}")),
        **{key: value for key, value in attributes.items() if not key.startswith("langfuse.")},
    }
    if given["as_type"] == "generation":
        given["model"] = attributes.get(f"{_OWN}model.name")
        for key in ("usage_details", "cost_details"):
            if f"{_OWN}{key}" in attributes:
                given[key] = orjson.loads(attributes[f"{_OWN}{key}"])
    return given


def _value(text: str) -> Any:
    """What an application would hand over: the value that the JSON spells, or the text."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return text


if __name__ == "__main__":
    main()
