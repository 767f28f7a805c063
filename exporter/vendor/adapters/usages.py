"""A usage object from a gateway's own numbers, in the shape that fits what they mean.

Gateways that hold their counters in variables write 0 where the vendor said nothing, so a 0 in a part (cached,
reasoning) is taken as unknown there, and 0 of everything as no usage at all.
"""

from __future__ import annotations

from typing import Any


def counted(
    prompt: int | None,
    completion: int | None,
    total: int | None = None,
    cached: int | None = None,
    written: int | None = None,
    reasoning: int | None = None,
    is_exclusive: bool = False,
    operation: str = "chat",
) -> tuple[dict[str, Any] | None, str | None]:
    """Usage and its shape. `is_exclusive`: the prompt number leaves cached tokens out (Anthropic's way), which is also
    taken as said when more is cached than the prompt holds. `operation`: embeddings and rerank only read, so there the
    prompt is the total. None without any token."""
    if not (prompt or completion or total):
        return None, None
    if is_exclusive or (cached or 0) + (written or 0) > (prompt or 0):
        usage = {
            "input_tokens": prompt,
            "output_tokens": completion,
            "cache_read_input_tokens": cached or None,
            "cache_creation_input_tokens": written or None,
            "output_tokens_details": {"thinking_tokens": reasoning} if reasoning else None,
        }
        return _known(usage), "anthropic"
    if total is None and operation in ("embeddings", "rerank"):
        total = prompt
    usage = {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": total,
        "prompt_tokens_details": _known(
            {"cached_tokens": cached or None, "cache_write_tokens": written or None}
        ),
        "completion_tokens_details": {"reasoning_tokens": reasoning} if reasoning else None,
    }
    return _known(usage), "openai"


def _known(fields: dict[str, Any]) -> dict[str, Any] | None:
    return {name: value for name, value in fields.items() if value is not None} or None
