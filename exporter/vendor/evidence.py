"""What speaks for one vendor request being the request of one Dify call: rules from strongest to weakest.

Each rule names the evidence it stands on, so that the reading can say why it was matched. Two different answers, or two
different conversations, are never explained away: such a pair only stands on stronger evidence or not at all. Follows
the order of proof: tool-call ids, response text, prompt, user, token counts, time.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum

from exporter.model import Micros, Status
from exporter.vendor.fingerprint import AnswerPrint, CallPrint, PromptPrint
from exporter.vendor.record import VendorCall

LONG_ANSWER = 40
"""Characters from which an equal answer is telling by itself; "yes" or "4" is what many calls answer."""

CLOCK_SECOND: Micros = 1_000_000
SLOW_START: Micros = 30_000_000
"""How long after its row an unfinished call may have begun its request (retrieval and moderation come first); only
where content speaks for the pair."""

_SNAPSHOT = re.compile(r"[-@:](?:\d{4}-?\d{2}-?\d{2}|\d{4}|latest|v\d+(?::\d+)?)$")
_ASKING = frozenset({"chat", "completion", "responses"})


class Likeness(IntEnum):
    """How two fingerprints compare. UNKNOWN: one side has nothing to compare."""

    DIFFERENT = 0
    UNKNOWN = 1
    PART = 2
    EQUAL = 3


@dataclass(frozen=True, slots=True)
class Pair:
    """The comparison of one call with one request."""

    answer: Likeness
    prompt: Likeness
    model: Likeness
    user: Likeness
    has_tokens: bool  # both of Dify's numbers equal the vendor's
    shares_tool_id: bool
    shares_tools: bool
    is_long: bool
    is_open: bool  # the call did not end well, so the request may have gone on, or have failed
    has_failed: bool


@dataclass(frozen=True, slots=True)
class Rule:
    """A kind of proof: its name in the reading, how sure it is, and when it holds."""

    method: str
    confidence: float
    holds: Callable[[Pair], bool]


def _is_model(pair: Pair) -> bool:
    return pair.model is not Likeness.DIFFERENT


RULES: tuple[Rule, ...] = (
    Rule("tool_call_id", 0.999, lambda p: p.shares_tool_id),
    Rule("response_text+prompt", 0.99, lambda p: p.answer is Likeness.EQUAL and p.prompt is Likeness.EQUAL),
    Rule("response_text+query", 0.97, lambda p: p.answer is Likeness.EQUAL and p.prompt is Likeness.PART),
    Rule(
        "response_beginning+prompt",
        0.97,
        lambda p: p.answer is Likeness.PART and p.prompt is Likeness.EQUAL and p.is_open and _is_model(p),
    ),
    Rule(
        "prompt+tokens",
        0.95,
        lambda p: (
            p.prompt is Likeness.EQUAL
            and p.has_tokens
            and p.answer is not Likeness.DIFFERENT
            and _is_model(p)
        ),
    ),
    Rule(
        "tool_call+query",
        0.95,
        lambda p: p.shares_tools and p.prompt >= Likeness.PART and _is_model(p),
    ),
    Rule(
        "response_beginning+query",
        0.9,
        lambda p: p.answer is Likeness.PART and p.prompt is Likeness.PART and p.is_open and _is_model(p),
    ),
    Rule(
        "query+tokens",
        0.9,
        lambda p: (
            p.prompt is Likeness.PART and p.has_tokens and p.answer is not Likeness.DIFFERENT and _is_model(p)
        ),
    ),
    Rule(
        "response_text",
        0.85,
        lambda p: (
            p.answer is Likeness.EQUAL
            and p.is_long
            and (p.prompt is Likeness.UNKNOWN or p.has_tokens)
            and _is_model(p)
        ),
    ),
    Rule(
        "prompt",
        0.85,
        lambda p: (
            p.prompt is Likeness.EQUAL
            and (p.answer is Likeness.UNKNOWN or (p.answer is Likeness.PART and p.is_open))
            and _is_model(p)
        ),
    ),
    Rule(
        "tokens+time",
        0.7,
        lambda p: (
            p.has_tokens
            and p.answer is Likeness.UNKNOWN
            and p.prompt is Likeness.UNKNOWN
            and p.model is Likeness.EQUAL
        ),
    ),
)
"""Strongest first; a pair is judged by the first rule that holds."""


def judge(call: CallPrint, request: VendorCall) -> int | None:
    """The place in `RULES` of the strongest rule for this pair, or None when nothing speaks for it.

    Time is not looked at here (`fits_in_time`). A failed request never answered a call that ended well.
    """
    pair = compare(call, request)
    if pair.has_failed and not pair.is_open:
        return None
    return next((place for place, rule in enumerate(RULES) if rule.holds(pair)), None)


def compare(call: CallPrint, request: VendorCall) -> Pair:
    """The comparison of every feature of a pair."""
    answer = request.answer or AnswerPrint()
    return Pair(
        answer=_answers(call.answer, answer),
        prompt=_prompts(call, request.prompt),
        model=models(call.model, request),
        user=users(call, request),
        has_tokens=_has_tokens(call, request),
        shares_tool_id=bool(set(call.answer.tool_ids) & set(answer.tool_ids)),
        shares_tools=bool(answer.tools) and call.answer.tools == answer.tools,
        is_long=answer.chars >= LONG_ANSWER,
        is_open=call.status is not Status.OK,
        has_failed=request.status == "error",
    )


def is_candidate(call: CallPrint, request: VendorCall) -> bool:
    """Whether the two can belong together at all: a model was asked for words, by this app, and not by Dify itself."""
    return (
        call.kind in _ASKING
        and request.operation in _ASKING
        and request.purpose is None
        and (call.app_id is None or request.dify_app_id in (None, call.app_id))
    )


def window(call: CallPrint, skew: Micros, slow_start: Micros = 0) -> tuple[Micros, Micros]:
    """The times between which a request of this call began, give or take the clocks' difference.

    Dify rounds some times to whole seconds. A row without an end may have begun its request up to `slow_start` after
    itself.
    """
    slack = skew + (CLOCK_SECOND if call.started_at % CLOCK_SECOND == 0 else 0)
    late = slow_start if call.status is Status.UNFINISHED else 0
    return call.started_at - slack, call.ended_at + slack + late


def fits_in_time(call: CallPrint, request: VendorCall, skew: Micros, slow_start: Micros = 0) -> bool:
    """Whether the request lies inside the call. A call that did not end well may leave its request running (the plugin
    reads the vendor's stream to its end), so then only the request's start counts."""
    earliest, latest = window(call, skew, slow_start)
    last = request.end if call.status is Status.OK else request.start
    return earliest <= request.start and last <= latest


def models(wanted: str | None, request: VendorCall) -> Likeness:
    """Whether the names can mean the same model: equal up to a route before `/` and a snapshot date behind."""
    if wanted is None:
        return Likeness.UNKNOWN
    served = {_plain(name) for name in (request.model, request.response_model) if name}
    return Likeness.EQUAL if _plain(wanted) in served else Likeness.DIFFERENT


def users(call: CallPrint, request: VendorCall) -> Likeness:
    """Whether both name the same end user."""
    if not call.users or not request.users:
        return Likeness.UNKNOWN
    return Likeness.EQUAL if set(call.users) & set(request.users) else Likeness.DIFFERENT


def query_place(call: CallPrint, prompt: PromptPrint | None) -> int | None:
    """Where in the conversation the end user's words of this call stand (the last such message), or None."""
    if call.query is None or prompt is None:
        return None
    return next(
        (place for place in reversed(range(len(prompt.messages))) if prompt.messages[place] == call.query),
        None,
    )


def _plain(name: str) -> str:
    return _SNAPSHOT.sub("", name.lower().rsplit("/", 1)[-1])


def _answers(mine: AnswerPrint, theirs: AnswerPrint) -> Likeness:
    if mine.text is None or theirs.text is None:
        return Likeness.UNKNOWN
    if mine.text == theirs.text:
        return Likeness.EQUAL
    if theirs.is_react:
        return Likeness.UNKNOWN
    if mine.chars < theirs.chars and mine.beginnings:
        same = theirs.beginnings[: len(mine.beginnings)] == mine.beginnings
        return Likeness.PART if same else Likeness.DIFFERENT
    return Likeness.DIFFERENT


def _prompts(call: CallPrint, theirs: PromptPrint | None) -> Likeness:
    """EQUAL: the same conversation. PART: the same last words of the user and everything Dify kept in order (a plugin
    or gateway added messages), or, where Dify kept no prompt, the user's words somewhere in it."""
    if theirs is None:
        return Likeness.UNKNOWN
    if call.prompt is None:
        if call.query is None:
            return Likeness.UNKNOWN
        return Likeness.PART if query_place(call, theirs) is not None else Likeness.DIFFERENT
    if call.prompt.messages == theirs.messages:
        return Likeness.EQUAL
    is_within = _is_within(call.prompt.messages, theirs.messages)
    same_words = last_user(call.prompt.messages) == last_user(theirs.messages) is not None
    return Likeness.PART if is_within and same_words else Likeness.DIFFERENT


def _is_within(few: tuple[str, ...], many: tuple[str, ...]) -> bool:
    rest = iter(many)
    return all(message in rest for message in few)


def last_user(messages: tuple[str, ...]) -> str | None:
    """The user's last message in a conversation."""
    return next((message for message in reversed(messages) if message.startswith("u")), None)


def _has_tokens(call: CallPrint, request: VendorCall) -> bool:
    if request.tokens is None or not call.recorded.total:
        return False
    return (call.recorded.input, call.recorded.output) == (request.tokens.input, request.tokens.output)
