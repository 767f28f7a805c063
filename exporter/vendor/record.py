"""The canonical record of one vendor request, and what is kept of it.

`parse` reads a record as a user or an adapter wrote it, counts and fingerprints its texts and drops them. Required:
`id`, `started_at` or `ended_at`, `model`, and `usage` or a status other than ok (or `usage_unknown`: the gateway logged an
answer and saw no usage); unknown fields are ignored. A record that cannot be read raises BadRecord, whose words name fields and never repeat content.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

import orjson

from exporter.clock import micros
from exporter.model import Micros, Money, Tokens
from exporter.vendor.adapters.base import Unreadable
from exporter.vendor.asked.counting import Counted, count_request
from exporter.vendor.asked.messages import prompt_of, tool_calls_of
from exporter.vendor.asked.parts import Asked, asked_of
from exporter.vendor.fingerprint import (
    AnswerPrint,
    PromptPrint,
    answer_from_json,
    print_answer,
    print_prompt,
    prompt_from_json,
    user_hashes,
)
from exporter.vendor.hidden.recognise import recognise
from exporter.vendor.usage import BadUsage, normalise

OPERATIONS = frozenset({"chat", "completion", "responses", "embeddings", "rerank"})
STATUSES = frozenset({"ok", "error", "aborted"})
_WITHOUT_OUTPUT = frozenset({"embeddings", "rerank"})
_LONGEST_NAME = 512
_MONEY_DIGITS = 40
_LARGEST_NUMBER = 2**53
"""JSON readers lose the last places of numbers beyond this."""

LONGEST_SOURCE = 100
"""Characters of a source's name."""


class BadRecord(ValueError):
    """A record that is not a canonical vendor record; the text says why without repeating content."""


@dataclass(frozen=True, slots=True)
class VendorCall:
    """What is kept of a vendor request: numbers, names, times and fingerprints, no text.

    `tokens` is None when the vendor's usage is unknown (a failed request, or an aborted one nobody counted);
    `is_estimated` says that the gateway counted by itself. `response_id` is the vendor's own id where `id` is the
    gateway's; `group` is shared by the attempts of one client request. `purpose` is set when Dify made the request on
    its own (a title, suggested questions), and `about` holds hashes of the words it was made for. `users` are hashes.
    `counted` is our own count of the texts, `asked` what else the request held.
    """

    source: str
    id: str
    started_at: Micros | None
    ended_at: Micros | None
    operation: str
    model: str
    status: str
    provider: str | None = None
    response_model: str | None = None
    http_status: int | None = None
    stream: bool | None = None
    users: tuple[str, ...] = ()
    key: str | None = None
    dify_app_id: str | None = None
    attempt: int | None = None
    tokens: Tokens | None = None
    usage_shape: str | None = None
    is_estimated: bool = False
    cost: Money | None = None
    is_cache_hit: bool = False
    response_id: str | None = None
    group: str | None = None
    first_token_at: Micros | None = None
    asked: Asked = field(default_factory=Asked)
    counted: Counted | None = None
    purpose: str | None = None
    about: tuple[str, ...] = ()
    prompt: PromptPrint | None = None
    answer: AnswerPrint | None = None

    @property
    def start(self) -> Micros:
        """When the request began, or ended when only that is known."""
        return self.started_at if self.started_at is not None else self.ended_at or 0

    @property
    def end(self) -> Micros:
        """When the request ended, or began when only that is known."""
        return self.ended_at if self.ended_at is not None else self.start

    def to_json(self) -> bytes:
        """The stored form; `from_json` gives the same VendorCall back."""
        return orjson.dumps(self, default=str)

    @staticmethod
    def from_json(stored: bytes) -> VendorCall:
        """The VendorCall of a stored form."""
        fields: dict[str, Any] = orjson.loads(stored)
        cost = fields["cost"]
        return VendorCall(
            **{
                **fields,
                "users": tuple(fields["users"]),
                "about": tuple(fields["about"]),
                "asked": Asked(**fields["asked"]),
                "counted": Counted(**fields["counted"]) if fields["counted"] else None,
                "tokens": Tokens(**fields["tokens"]) if fields["tokens"] else None,
                "cost": Money(Decimal(cost["amount"]), cost["currency"]) if cost else None,
                "prompt": prompt_from_json(fields["prompt"]),
                "answer": answer_from_json(fields["answer"]) if fields["answer"] else None,
            }
        )


def parse(record: object, source: str) -> VendorCall:
    """The VendorCall of one canonical record. `source` names the evidence source where the record does not.

    Raises BadRecord.
    """
    if isinstance(record, Unreadable):
        raise BadRecord(record.reason)
    if not isinstance(record, Mapping):
        raise BadRecord("a record must be a JSON object")
    operation = _one_of(record, "operation", OPERATIONS) or "chat"
    status = _status(record)
    started_at, ended_at = _times(record)
    prompt = prompt_of(record.get("request"))
    shape = _text(record, "usage_shape")
    model, provider = _required(record, "model"), _text(record, "provider")
    asked = asked_of(record.get("request"), prompt, is_partial=_flag(record, "request_partial") or False)
    hidden = recognise(operation, prompt, record.get("request"), record.get("response_text"))
    return VendorCall(
        source=_source(record, source),
        id=_required(record, "id"),
        started_at=started_at,
        ended_at=ended_at,
        operation=operation,
        model=model,
        status=status,
        provider=provider,
        response_model=_text(record, "response_model"),
        http_status=_whole(record, "http_status"),
        stream=_flag(record, "stream"),
        users=user_hashes(_text(record, "user")),
        key=_text(record, "key"),
        dify_app_id=_text(record, "dify_app_id"),
        attempt=_whole(record, "attempt"),
        tokens=_tokens(record, operation, shape, status),
        usage_shape=shape,
        is_estimated=_flag(record, "usage_estimated") or False,
        cost=_cost(record),
        is_cache_hit=_flag(record, "cache_hit") or False,
        response_id=_text(record, "response_id"),
        group=_text(record, "group"),
        first_token_at=_moment(record, "first_token_at"),
        asked=asked,
        counted=count_request(record, operation, model, provider, prompt, asked),
        purpose=hidden.purpose,
        about=hidden.about,
        prompt=print_prompt(prompt) if prompt else None,
        answer=_answer(record),
    )


def is_source_name(name: str) -> bool:
    """Whether readings can be shown under this name: printable, not empty, no space around it, not too long."""
    return 0 < len(name) <= LONGEST_SOURCE and name.isprintable() and name == name.strip()


def _source(record: Mapping[str, Any], source: str) -> str:
    name = _text(record, "source") or source
    if not is_source_name(name):
        raise BadRecord(f"source is not a printable name of at most {LONGEST_SOURCE} characters")
    return name


def _status(record: Mapping[str, Any]) -> str:
    given = _one_of(record, "status", STATUSES)
    if given is not None:
        return given
    return "error" if (_whole(record, "http_status") or 0) >= 400 else "ok"


def _tokens(record: Mapping[str, Any], operation: str, shape: str | None, status: str) -> Tokens | None:
    usage = record.get("usage")
    if usage is None:
        if status == "ok" and not _flag(record, "usage_unknown"):
            raise BadRecord(
                "usage is missing (only a record whose status is error or aborted may leave it out, or one that says"
                " usage_unknown: true)"
            )
        return None
    if not isinstance(usage, Mapping):
        raise BadRecord("usage is not an object")
    has_one_number = operation in _WITHOUT_OUTPUT and "total_tokens" in usage
    try:
        return normalise(usage, operation if has_one_number else shape)
    except BadUsage as problem:
        raise BadRecord(str(problem)) from None


def _answer(record: Mapping[str, Any]) -> AnswerPrint | None:
    text, asked = record.get("response_text"), tool_calls_of(record.get("tool_calls"))
    if text is not None and not isinstance(text, str):
        raise BadRecord("response_text is not text")
    return None if text is None and not asked else print_answer(text, asked)


def _cost(record: Mapping[str, Any]) -> Money | None:
    cost = record.get("cost")
    if cost is None:
        return None
    if not isinstance(cost, Mapping) or not isinstance(cost.get("currency"), str) or not cost["currency"]:
        raise BadRecord("cost needs amount and currency")
    try:
        amount = Decimal(str(cost.get("amount")))
    except InvalidOperation:
        raise BadRecord("cost.amount is not a number") from None
    if not amount.is_finite():
        raise BadRecord("cost.amount is not a number")
    if len(amount.as_tuple().digits) > _MONEY_DIGITS or abs(amount.adjusted()) > _MONEY_DIGITS:
        raise BadRecord("cost.amount is not a possible amount")
    return Money(amount, cost["currency"])


def _times(record: Mapping[str, Any]) -> tuple[Micros | None, Micros | None]:
    started_at, ended_at = _moment(record, "started_at"), _moment(record, "ended_at")
    if started_at is None and ended_at is None:
        raise BadRecord("started_at or ended_at is missing")
    if started_at is not None and ended_at is not None and ended_at < started_at:
        raise BadRecord("ended_at lies before started_at")
    return started_at, ended_at


def _moment(record: Mapping[str, Any], name: str) -> Micros | None:
    """RFC 3339 as microseconds; a number is refused, because nothing says whether it counts seconds or less."""
    value = record.get(name)
    if value is None:
        return None
    try:
        moment = datetime.fromisoformat(value)
        return micros(moment if moment.tzinfo else moment.replace(tzinfo=UTC))
    except (TypeError, ValueError, OverflowError):
        raise BadRecord(f"{name} is not a time such as 2026-11-23T19:17:07.433Z") from None


def _required(record: Mapping[str, Any], name: str) -> str:
    value = _text(record, name)
    if value is None:
        raise BadRecord(f"{name} is missing")
    if not value.isprintable():
        raise BadRecord(f"{name} holds characters that cannot be printed")
    return value


def _text(record: Mapping[str, Any], name: str) -> str | None:
    value = record.get(name)
    if value is None or value == "":
        return None
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str) or len(value) > _LONGEST_NAME or _has_lone_surrogate(value):
        raise BadRecord(f"{name} is not a text of at most {_LONGEST_NAME} characters")
    return value


def _has_lone_surrogate(text: str) -> bool:
    return any("\ud800" <= character <= "\udfff" for character in text)


def _one_of(record: Mapping[str, Any], name: str, allowed: frozenset[str]) -> str | None:
    value = _text(record, name)
    if value is not None and value not in allowed:
        raise BadRecord(f"{name} is none of {', '.join(sorted(allowed))}")
    return value


def _whole(record: Mapping[str, Any], name: str) -> int | None:
    value = record.get(name)
    if value is not None and (not isinstance(value, int) or isinstance(value, bool)):
        raise BadRecord(f"{name} is not a whole number")
    if value is not None and abs(value) > _LARGEST_NUMBER:
        raise BadRecord(f"{name} is too large a number")
    return value


def _flag(record: Mapping[str, Any], name: str) -> bool | None:
    value = record.get(name)
    if value is not None and not isinstance(value, bool):
        raise BadRecord(f"{name} is neither true nor false")
    return value
