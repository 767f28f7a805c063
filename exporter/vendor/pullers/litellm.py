"""LiteLLM's spend log: GET /spend/logs/v2, or /spend/logs where a proxy is older than that.

Facts (LiteLLM proxy, spend_management_endpoints): v2 wants both dates as `YYYY-MM-DD HH:MM:SS` in UTC and compares
`startTime` with both ends included; `total` stops at 10,000; page_size may be at most 100 or 1,000 by version (else
422). The older route knows whole days only, gives everything at once, newer versions at most 10,000 rows of it, and the
oldest only daily sums. Rows are written some seconds after a request ended, under the time it began.
"""

from __future__ import annotations

from datetime import UTC, datetime

from exporter.clock import now
from exporter.config import VendorSettings
from exporter.destinations.http import Http, shown_address
from exporter.errors import Misconfigured, Unreachable
from exporter.model import SECOND
from exporter.vendor.adapters import Adapter
from exporter.vendor.pullers.answers import ask, is_cut, read_json
from exporter.vendor.pullers.base import Refused, Traits
from exporter.vendor.pullers.windows import Pace, Page, Window, WindowPuller

TRAITS = Traits(
    delay_seconds=120.0,
    reread_seconds=3_600.0,
    includes_cached=True,
    has_texts=False,  # only with store_prompts_in_spend_logs
    has_users=True,
    has_cost=True,
)
"""A row comes when its request ended, by the time the request began: an hour covers the longest stream."""

KEY_HINT = "set key to LiteLLM's master key or an admin's key"
_SETTLE_SECONDS = 5.0
_SIZES = (500, 100, 10, 1)  # each a multiple of the next, so that an offset stays a whole number of pages
_COUNTED_ROWS = 10_000  # LiteLLM counts and hands out no further
_MOST_PAGES = 10
_OLD_PAUSE_SECONDS = 300.0
_DAY = 86_400


def puller(settings: VendorSettings, adapter: Adapter) -> WindowPuller:
    """The puller of one LiteLLM proxy. Raises Misconfigured for a key that HTTP cannot carry."""
    log = SpendLog(settings.url, settings.key.get_secret_value(), settings.timeout)
    pace = Pace(settings.poll_interval, settings.start, _SETTLE_SECONDS)
    return WindowPuller(settings.name, TRAITS, pace, log, adapter)


class SpendLog:
    """The spend log of one proxy. A cursor is `rows passed/total when they were passed`."""

    row_id = "request_id"

    def __init__(self, url: str, key: str, timeout_seconds: float) -> None:
        self._url = url.rstrip("/")
        self._http = Http({"Authorization": f"Bearer {key}"}, timeout_seconds)
        self._size = _SIZES[0]
        self._is_old = False

    @property
    def pause_seconds(self) -> float:
        """The older route gives a whole day each time."""
        return _OLD_PAUSE_SECONDS if self._is_old else 0.0

    def page(self, window: Window, cursor: str | None) -> Page:
        """One page of a window, from whichever route the proxy has."""
        passed, total = _read_cursor(cursor)
        for size in (size for size in _SIZES if size <= self._size and passed % size == 0):
            reply = ask(self._http, f"{self._url}/spend/logs/v2", _params(window, passed, size), KEY_HINT)
            self._is_old = reply.status == 404
            if self._is_old:
                return self._days(window)
            if reply.status == 422 and size > 1:
                self._size = next(smaller for smaller in _SIZES if smaller < size)
            elif not is_cut(reply):
                return _page(read_json(reply, self._url), passed, size, total, self._url)
        return _skipped(window, passed, total)

    def check(self) -> str:
        """Whether the key may read the log, and what is in the last day of it."""
        until = now() // SECOND
        page = self.page(Window(until - _DAY, until), None)
        has_texts = any(isinstance(row, dict) and row.get("messages") for row in page.rows)
        seen = f"{len(page.rows)}{' or more' if page.next else ''} requests of the last day"
        texts = ", with texts" if has_texts else ", without texts" if page.rows else ""
        route = ", by the older route /spend/logs" if self._is_old else ""
        return f"LiteLLM at {shown_address(self._url)}: {seen}{texts}{route}"

    def close(self) -> None:
        """Nothing is held between requests but an idle connection."""

    def _days(self, window: Window) -> Page:
        """All rows of the days that a window touches."""
        day = window.since // _DAY
        end = max(day + 1, -(-window.until // _DAY))
        params = {"start_date": _date(day), "end_date": _date(end), "summarize": "false"}
        reply = ask(self._http, f"{self._url}/spend/logs", params, KEY_HINT)
        if reply.status == 404:
            raise Misconfigured(
                [f"{shown_address(self._url)} has no spend log (HTTP 404)"],
                "set url to the base address of the LiteLLM proxy, without /v1",
            )
        rows = [] if is_cut(reply) else _old_rows(read_json(reply, self._url), self._url)
        if len(rows) < _COUNTED_ROWS and not is_cut(reply):
            return Page(tuple(rows), covered_until=end * _DAY)
        if end - day > 1:
            return Page(is_too_much=True)
        refusal = Refused(
            f"day {_date(day)}",
            "more requests than this version of LiteLLM hands out at once; update it to one with /spend/logs/v2",
        )
        return Page(tuple(rows), refused=(refusal,), covered_until=end * _DAY)


def _params(window: Window, passed: int, size: int) -> dict[str, str]:
    return {
        "start_date": _moment(window.since),
        "end_date": _moment(window.until),
        "page": str(passed // size + 1),
        "page_size": str(size),
        "sort_by": "startTime",
        "sort_order": "asc",
    }


def _page(answer: object, passed: int, size: int, known_total: int | None, url: str) -> Page:
    """The rows, and what comes next. When the total shrank, rows moved to pages already read: it goes back that far."""
    if not isinstance(answer, dict) or not isinstance(answer.get("data"), list):
        raise Unreachable(f"{shown_address(url)} gave a spend log in an unknown form")
    rows, total = answer["data"], answer.get("total")
    if not isinstance(total, int) or answer.get("total_is_capped") or total >= _COUNTED_ROWS:
        is_too_much = passed == 0 and isinstance(total, int)
        return Page(
            tuple(rows), None if len(rows) < size else _next(passed + size, None), is_too_much=is_too_much
        )
    if known_total is not None and total < known_total:
        lost_pages = -(-(known_total - total) // size)
        return Page(tuple(rows), _next(max(0, passed - lost_pages * size), total))
    reached = passed + len(rows)
    is_last = not rows or reached >= total
    is_too_much = passed == 0 and total > _MOST_PAGES * size
    return Page(tuple(rows), None if is_last else _next(reached, total), is_too_much=is_too_much)


def _next(passed: int, total: int | None) -> str:
    return f"{passed}/{'' if total is None else total}"


def _read_cursor(cursor: str | None) -> tuple[int, int | None]:
    passed, _, total = (cursor or "0/").partition("/")
    return int(passed), int(total) if total else None


def _skipped(window: Window, passed: int, total: int | None) -> Page:
    """One row alone is longer than any answer that is read."""
    place = f"row {passed + 1} of {_moment(window.since)} to {_moment(window.until)}"
    return Page(refused=(Refused(place, "the row is too long to be read"),), next=_next(passed + 1, total))


def _old_rows(answer: object, url: str) -> list[object]:
    if not isinstance(answer, list):
        raise Unreachable(f"{shown_address(url)} gave a spend log in an unknown form")
    if any(isinstance(row, dict) and "request_id" not in row for row in answer):
        raise Misconfigured(
            [f"the LiteLLM at {shown_address(url)} only hands out daily sums"],
            "update LiteLLM to a version with /spend/logs/v2, or let it push (format litellm)",
        )
    return answer


def _moment(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%d %H:%M:%S")


def _date(day: int) -> str:
    return datetime.fromtimestamp(day * _DAY, UTC).strftime("%Y-%m-%d")
