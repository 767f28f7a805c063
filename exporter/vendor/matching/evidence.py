"""How one vendor request compares with one Dify call, feature by feature; what it proves is said in `rules`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache

from exporter.model import Status
from exporter.vendor.fingerprint import AnswerPrint, CallPrint, PromptPrint
from exporter.vendor.matching.passed_on import is_recorded_of
from exporter.vendor.record import VendorCall

LONG_ANSWER = 40
"""Characters from which an equal answer is telling by itself; "yes" or "4" is what many calls answer."""

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
    is_same_app: bool
    has_tokens: bool  # both of Dify's numbers are what its plugin records for the vendor's
    shares_tool_id: bool
    shares_tools: bool
    is_long: bool
    is_open: bool  # the call did not end well, so the request may have gone on, or have failed


def compare(call: CallPrint, request: VendorCall) -> Pair:
    """The comparison of every feature of a pair."""
    answer = request.answer or AnswerPrint()
    return Pair(
        answer=_answers(call.answer, answer),
        prompt=_prompts(call, request.prompt),
        model=models(call.model, request),
        user=users(call, request),
        is_same_app=call.app_id is not None and call.app_id == request.dify_app_id,
        has_tokens=is_recorded_of(call, request.tokens),
        shares_tool_id=bool(set(call.answer.tool_ids) & set(answer.tool_ids)),
        shares_tools=bool(answer.tools) and call.answer.tools == answer.tools,
        is_long=answer.chars >= LONG_ANSWER,
        is_open=call.status is not Status.OK,
    )


def asks(call: CallPrint) -> bool:
    """Whether a call asked a model for words."""
    return call.kind in _ASKING


def is_asking(request: VendorCall) -> bool:
    """Whether a request asked a model for words, and not for Dify's own use."""
    return request.operation in _ASKING and request.purpose is None


def is_candidate(call: CallPrint, request: VendorCall) -> bool:
    """Whether the two can belong together at all: a model was asked for words, by this app, and not by Dify itself."""
    is_other_app = call.app_id is not None and request.dify_app_id not in (None, call.app_id)
    return asks(call) and is_asking(request) and not is_other_app


def models(wanted: str | None, request: VendorCall) -> Likeness:
    """Whether the names can mean the same model: equal up to a route before `/` and a snapshot date behind."""
    if wanted is None:
        return Likeness.UNKNOWN
    name = plain_model(wanted)
    is_served = name == plain_model(request.model) or (
        request.response_model is not None and name == plain_model(request.response_model)
    )
    return Likeness.EQUAL if is_served else Likeness.DIFFERENT


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


@lru_cache(maxsize=4096)
def plain_model(name: str) -> str:
    """A model's name without the route before it and the snapshot date behind it."""
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
