"""Money that a vendor states inside its usage. Prices that we work out ourselves are never made here."""

from __future__ import annotations

from decimal import Decimal

from exporter.model import Money
from exporter.vendor.usage.numbers import BadUsage, Usage, amount

_TICKS_PER_DOLLAR = Decimal(10**10)


def charges(usage: Usage) -> Money | None:
    """What the vendor charged for the request; None when its usage says nothing about money. Raises BadUsage.

    xAI: `cost_in_usd_ticks`, 10^10 to the dollar (docs, cost tracking). OpenRouter: `cost` in credits, which are US
    dollars; with a key of one's own (`is_byok`) the upstream vendor charges `upstream_inference_cost` besides (docs,
    usage accounting). A bare `cost` without OpenRouter's keys has no known unit and is left alone.
    """
    ticks = amount(usage, "cost_in_usd_ticks")
    if ticks is not None:
        return _dollars(ticks / _TICKS_PER_DOLLAR)
    if "cost_details" not in usage and "is_byok" not in usage:
        return None
    cost = amount(usage, "cost")
    if cost is None:
        return None
    upstream = (
        amount(usage, "cost_details", "upstream_inference_cost") if usage.get("is_byok") is True else None
    )
    return _dollars(cost + (upstream or 0))


def _dollars(value: Decimal) -> Money:
    if value < 0:
        raise BadUsage("usage states a cost below zero")
    return Money(value, "USD")
