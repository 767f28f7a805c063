"""Under which ids Dify's own tracing writes a trace to Langfuse and LangSmith, which take them as they are: UUIDs with dashes.

Source: Dify's LangFuseDataTrace and LangSmithDataTrace, 0.15 to 1.14. A message is its own trace (and root run), a workflow
run is one; a node's execution is an observation of that trace. An external trace id that a caller gave takes the place of
these, and is in no table of Dify's.
"""

from __future__ import annotations

from exporter.model import RecordKind, Trace


def dify_trace_id(trace: Trace) -> str | None:
    """The id of Dify's own trace of this record, as `dify_id`."""
    return dify_id(trace.ref.kind, trace.ref.id, trace.app.mode)


def dify_id(kind: RecordKind, record_id: str, app_mode: str) -> str | None:
    """The id of Dify's own trace of such a record. None for a single step, which Dify does not trace, and for a chatflow's run
    whose message is gone: it bore the message's id."""
    match kind:
        case RecordKind.MESSAGE:
            return record_id
        case RecordKind.RUN:
            return None if app_mode == "advanced-chat" else record_id
        case RecordKind.NODE:
            return None
