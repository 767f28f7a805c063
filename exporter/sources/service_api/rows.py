"""What the Service API answers, as rows: a run with its totals. There are no node rows, so no call is claimed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from exporter.model import SECOND, App, Micros, RecordRef
from exporter.sources.rows import RunRow, TraceRows

TOTALS_ONLY = (
    "read through Dify's Service API: totals of the run only; which models were called, with what and for how many tokens"
    " each, is not told"
)
WHOLE_SECONDS = "times are whole seconds"

Json = Mapping[str, Any]


def trace_rows(ref: RecordRef, app: App, run: Json, logged: Json) -> TraceRows:
    """The run's own answer, and what the log told of it (empty when the log was not read lately)."""
    person = logged.get("created_by_end_user")
    end_user = person if isinstance(person, dict) else {}
    summary = logged.get("workflow_run")
    told = summary if isinstance(summary, dict) else {}
    inputs = run.get("inputs")
    row = RunRow(
        id=ref.id,
        tenant_id=app.tenant_id,
        app_id=app.id,
        created_at=_micros(run.get("created_at")) or ref.created_at,
        workflow_id=_text(run.get("workflow_id")),
        type="workflow",
        triggered_from=_text(told.get("triggered_from")),
        version=_text(told.get("version")),
        inputs=_column(inputs),
        outputs=_column(run.get("outputs")),
        status=_text(run.get("status")),
        error=_text(run.get("error")),
        elapsed_time=float(run["elapsed_time"]) if isinstance(run.get("elapsed_time"), int | float) else None,
        total_tokens=run["total_tokens"] if isinstance(run.get("total_tokens"), int) else None,
        total_steps=run["total_steps"] if isinstance(run.get("total_steps"), int) else None,
        exceptions_count=told["exceptions_count"] if isinstance(told.get("exceptions_count"), int) else None,
        created_by_role=_text(logged.get("created_by_role")),
        created_by=_text(end_user.get("id")),
        finished_at=None if run.get("elapsed_time") else _micros(run.get("finished_at")),
    )
    user = _text(end_user.get("session_id")) or _text(_inputs(inputs).get("sys.user_id"))
    return TraceRows(ref, app, run=row, user=user, notes=(TOTALS_ONLY, WHOLE_SECONDS))


def app_id_of(run: Json) -> str | None:
    """The app's id stands in the inputs of its runs (Dify 1.9 and later); the Service API tells it nowhere else."""
    return _text(_inputs(run.get("inputs")).get("sys.app_id"))


def _inputs(value: Any) -> Json:
    try:
        found = json.loads(value) if isinstance(value, str) else value
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _column(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value or None
    return json.dumps(value)


def _micros(value: Any) -> Micros | None:
    return value * SECOND if isinstance(value, int) and 0 <= value < 2**40 else None


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None
