"""Rows of one trace become a Trace: the only place that knows what Dify's columns and JSON mean.

Pure: the same rows give the same Trace, nothing here asks for the time. Text that cannot be parsed is noted on the
trace and the rest goes on.
"""

from __future__ import annotations

from exporter.model import RecordKind, Trace
from exporter.sources.assemble import easy, workflow
from exporter.sources.rows import TraceRows


def assemble(rows: TraceRows) -> Trace:
    """The Trace of these rows. Raises ValueError when the rows do not belong together (no root row)."""
    if rows.ref.kind is RecordKind.NODE:
        return workflow.single_step(rows)
    if rows.message is not None and rows.message.workflow_run_id is None and rows.app.mode != "advanced-chat":
        return easy.message(rows)
    return workflow.run(rows)
