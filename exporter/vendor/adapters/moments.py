"""Times as gateways write them, as microseconds, and back as RFC 3339.

Numbers are converted exactly (never through binary fractions); a time that is written without a zone is UTC, as every
gateway here documents it.
"""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import ROUND_HALF_EVEN, Decimal

from exporter.clock import micros, rfc3339
from exporter.model import Micros
from exporter.vendor.adapters.entries import Entry, Unfit, number

_LATEST = 253_402_300_800_000_000  # the year 10000


def ticks(place: Entry, *names: str, per_second: int) -> Micros | None:
    """A time or duration counted in `per_second` ticks under the first name that holds one. Raises Unfit."""
    value = number(place, *names)
    if value is None:
        return None
    exact = int((value * 1_000_000 / per_second).to_integral_value(ROUND_HALF_EVEN))
    if not 0 <= exact < _LATEST:
        raise Unfit(f"{' or '.join(names)} is not a possible time")
    return exact


def written(place: Entry, *names: str) -> Micros | None:
    """A time written out (ISO 8601, or nginx's `02/Oct/2026:08:00:03 +0000`), under the first name. Raises Unfit."""
    for name in names:
        value = place.get(name)
        if value is None or value in ("", "-"):
            continue
        return _moment(value, name)
    return None


def written_or_ticks(place: Entry, *names: str, per_second: int) -> Micros | None:
    """A time that one version writes out and another counts. Raises Unfit."""
    for name in names:
        value = place.get(name)
        if isinstance(value, str) and not value.replace(".", "", 1).isdigit():
            found = written(place, name)
        else:
            found = ticks(place, name, per_second=per_second)
        if found is not None:
            return found
    return None


def rfc(moment: Micros | None) -> str | None:
    """RFC 3339 of a moment; None of None. Raises Unfit."""
    if moment is None:
        return None
    if not 0 <= moment < _LATEST:
        raise Unfit("the request began or ended at an impossible time")
    return rfc3339(moment)


def shifted(moment: Micros | None, by: Micros | None) -> Micros | None:
    """A moment moved by a duration; None when either is unknown."""
    return None if moment is None or by is None else moment + by


def seconds(value: Decimal | None) -> Micros | None:
    """A duration in seconds as microseconds."""
    return None if value is None else int((value * 1_000_000).to_integral_value(ROUND_HALF_EVEN))


def _moment(value: object, name: str) -> Micros:
    if isinstance(value, str):
        for read in (datetime.fromisoformat, _nginx):
            try:
                moment = read(value.strip())
                return micros(moment if moment.tzinfo else moment.replace(tzinfo=UTC))
            except (ValueError, OverflowError):
                continue
    raise Unfit(f"{name} is not a time such as 2026-11-23T19:17:07.433Z")


def _nginx(value: str) -> datetime:
    return datetime.strptime(value, "%d/%b/%Y:%H:%M:%S %z")
