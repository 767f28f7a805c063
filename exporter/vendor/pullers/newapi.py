"""The request log of new-api and one-api: GET /api/log/, newest first, as an administrator.

Facts (both projects, controller/log.go): one-api counts pages from 0, gives `data: [...]` without a total and ten rows
a page whatever is asked; new-api counts from 1, takes page 0 for page 1, and gives `data: {items, total, page,
page_size}`. Both compare `created_at` (whole seconds, written when a request ended) with both ends included. So pages
are read from 0 on until one is empty or the total is reached: on the one nothing is skipped, on the other the first page
is read twice. A short page proves nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NoReturn

from exporter.clock import now
from exporter.config import VendorSettings
from exporter.destinations.http import Http, shown_address
from exporter.errors import Misconfigured, Unreachable
from exporter.model import SECOND
from exporter.vendor.adapters import Adapter
from exporter.vendor.pullers.answers import ask, read_json
from exporter.vendor.pullers.base import Traits
from exporter.vendor.pullers.seen import fingerprint
from exporter.vendor.pullers.windows import Pace, Page, Window, WindowPuller

TRAITS = Traits(
    delay_seconds=10.0,
    reread_seconds=900.0,
    includes_cached=None,  # the rows of Claude channels leave cached tokens out and say so
    has_cost=True,
)
"""A row is written at the end of its request under that time, so only a slow database makes it late."""

_KEY_HINT = "set key to an administrator's access token, and user_id to that user's id (new-api)"
_SETTLE_SECONDS = 2.0
_PAGE_SIZE = 100
_TOO_MANY_ROWS = 5_000
_CONSUMED, _FAILED = "2", "5"
_DAY = 86_400


def puller(settings: VendorSettings, adapter: Adapter) -> WindowPuller:
    """The puller of one new-api or one-api. Raises Misconfigured for a key that HTTP cannot carry."""
    log = RequestLog(settings.url, settings.key.get_secret_value(), settings.user_id, settings.timeout)
    pace = Pace(settings.poll_interval, settings.start, _SETTLE_SECONDS)
    return WindowPuller(settings.name, TRAITS, pace, log, adapter)


@dataclass(frozen=True, slots=True)
class _Answer:
    """Rows with the page number that the server counted, None for a server that says neither that nor a total."""

    rows: list[Any]
    total: int | None = None
    page: int | None = None
    page_size: int | None = None

    @property
    def is_last(self) -> bool:
        """Page numbers from 1 are assumed for the total: counted from 0 it reads one page more, never one less."""
        if not self.rows:
            return True
        if self.total is None or self.page is None or not self.page_size:
            return False
        return self.page >= 1 and self.page * self.page_size >= self.total


class RequestLog:
    """The log of one server. A cursor is `row type:page`, with the checksum of the page before behind it."""

    row_id = "id"

    def __init__(self, url: str, key: str, user_id: str, timeout_seconds: float) -> None:
        self._url = url.rstrip("/")
        headers = {"Authorization": key} | ({"New-Api-User": user_id} if user_id else {})
        self._http = Http(headers, timeout_seconds)
        self._has_answered = False

    @property
    def pause_seconds(self) -> float:
        """It is cheap to ask."""
        return 0.0

    def page(self, window: Window, cursor: str | None) -> Page:
        """One page of a window: first of requests, then of failures where the server logs them apart."""
        kind, number, before = _read_cursor(cursor)
        answer = self._ask(window, kind, number)
        is_too_much = kind == _CONSUMED and number == 0 and (answer.total or 0) > _TOO_MANY_ROWS
        checksum = fingerprint(answer.rows) or ""
        if number > 1 and answer.rows and checksum and checksum == before:
            raise Unreachable(
                f"{shown_address(self._url)} gives the same page of its log again and again",
                "check that url is a new-api or a one-api; other forks page in other ways",
            )
        if not answer.is_last:
            return Page(tuple(answer.rows), f"{kind}:{number + 1}:{checksum}", is_too_much=is_too_much)
        if kind == _FAILED or answer.total is None:
            return Page(tuple(answer.rows))
        return Page(tuple(answer.rows), f"{_FAILED}:0:")

    def check(self) -> str:
        """Whether the token may read the log, and what is in the last day of it."""
        until = now() // SECOND
        answer = self._ask(Window(until - _DAY, until), _CONSUMED, 0)
        seen = f"{answer.total if answer.total is not None else len(answer.rows)}"
        more = " or more" if answer.total is None and answer.rows else ""
        return f"request log at {shown_address(self._url)}: {seen}{more} requests of the last day"

    def close(self) -> None:
        """Nothing is held between requests but an idle connection."""

    def _ask(self, window: Window, kind: str, number: int) -> _Answer:
        params = {
            "p": str(number),
            "page_size": str(_PAGE_SIZE),
            "type": kind,
            "start_timestamp": str(window.since),
            "end_timestamp": str(window.until),
        }
        reply = ask(self._http, f"{self._url}/api/log/", params, _KEY_HINT)
        if reply.status == 404:
            raise Misconfigured(
                [f"{shown_address(self._url)} has no /api/log/ (HTTP 404)"],
                "set url to the base address of new-api or one-api, without /v1",
            )
        answer = self._answer(read_json(reply, self._url))
        self._has_answered = True
        return answer

    def _answer(self, body: object) -> _Answer:
        where = shown_address(self._url)
        if not isinstance(body, dict):
            raise Unreachable(f"{where} gave a log in an unknown form")
        if body.get("success") is not True:
            self._refuse(where)
        data = body.get("data")
        if data is None:
            return _Answer([])
        if isinstance(data, list):
            return _Answer(data)
        if isinstance(data, dict) and isinstance(data.get("items") or [], list):
            numbers = [_whole(data.get(name)) for name in ("total", "page", "page_size")]
            return _Answer(data.get("items") or [], numbers[0] or 0, numbers[1], numbers[2])
        raise Unreachable(f"{where} gave a log in an unknown form")

    def _refuse(self, where: str) -> NoReturn:
        """Both say HTTP 200 and `success: false` for a wrong token as for a database that fails."""
        if self._has_answered:
            raise Unreachable(f"{where} could not give its log", "it is tried again by itself")
        raise Misconfigured([f"{where} refused to give its log"], _KEY_HINT)


def _read_cursor(cursor: str | None) -> tuple[str, int, str]:
    kind, number, checksum = (cursor or f"{_CONSUMED}:0:").split(":")
    return kind, int(number), checksum


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
