"""What every outgoing HTTP request shares: our own headers stay, and a failure is told without anything secret."""

from __future__ import annotations

import requests


def headers_alone(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """To be given as `auth`: keeps requests from replacing our Authorization header with an entry of ~/.netrc."""
    return request


def failure(error: Exception) -> str:
    """The kind of failure in words. The library's own text is left out: it may hold the whole address."""
    if isinstance(error, requests.exceptions.ConnectTimeout):
        return "no connection in time"
    if isinstance(error, requests.exceptions.Timeout):
        return "no answer in time"
    if isinstance(error, requests.exceptions.SSLError):
        return "TLS failed (certificate or protocol)"
    if isinstance(error, requests.exceptions.ProxyError):
        return "the proxy failed"
    text = str(error).lower()
    if "refused" in text:
        return "connection refused"
    if "resolve" in text or "resolution" in text:
        return "the host name cannot be resolved"
    return "the connection broke"
