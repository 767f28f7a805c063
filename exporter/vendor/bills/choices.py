"""What the settings choose of what a vendor offers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from exporter.config.bills import BillSettings
from exporter.errors import Misconfigured


def chosen_reports(
    settings: BillSettings, offered: Sequence[str], usual: Sequence[str] | None = None
) -> Sequence[str]:
    """The settings' reports, else the usual ones, else all. Raises Misconfigured for one that is not offered."""
    unknown = [name for name in settings.reports if name not in offered]
    if unknown:
        raise Misconfigured(
            [f"bills {settings.name}: {settings.kind} has the reports {', '.join(offered)}, not {unknown[0]}"]
        )
    return settings.reports or (offered if usual is None else usual)


def chosen_dimension(settings: BillSettings, offered: Mapping[str, str]) -> str:
    """The vendor's name of what rows are grouped by; the first offered is the usual one. Raises Misconfigured."""
    if not settings.group_by:
        return next(iter(offered.values()))
    if settings.group_by not in offered:
        raise Misconfigured([f"bills {settings.name}: group_by of {settings.kind} is {' or '.join(offered)}"])
    return offered[settings.group_by]
