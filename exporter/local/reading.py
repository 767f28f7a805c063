"""The local reading of one call: our own token count, with its trust and the reasons that limit it.

Pure and total: the same call gives the same reading, and no call makes it raise. What the record does not hold is
None or makes the reading a lower bound, and the note says which part is missing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil

from exporter.local import chat
from exporter.local.families import family
from exporter.local.family import Family, Reasoning
from exporter.local.names import bare
from exporter.local.parts import PartCount, Parts, count_parts, spelled
from exporter.local.vocabulary import Count, CountFailed
from exporter.model import Accuracy, Call, LocalReading, Status, Tokens

TOOL_ERROR_PCT = 10.0
"""How far the framing of function calls in a prompt may be off, in percent of the input."""

_TRUST = (
    Accuracy.EXACT,
    Accuracy.TEMPLATE,
    Accuracy.NEAR,
    Accuracy.APPROXIMATE,
    Accuracy.LOWER_BOUND,
    Accuracy.NONE,
)
_THINKING_PARAMETERS = (
    "thinking",
    "enable_thinking",
    "include_thoughts",
    "reasoning_effort",
    "thinking_budget",
)
_THINKING_OFF = (False, 0, "", "none", "false", "disabled", "off")


@dataclass(frozen=True, slots=True)
class _Doubt:
    """A reason to trust a count less. `unbounded` = by an amount that nobody can state."""

    accuracy: Accuracy
    note: str
    unbounded: bool = False


@dataclass(frozen=True, slots=True)
class _Counted:
    tokens: Tokens
    parts: tuple[PartCount, ...]
    sampled: bool


def read_local(call: Call, parts: Parts | None = None) -> LocalReading | None:
    """Count a call as its vendor would, or None when neither its prompt nor anything of its answer was kept.

    `parts` is what the request held besides its texts, where its whole body is known. `tokens.input` is None without
    a prompt; `tokens.output` is None where nothing was kept of an answer that did not end well, because the vendor may
    have produced text all the same. A failing tokenizer gives accuracy NONE with the reason in the note.
    """
    if not (call.prompt or _kept_of_answer(call)):
        return None
    model = family(call.model, call.provider)
    if model.vocabulary is None:
        return LocalReading(Tokens(), "none", Accuracy.NONE, note=model.note)
    try:
        counted = _count(call, parts, model, model.vocabulary)
    except CountFailed as failure:
        return LocalReading(Tokens(), model.vocabulary, Accuracy.NONE, note=str(failure))
    doubts = tuple(_doubts(call, model, counted, is_body_known=parts is not None))
    return LocalReading(
        tokens=counted.tokens,
        tokenizer=model.vocabulary if model.scale == 1.0 else f"{model.vocabulary} x {model.scale}",
        accuracy=max((model.accuracy, *(doubt.accuracy for doubt in doubts)), key=_TRUST.index),
        error_pct=_stated_error(counted, call, model, doubts),
        note="; ".join(filter(None, (model.note, *(doubt.note for doubt in doubts)))) or None,
    )


# ── the counts ──────────────────────────────────────────────────────────────────────────────────────────────


def _count(call: Call, parts: Parts | None, model: Family, vocabulary: str) -> _Counted:
    prompt = completion = thought = None
    held: tuple[PartCount, ...] = ()
    if call.prompt and _has_no_output(call):
        prompt = chat.count_prompt(vocabulary, chat.PLAIN, call.prompt)
    elif call.prompt:
        held = tuple(count_parts(model, vocabulary, bare(call.model or ""), parts)) if parts else ()
        messages = spelled(model, call.prompt, parts) if parts else call.prompt
        prompt = chat.count_prompt(vocabulary, model.template, messages)
    if _has_no_output(call):
        completion = Count(0)
    elif _kept_of_answer(call):
        completion = chat.count_completion(
            vocabulary, call.answer, _added_reasoning(call), call.tool_calls, model.template.calls
        )
    if call.reasoning and not _hides_reasoning(call, model):
        thought = chat.count_completion(vocabulary, None, call.reasoning)
    input_, output, reasoning = (
        None if part is None else round(part.tokens * model.scale) for part in (prompt, completion, thought)
    )
    if input_ is not None:
        input_ += sum(part.tokens or 0 for part in held)
    sampled = any(part.sampled for part in (prompt, completion, *held) if part)
    return _Counted(Tokens(input=input_, output=output, reasoning=reasoning), held, sampled)


def _has_no_output(call: Call) -> bool:
    return "embedding" in call.kind or "rerank" in call.kind


def _kept_of_answer(call: Call) -> bool:
    if call.answer or call.tool_calls or call.reasoning:
        return True
    return call.answer is not None and call.status is Status.OK


def _added_reasoning(call: Call) -> str | None:
    """The reasoning text, unless the answer repeats it inside its think tags."""
    repeated = call.reasoning and call.answer and call.reasoning.strip() in call.answer
    return None if repeated else call.reasoning


# ── how far to trust them ───────────────────────────────────────────────────────────────────────────────────


def _doubts(call: Call, model: Family, counted: _Counted, *, is_body_known: bool) -> Iterator[_Doubt]:
    if not call.prompt:
        yield _Doubt(Accuracy.EXACT, "input not counted: the prompt was not kept")
    for part in call.missing:
        yield _Doubt(Accuracy.LOWER_BOUND, f"not in the record: {part}", unbounded=True)
    files = 0 if is_body_known else sum(message.media for message in call.prompt or ())
    if files:
        yield _Doubt(Accuracy.LOWER_BOUND, f"{files} file(s) in the prompt not counted", unbounded=True)
    yield from map(_doubt_about_part, counted.parts)
    if not _has_no_output(call):
        yield from _doubts_about_output(call, model)
    if _has_tool_calls(call):
        yield _Doubt(Accuracy.APPROXIMATE, "framing of function calls estimated")
    if counted.sampled:
        yield _Doubt(Accuracy.APPROXIMATE, "very long text counted from samples", unbounded=True)


def _doubt_about_part(part: PartCount) -> _Doubt:
    if part.tokens is None:
        return _Doubt(Accuracy.LOWER_BOUND, f"{part.name} not counted", unbounded=True)
    if part.error_tokens:
        return _Doubt(Accuracy.APPROXIMATE, f"{part.name} within about {ceil(part.error_tokens)} tokens")
    return _Doubt(Accuracy.TEMPLATE, f"{part.name} by the vendor's documented rule")


def _doubts_about_output(call: Call, model: Family) -> Iterator[_Doubt]:
    if not _kept_of_answer(call):
        yield _Doubt(Accuracy.EXACT, "output not counted: no answer was kept")
        return
    if _hides_reasoning(call, model):
        yield _Doubt(Accuracy.LOWER_BOUND, "output without the reasoning, which the record does not hold")
    if call.status is not Status.OK:
        yield _Doubt(Accuracy.LOWER_BOUND, f"output as far as it was kept (call ended: {call.status})")


def _hides_reasoning(call: Call, model: Family) -> bool:
    asked = dict(call.parameters)
    if any(asked[name] in _THINKING_OFF for name in _THINKING_PARAMETERS if name in asked):
        return False
    has_text = bool(call.reasoning) or "<think>" in (call.answer or "")
    is_asked = any(name in asked for name in _THINKING_PARAMETERS)
    match model.reasoning:
        case Reasoning.HIDDEN:
            return True
        case Reasoning.SUMMARY:
            return is_asked or has_text
        case Reasoning.SHOWN:
            return not has_text
        case Reasoning.NONE:
            return is_asked and not has_text


def _has_tool_calls(call: Call) -> bool:
    return bool(call.tool_calls) or any(
        message.role == "tool" or message.tool_calls for message in call.prompt or ()
    )


def _stated_error(counted: _Counted, call: Call, model: Family, doubts: tuple[_Doubt, ...]) -> float | None:
    """Percent by which the input may be off, or None where it is unknown or has no upper bound."""
    if not counted.tokens.input or any(doubt.unbounded for doubt in doubts):
        return None
    tokens = model.error_tokens + sum(part.error_tokens for part in counted.parts)
    error = model.error_pct + 100 * tokens / counted.tokens.input
    return round(max(error, TOOL_ERROR_PCT) if _has_tool_calls(call) else error, 1)
