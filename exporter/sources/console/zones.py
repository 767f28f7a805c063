"""Times as the conversation filters want them: `YYYY-MM-DD HH:MM` in the account's time zone.

An hour that a clock passes twice (or never) cannot be named in that form, so a time inside it is moved out of it, to the
side that leaves nothing out.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

_FORM = "%Y-%m-%d %H:%M"
_EARLIEST = 86_400
"""Dify was not there in 1970, and the zone must not carry the year below it."""


def start_text(zone: ZoneInfo, seconds: int) -> str:
    """The minute that begins at this time or before."""
    return _moved(zone, max(seconds, _EARLIEST) // 60 * 60, timedelta(minutes=-30))


def end_text(zone: ZoneInfo, seconds: int) -> str:
    """The minute that begins after this time: Dify leaves the last second of the end's own minute out."""
    return _moved(zone, max(seconds, _EARLIEST) // 60 * 60 + 60, timedelta(minutes=30))


def _moved(zone: ZoneInfo, seconds: int, step: timedelta) -> str:
    moment = datetime.fromtimestamp(seconds, UTC)
    while not _is_plain(zone, moment):
        moment += step
    return moment.astimezone(zone).strftime(_FORM)


def _is_plain(zone: ZoneInfo, moment: datetime) -> bool:
    """Whether the local time stands for this moment alone."""
    local = moment.astimezone(zone).replace(fold=0)
    return local.utcoffset() == local.replace(fold=1).utcoffset()
