"""LiteLLM proxy: the StandardLoggingPayload that its callbacks push, and the rows of its spend log.

Both name the same things a little differently (docs.litellm.ai, logging spec; table LiteLLM_SpendLogs). Token numbers
are inclusive, because LiteLLM adds Anthropic's and Bedrock's cached tokens to the prompt. Texts that LiteLLM redacted
or cut are left out, so that no fingerprint is made of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from exporter.vendor.adapters.bodies import Answer, answer_of, record_fields
from exporter.vendor.adapters.entries import Entry, Unfit, each, flag, inner, number, parsed, text, whole
from exporter.vendor.adapters.moments import rfc, written_or_ticks
from exporter.vendor.adapters.names import app_of, hashed_key, key_name, operation_of, user_of

_ALTERED = ("redacted-by-litellm", "litellm_truncated")
_CACHE_HIT = "_cache_hit"
_TEXTS = ("messages", "system", "instructions", "input", "prompt", "contents", "query", "documents")
_DEEPEST = 12


def litellm(value: object) -> Iterable[object]:
    """The requests of a payload, a row, an array of them, or an answer of `/spend/logs/v2` (`data`)."""
    rows = value.get("data") if isinstance(value, Mapping) and "call_type" not in value else None
    return each(rows if isinstance(rows, list) else value, _record)


def _record(entry: Entry) -> dict[str, Any] | None:
    kind = text(entry, "call_type")
    is_passed = kind is not None and "through" in kind
    operation = "chat" if kind is None or is_passed else operation_of(kind)
    if operation is None:
        return None
    metadata, request = inner(entry, "metadata"), _request(entry)
    given = parsed(entry.get("response"))
    answer = answer_of(given, request)
    usage, shape = _usage(entry, metadata, answer, operation)
    if is_passed and usage is None:
        return None
    status = _status(entry, metadata, usage is not None)
    started_at = written_or_ticks(entry, "startTime", per_second=1)
    identity, response_id = _ids(entry, answer, status, started_at)
    is_hit = flag(entry, "cache_hit") or _CACHE_HIT in (identity or "")
    return {
        **({} if _is_altered(given) else record_fields(answer)),
        "id": identity,
        "response_id": response_id,
        "group": text(entry, "trace_id", "session_id"),
        "attempt": whole(metadata, "attempted_retries"),
        "started_at": rfc(started_at),
        "ended_at": rfc(written_or_ticks(entry, "endTime", per_second=1)),
        "first_token_at": _first_token_at(entry, started_at),
        "operation": operation,
        "provider": text(entry, "custom_llm_provider"),
        "model": text(entry, "model_group", "model"),
        "response_model": answer.model or text(entry, "model"),
        "status": status,
        "http_status": _http_status(entry, metadata),
        "stream": flag(entry, "stream") if "stream" in entry else flag(request or {}, "stream"),
        "user": text(entry, "end_user") or text(metadata, "user_api_key_end_user_id") or user_of(request),
        "key": key_name(text(metadata, "user_api_key_alias"))
        or hashed_key(text(metadata, "user_api_key_hash", "user_api_key") or text(entry, "api_key")),
        "dify_app_id": app_of(
            inner(request or {}, "metadata"), inner(metadata, "requester_metadata", "spend_logs_metadata"), metadata
        ),
        "request": request,
        "usage": usage,
        "usage_shape": shape,
        "cost": _cost(entry, status, is_hit),
        "cache_hit": is_hit,
    }  # fmt: skip


def _ids(entry: Entry, answer: Answer, status: str, started_at: int | None) -> tuple[str | None, str | None]:
    """The id of the log event and the vendor's own. Failed attempts of one client call share LiteLLM's call id, so
    their start is added."""
    identity = text(entry, "request_id", "id", "litellm_call_id")
    if identity is None:
        return None, None
    if status == "error":
        return f"{identity}#{started_at}", None
    plain = identity.partition(_CACHE_HIT)[0]
    response_id = answer.response_id or (plain if plain != text(entry, "litellm_call_id") else None)
    return identity, response_id


def _status(entry: Entry, metadata: Entry, has_usage: bool) -> str:
    """LiteLLM knows success and failure; a failure that left usage behind is an answer that broke off."""
    said = (text(entry, "status") or text(metadata, "status") or "success").lower()
    if said == "success":
        return "ok"
    return "aborted" if has_usage else "error"


def _http_status(entry: Entry, metadata: Entry) -> int | None:
    problem = inner(entry, "error_information") or inner(metadata, "error_information")
    try:
        code = whole(problem, "error_code")
    except Unfit:
        return None  # a name such as context_length_exceeded stands here too
    return code if code and 100 <= code < 600 else None


def _first_token_at(entry: Entry, started_at: int | None) -> str | None:
    """LiteLLM writes the end here where nothing was streamed, so only a time before the end says something."""
    first = written_or_ticks(entry, "completionStartTime", per_second=1)
    last = written_or_ticks(entry, "endTime", per_second=1)
    if first is None or last is None or not (started_at or 0) <= first < last:
        return None
    return rfc(first)


def _request(entry: Entry) -> dict[str, Any] | None:
    """The request body: the client's own where the row holds it, else the messages with the model parameters."""
    sent = inner(entry, "proxy_server_request")
    body = dict(inner(sent, "body") if "url" in sent else sent) or _rebuilt(entry)
    is_altered = any(mark in body for mark in _ALTERED) or any(_is_altered(body.get(name)) for name in _TEXTS)
    if not is_altered:
        return body or None
    return {name: part for name, part in body.items() if name not in _TEXTS}


def _rebuilt(entry: Entry) -> dict[str, Any]:
    given, parameters = parsed(entry.get("messages")), dict(inner(entry, "model_parameters"))
    if not given:
        return parameters
    if isinstance(given, Mapping):
        return {**parameters, **given}
    has_roles = isinstance(given, list) and any(isinstance(item, Mapping) for item in given)
    return {**parameters, "messages" if has_roles else "input": given}


def _usage(
    entry: Entry, metadata: Entry, answer: Answer, operation: str
) -> tuple[dict[str, Any] | None, str | None]:
    """LiteLLM's usage object with the cached tokens where its own fields hold them, else the row's numbers."""
    given = inner(metadata, "usage_object") or inner(inner(entry, "hidden_params"), "usage_object")
    prompt, completion = whole(entry, "prompt_tokens"), whole(entry, "completion_tokens")
    total = whole(entry, "total_tokens")
    if not (prompt or completion or total):
        return _told_by_rerank(entry) if operation == "rerank" else (None, None)
    usage = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": total}
    if "prompt_tokens" in given:
        usage = {**usage, **given}
    own = answer.usage if answer.usage and "prompt_tokens" in answer.usage else {}
    extra = inner(metadata, "additional_usage_values")
    details = {**inner(own, "prompt_tokens_details"), **_present(inner(usage, "prompt_tokens_details"))}
    cached = whole(given, "cache_read_input_tokens") or whole(extra, "cache_read_input_tokens")
    written = whole(given, "cache_creation_input_tokens") or whole(extra, "cache_creation_input_tokens")
    if cached and not details.get("cached_tokens"):
        details["cached_tokens"] = cached
    if not details.get("cache_write_tokens"):
        details["cache_write_tokens"] = whole(details, "cache_creation_tokens") or written
    spoken = {
        **inner(own, "completion_tokens_details"),
        **_present(inner(usage, "completion_tokens_details")),
    }
    return {
        **usage,
        "prompt_tokens_details": _present(details),
        "completion_tokens_details": spoken,
    }, "openai"


def _told_by_rerank(entry: Entry) -> tuple[dict[str, Any] | None, str | None]:
    """Rerank has no prompt tokens in LiteLLM's row; some vendors tell tokens in the response's `meta`."""
    meta = inner(inner(entry, "response"), "meta")
    total = whole(inner(meta, "tokens"), "input_tokens") or whole(inner(meta, "billed_units"), "total_tokens")
    return ({"total_tokens": total}, "rerank") if total else (None, None)


def _cost(entry: Entry, status: str, is_hit: bool) -> dict[str, str] | None:
    """LiteLLM reckons in US dollars and writes 0 for a model whose price it does not know."""
    amount = number(entry, "response_cost", "spend")
    if amount is None or status == "error" or (not amount and not is_hit):
        return None
    return {"amount": format(amount, "f"), "currency": "USD"}


def _present(fields: Entry) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def _is_altered(value: object, depth: int = 0) -> bool:
    """Whether LiteLLM redacted or cut a text anywhere in a value."""
    if isinstance(value, str):
        return any(mark in value for mark in _ALTERED)
    if depth > _DEEPEST:
        return False
    if isinstance(value, Mapping):
        return any(str(name) in _ALTERED or _is_altered(part, depth + 1) for name, part in value.items())
    return isinstance(value, list) and any(_is_altered(part, depth + 1) for part in value)
