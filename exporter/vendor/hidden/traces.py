"""All that attaching hidden requests needs to know of a trace, without its texts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import orjson

from exporter.model import Micros, Step, StepKind, Trace
from exporter.vendor.fingerprint import canonical, user_hashes
from exporter.vendor.hidden.words import answer_hash, query_hash, title_hash, titled

_DATASET_TOOL = "dataset_"
"""How Dify names the tools by which an agent app searches a dataset."""


@dataclass(frozen=True, slots=True)
class TracePrint:
    """What a trace asked and answered, as hashes.

    `queries` are the end user's words and those of its retrievals; `titled` is the query as a title's prompt has it;
    `title` is the conversation's name (None: unknown). `recorded` pairs each call that Dify recorded for a retrieval's
    own model (router, metadata filter) with that retrieval's query.
    """

    trace_id: str
    app_id: str
    tenant_id: str
    session_id: str | None
    message_id: str | None
    started_at: Micros
    ended_at: Micros
    users: tuple[str, ...] = ()
    queries: tuple[str, ...] = ()
    titled: str | None = None
    answers: tuple[str, ...] = ()
    title: str | None = None
    retrieves: bool = False
    recorded: tuple[tuple[str, str | None], ...] = ()

    def to_json(self) -> bytes:
        """The stored form; `from_json` gives the same TracePrint back."""
        return orjson.dumps(self)

    @staticmethod
    def from_json(stored: bytes) -> TracePrint:
        """The TracePrint of a stored form."""
        fields: dict[str, Any] = orjson.loads(stored)
        lists = {name: tuple(fields[name]) for name in ("users", "queries", "answers")}
        return TracePrint(**{**fields, **lists, "recorded": tuple((i, q) for i, q in fields["recorded"])})


def fingerprint_trace(trace: Trace) -> TracePrint:
    """The TracePrint of a trace."""
    root = trace.steps[0]
    asked = root.input if root.kind is StepKind.MESSAGE else None
    answered = root.output if root.kind is StepKind.MESSAGE else None
    searched = [retrieval_query(step) for step in trace.steps if is_retrieval(step)]
    words = dict.fromkeys(text for text in (asked, *searched) if text and canonical(text))
    return TracePrint(
        trace_id=trace.trace_id,
        app_id=trace.app.id,
        tenant_id=trace.app.tenant_id,
        session_id=trace.session_id,
        message_id=trace.message_id,
        started_at=trace.started_at,
        ended_at=trace.ended_at,
        users=user_hashes(trace.user_id, *trace.user_aliases),
        queries=tuple(query_hash(text) for text in words),
        titled=query_hash(titled(asked)) if asked and canonical(asked) else None,
        answers=(answer_hash(answered),) if answered and canonical(answered) else (),
        title=title_hash(trace.conversation_name) if trace.conversation_name else None,
        retrieves=bool(searched),
        recorded=tuple(_recorded(trace)),
    )


def is_retrieval(step: Step) -> bool:
    """Whether a step searches datasets: a retrieval, or an agent's tool that does."""
    return step.kind is StepKind.RETRIEVAL or (
        step.kind is StepKind.TOOL and step.name.startswith(_DATASET_TOOL)
    )


def retrieval_query(step: Step) -> str | None:
    """What a retrieval searched for: a node's input is an object with the query in it, a chat app's is the query."""
    with suppress(ValueError):
        found = orjson.loads(step.input or "")
        if isinstance(found, dict):
            query = found.get("query")
            return query if isinstance(query, str) else None
    return step.input


def _recorded(trace: Trace) -> Iterator[tuple[str, str | None]]:
    queries = {step.span_id: retrieval_query(step) for step in trace.steps if is_retrieval(step)}
    for step in trace.steps:
        if step.call is not None and step.parent_id in queries:
            query = queries[step.parent_id]
            yield step.call.call_id, query_hash(query) if query else None
