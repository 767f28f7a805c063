"""The words that a hidden request was made for, as hashes, and the same words as a trace knows them.

Both sides take the same steps as Dify's source (`LLMGenerator.generate_conversation_name`, `TokenBufferMemory`,
`DatasetRetrieval`), so that equal words give equal hashes. Keeps no text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress

import orjson

from exporter.model import PromptMessage
from exporter.vendor.fingerprint import canonical, message_hash
from exporter.vendor.hidden.prompts import SUGGESTED_DEFAULT

_MOST = 64
"""Hashes kept of one request: a retrieval embeds one text, indexing many, which belong to no trace anyway."""

_LONGEST_QUERY = 2_000
_LONGEST_TITLE = 75
_PICTURE = re.compile(r"(?:^|\n)\[image\]")
_ASKED = re.compile(r'''"input_text"\s*:\s*(".*")[\s,']*"metadata_fields"''', re.DOTALL)


def query_hash(words: str) -> str:
    """The hash of what an end user asked, alike for a trace and a request."""
    return message_hash("user", words)


def answer_hash(words: str) -> str:
    """The hash of what an app answered."""
    return message_hash("assistant", words)


def title_hash(name: str) -> str:
    """The hash of a conversation's name."""
    return message_hash("title", name)


def titled(query: str) -> str:
    """A query as it stands in the prompt for a title: long ones cut to both ends, in one line."""
    if len(query) > _LONGEST_QUERY:
        query = f"{query[:300]}...[TRUNCATED]...{query[-300:]}"
    return query.replace("\n", " ")


def about(purpose: str, prompt: Sequence[PromptMessage], answer: str | None) -> tuple[str, ...]:
    """The hashes of the words that a request of this purpose was made for; empty where they cannot be told."""
    if purpose == "embedding":
        texts = [message.text for message in prompt[:_MOST] if canonical(message.text)]
        return tuple(dict.fromkeys(map(query_hash, texts)))
    finder = _FINDERS.get(purpose)
    found = tuple(finder(prompt)) if finder and prompt else ()
    name = title_of(answer) if purpose == "title" and answer else None
    return (*found, title_hash(name)) if name else found


def title_of(answer: str) -> str | None:
    """The conversation's name that Dify takes out of a model's answer; None where it would fall back to the query."""
    begin, end = answer.find("{"), answer.rfind("}")
    with suppress(ValueError):
        found = orjson.loads(answer[begin : end + 1]) if 0 <= begin < end else None
        name = found.get("Your Output") if isinstance(found, dict) else None
        if isinstance(name, str) and name.strip():
            name = name.strip()
            return name if len(name) <= _LONGEST_TITLE else name[:_LONGEST_TITLE] + "..."
    return None


def _of_title(prompt: Sequence[PromptMessage]) -> Iterator[str]:
    """Behind the last `User Input:` that begins a line; the query itself is one line."""
    _, told, words = prompt[0].text.rpartition("\nUser Input:")
    if told and canonical(words):
        yield query_hash(words)


def _of_suggestions(prompt: Sequence[PromptMessage]) -> Iterator[str]:
    """The last words of both sides. Behind an instruction of the operator's own nobody can tell where the answer ends."""
    history, told, _ = prompt[0].text.rpartition(f"\n{SUGGESTED_DEFAULT}")
    if not told:
        history = prompt[0].text
    before, answered, answer = f"\n{history}".rpartition("\nAssistant: ")
    query = before.rpartition("\nHuman: ")[2]
    if not answered or "\nHuman: " not in before:
        return
    yield query_hash(_PICTURE.sub("", query))
    if told:
        yield answer_hash(answer)


def _of_rerank(prompt: Sequence[PromptMessage]) -> Iterator[str]:
    yield query_hash(prompt[0].text)


def _of_router(prompt: Sequence[PromptMessage]) -> Iterator[str]:
    if len(prompt) == 2:
        yield query_hash(prompt[1].text)


def _of_filter(prompt: Sequence[PromptMessage]) -> Iterator[str]:
    """Dify puts the query between quotes, newer versions as JSON."""
    for message in reversed(prompt):
        place = message.text.rfind('"input_text"')
        found = _ASKED.search(message.text, place) if place >= 0 else None
        if found:
            yield query_hash(found[1][1:-1])
            with suppress(ValueError):
                text = orjson.loads(found[1])
                if text != found[1][1:-1]:
                    yield query_hash(text)
            return


_FINDERS: dict[str, Callable[[Sequence[PromptMessage]], Iterator[str]]] = {
    "title": _of_title,
    "suggested_questions": _of_suggestions,
    "rerank": _of_rerank,
    "knowledge_router": _of_router,
    "metadata_filter": _of_filter,
}
