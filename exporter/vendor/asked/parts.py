"""What a request body held besides its messages, as numbers: the parts that a recount from Dify's record cannot see."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from exporter.model import PromptMessage
from exporter.vendor.asked.definitions import definitions_in


@dataclass(frozen=True, slots=True)
class Asked:
    """Counts of the request's parts; None where the body was not logged. `media` are pictures, sounds, files."""

    messages: int | None = None
    chars: int | None = None
    tools: int | None = None
    has_schema: bool | None = None
    media: int | None = None


def asked_of(request: object, prompt: Sequence[PromptMessage] | None, *, is_partial: bool = False) -> Asked:
    """What a request body (OpenAI, Anthropic, DashScope, Gemini, Bedrock Converse) asked for. Of a body that was logged in
    part, what is not there is unknown."""
    if not isinstance(request, Mapping):
        return Asked()
    return Asked(
        messages=len(prompt) if prompt else None,
        chars=sum(len(message.text) for message in prompt) if prompt else None,
        tools=_tools(request) or (None if is_partial else 0),
        has_schema=_has_schema(request) or (None if is_partial else False),
        media=sum(message.media for message in prompt) if prompt else None,
    )


def _tools(request: Mapping[str, object]) -> int:
    return sum(1 for _ in definitions_in(request))


def _has_schema(request: Mapping[str, object]) -> bool:
    for place in (request, request.get("parameters"), request.get("text"), request.get("generationConfig")):
        if isinstance(place, Mapping):
            form = place.get("response_format") or place.get("format")
            if isinstance(form, Mapping) and form.get("type") in ("json_schema", "json_object"):
                return True
            if place.get("responseSchema") or place.get("responseJsonSchema"):
                return True
    return False
