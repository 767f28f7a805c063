"""Text fit for every store behind an OTLP endpoint: valid Unicode, no NUL, cut only where the reader sees it.

Dify's JSON columns may hold escapes such as \\ud83d (half a character) or \\u0000. Protobuf refuses the first, and
PostgreSQL behind several platforms the second, and one refused text would condemn its whole request.
"""

from __future__ import annotations

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


def clean(text: str) -> str:
    """`text` with halves of surrogate pairs joined or replaced and NUL replaced by U+FFFD."""
    if "\x00" in text:
        text = text.replace("\x00", REPLACEMENT)
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def cut(text: str, max_chars: int) -> str:
    """The first `max_chars` characters, with a mark that says how many were cut; a shorter text as it is."""
    if len(text) <= max_chars:
        return text
    return f"{text[:max_chars]} […{len(text) - max_chars} of {len(text)} characters cut]"
