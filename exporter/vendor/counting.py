"""Our own count of a vendor request's texts, made when the record arrives, because the texts are dropped right after."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from exporter.local.reading import read_local
from exporter.model import Call, PromptMessage, Status
from exporter.vendor.messages import tool_calls_of
from exporter.vendor.requests import Asked


@dataclass(frozen=True, slots=True)
class Counted:
    """Input and output as our tokenizer counts them, with its name and trust (see the local reading)."""

    input: int | None
    output: int | None
    tokenizer: str
    accuracy: str
    error_pct: float | None = None
    note: str | None = None


def count_request(
    record: Mapping[str, Any],
    operation: str,
    model: str,
    provider: str | None,
    prompt: Sequence[PromptMessage] | None,
    parts: Asked,
) -> Counted | None:
    """The count of one canonical record with the tokenizer of its model; None when no text was logged. Tool definitions
    and schemas are not counted, and the count says so."""
    answer = record.get("response_text")
    asked = tool_calls_of(record.get("tool_calls"))
    if not prompt and not isinstance(answer, str) and not asked:
        return None
    kind = {"embeddings": "embedding", "rerank": "rerank"}.get(operation, "chat")
    reading = read_local(
        Call(
            call_id="", kind=kind, provider=provider, model=model, started_at=0, ended_at=0, status=Status.OK,
            recorded=None, prompt=tuple(prompt) if prompt else None,
            answer=answer if isinstance(answer, str) else None, tool_calls=asked, missing=tuple(_uncounted(parts)),
        )
    )  # fmt: skip
    if reading is None:
        return None
    return Counted(
        reading.tokens.input, reading.tokens.output, reading.tokenizer, reading.accuracy.value,
        reading.error_pct, reading.note,
    )  # fmt: skip


def _uncounted(parts: Asked) -> Iterator[str]:
    if parts.tools:
        yield "tool definitions"
    if parts.has_schema:
        yield "schema of the answer"
