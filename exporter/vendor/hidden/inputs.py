"""The texts of requests that hold no conversation: what is to be embedded, or a rerank query with its documents.

Reads the bodies of OpenAI (texts, or the token ids that Dify's plugin sends instead), DashScope, Cohere, Jina, Bedrock
Titan and Gemini. What it does not know it leaves out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

from exporter.local import bpe

_VOCABULARY = "cl100k_base"
"""What OpenAI's embedding models and Dify's plugin for them count in (tiktoken's table of models)."""

_OF_TALK = frozenset({"role", "type", "content"})
"""What items of a conversation have and texts to embed do not."""


def bare_texts(request: Mapping[str, Any]) -> Iterator[str]:
    """The texts in the order of the body, a rerank query first; nothing for a conversation."""
    inner = request.get("input")
    for place in (request, inner):
        if isinstance(place, Mapping):
            yield from _reranked(place)
            yield from _listed(place.get("texts"))
    if isinstance(inner, list) and inner:
        yield from _listed([inner] if all(map(_is_token, inner)) else inner)
    if isinstance(request.get("inputText"), str):
        yield request["inputText"]
    yield from _gemini(request)


def _reranked(place: Mapping[str, Any]) -> Iterator[str]:
    if isinstance(place.get("query"), str) and isinstance(place.get("documents"), list):
        yield place["query"]
        yield from _listed(place["documents"])


def _listed(items: object) -> Iterator[str]:
    for item in items if isinstance(items, list) else ():
        if isinstance(item, str):
            yield item
        elif isinstance(item, list):
            yield from filter(None, [_decoded(item)])
        elif isinstance(item, Mapping) and isinstance(item.get("text"), str) and _OF_TALK.isdisjoint(item):
            yield item["text"]


def _gemini(request: Mapping[str, Any]) -> Iterator[str]:
    """`embedContent` has one content, `batchEmbedContents` a list of requests with one each."""
    batch = request.get("requests")
    for one in [request, *(batch if isinstance(batch, list) else ())]:
        content = one.get("content") if isinstance(one, Mapping) else None
        if isinstance(content, Mapping):
            yield from _listed(content.get("parts"))


def _decoded(token_ids: list[Any]) -> str | None:
    """The text of token ids, or None when they are none."""
    known = _tokens()
    if not token_ids or not all(_is_token(item) and item < len(known) for item in token_ids):
        return None
    return b"".join(known[item] for item in token_ids).decode("utf-8", "replace")


def _is_token(item: object) -> bool:
    return isinstance(item, int) and not isinstance(item, bool) and item >= 0


@lru_cache(maxsize=1)
def _tokens() -> list[bytes]:
    return bpe.tokens(_VOCABULARY)
