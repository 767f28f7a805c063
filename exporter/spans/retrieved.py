"""The documents that a retrieval found, read from the text that Dify keeps of its output.

Dify writes a knowledge retrieval's output as `{"result": [{"content", "title", "metadata": {"score", "segment_id", …}}]}`. The
text has passed the operator's content rule already, and what is no such list has no documents: the platforms then show the
text as it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson

from exporter.spans.text import clean

_TOLD = ("title", "dataset_name", "document_name", "document_id", "position")


@dataclass(frozen=True, slots=True)
class Retrieved:
    """One document. `id` is its segment's, `score` the similarity that the search gave it; `told` says where it is from."""

    content: str
    id: str | None
    score: float | None
    told: dict[str, str | int]


def retrieved(output: str | None) -> list[Retrieved]:
    """The documents of a retrieval's output, best first as Dify wrote them; empty when it lists none."""
    if output is None or not output.startswith("{"):
        return []
    try:
        found = orjson.loads(output)
    except orjson.JSONDecodeError:
        return []
    items = found.get("result")
    documents = [_document(item) for item in items] if isinstance(items, list) else []
    return [document for document in documents if document is not None]


def _document(item: Any) -> Retrieved | None:
    if not isinstance(item, dict) or not isinstance(item.get("content"), str):
        return None
    metadata = item.get("metadata")
    of = {"title": item.get("title"), **(metadata if isinstance(metadata, dict) else {})}
    score, segment = of.get("score"), of.get("segment_id")
    return Retrieved(
        clean(item["content"]),
        clean(segment) if isinstance(segment, str) else None,
        float(score) if isinstance(score, int | float) and not isinstance(score, bool) else None,
        {name: told for name in _TOLD if (told := _told(of.get(name))) is not None},
    )


def _told(value: Any) -> str | int | None:
    if isinstance(value, str):
        return clean(value)
    return value if isinstance(value, int) else None
