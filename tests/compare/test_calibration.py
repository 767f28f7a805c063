"""The observed ratio says what the pairs say, and nothing when there are none."""

from __future__ import annotations

import pytest

from exporter.compare.calibration import observed


def test_equal_counts_have_ratio_one_and_no_spread() -> None:
    found = observed([(10, 10), (20, 20), (30, 30), (40, 40), (50, 50)])
    assert found is not None
    assert (found.calls, found.exact, found.ratio, found.low, found.high) == (5, 5, 1.0, 1.0, 1.0)


def test_nine_of_ten_lie_between_low_and_high() -> None:
    found = observed([(100 + number, 100) for number in range(101)])
    assert found is not None
    assert found.ratio == pytest.approx(1.5)
    assert (found.low, found.high) == (pytest.approx(1.05), pytest.approx(1.95))


def test_a_few_calls_have_a_ratio_and_no_spread() -> None:
    found = observed([(8, 10), (9, 10)])
    assert found is not None
    assert (found.ratio, found.low, found.high) == (pytest.approx(0.85), None, None)


def test_a_vendor_count_of_nothing_is_no_comparison() -> None:
    assert observed([(5, 0)]) is None
    assert observed([]) is None
