"""Assessed traces made by hand, small enough that every sum can be checked by eye."""

from __future__ import annotations

from decimal import Decimal
from uuid import UUID

from exporter import ids
from exporter.model import (
    Accuracy,
    App,
    AssessedTrace,
    Assessment,
    Attempt,
    Call,
    DifyKind,
    DifyReading,
    Finding,
    LocalReading,
    Micros,
    Money,
    PromptMessage,
    Recorded,
    RecordKind,
    RecordRef,
    Status,
    Step,
    StepKind,
    Sums,
    Tokens,
    ToolCall,
    Trace,
    VendorReading,
    Verdict,
)
from exporter.state import ledger
from exporter.state.store import Store

NOON: Micros = 1_795_435_200_000_000
SECOND: Micros = 1_000_000
SECRET = "SECRET-WORDS"
"""Stands in every text of a hand-made trace; must never come out of the web server."""


def build_call(
    record: str,
    started_at: Micros,
    *,
    dify: tuple[int, int] | None = (12, 7),
    local: tuple[int, int] | None = (12, 7),
    vendor: tuple[int, int] | None = (12, 7),
    independent: bool = True,
    provider: str | None = "openai",
    model: str | None = "gpt-4o-mini",
    cost: Money | None = None,
    vendor_cost: Money | None = None,
    verdict: Verdict = Verdict.AGREE,
    findings: tuple[Finding, ...] = (),
    part: str = "",
) -> Assessment:
    """One call with its readings; None leaves a reading out."""
    call = Call(
        call_id=f"message:{record}{part}",
        kind="chat",
        provider=provider,
        model=model,
        started_at=started_at,
        ended_at=started_at + SECOND,
        status=Status.OK,
        recorded=Recorded(Tokens(*dify), "messages") if dify else None,
        prompt=(PromptMessage("user", SECRET),),
        answer=SECRET,
        reasoning=SECRET,
        tool_calls=(ToolCall("call_1", "clock", f'{{"zone": "{SECRET}"}}'),),
        user=SECRET,
        query=SECRET,
        message_id=record,
    )
    attempt = Attempt(
        "chatcmpl-1", "my-gateway", "ok", started_at, started_at + SECOND, Tokens(*(vendor or ()))
    )
    return Assessment(
        call,
        DifyReading(Tokens(*dify), "messages", DifyKind.VENDOR_PASSED, cost=cost) if dify else None,
        LocalReading(Tokens(*local), "o200k_base", Accuracy.EXACT, 0.0) if local else None,
        VendorReading(
            Tokens(*vendor), "gateway:my-gateway", independent, "response_text", 0.99, (attempt,), vendor_cost
        )
        if vendor
        else None,
        verdict,
        findings,
        *_rest(dify, vendor if independent else None, findings),
    )


def _rest(
    dify: tuple[int, int] | None, vendor: tuple[int, int] | None, findings: tuple[Finding, ...]
) -> tuple[int | None, int | None]:
    """What no finding explains; None without the vendor's number."""
    if vendor is None:
        return None, None
    recorded = dify or (0, 0)
    return (
        vendor[0] - recorded[0] - sum(item.input for item in findings),
        vendor[1] - recorded[1] - sum(item.output for item in findings),
    )


def build_trace(
    number: int = 1,
    *,
    app: str = "Support chat",
    started_at: Micros = NOON,
    calls: list[dict[str, object]] | None = None,
    verdict: Verdict = Verdict.AGREE,
    findings: tuple[Finding, ...] = (),
    sums: Sums | None = None,
    notes: tuple[str, ...] = (),
) -> AssessedTrace:
    """A message with one model call below it for each entry of `calls` (keywords of `build_call`)."""
    record = str(UUID(int=number))
    root = ids.span_id(record)
    wanted = calls if calls is not None else [{"verdict": verdict}]
    assessments = tuple(
        build_call(record, started_at + place * SECOND, part=f":{place}" if place else "", **keywords)  # type: ignore[arg-type]
        for place, keywords in enumerate(wanted)
    )
    ended_at = started_at + max(1, len(assessments)) * SECOND
    steps = (
        Step(root, None, StepKind.MESSAGE, app, started_at, ended_at, Status.OK, input=SECRET, output=SECRET),
        *(
            Step(
                ids.synthetic_span_id(record, "call", place), root, StepKind.MODEL, item.call.model or "model",
                item.call.started_at, item.call.ended_at, Status.OK, input=SECRET, output=SECRET, call=item.call,
            )
            for place, item in enumerate(assessments)
        ),
    )  # fmt: skip
    trace = Trace(
        trace_id=ids.trace_id(record),
        ref=RecordRef(RecordKind.MESSAGE, record, started_at),
        app=App(f"app-of-{app}", app, "chat", "tenant-1", "Team"),
        name=app,
        started_at=started_at,
        ended_at=ended_at,
        status=Status.OK,
        steps=steps,
        sums=sums or Sums(leaves=Tokens(12, 7), message=Tokens(12, 7)),
        user_id=SECRET,
        message_id=record,
        notes=notes,
    )
    return AssessedTrace(trace, assessments, verdict, findings)


def usd(text: str) -> Money:
    """An amount in USD."""
    return Money(Decimal(text), "USD")


def keep(store: Store, *traces: AssessedTrace, exported: bool = True) -> None:
    """Store traces as the pipeline does."""
    with store.transaction("test") as connection:
        for assessed in traces:
            ledger.put(connection, [ledger.Entry(assessed, b"", {}, (), NOON if exported else None)])
