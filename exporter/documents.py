"""The JSON contract of `calls --json`, `explain --json` and the ledger: one object a call, one object a trace.

Field names and order are the design's; a reading that does not exist is null.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from exporter.clock import rfc3339
from exporter.compare.money import unexplained_money
from exporter.model import (
    AssessedTrace,
    Assessment,
    Attempt,
    DifyReading,
    Finding,
    LocalReading,
    Money,
    Step,
    Tokens,
    Trace,
    UnitPrices,
    VendorReading,
)
from exporter.prices import in_force

Document = dict[str, Any]


def call_document(trace: Trace, assessment: Assessment) -> Document:
    """One line of `calls --json`."""
    return {
        "trace_id": trace.trace_id,
        "call_id": assessment.call.call_id,
        "kind": assessment.call.kind,
        "app_id": trace.app.id,
        "app_name": trace.app.name,
        "app_mode": trace.app.mode,
        **_call(assessment, is_debug=trace.is_debug),
    }


def lone_call_document(assessment: Assessment, app_id: str | None, app_name: str | None) -> Document:
    """One line of `calls --json` for a call of Dify's that belongs to no trace."""
    return {
        "trace_id": None,
        "call_id": assessment.call.call_id,
        "kind": assessment.call.kind,
        "app_id": app_id,
        "app_name": app_name,
        "app_mode": None,
        **_call(assessment, is_debug=False),
    }


def _call(assessment: Assessment, *, is_debug: bool) -> Document:
    call = assessment.call
    return {
        "message_id": call.message_id,
        "workflow_run_id": call.workflow_run_id,
        "node_execution_id": call.node_execution_id,
        "node_title": call.node_title,
        "provider": call.provider,
        "model": call.model,
        "started_at": rfc3339(call.started_at),
        "ended_at": rfc3339(call.ended_at),
        "status": call.status.value,
        "debug": is_debug,
        "readings": {
            "dify": _dify(assessment.dify),
            "local": _local(assessment.local),
            "vendor": _vendor(assessment.vendor),
        },
        "verdict": assessment.verdict.value,
        "findings": [finding_document(finding) for finding in assessment.findings],
        "unexplained": _unexplained(assessment),
    }


def finding_document(finding: Finding) -> Document:
    """A finding; amounts are vendor − dify."""
    return {
        "code": finding.code,
        "input": finding.input,
        "output": finding.output,
        "confidence": finding.confidence.value,
        "evidence": finding.evidence,
        "advice": finding.advice,
        **_money(finding.cost),
    }


def trace_document(assessed: AssessedTrace) -> Document:
    """The trace part of `explain --json`, without its calls; no texts."""
    trace = assessed.trace
    return {
        "trace_id": trace.trace_id,
        "record": {"kind": trace.ref.kind.value, "id": trace.ref.id},
        "name": trace.name,
        "app_id": trace.app.id,
        "app_name": trace.app.name,
        "app_mode": trace.app.mode,
        "workspace_id": trace.app.tenant_id,
        "workspace_name": trace.app.tenant_name,
        "message_id": trace.message_id,
        "workflow_run_id": trace.workflow_run_id,
        "session_id": trace.session_id,
        "started_at": rfc3339(trace.started_at),
        "ended_at": rfc3339(trace.ended_at),
        "status": trace.status.value,
        "final": trace.is_final,
        "debug": trace.is_debug,
        "verdict": assessed.verdict.value,
        "findings": [finding_document(finding) for finding in assessed.findings],
        "sums": {
            "leaves": _tokens(trace.sums.leaves),
            "message": _tokens(trace.sums.message) if trace.sums.message else None,
            "run_total": trace.sums.run_total,
            "containers_total": trace.sums.containers_total,
        },
        "notes": list(trace.notes),
        "steps": [_step(step) for step in trace.steps],
    }


def _step(step: Step) -> Document:
    return {
        "span_id": step.span_id,
        "parent_id": step.parent_id,
        "kind": step.kind.value,
        "name": step.name,
        "started_at": rfc3339(step.started_at),
        "ended_at": rfc3339(step.ended_at),
        "status": step.status.value,
        "call_id": step.call.call_id if step.call else None,
        "link": step.link,
    }


def _tokens(tokens: Tokens) -> Document:
    return {
        "input": tokens.input,
        "output": tokens.output,
        "cache_read": tokens.cache_read,
        "cache_write": tokens.cache_write,
        "reasoning": tokens.reasoning,
    }


def _plain(amount: Decimal) -> str:
    return format(amount.normalize(), "f")


def _unit_prices(rates: UnitPrices | None) -> Document | None:
    if rates is None:
        return None
    return {
        "input": _plain(rates.input),
        "output": _plain(rates.output),
        "currency": rates.currency,
        "per": 1_000_000,
    }


def _money(cost: Money | None) -> Document:
    if cost is None:
        return {"cost": None, "currency": None, "cost_from": None}
    return {
        "cost": _plain(cost.amount),
        "currency": cost.currency,
        "cost_from": cost.origin,
    }


def _dify(reading: DifyReading | None) -> Document | None:
    if reading is None:
        return None
    return {
        **_tokens(reading.tokens),
        "total": reading.total if reading.total is not None else reading.tokens.total,
        **_money(reading.cost),
        "unit_prices": _unit_prices(reading.rates),
        "provenance": reading.provenance,
        "kind": reading.kind.value,
    }


def _local(reading: LocalReading | None) -> Document | None:
    if reading is None:
        return None
    return {
        **_tokens(reading.tokens),
        **_money(reading.cost),
        "tokenizer": reading.tokenizer,
        "accuracy": reading.accuracy.value,
        "error_pct": reading.error_pct,
        "note": reading.note,
    }


def _vendor(reading: VendorReading | None) -> Document | None:
    if reading is None:
        return None
    return {
        **_tokens(reading.tokens),
        **_money(reading.cost),
        "provenance": reading.provenance,
        "independent": reading.independent,
        "match": reading.match,
        "confidence": reading.confidence,
        "attempts": [_attempt(attempt) for attempt in reading.attempts],
    }


def _attempt(attempt: Attempt) -> Document:
    return {
        "id": attempt.id,
        "source": attempt.source,
        "status": attempt.status,
        "started_at": rfc3339(attempt.started_at) if attempt.started_at is not None else None,
        "ended_at": rfc3339(attempt.ended_at) if attempt.ended_at is not None else None,
        "model": attempt.model,
        "key": attempt.key,
        **_tokens(attempt.tokens),
        "estimated": attempt.is_estimated,
        "also_logged_by": list(attempt.copies),
    }


def _unexplained(assessment: Assessment) -> Document | None:
    if assessment.unexplained_input is None and assessment.unexplained_output is None:
        return None
    return {
        "input": assessment.unexplained_input,
        "output": assessment.unexplained_output,
        "within_tolerance": assessment.within_tolerance,
        **_money(unexplained_money(assessment, in_force().exchange)),
    }
