"""The pictures in a vendor's request body, with their sizes where the body holds the picture itself.

Reads the bodies of OpenAI chat and responses, Anthropic, DashScope, Gemini and Bedrock Converse. A picture behind an
address has no size here; nothing is fetched. Bounded, and nothing raises.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

from exporter.local.images import Image
from exporter.vendor.asked.image_size import JPEG_CHARS, size_of

MOST = 1000
"""Pictures of one request that are looked at; no vendor takes more."""

_LONGEST_MARK = 256


def images_of(request: Mapping[str, Any]) -> tuple[Image, ...]:
    """The pictures in the order of the body, those inside tool results included."""
    return tuple(islice(_images(request), MOST))


def _images(request: Mapping[str, Any]) -> Iterator[Image]:
    body = request.get("messages") or request.get("contents") or request.get("input")
    if isinstance(body, Mapping):
        body = body.get("messages")
    for item in body if isinstance(body, list) else ():
        for part in _parts(item):
            found = _image(part)
            if found is not None:
                yield found
            else:
                yield from filter(None, map(_image, _parts(part.get("toolResult", part))))


def _parts(item: object) -> Iterator[Mapping[str, Any]]:
    content = item.get("content", item.get("parts")) if isinstance(item, Mapping) else None
    yield from (part for part in content if isinstance(part, Mapping)) if isinstance(content, list) else ()


def _image(part: Mapping[str, Any]) -> Image | None:
    """The picture that a content part is, or None for any other part."""
    if part.get("type") in ("image_url", "input_image"):
        given = part.get("image_url")
        named = given if isinstance(given, Mapping) else part
        return _sized(_inline(given.get("url") if isinstance(given, Mapping) else given), named.get("detail"))
    if part.get("type") == "image" or "image" in part:
        place = part.get("source", part.get("image"))
        inner = place.get("source") if isinstance(place, Mapping) and "source" in place else place
        if isinstance(inner, Mapping):
            return _sized(inner.get("data", inner.get("bytes")))
        return _sized(_inline(inner))
    for name in ("inlineData", "inline_data", "fileData", "file_data"):
        blob = part.get(name)
        if isinstance(blob, Mapping):
            mime = str(blob.get("mimeType", blob.get("mime_type", "")))
            return _sized(blob.get("data")) if mime.startswith("image/") else None
    return None


def _sized(encoded: object, detail: object = None) -> Image:
    size = size_of(encoded) if isinstance(encoded, str) else None
    width, height = size or (None, None)
    return Image(width, height, detail if isinstance(detail, str) else None)


def _inline(address: object) -> str | None:
    """The base64 of a `data:` address, as much of it as may hold the size."""
    if not isinstance(address, str) or not address.startswith("data:"):
        return None
    mark, comma, _ = address[:_LONGEST_MARK].partition(",")
    start = len(mark) + 1
    return address[start : start + JPEG_CHARS] if comma and mark.endswith(";base64") else None
