"""The signs by which a call and its requests find each other: fingerprints that both sides can show.

A sign only makes a pair worth judging; it proves nothing. The levels go from everything that could connect the two down to
what few others share, for stretches of time so busy that the common signs connect everything with everything.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import IntEnum
from itertools import islice

from exporter.model import Status
from exporter.vendor.fingerprint import BEGINNINGS, CallPrint, PromptPrint
from exporter.vendor.matching.evidence import last_user, plain_model
from exporter.vendor.matching.passed_on import recorded_inputs
from exporter.vendor.record import VendorCall

Key = tuple[object, ...]

_RECENT_WORDS = 16
"""The user's words are looked for in the last so many of a conversation's messages by the user."""


class Level(IntEnum):
    """What is taken for a connection; each level's connections are among those of the level before."""

    TIME = 0  # being there at the same time
    SIGN = 1  # any sign, the end user included
    WORDS = 2  # words or both token counts
    CONVERSATION = 3  # the whole conversation, or an answer or token counts of the same user
    ALIKE = 4  # conversation, answer and user all the same


EVERYTHING: Key = ("time",)


def connections_of_call(call: CallPrint, level: Level) -> Iterator[Key]:
    """The signs that connect a call at this level."""
    if level is Level.TIME:
        yield EVERYTHING
        return
    yield from signs_of_call(call, level)
    if level is Level.SIGN:
        yield from (user_key(user) for user in call.users)


def connections_of_request(request: VendorCall, level: Level) -> Iterator[Key]:
    """The signs that connect a request at this level."""
    if level is Level.TIME:
        yield EVERYTHING
        return
    yield from signs_of_request(request, level)
    if level is Level.SIGN:
        yield from (user_key(user) for user in request.users)


def signs_of_call(call: CallPrint, level: Level = Level.SIGN) -> Iterator[Key]:
    """The fingerprints a call shows at this level; the user is none by itself."""
    yield from (("tool_id", identity) for identity in call.answer.tool_ids)
    if call.model and call.recorded.total:
        for user in (None, *call.users):
            yield _tokens(call.model, call.recorded.input, call.recorded.output, user)
    if level is Level.ALIKE:
        if call.prompt and call.answer.text:
            yield from (
                ("alike", call.prompt.messages, call.answer.text, user) for user in (None, *call.users)
            )
        return
    if call.prompt:
        yield prompt_key(call.prompt)
    if level is Level.CONVERSATION:
        if call.answer.text:
            yield from (("answer", call.answer.text, user) for user in (None, *call.users))
        return
    if call.answer.text:
        yield ("answer", call.answer.text)
    if call.answer.beginnings and call.status is not Status.OK:
        yield _beginning(call.answer.beginnings)
    if call.prompt:
        yield word_key(last_user(call.prompt.messages) or "")
    if call.query:
        yield word_key(call.query)


def signs_of_request(request: VendorCall, level: Level = Level.SIGN) -> Iterator[Key]:
    """The fingerprints a request shows at this level."""
    users = request.users or (None,)
    answer, prompt = request.answer, request.prompt
    if answer:
        yield from (("tool_id", identity) for identity in answer.tool_ids)
    if request.tokens and (answer is None or prompt is None):
        for model in {plain_model(name) for name in (request.model, request.response_model) if name}:
            for counted in recorded_inputs(request.tokens):
                yield from (("tokens", model, counted, request.tokens.output, user) for user in users)
    if level is Level.ALIKE:
        if prompt and answer and answer.text:
            yield from (("alike", prompt.messages, answer.text, user) for user in users)
        return
    if prompt:
        yield prompt_key(prompt)
    if level is Level.CONVERSATION:
        if answer and answer.text:
            yield from (("answer", answer.text, user) for user in users)
        return
    if answer and answer.text:
        yield ("answer", answer.text)
        yield from (_beginning(answer.beginnings[:length]) for length in range(1, len(answer.beginnings) + 1))
    if prompt:
        own = (message for message in reversed(prompt.messages) if message.startswith("u"))
        yield from (word_key(message) for message in islice(own, _RECENT_WORDS))


def prompt_key(prompt: PromptPrint) -> Key:
    """The fingerprint of a whole conversation."""
    return ("prompt", prompt.messages)


def word_key(message: str) -> Key:
    """The fingerprint of one message of the user."""
    return ("words", message)


def user_key(user: str) -> Key:
    """The fingerprint of an end user."""
    return ("user", user)


def _tokens(model: str, given: int | None, written: int | None, user: str | None) -> Key:
    return ("tokens", plain_model(model), given, written, user)


def _beginning(beginnings: tuple[str, ...]) -> Key:
    return ("beginning", BEGINNINGS[len(beginnings) - 1], beginnings[-1])
