"""A twin of an S3-compatible store: GetObject of one bucket, with every signature recomputed by botocore's own rules.

Kept rules (AWS's API reference): SignatureDoesNotMatch, InvalidAccessKeyId, NoSuchBucket, NoSuchKey; an unknown key is
AccessDenied to who may not list.
"""

from __future__ import annotations

import re
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import unquote, urlsplit

from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

ACCESS_KEY, SECRET_KEY, REGION, BUCKET = "AKIASTORETWIN", "the-secret-of-the-twin", "eu-central-1", "difyai"
_AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 Credential=([^/]+)/\d{8}/([^/]+)/s3/aws4_request, SignedHeaders=([^,]+), Signature=([0-9a-f]{64})"
)


class S3Twin:
    """Objects by key. `fail_with` answers every request with that status and code; `cut` breaks bodies off half way."""

    def __init__(self, objects: dict[str, bytes]) -> None:
        self.objects = objects
        self.asked: list[str] = []
        self.may_list = True
        self.fail_with: tuple[int, str] | None = None
        self.cut = False
        self.delay_seconds = 0.0
        self._server: ThreadingHTTPServer | None = None

    @property
    def url(self) -> str:
        """The address."""
        assert self._server is not None
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        ).start()
        return self

    def __exit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.shutdown()
        self._server.server_close()

    def answer(self, method: str, url: str, headers: dict[str, str]) -> tuple[int, bytes]:
        """One request."""
        refusal = _refusal(method, url, headers)
        if refusal is not None:
            return 403, _error(refusal)
        if self.fail_with is not None:
            return self.fail_with[0], _error(self.fail_with[1])
        bucket, _, key = unquote(urlsplit(url).path).lstrip("/").partition("/")
        self.asked.append(key)
        if bucket != BUCKET:
            return 404, _error("NoSuchBucket")
        if key not in self.objects:
            return (404, _error("NoSuchKey")) if self.may_list else (403, _error("AccessDenied"))
        return 200, self.objects[key]


def _refusal(method: str, url: str, headers: dict[str, str]) -> str | None:
    """The code that a wrong signature gets, or None for a right one."""
    found = _AUTHORIZATION.match(headers.get("authorization", ""))
    if found is None:
        return "AccessDenied"
    access_key, region, signed, signature = found.groups()
    if access_key != ACCESS_KEY:
        return "InvalidAccessKeyId"
    auth = S3SigV4Auth(Credentials(ACCESS_KEY, SECRET_KEY), "s3", region)
    request = AWSRequest(method, url, headers={name: headers[name] for name in signed.split(";")})
    request.context["timestamp"] = headers["x-amz-date"]
    own = auth.signature(auth.string_to_sign(request, auth.canonical_request(request)), request)
    return None if own == signature and region == REGION else "SignatureDoesNotMatch"


def _error(code: str) -> bytes:
    return f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>said hunter2</Message></Error>".encode()


def _handler(twin: S3Twin) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            time.sleep(twin.delay_seconds)
            headers = {name.lower(): value for name, value in self.headers.items()}
            status, body = twin.answer("GET", f"{twin.url}{self.path}", headers)
            self.send_response(status)
            self.send_header("Content-Type", "application/json" if status == 200 else "application/xml")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if twin.cut and status == 200:
                self.wfile.write(body[: len(body) // 2])
                self.close_connection = True
            else:
                self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Tests read answers, not access logs."""

    return Handler
