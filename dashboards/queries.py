"""PromQL for the boards, written once: what the variables select, how a counter is read, and what stands where nothing is yet.

Counters are only ever read through increase() or rate(). A zero is shown only while an exporter is scraped; else nothing.
"""

from __future__ import annotations

OWN = 'instance=~"$instance"'
"""The chosen exporters."""

CALL = f'{OWN}, app=~"$app", provider=~"$provider", model=~"$model"'
"""The chosen exporters' calls."""

NONE_YET = f"0 * max(dify_exporter_build_info{{{OWN}}})"
"""Zero while a chosen exporter is scraped."""

SECONDS_A_MINUTE = 60


def select(metric: str, *, where: str = "", selector: str = CALL) -> str:
    """The metric of what the variables choose."""
    return f"{metric}{{{selector}{', ' if where else ''}{where}}}"


def grown(
    metric: str,
    *,
    by: str = "",
    where: str = "",
    selector: str = CALL,
    over: str = "$__range",
    how: str = "sum",
) -> str:
    """How much a counter grew, summed; `over` is the range of time on screen unless said otherwise."""
    return _summed(f"increase({select(metric, where=where, selector=selector)}[{over}])", by, how)


def per_minute(metric: str, *, by: str = "", where: str = "", selector: str = CALL) -> str:
    """How fast a counter grows, summed, per minute: tokens of a second are too few to read."""
    rate = f"rate({select(metric, where=where, selector=selector)}[$__rate_interval])"
    return f"{SECONDS_A_MINUTE} * {_summed(rate, by, 'sum')}"


def now(metric: str, *, by: str = "", where: str = "", selector: str = OWN, how: str = "sum") -> str:
    """A gauge's present value."""
    return _summed(select(metric, where=where, selector=selector), by, how)


def or_zero(expression: str, **labels: str) -> str:
    """Zero where the expression has no series, under these labels."""
    if not labels:
        return f"{expression} or {NONE_YET}"
    zero = f"({NONE_YET} unless on () ({expression}))"
    for name, value in labels.items():
        zero = f'label_replace({zero}, "{name}", "{value}", "", "")'
    return f"{expression} or {zero}"


def named(expression: str, label: str, value: str, source: str = "") -> str:
    """The expression with a label: a fixed text, or one made of another label's value (`$1`)."""
    return f'label_replace({expression}, "{label}", "{value}", "{source}", "{"(.+)" if source else ""}")'


def _summed(expression: str, by: str, how: str) -> str:
    return f"{how} by ({by}) ({expression})" if by else f"{how}({expression})"
