"""One request to Dify over HTTP: JSON comes back, or a named failure.

No redirect is followed, no answer is read beyond its cap, and nothing that the other side wrote gets into an error
except Dify's own short error code. The version and the server's clock are read from the headers of every answer.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any

import requests

from exporter.destinations.answers import retry_after
from exporter.errors import ExporterError, Unreachable
from exporter.outgoing import failure, headers_alone

LARGEST_ANSWER_BYTES = 64 * 2**20
_CHUNK_BYTES = 256 * 2**10
_CONNECT_SECONDS = 10.0
_CODE = re.compile(r"^[a-z0-9_]{1,60}$")

_NOT_DIFY = "a proxy or a login page in front of Dify answers; ask Dify's API directly"

Query = Mapping[str, str | int]


class Denied(ExporterError):
    """An answer came, but not what was asked for. `code` is Dify's own name for it, where Dify answered; `after_seconds` is how
    long it told us to wait."""

    def __init__(
        self,
        message: str,
        status: int,
        code: str | None = None,
        hint: str | None = None,
        after_seconds: float | None = None,
    ) -> None:
        super().__init__(message, hint)
        self.status = status
        self.code = code
        self.after_seconds = after_seconds

    @property
    def is_gone(self) -> bool:
        """Whether Dify itself said that there is no such thing; a proxy's 404 says nothing."""
        return self.status == 404 and self.code is not None


@dataclass(frozen=True, slots=True)
class Answer:
    """A JSON answer with status 2xx."""

    body: Any
    cookies: Mapping[str, str]
    seconds: float


@dataclass(slots=True)
class Asker:
    """A keep-alive connection to one Dify. `version` and `ahead_seconds` (its clock against ours) come with answers."""

    url: str
    timeout_seconds: float
    version: str = ""
    ahead_seconds: float = 0.0
    requests_made: int = 0
    _session: requests.Session = field(default_factory=requests.Session)

    def ask(
        self,
        method: str,
        path: str,
        query: Query | None = None,
        headers: Mapping[str, str] | None = None,
        body: Any = None,
    ) -> Answer:
        """Send and read. Raises `Unreachable` when no answer came, `Denied` when it was not the wanted one."""
        started = time.monotonic()
        self.requests_made += 1
        try:
            with self._session.request(
                method,
                self.url + path,
                params=dict(query or {}),
                json=body,
                headers={"Accept": "application/json", **(headers or {})},
                timeout=(min(_CONNECT_SECONDS, self.timeout_seconds), self.timeout_seconds),
                allow_redirects=False,
                stream=True,
                auth=headers_alone,
            ) as response:
                self._note(response)
                content = _read(response, started + self.timeout_seconds)
                cookies = response.cookies.get_dict()
                self._session.cookies.clear()
        except (requests.RequestException, UnicodeError) as error:
            raise Unreachable(f"Dify at {self.url} did not answer: {failure(error)}") from error
        return Answer(_parsed(response, content), cookies, time.monotonic() - started)

    def now(self) -> float:
        """Dify's clock, in seconds since the epoch."""
        return time.time() + self.ahead_seconds

    def close(self) -> None:
        """Close the connection."""
        self._session.close()

    def _note(self, response: requests.Response) -> None:
        self.version = response.headers.get("X-Version", "").strip() or self.version
        said = _date(response.headers.get("Date", ""))
        if said is not None and abs(said.timestamp() - time.time() - self.ahead_seconds) > 1.5:
            self.ahead_seconds = said.timestamp() - time.time()


def listed(answer: Any, name: str = "data") -> list[Any]:
    """The list of that name in an answer. Raises `Denied` where there is none: it is no answer of Dify's, and not an empty list."""
    found = answer.get(name) if isinstance(answer, dict) else None
    if not isinstance(found, list):
        raise Denied("an answer without its list", 502, hint=_NOT_DIFY)
    return found


def record(answer: Any, record_id: str) -> dict[str, Any] | None:
    """The record asked for, or None where Dify answered that it is not there, by nulls. Raises `Denied` for any other answer."""
    if isinstance(answer, dict) and "id" in answer and answer["id"] in (record_id, None):
        return answer if answer["id"] == record_id else None
    raise Denied("an answer without the record that was asked for", 502, hint=_NOT_DIFY)


def _date(text: str) -> datetime | None:
    try:
        return parsedate_to_datetime(text)
    except (TypeError, ValueError):
        return None


def _read(response: requests.Response, deadline: float) -> bytes:
    content = bytearray()
    for chunk in response.iter_content(_CHUNK_BYTES):
        content += chunk
        if len(content) > LARGEST_ANSWER_BYTES:
            raise Denied(f"an answer is larger than {LARGEST_ANSWER_BYTES} bytes", response.status_code)
        if time.monotonic() > deadline:
            raise requests.exceptions.ReadTimeout
    return bytes(content)


def _parsed(response: requests.Response, content: bytes) -> Any:
    status, is_json = response.status_code, "json" in response.headers.get("Content-Type", "").lower()
    try:
        body = json.loads(content) if is_json else None
    except (ValueError, RecursionError):
        raise Denied("half an answer: its JSON breaks off", status if status >= 300 else 502) from None
    if not is_json:
        what = "HTML" if "html" in response.headers.get("Content-Type", "").lower() else "something"
        raise Denied(
            f"HTTP {status} with {what} that is not JSON", status if status >= 300 else 502, None, _NOT_DIFY
        )
    if 200 <= status < 300:
        return body
    code = body.get("code") if isinstance(body, dict) else None
    known = code if isinstance(code, str) and _CODE.match(code) else None
    raise Denied(
        f"HTTP {status}" + (f" {known}" if known else ""),
        status,
        known,
        after_seconds=retry_after(response.headers),
    )
