"""Money that vendors state inside their usage, in their own units."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from exporter.model import Money
from exporter.vendor.usage import BadUsage, charges


@pytest.mark.parametrize(
    ("usage", "amount"),
    [
        ({"cost_in_usd_ticks": 232856000}, "0.0232856"),
        ({"cost_in_usd_ticks": 200000000}, "0.02"),
        (
            {"cost": 0.00095, "is_byok": False, "cost_details": {"upstream_inference_cost": 0.00095}},
            "0.00095",
        ),
        ({"cost": 0.05, "is_byok": True, "cost_details": {"upstream_inference_cost": 1}}, "1.05"),
        ({"cost": 0, "is_byok": False}, "0"),
    ],
)
def test_stated_cost_is_read_in_dollars(usage: dict[str, Any], amount: str) -> None:
    assert charges(usage) == Money(Decimal(amount), "USD")


@pytest.mark.parametrize(
    "usage", [{}, {"prompt_tokens": 5}, {"cost": 3}, {"cost_details": {}}, {"cost_in_usd_ticks": None}]
)
def test_usage_that_states_no_known_cost_gives_none(usage: dict[str, Any]) -> None:
    assert charges(usage) is None


@pytest.mark.parametrize(
    "usage",
    [
        {"cost_in_usd_ticks": -1},
        {"cost_in_usd_ticks": "cheap"},
        {"cost": {"total": 1}, "is_byok": False},
        {"cost": float("inf"), "is_byok": False},
    ],
)
def test_impossible_cost_is_refused_without_repeating_it(usage: dict[str, Any]) -> None:
    with pytest.raises(BadUsage) as refused:
        charges(usage)
    assert "cheap" not in str(refused.value)
