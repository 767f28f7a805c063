"""The scenario as Dify would have recorded it, and the spans that our projectors make of it.

The readings agree, so that what differs from an SDK's span is how a fact is written, not which number was chosen.
"""

from __future__ import annotations

import json
from collections.abc import Callable

from docs.sdk import scenario
from exporter import ids
from exporter.config import ContentSettings
from exporter.model import (
    Accuracy,
    App,
    AssessedTrace,
    Assessment,
    Call,
    DifyKind,
    DifyReading,
    LocalReading,
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
from exporter.spans.content import content
from exporter.spans.langfuse import LangfuseProjector
from exporter.spans.langsmith import LangSmithProjector
from exporter.spans.openinference import OpenInferenceProjector

PROJECTORS: dict[str, Callable[[AssessedTrace], list[bytes]]] = {
    "langfuse": LangfuseProjector(content(ContentSettings(mode="full"))),
    "langsmith": LangSmithProjector(content(ContentSettings(mode="full")), lambda app: "dify"),
    "openinference": OpenInferenceProjector(content(ContentSettings(mode="full"))),
}
_SECOND = 1_000_000
_START = scenario.START_SECONDS * _SECOND
_PARENTS = {"tool request": "agent", "tool": "agent"}
_KINDS = {
    "workflow": StepKind.WORKFLOW,
    "retrieval": StepKind.RETRIEVAL,
    "agent": StepKind.AGENT,
    "tool": StepKind.TOOL,
}
_NAMES = {"workflow": scenario.APP, "retrieval": "Knowledge", "agent": "Agent", "tool": scenario.TOOL}


def spans(dialect: str) -> list[bytes]:
    """The serialised spans of the cases, in their order."""
    return PROJECTORS[dialect](_assessed())


def _assessed() -> AssessedTrace:
    steps = tuple(_step(case) for case in scenario.CASES)
    trace = Trace(
        trace_id=ids.trace_id(_uuid(0)),
        ref=RecordRef(RecordKind.RUN, _uuid(0), _START),
        app=App(_uuid(100), scenario.APP, "workflow", _uuid(101)),
        name=scenario.APP,
        started_at=_START,
        ended_at=steps[0].ended_at,
        status=Status.OK,
        steps=steps,
        sums=Sums(leaves=Tokens(366, 126)),
        session_id=scenario.SESSION,
        user_id=scenario.USER,
        workflow_id=_uuid(102),
        workflow_version=scenario.VERSION,
        workflow_run_id=_uuid(0),
    )
    return AssessedTrace(trace, tuple(map(_assessment, trace.calls)), Verdict.AGREE)


def _step(case: str) -> Step:
    at = scenario.CASES.index(case)
    call = _call(case) if case not in _KINDS else None
    given, result = _texts(case)
    return Step(
        span_id=ids.span_id(_uuid(at)),
        parent_id=None
        if at == 0
        else ids.span_id(_uuid(scenario.CASES.index(_PARENTS.get(case, "workflow")))),
        kind=_KINDS.get(case, StepKind.MODEL),
        name=_NAMES.get(case, f"Model, {case}"),
        started_at=_START + at * _SECOND,
        ended_at=_START + (at + 1 if at else len(scenario.CASES)) * _SECOND,
        status=Status.ERROR if case == "error" else Status.OK,
        error=scenario.REFUSAL if case == "error" else None,
        input=given,
        output=result,
        call=call,
    )


def _texts(case: str) -> tuple[str | None, str | None]:
    """Input and output as Dify keeps them; a knowledge retrieval's are those of its node."""
    found = [
        {
            "metadata": {"segment_id": document["id"], "score": document["score"]},
            "title": document["title"],
            "content": document["content"],
        }
        for document in scenario.DOCUMENTS
    ]
    return {
        "workflow": (scenario.QUESTIONS["chat"], scenario.ANSWERS["chat"]),
        "retrieval": (json.dumps({"query": scenario.QUESTIONS["chat"]}), json.dumps({"result": found})),
        "agent": (scenario.QUESTIONS["tool request"], scenario.TOOL_RESULT),
        "tool": (json.dumps({"q": "invoice"}), scenario.TOOL_RESULT),
    }.get(case, (None, None))


def _call(case: str) -> Call:
    at = scenario.CASES.index(case)
    is_embedding, is_error = case == "embedding", case == "error"
    wants_tool = case == "tool request"
    return Call(
        call_id=f"node:{_uuid(at)}",
        kind="hidden:query_embedding" if is_embedding else "chat",
        provider="langgenius/openai/openai",
        model=scenario.EMBEDDING_MODEL if is_embedding else scenario.MODEL,
        started_at=_START + at * _SECOND,
        ended_at=_START + (at + 1) * _SECOND,
        status=Status.ERROR if is_error else Status.OK,
        recorded=None if is_error or is_embedding else Recorded(_tokens(), "node.process_data.usage"),
        prompt=None
        if is_embedding
        else tuple(PromptMessage(each["role"], each["content"]) for each in scenario.prompt(case)),
        answer=scenario.ANSWERS.get(case),
        tool_calls=(ToolCall(scenario.TOOL_ID, scenario.TOOL, scenario.TOOL_ARGUMENTS),)
        if wants_tool
        else (),
        finish_reason=None if is_embedding or is_error else "tool_calls" if wants_tool else "stop",
        parameters=()
        if is_embedding
        else (("temperature", scenario.TEMPERATURE), ("max_tokens", scenario.MAX_TOKENS)),
        first_token_at=_START + at * _SECOND + 200_000 if case == "streamed" else None,
    )


def _assessment(call: Call) -> Assessment:
    """Of the failed call nobody knows a count; of the embedding, which Dify hides, only the vendor."""
    if call.status is Status.ERROR:
        return Assessment(call, None, None, None, Verdict.UNVERIFIED)
    tokens = call.recorded.tokens if call.recorded else Tokens(scenario.EMBEDDING_TOKENS, 0)
    vendor = VendorReading(tokens, "gateway:litellm", True, "response_text", 0.99)
    if call.recorded is None:
        return Assessment(call, None, None, vendor, Verdict.AGREE)
    dify = DifyReading(tokens, call.recorded.provenance, DifyKind.VENDOR_PASSED)
    local = LocalReading(Tokens(tokens.input, tokens.output), "o200k_base", Accuracy.EXACT)
    return Assessment(call, dify, local, vendor, Verdict.AGREE)


def _tokens() -> Tokens:
    usage = scenario.USAGE
    return Tokens(usage["input"], usage["output"], cache_read=usage["cached"], reasoning=usage["reasoning"])


def _uuid(number: int) -> str:
    return f"5eed0000-0000-4000-8000-{number + 1:012x}"
