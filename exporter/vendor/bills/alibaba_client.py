"""Signed requests to Alibaba Cloud (ACS3-HMAC-SHA256 by Alibaba's own signer), and what its refusals mean."""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC
from importlib import import_module
from typing import Any
from urllib.parse import urlsplit

from exporter.clock import at, now
from exporter.config.bills import BillSettings
from exporter.destinations.http import Http, Reply, shown_address
from exporter.errors import Misconfigured, Unreachable
from exporter.vendor.bills.pages import Answer, unknown_form
from exporter.vendor.pullers.answers import read_json
from exporter.vendor.pullers.rows import loads

_ALGORITHM = "ACS3-HMAC-SHA256"
_DENIED = (
    "InvalidAccessKey", "Signature", "IncompleteSignature", "Forbidden", "NoPermission", "NotAuthorized",
    "InvalidSecurityToken",
)  # fmt: skip
_KEY_HINT = (
    "set key and secret to an AccessKey that may read Model Studio's billing, or the bill"
    " (AliyunBSSReadOnlyAccess)"
)


def client_of(settings: BillSettings) -> Client:
    """Connects to nothing. Raises Misconfigured when the signer is missing."""
    try:
        signer = import_module("alibabacloud_openapi_util.client").Client
        return Client(settings, signer, import_module("Tea.request").TeaRequest)
    except ImportError:
        raise Misconfigured(
            [f"bills {settings.name}: alibaba needs Alibaba's signer, which is not installed"],
            "pip install 'dify-exporter[alibaba]'",
        ) from None


@dataclass(frozen=True, slots=True)
class Client:
    """Signed GET requests to one service or the other."""

    settings: BillSettings
    signer: Any
    request: Any

    def ask(self, base: str, path: str, action: str, version: str, query: Mapping[str, str]) -> Answer:
        """The answer of an action. Raises Misconfigured for refused credentials, Unreachable for the rest."""
        settings = self.settings
        base = (settings.url or base).rstrip("/")
        empty = hashlib.sha256(b"").hexdigest()
        headers = {
            "host": urlsplit(base).netloc,
            "x-acs-action": action,
            "x-acs-version": version,
            "x-acs-date": at(now(), UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "x-acs-signature-nonce": secrets.token_hex(16),
            "x-acs-content-sha256": empty,
        }
        request = self.request()
        request.method, request.pathname, request.query, request.headers = "GET", path, dict(query), headers
        signed = self.signer.get_authorization(
            request, _ALGORITHM, empty, settings.key.get_secret_value(), settings.secret.get_secret_value()
        )
        http = Http({**headers, "accept": "application/json", "Authorization": signed}, settings.timeout)
        url = f"{base}{path}"
        reply = http.get(url, query)
        if reply.status != 200:
            raise _meaning(f"{action} at {shown_address(url)}", reply)
        answer = read_json(reply, url)
        if not isinstance(answer, Mapping):
            raise unknown_form(url)
        return answer


def _meaning(what: str, reply: Reply) -> Misconfigured | Unreachable:
    """By the error's code, which is repeated when it is one."""
    try:
        answer = loads(reply.body)
    except ValueError:
        answer = None
    code = str(answer.get("Code", answer.get("code"))) if isinstance(answer, Mapping) else ""
    code = code if re.fullmatch(r"[A-Za-z][\w.]{0,60}", code) else f"HTTP {reply.status}"
    if code.startswith(_DENIED) or reply.status in (401, 403):
        return Misconfigured([f"{what} refused the credentials ({code})"], _KEY_HINT)
    return Unreachable(f"{what} failed ({code})", "it is tried again by itself")
