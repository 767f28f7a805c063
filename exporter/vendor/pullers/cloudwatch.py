"""Bedrock's model invocation log in CloudWatch Logs: FilterLogEvents over windows of time.

Facts (CloudWatch Logs API reference): times are milliseconds, both ends included; a page may be empty and still have a
nextToken; a token lives 24 hours, and an old one is refused as InvalidParameterException.
"""

from __future__ import annotations

from typing import Any

from exporter.clock import now
from exporter.config import VendorSettings
from exporter.model import SECOND
from exporter.vendor.adapters import Adapter
from exporter.vendor.pullers.aws import asking, client, error_code
from exporter.vendor.pullers.base import Refused, Traits
from exporter.vendor.pullers.rows import loads
from exporter.vendor.pullers.windows import Pace, Page, Window, WindowPuller

TRAITS = Traits(delay_seconds=300.0, reread_seconds=3_600.0, includes_cached=False, has_texts=True)
"""Bedrock delivers within minutes and counts cached tokens apart from its input."""

_SETTLE_SECONDS = 5.0
_PAGE_EVENTS = 1_000
_DAY = 86_400


def puller(settings: VendorSettings, adapter: Adapter) -> WindowPuller:
    """The puller of one log group."""
    pace = Pace(settings.poll_interval, settings.start, _SETTLE_SECONDS)
    return WindowPuller(settings.name, TRAITS, pace, InvocationEvents(settings), adapter)


class InvocationEvents:
    """The events of one log group. A cursor is CloudWatch's own token."""

    row_id = "requestId"

    def __init__(self, settings: VendorSettings) -> None:
        self._settings = settings
        self._what = f"CloudWatch log group {settings.log_group}"
        self._client: Any = None

    @property
    def pause_seconds(self) -> float:
        """It is cheap to ask."""
        return 0.0

    def page(self, window: Window, cursor: str | None) -> Page:
        """One page of a window; the window's first page again when the token has grown too old."""
        if self._client is None:
            self._client = client("logs", self._settings)
        with asking(self._what):
            try:
                answer = self._events(window, cursor)
            except self._client.exceptions.ClientError as error:
                if cursor is None or error_code(error) != "InvalidParameterException":
                    raise
                answer = self._events(window, None)
        rows: list[object] = []
        refused: list[Refused] = []
        for event in answer.get("events", ()):
            try:
                rows.append(loads(str(event.get("message", "")).encode("utf-8", "surrogatepass")))
            except ValueError:
                refused.append(Refused(f"event {event.get('eventId', '')}", "not valid JSON"))
        return Page(tuple(rows), answer.get("nextToken"), tuple(refused))

    def check(self) -> str:
        """Whether the group may be read, and what the first page of its last day holds."""
        until = now() // SECOND
        page = self.page(Window(until - _DAY, until), None)
        return f"{self._what}: {len(page.rows)}{' or more' if page.next else ''} requests of the last day"

    def close(self) -> None:
        """Give back connections."""
        if self._client is not None:
            self._client.close()

    def _events(self, window: Window, token: str | None) -> dict[str, Any]:
        wanted = {
            "logGroupName": self._settings.log_group,
            "startTime": window.since * 1_000,
            "endTime": window.until * 1_000 + 999,
            "limit": _PAGE_EVENTS,
        }
        answer: dict[str, Any] = self._client.filter_log_events(
            **wanted, **({"nextToken": token} if token else {})
        )
        return answer
