"""The one seam to destinations: a request goes out, a reply or a named failure comes back.

No redirects are followed, no retries are made, no reply is read beyond its cap, and nothing the other side wrote gets
into a reason: a server's complaint may quote the prompt it complains about.
"""

from __future__ import annotations

import gzip
import time
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

import requests

from exporter.errors import Misconfigured, Unreachable
from exporter.outgoing import failure, headers_alone

PROTOBUF = "application/x-protobuf"
JSON = "application/json"

_CONNECT_SECONDS = 5.0
_GZIP_LEVEL = 1  # spans repeat themselves: levels above cost three times as much for a few percent
_SMALL_BYTES = 1024
_REPLY_CAP_BYTES = 4 * 2**20  # what the OTLP specification tells clients to read at most
_PAGE_CAP_BYTES = 64 * 2**20
_CHUNK_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back. Header names are lower case; the body is cut at the cap."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def content_type(self) -> str:
        """The media type without parameters, lower case; empty when not said."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()


class Http:
    """One keep-alive session to one destination, with its headers. Used by one thread at a time."""

    def __init__(self, headers: Mapping[str, str], timeout_seconds: float) -> None:
        self._headers = {name.strip(): header_value(name, value) for name, value in headers.items()}
        self._timeout = (min(_CONNECT_SECONDS, timeout_seconds), timeout_seconds)
        self._session = requests.Session()

    def post(self, url: str, body: bytes, content_type: str) -> Reply:
        """Send a body, compressed when that pays. Raises Unreachable, or Misconfigured for an impossible address."""
        headers = {"Content-Type": content_type}
        if len(body) > _SMALL_BYTES:
            body = gzip.compress(body, _GZIP_LEVEL, mtime=0)
            headers["Content-Encoding"] = "gzip"
        return self._request("POST", url, None, body, headers, _REPLY_CAP_BYTES)

    def query(self, url: str, body: bytes) -> Reply:
        """Ask with a JSON body. Raises as `post`."""
        return self._request("POST", url, None, body, {"Content-Type": JSON}, _PAGE_CAP_BYTES)

    def get(self, url: str, params: Mapping[str, str] | None = None) -> Reply:
        """Read something. Raises as `post`."""
        return self._request("GET", url, params, None, {}, _PAGE_CAP_BYTES)

    def patch(self, url: str, body: bytes) -> Reply:
        """Change something by a JSON body. Raises as `post`."""
        return self._request("PATCH", url, None, body, {"Content-Type": JSON}, _REPLY_CAP_BYTES)

    def delete(self, url: str) -> Reply:
        """Take something away. Raises as `post`."""
        return self._request("DELETE", url, None, None, {}, _REPLY_CAP_BYTES)

    def _request(
        self,
        method: str,
        url: str,
        params: Mapping[str, str] | None,
        body: bytes | None,
        headers: Mapping[str, str],
        cap_bytes: int,
    ) -> Reply:
        deadline = time.monotonic() + sum(self._timeout)
        try:
            with self._session.request(
                method,
                url,
                params=params,
                data=body,
                headers={**self._headers, **headers},
                timeout=self._timeout,
                allow_redirects=False,
                stream=True,
                auth=headers_alone,
            ) as response:
                lower = {name.lower(): value for name, value in response.headers.items()}
                return Reply(response.status_code, lower, _read(response, cap_bytes, deadline))
        except (requests.exceptions.InvalidURL, requests.exceptions.InvalidSchema) as error:
            raise Misconfigured([f"{method} to {shown_address(url)}: the address cannot work"]) from error
        except requests.RequestException as error:
            raise Unreachable(f"{method} to {shown_address(url)} failed: {failure(error)}") from error


def _read(response: requests.Response, cap_bytes: int, deadline: float) -> bytes:
    body = bytearray()
    for chunk in response.iter_content(_CHUNK_BYTES):
        body += chunk
        if len(body) >= cap_bytes:
            return bytes(body[:cap_bytes])
        if time.monotonic() > deadline:
            raise requests.exceptions.ReadTimeout("the answer did not end in time")
    return bytes(body)


def header_value(name: str, value: str) -> str:
    """The value without spaces around it. Raises Misconfigured for what no header can spell."""
    value = value.strip()
    if not value.isprintable() or not value.isascii():
        raise Misconfigured([f"header {name.strip()}: its value has characters that HTTP does not allow"])
    return value


def shown_address(url: str) -> str:
    """An address fit for people: scheme, host and port; no user, password, path or query."""
    try:
        parts = urlsplit(url)
        return f"{parts.scheme}://{parts.hostname}" + (f":{parts.port}" if parts.port else "")
    except ValueError:
        return "(unreadable address)"
