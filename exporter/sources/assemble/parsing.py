"""Reading Dify's JSON text, numbers and prompts without trusting them.

Everything returns None (or an empty value) for what is absent or unusable; what was unusable is added to `notes`, in
words that hold no content.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

import orjson

from exporter.model import Micros, Money, PromptMessage, Recorded, Tokens, ToolCall, UnitPrices

ABSURD_TOKENS = 10**9
"""No request has a thousand million tokens; such a number is damage, not a count."""

Json = Mapping[str, Any]
EMPTY: Json = {}


def parse(text: str | None, what: str, notes: list[str]) -> Any:
    """The JSON value of a text column, or None. orjson first; the tolerant parser for lone surrogates and NaN."""
    if not text:
        return None
    try:
        return orjson.loads(text)
    except ValueError:
        try:
            return json.loads(text, strict=False)
        except (ValueError, RecursionError):
            notes.append(f"{what} is not valid JSON")
            return None


def parse_object(text: str | None, what: str, notes: list[str]) -> Json:
    """The JSON object of a text column, or an empty one."""
    value = parse(text, what, notes)
    if value is None:
        return EMPTY
    if not isinstance(value, dict):
        notes.append(f"{what} is not a JSON object")
        return EMPTY
    return value


def inner_object(value: object) -> Json:
    """A JSON object inside another one, or an empty one."""
    return value if isinstance(value, dict) else EMPTY


def token_count(value: object, what: str, notes: list[str]) -> int | None:
    """A token number that can be one: a whole number from 0 up to `ABSURD_TOKENS`."""
    if value is None or isinstance(value, bool):
        return None
    try:
        number = int(value) if isinstance(value, int) else int(Decimal(str(value)))
    except (InvalidOperation, ValueError, OverflowError):
        notes.append(f"{what} is not a number")
        return None
    if not 0 <= number <= ABSURD_TOKENS:
        notes.append(f"{what} is not a possible token number")
        return None
    return number


def decimal(value: object) -> Decimal | None:
    """A finite decimal from a number or text, else None."""
    if value is None or isinstance(value, bool):
        return None
    try:
        number = value if isinstance(value, Decimal) else Decimal(str(value))
    except InvalidOperation:
        return None
    return number if number.is_finite() else None


def seconds_to_micros(value: object) -> Micros | None:
    """Seconds (a non-negative number) as microseconds, else None."""
    if isinstance(value, int | float) and 0 <= value < 10**8:
        return round(value * 1_000_000)
    return None


def text_of(value: object) -> str | None:
    """A non-empty string, else None."""
    return value if isinstance(value, str) and value else None


def usage_recorded(usage: object, provenance: str, notes: list[str]) -> Recorded | None:
    """A stored `LLMUsage` object as a Recorded, or None when there is none.

    Where prompt and completion are 0 and the total is not, only the total is known (ReAct agent strategies,
    measured on Dify 1.14.0). A price of a model without prices is absent, not 0.
    """
    if not isinstance(usage, dict) or not usage:
        return None
    prompt = token_count(usage.get("prompt_tokens"), f"{provenance}.prompt_tokens", notes)
    completion = token_count(usage.get("completion_tokens"), f"{provenance}.completion_tokens", notes)
    total = token_count(usage.get("total_tokens"), f"{provenance}.total_tokens", notes)
    priced = any(decimal(usage.get(f"{side}_unit_price")) for side in ("prompt", "completion"))
    cost = money(usage.get("total_price"), usage.get("currency"), priced)
    rates = unit_prices(
        (usage.get("prompt_unit_price"), usage.get("prompt_price_unit")),
        (usage.get("completion_unit_price"), usage.get("completion_price_unit")),
        usage.get("currency"),
    )
    if not prompt and not completion and total:
        return Recorded(Tokens(), provenance, total, cost, rates)
    return Recorded(Tokens(prompt, completion), provenance, total, cost, rates)


def unit_prices(
    given: tuple[object, object], written: tuple[object, object], currency: object
) -> UnitPrices | None:
    """Dify's unit price times its price unit (1e-6: the price is that of a million tokens), of input and output tokens. None
    where they are not told. Both 0 say that Dify has no price for the model."""
    rates = [_per_million(price, unit) for price, unit in (given, written)]
    if rates[0] is None or rates[1] is None:
        return None
    return UnitPrices(rates[0], rates[1], text_of(currency) or "USD")


def _per_million(price: object, unit: object) -> Decimal | None:
    amount, one = decimal(price), decimal(unit)
    if amount == 0:
        return Decimal(0)
    if amount is None or one is None or amount < 0 or one <= 0:
        return None
    return (amount * one).scaleb(6)


def untold_price(*prices: object) -> str | None:
    """A note for a call of which the source told nothing of Dify's price: a message's own columns are never all empty."""
    return "price_untold" if all(price is None for price in prices) else None


def money(amount: object, currency: object, priced: bool) -> Money | None:
    """An amount with its currency; None when the model has no price (then Dify stores 0 USD)."""
    number = decimal(amount)
    if number is None or number < 0 or (not priced and number == 0):
        return None
    return Money(number, text_of(currency) or "USD")


def prompt_messages(value: object) -> tuple[PromptMessage, ...] | None:
    """Dify's saved prompt (list of role, text, files, tool_calls) or None when none was saved.

    A `tool` message repeats the assistant's tool calls in this form; they were not sent, so they are left out.
    """
    if not isinstance(value, list) or not value:
        return None
    messages = []
    for item in value:
        if not isinstance(item, dict):
            continue
        role = str(item.get("role") or "user")
        files = item.get("files")
        messages.append(
            PromptMessage(
                role=role,
                text=item["text"] if isinstance(item.get("text"), str) else "",
                tool_calls=tool_calls(item.get("tool_calls")) if role == "assistant" else (),
                media=len(files) if isinstance(files, list) else 0,
            )
        )
    return tuple(messages) or None


def tool_calls(value: object) -> tuple[ToolCall, ...]:
    """Tool calls in OpenAI's form; entries that are not are left out."""
    if not isinstance(value, list):
        return ()
    found = []
    for item in value:
        function = item.get("function") if isinstance(item, dict) else None
        if isinstance(function, dict) and function.get("name"):
            arguments = function.get("arguments")
            text = arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
            found.append(ToolCall(text_of(item.get("id")), str(function["name"]), text))
    return tuple(found)


def provider_name(value: object) -> str | None:
    """`langgenius/openai/openai` → `openai`; names before plugins (Dify < 1.0) are already short."""
    name = text_of(value)
    return name.rsplit("/", 1)[-1] if name else None


def aliases(*ids: str | None) -> tuple[str, ...]:
    """The ids that are there: Dify's plugins send the row id of an end user, not the name the caller gave."""
    return tuple(identity for identity in ids if identity)


def add(parts: list[Tokens]) -> Tokens:
    """The sum of known inputs and outputs; unknown parts add nothing, no known part at all stays None."""
    inputs = [tokens.input for tokens in parts if tokens.input is not None]
    outputs = [tokens.output for tokens in parts if tokens.output is not None]
    return Tokens(sum(inputs) if inputs else None, sum(outputs) if outputs else None)
