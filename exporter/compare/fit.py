"""Finds the tokenizer whose count of the kept texts is exactly Dify's number, where that is not the model's own.

An exact hit of both numbers is proof; of one number (the other being the vendor's) it is a possibility, and only where
the number is large enough that a chance hit is rare.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from exporter.local import chat
from exporter.local.families import family
from exporter.local.vocabulary import CountFailed, count
from exporter.model import Accuracy, Call, PromptMessage

COUNTERS = {
    "GPT-2 (r50k_base)": "r50k_base",
    "tiktoken's cl100k_base": "cl100k_base",
    "tiktoken's o200k_base": "o200k_base",
    "the number of characters": None,
}
"""The counters that plugins and gateways are known to use where usage is missing; None counts characters."""

SMALL = 50
"""Input and output together, from which two exact hits are no chance."""

SMALL_ALONE = 100
"""One number, from which an exact hit is rarely chance."""

LONGEST = 1_000_000
"""Characters of a call that are still tried with every counter."""

Counter = Callable[[str], int]
Sides = tuple[bool, bool]
"""Something said of the input and of the output."""


@dataclass(frozen=True, slots=True)
class Fit:
    """The counters whose counts equal Dify's numbers, in words. `both`: the input and the output."""

    counter: str
    both: bool


def fitting(call: Call, recorded: tuple[int, int], is_vendors: Sides = (False, False)) -> Fit | None:
    """What gives Dify's numbers exactly, or None. `is_vendors` says of each number whether it is the vendor's, so that
    only the other one needs a counter. What the model's own tokenizer gives as well is nobody's mistake."""
    if not call.prompt or _length(call) > LONGEST or is_vendors == (True, True):
        return None
    own = _own(call)
    natural = _fits(call, recorded, own) if own else (False, False)
    fits = {
        name: _fits(call, recorded, vocabulary)
        for name, vocabulary in COUNTERS.items()
        if own is None or vocabulary != own
    }
    both = [name for name, sides in fits.items() if all(sides)]
    if both and not all(natural) and sum(recorded) >= SMALL:
        return Fit(" or ".join(both), both=True)
    for side in (0, 1):
        alone = [name for name, sides in fits.items() if sides[side]]
        if alone and not natural[side] and is_vendors[1 - side] and recorded[side] >= SMALL_ALONE:
            return Fit(" or ".join(alone), both=False)
    return None


def _fits(call: Call, recorded: tuple[int, int], vocabulary: str | None) -> Sides:
    counter = _counter(vocabulary)
    try:
        return (
            recorded[0] in set(_prompt_counts(call.prompt or (), counter, vocabulary)),
            call.answer is not None and recorded[1] in set(_answer_counts(call.answer, counter, vocabulary)),
        )
    except CountFailed:
        return False, False


def _prompt_counts(
    prompt: tuple[PromptMessage, ...], counter: Counter, vocabulary: str | None
) -> Iterator[int]:
    """The texts alone, joined by line breaks, the first message alone, and in OpenAI's chat form."""
    counts = [counter(message.text) for message in prompt]
    yield sum(counts)
    yield counts[0]
    yield counter("\n".join(message.text for message in prompt))
    if vocabulary is not None:
        yield chat.count_prompt(vocabulary, chat.OPENAI, prompt).tokens


def _answer_counts(answer: str, counter: Counter, vocabulary: str | None) -> Iterator[int]:
    yield counter(answer)
    if vocabulary is not None:
        yield counter(answer) + chat.OPENAI.per_message + chat.OPENAI.per_prompt


def _counter(vocabulary: str | None) -> Counter:
    return len if vocabulary is None else lambda text: count(vocabulary, text).tokens


def _own(call: Call) -> str | None:
    """The model's own tokenizer, where it is known and no stand-in: what fits it is no wrong tokenizer."""
    model = family(call.model, call.provider)
    return None if model.accuracy is Accuracy.APPROXIMATE else model.vocabulary


def _length(call: Call) -> int:
    return sum(len(message.text) for message in call.prompt or ()) + len(call.answer or "")
