"""The local reading of one call: our own token count, with its trust and the reasons that limit it.

Pure and total: the same call gives the same reading, and no call makes it raise. What the record does not hold is
None or makes the reading a lower bound, and the note says which part is missing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from exporter.local import chat
from exporter.local.families import Family, Reasoning, family
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


def read_local(call: Call) -> LocalReading | None:
    """Count a call as its vendor would, or None when Dify kept neither its prompt nor anything of its answer.

    `tokens.input` is None without a prompt; `tokens.output` is None where nothing was kept of an answer that did
    not end well, because the vendor may have produced text all the same. A failing tokenizer gives accuracy NONE
    with the reason in the note.
    """
    if not (call.prompt or _kept_of_answer(call)):
        return None
    model = family(call.model, call.provider)
    if model.vocabulary is None:
        return LocalReading(Tokens(), "none", Accuracy.NONE, note=model.note)
    try:
        tokens, sampled = _count(call, model, model.vocabulary)
    except CountFailed as failure:
        return LocalReading(Tokens(), model.vocabulary, Accuracy.NONE, note=str(failure))
    doubts = tuple(_doubts(call, model, sampled))
    return LocalReading(
        tokens=tokens,
        tokenizer=model.vocabulary if model.scale == 1.0 else f"{model.vocabulary} x {model.scale}",
        accuracy=max((model.accuracy, *(doubt.accuracy for doubt in doubts)), key=_TRUST.index),
        error_pct=_stated_error(tokens.input, call, model, doubts),
        note="; ".join(filter(None, (model.note, *(doubt.note for doubt in doubts)))) or None,
    )


# ── the counts ──────────────────────────────────────────────────────────────────────────────────────────────


def _count(call: Call, model: Family, vocabulary: str) -> tuple[Tokens, bool]:
    """The tokens, and whether any of them were extrapolated."""
    prompt = completion = thought = None
    if call.prompt:
        template = chat.PLAIN if _has_no_output(call) else model.template
        prompt = chat.count_prompt(vocabulary, template, call.prompt)
    if _has_no_output(call):
        completion = Count(0)
    elif _kept_of_answer(call):
        completion = chat.count_completion(vocabulary, call.answer, _added_reasoning(call), call.tool_calls)
    if call.reasoning and not _hides_reasoning(call, model):
        thought = chat.count_completion(vocabulary, None, call.reasoning)
    input_, output, reasoning = (
        None if part is None else round(part.tokens * model.scale) for part in (prompt, completion, thought)
    )
    sampled = any(part.sampled for part in (prompt, completion) if part)
    return Tokens(input=input_, output=output, reasoning=reasoning), sampled


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


def _doubts(call: Call, model: Family, sampled: bool) -> Iterator[_Doubt]:
    if not call.prompt:
        yield _Doubt(Accuracy.EXACT, "input not counted: the prompt was not kept")
    for part in call.missing:
        yield _Doubt(Accuracy.LOWER_BOUND, f"not in the record: {part}", unbounded=True)
    files = sum(message.media for message in call.prompt or ())
    if files:
        yield _Doubt(Accuracy.LOWER_BOUND, f"{files} file(s) in the prompt not counted", unbounded=True)
    if not _has_no_output(call):
        yield from _doubts_about_output(call, model)
    if _has_tool_calls(call):
        yield _Doubt(Accuracy.APPROXIMATE, "framing of function calls estimated")
    if sampled:
        yield _Doubt(Accuracy.APPROXIMATE, "very long text counted from samples", unbounded=True)


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


def _stated_error(counted: int | None, call: Call, model: Family, doubts: tuple[_Doubt, ...]) -> float | None:
    """Percent by which the input may be off, or None where it is unknown or has no upper bound."""
    if not counted or any(doubt.unbounded for doubt in doubts):
        return None
    error = model.error_pct + 100 * model.error_tokens / counted
    return round(max(error, TOOL_ERROR_PCT) if _has_tool_calls(call) else error, 1)
