"""One Dify app through its Service API: what it is, and one question asked.

The key travels in a header only. Answers are read for ids and dropped; nothing that the app or the model wrote gets into an
error. No title is asked for, because that would be a model call more.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import orjson
import requests

from exporter.config import masked_url
from exporter.errors import ExporterError, Misconfigured, SourceRefused, Unreachable
from exporter.outgoing import failure, headers_alone

USER = "dify-exporter-calibrate"
_CONNECT_SECONDS = 5.0
_PATHS = {
    "chat": "/chat-messages", "agent-chat": "/chat-messages", "advanced-chat": "/chat-messages",
    "completion": "/completion-messages", "workflow": "/workflows/run",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class AppInfo:
    """What the app says of itself."""

    name: str
    mode: str


@dataclass(frozen=True, slots=True)
class Asked:
    """One question that was asked: the id under which Dify keeps it, and why its answer did not come whole. What broke off after
    its id had come was asked all the same, and the vendor bills it."""

    record_id: str
    failure: str | None = None


class ServiceApp:
    """One app by its key. `input_name` is the variable that takes the prompt where the app has a form instead of a chat."""

    def __init__(self, url: str, key: str, timeout_seconds: float, input_name: str | None = None) -> None:
        base = url.rstrip("/")
        self._base = base if base.endswith("/v1") else f"{base}/v1"
        self._place = masked_url(self._base)
        self._session = requests.Session()
        self._session.headers["Authorization"] = f"Bearer {key}"
        self._timeout = (_CONNECT_SECONDS, timeout_seconds)
        self._input_name = input_name

    def info(self) -> AppInfo:
        """Its name and mode. Raises Unreachable, SourceRefused or Misconfigured."""
        answer = self._json("/info")
        mode = answer.get("mode")
        if mode not in _PATHS:
            raise SourceRefused(
                f"the app at {self._place} has the mode {mode!r}, which cannot be asked a question",
                "use a chat, agent, chatflow, completion or workflow app of Dify 1.0 or newer",
            )
        return AppInfo(str(answer.get("name") or ""), mode)

    def ask(self, mode: str, text: str) -> Asked:
        """Ask once and wait for the end of the answer. Raises Unreachable or SourceRefused when there is no record of it."""
        body: dict[str, Any] = {"inputs": {}, "user": USER, "response_mode": "streaming"}
        if mode == "workflow" or (mode == "completion" and self._input_name):
            body["inputs"] = {self._needed_input(): text}
        elif mode == "completion":
            body["inputs"] = {"query": text}
        else:
            body |= {"query": text, "auto_generate_name": False}
        record_id, failure = None, None
        try:
            for event in self._events(_PATHS[mode], body):
                record_id = record_id or _record_id(event, mode)
                if event.get("event") == "error":
                    failure = f"Dify answered {event.get('status')} {event.get('code')}"
        except Unreachable as error:
            if record_id is None:
                raise
            failure = str(error)
        if record_id is None:
            raise SourceRefused(
                f"{self._place}{_PATHS[mode]}: {failure or 'no message id in the answer'}", _HINT
            )
        return Asked(record_id, failure)

    def _needed_input(self) -> str:
        if not self._input_name:
            raise Misconfigured(
                ["--input is needed: the name of the variable of this app that takes the prompt"]
            )
        return self._input_name

    def _json(self, path: str) -> dict[str, Any]:
        with self._request("GET", path, None) as response:
            try:
                found = orjson.loads(response.content)
            except orjson.JSONDecodeError:
                found = None
            except requests.RequestException as error:
                raise self._broken_off(path, error) from None
        if not isinstance(found, dict):
            raise SourceRefused(
                f"{self._place}{path} is not Dify's Service API", "name it as https://host/v1"
            )
        return found

    def _events(self, path: str, body: dict[str, Any]) -> Iterator[dict[str, Any]]:
        with self._request("POST", path, body) as response:
            try:
                for line in response.iter_lines():
                    if line.startswith(b"data:"):
                        yield _event(line[5:])
            except requests.RequestException as error:
                raise self._broken_off(path, error) from None

    def _broken_off(self, path: str, error: requests.RequestException) -> Unreachable:
        return Unreachable(f"{self._place}{path}: the answer broke off: {failure(error)}")

    def _request(self, method: str, path: str, body: dict[str, Any] | None) -> requests.Response:
        place = self._place + path
        try:
            response = self._session.request(
                method,
                self._base + path,
                json=body,
                timeout=self._timeout,
                stream=True,
                allow_redirects=False,
                auth=headers_alone,
            )
        except requests.RequestException as error:
            raise Unreachable(f"{place} does not answer: {failure(error)}", "check --url") from None
        if response.status_code != 200:
            response.close()
            raise _refused(place, response.status_code)
        return response


_HINT = "look at the app's log in Dify"


def _refused(place: str, status: int) -> ExporterError:
    if status in (401, 403):
        return SourceRefused(
            f"{place}: {status}, the app's key is not accepted", "use the key of this app (app-…)"
        )
    if status == 429 or status >= 500:
        return Unreachable(f"{place}: {status}", "try again later, or with a longer --every")
    hint = "name it as https://host/v1" if status == 404 else _HINT
    return SourceRefused(f"{place}: {status}", hint)


def _event(data: bytes) -> dict[str, Any]:
    try:
        found = orjson.loads(data)
    except orjson.JSONDecodeError:
        return {}
    return found if isinstance(found, dict) else {}


def _record_id(event: dict[str, Any], mode: str) -> str | None:
    found = event.get("workflow_run_id" if mode == "workflow" else "message_id")
    return found if isinstance(found, str) and found else None
