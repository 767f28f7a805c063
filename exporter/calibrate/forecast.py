"""What a calibration would cost, before anything is asked: our own count of the prompts at the price book's rates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from exporter.calibrate.prompts import Prompt
from exporter.calibrate.service_api import USER
from exporter.local.reading import read_local
from exporter.model import Call, Micros, Money, PromptMessage, Status, Tokens
from exporter.prices import in_force
from exporter.prices.entries import Unknown

ANSWER_TOKENS = 10
"""A short answer, which the built-in prompts ask for."""


@dataclass(frozen=True, slots=True)
class Forecast:
    """Requests, and input and output tokens of all of them together, without what the app itself puts around a prompt (system
    prompt, context, tools). `cost` None: `note` says why."""

    requests: int
    model: str | None
    input: int | None
    output: int
    cost: Money | None
    note: str


def forecast(
    prompts: Sequence[Prompt], times: int, model: tuple[str | None, str] | None, at: Micros
) -> Forecast:
    """For a (provider, model); None: the app's model is not known yet."""
    requests = len(prompts) * times
    output = ANSWER_TOKENS * requests
    if model is None:
        return Forecast(
            requests,
            None,
            None,
            output,
            None,
            "no call of this app is in the ledger yet; name its model with --model",
        )
    counts = [_tokens(prompt, model, at) for prompt in prompts]
    if None in counts:
        return Forecast(requests, model[1], None, output, None, f"{model[1]} cannot be counted here")
    given = [count for count in counts if count is not None]
    priced = [in_force().price((model,), at, Tokens(input=count, output=ANSWER_TOKENS)) for count in given]
    unknown = next((item for item in priced if isinstance(item, Unknown)), None)
    known = [item.money for item in priced if not isinstance(item, Unknown)]
    cost = (
        None
        if unknown
        else Money(
            sum((item.amount for item in known), start=known[0].amount * 0) * times,
            known[0].currency,
            known[0].origin,
        )
    )
    return Forecast(requests, model[1], sum(given) * times, output, cost, unknown.reason if unknown else "")


def _tokens(prompt: Prompt, model: tuple[str | None, str], at: Micros) -> int | None:
    call = Call(
        "forecast",
        "chat",
        model[0],
        model[1],
        at,
        at,
        Status.OK,
        None,
        (PromptMessage("user", prompt.text),),
        user=USER,
    )
    reading = read_local(call)
    return None if reading is None else reading.tokens.input
