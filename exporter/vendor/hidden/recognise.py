"""Recognising the model calls that Dify makes on its own and adds to no message or run, by the words of their prompts.

Must run while a record's texts are still there. A prompt that is not recognised is simply not hidden. A recognised
request is never matched to a recorded call, so only words count that are Dify's own: a credential check says "ping",
which an end user may say too, and is told from what nothing else claims (`standing`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from exporter.model import PromptMessage
from exporter.vendor.hidden.prompts import purpose_of
from exporter.vendor.hidden.words import about, title_of

_BY_OPERATION = {"embeddings": "embedding", "rerank": "rerank"}
_TITLE_KEYS = ('"Language Type"', '"Your Reasoning"', '"Your Output"')


@dataclass(frozen=True, slots=True)
class Recognised:
    """What Dify made a request for (None: not one of its own), and hashes of the words that it was made for."""

    purpose: str | None = None
    about: tuple[str, ...] = ()


def recognise(
    operation: str,
    prompt: Sequence[PromptMessage] | None,
    request: object = None,
    answer: object = None,
) -> Recognised:
    """What a request with these messages was made for. `request` is the whole body, `answer` the model's text.

    Embeddings and reranks are told by their operation, whoever made them.
    """
    words = answer if isinstance(answer, str) else None
    purpose = _purpose(operation, prompt, request, words)
    if purpose is None:
        return Recognised()
    return Recognised(purpose, about(purpose, prompt or (), words))


def _purpose(
    operation: str, prompt: Sequence[PromptMessage] | None, request: object, answer: str | None
) -> str | None:
    if operation in _BY_OPERATION:
        return _BY_OPERATION[operation]
    if prompt:
        return purpose_of(prompt, request)
    return "title" if answer is not None and _is_title(answer) else None


def _is_title(answer: str) -> bool:
    """Where only answers are logged: the object that Dify's prompt for titles demands."""
    return all(key in answer for key in _TITLE_KEYS) and title_of(answer) is not None
