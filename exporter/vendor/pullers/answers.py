"""What a source's HTTP answer means: go on, wait, or mend the settings. Used by every source that is asked over HTTP.

Nothing that the other side wrote gets into a message: a log may quote prompts. Only `Retry-After` is repeated, and only
when it is a number.
"""

from __future__ import annotations

from collections.abc import Mapping

from exporter.destinations.http import Http, Reply, shown_address
from exporter.errors import Misconfigured, Unreachable
from exporter.vendor.pullers.rows import loads

MOST_BYTES = 64 * 2**20
"""Where the HTTP seam cuts an answer."""


def ask(http: Http, url: str, params: Mapping[str, str], key_hint: str) -> Reply:
    """GET. Returns answers that the source's own rules decide on (200, 404, 422, …).

    Raises Misconfigured for a refused key (`key_hint` says which key it must be) or a redirect, Unreachable for 429, 5xx
    and failed connections.
    """
    reply = http.get(url, params)
    where, status = shown_address(url), reply.status
    if status in (401, 403):
        raise Misconfigured([f"{where} refused the key (HTTP {status})"], key_hint)
    if 300 <= status < 400:
        raise Misconfigured(
            [f"{where} answered with a redirect (HTTP {status}), which is not followed with a key"],
            "set url to the address that it redirects to",
        )
    if status == 429:
        raise Unreachable(f"{where} asks to wait{_wait(reply)} (HTTP 429)", "it is tried again by itself")
    if status >= 500 or status == 408:
        raise Unreachable(
            f"{where} failed (HTTP {status})", "it is tried again by itself; look at its own log"
        )
    return reply


def read_json(reply: Reply, url: str) -> object:
    """The JSON of a 200. Raises Unreachable, naming the address."""
    if reply.status != 200:
        raise Unreachable(
            f"{shown_address(url)} gave an unexpected answer (HTTP {reply.status})",
            "check that url is the base address, and the version of what runs there",
        )
    try:
        return loads(reply.body)
    except ValueError:
        raise Unreachable(
            f"{shown_address(url)} gave an answer that is not JSON",
            "check that url is the address of its API and not of a page or a login",
        ) from None


def is_cut(reply: Reply) -> bool:
    """Whether the answer was longer than is ever read."""
    return len(reply.body) >= MOST_BYTES


def _wait(reply: Reply) -> str:
    seconds = reply.headers.get("retry-after", "").strip()
    return f" {seconds} s" if seconds.isdecimal() and len(seconds) < 8 else ""
