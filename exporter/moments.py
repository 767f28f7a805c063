"""A moment as a person writes it on the command line. Raises Misconfigured with what was written and what is expected."""

from __future__ import annotations

from datetime import datetime, tzinfo

from exporter.clock import micros
from exporter.errors import Misconfigured
from exporter.model import Micros


def read_moment(text: str, name: str, zone: tzinfo) -> Micros:
    """A day or time in ISO 8601, of that zone where it tells no offset; a day is its midnight."""
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        moment = None
    if moment is None:
        raise Misconfigured(
            [f"{name}: {text!r} is not a time; expected a day such as 2026-11-23, or 2026-11-23T19:00:00Z"]
        )
    if not is_in_reach(moment):
        raise Misconfigured(
            [f"{name}: {text!r} is not a time of these days; expected a year from 1970 to 2099"]
        )
    return micros(moment.replace(tzinfo=zone) if moment.tzinfo is None else moment)


def is_in_reach(moment: datetime) -> bool:
    """A year with four digits that is a slip of the pen would be walked through day by day."""
    return 1970 <= moment.year < 2100
