"""A twin of the two places that Bedrock's invocation logs stand in: an S3 bucket and a CloudWatch log group.

Kept rules: signed requests of a known access key; ListObjectsV2 in the order of names with prefix, start-after,
delimiter, max-keys and continuation; GetObject; FilterLogEvents with both ends included, a limit, pages that may be
empty, and tokens that grow old. Speaks the wire forms of both services (XML and JSON 1.1), enough for boto3.
"""

from __future__ import annotations

import gzip
import json
import re
import threading
from collections.abc import Callable
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

ACCESS_KEY = "AKIATWINTWINTWINTWIN"
BUCKET, GROUP, REGION, ACCOUNT = "dify-bedrock-logs", "/bedrock/invocations", "us-east-1", "123456789012"
LOG = "BedrockModelInvocationLogs"
CREDENTIAL = re.compile(r"AWS4-HMAC-SHA256 Credential=([^/]+)/\d{8}/([^/]+)/([^/]+)/aws4_request")
Answer = tuple[int, bytes, str]


def invocation(record: dict[str, Any]) -> dict[str, Any]:
    """The invocation log entry of a recorded request (a canonical record)."""
    usage = record.get("usage") or {}
    return {
        "schemaType": "ModelInvocationLog",
        "schemaVersion": "1.0",
        "timestamp": datetime.fromisoformat(record["started_at"]).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "accountId": ACCOUNT,
        "identity": {"arn": f"arn:aws:sts::{ACCOUNT}:assumed-role/dify/x"},
        "region": REGION,
        "requestId": record["id"],
        "operation": "ConverseStream",
        "modelId": record["model"],
        "input": {
            "inputContentType": "application/json",
            "inputBodyJson": record.get("request", {}),
            "inputTokenCount": usage.get("prompt_tokens", usage.get("input_tokens", 0)),
            "cacheReadInputTokenCount": usage.get("cache_read_input_tokens", 0),
            "cacheWriteInputTokenCount": usage.get("cache_creation_input_tokens", 0),
        },
        "output": {
            "outputContentType": "application/json",
            "outputTokenCount": usage.get("completion_tokens", usage.get("output_tokens", 0)),
        },
    }


def object_key(moment: datetime, name: str, account: str = ACCOUNT) -> str:
    """Where Bedrock puts a batch of entries."""
    return f"AWSLogs/{account}/{LOG}/{REGION}/{moment:%Y/%m/%d/%H}/{moment:%Y%m%dT%H%M%S}000Z_{name}.json.gz"


def batch(entries: list[dict[str, Any]]) -> bytes:
    """A batch as Bedrock writes it."""
    return gzip.compress("".join(json.dumps(entry) + "\n" for entry in entries).encode(), mtime=0)


class AwsTwin:
    """Objects by name, and events `(timestamp ms, id, message)` of the log group."""

    def __init__(self, *, max_keys: int = 1000, page_events: int = 10_000, empty_pages: bool = False) -> None:
        self.objects: dict[str, bytes] = {}
        self.events: list[tuple[int, str, str]] = []
        self.max_keys, self.page_events, self.empty_pages = max_keys, page_events, empty_pages
        self.tokens: dict[str, int] = {}
        self.reads: list[str] = []
        self.failures = 0
        self.slow_down = 0
        self.after_answer: Callable[[], None] = lambda: None
        self.lock = threading.RLock()
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

    def put(self, moment: datetime, name: str, entries: list[dict[str, Any]]) -> str:
        """Write a batch, and one large body beside it that nobody has to fetch."""
        key = object_key(moment, name)
        self.objects[key] = batch(entries)
        folder = key.rpartition("/")[0]
        self.objects[f"{folder}/data/{name}_input.json.gz"] = b"large body"
        return key

    def tell(self, entry: dict[str, Any]) -> None:
        """Write an entry to the log group."""
        moment = datetime.fromisoformat(entry["timestamp"])
        self.events.append((int(moment.timestamp() * 1000), f"e{len(self.events)}", json.dumps(entry)))

    def answer(self, method: str, target: str, headers: dict[str, str], body: bytes) -> Answer:
        """One signed request."""
        with self.lock:
            parts = urlsplit(target)
            is_logs = headers.get("x-amz-target", "").endswith(".FilterLogEvents")
            refuse = _json_error if is_logs else _xml_error
            credential = CREDENTIAL.match(headers.get("authorization", ""))
            if credential is None or credential[1] != ACCESS_KEY:
                return refuse(403, "UnrecognizedClientException" if is_logs else "InvalidAccessKeyId")
            if (credential[2], credential[3]) != (REGION, "logs" if is_logs else "s3"):
                return refuse(403, "SignatureDoesNotMatch")
            if self.failures:
                self.failures -= 1
                return refuse(500, "InternalFailure" if is_logs else "InternalError")
            if self.slow_down:
                self.slow_down -= 1
                return refuse(503, "ThrottlingException" if is_logs else "SlowDown")
            found = self._filter(json.loads(body)) if is_logs else self._s3(method, parts.path, parts.query)
            self.after_answer()
            return found

    def _s3(self, method: str, path: str, query: str) -> Answer:
        bucket, _, key = unquote(path).lstrip("/").partition("/")
        if bucket != BUCKET:
            return _xml_error(404, "NoSuchBucket")
        if method != "GET":
            return _xml_error(405, "MethodNotAllowed")
        if not key:
            return self._list({name: values[0] for name, values in parse_qs(query).items()})
        self.reads.append(key)
        if key not in self.objects:
            return _xml_error(404, "NoSuchKey")
        return 200, self.objects[key], "binary/octet-stream"

    def _list(self, query: dict[str, str]) -> Answer:
        prefix, delimiter = query.get("prefix", ""), query.get("delimiter")
        after = query.get("continuation-token") or query.get("start-after", "")
        names = sorted(key for key in self.objects if key.startswith(prefix) and key > after)
        folders: list[str] = []
        if delimiter:
            folders = sorted(
                {prefix + key[len(prefix) :].partition(delimiter)[0] + delimiter for key in names}
            )
            names = []
        page = names[: min(self.max_keys, int(query.get("max-keys", 1000)))]
        contents = "".join(
            f"<Contents><Key>{escape(key)}</Key><Size>{len(self.objects[key])}</Size></Contents>"
            for key in page
        )
        common = "".join(
            f"<CommonPrefixes><Prefix>{escape(name)}</Prefix></CommonPrefixes>" for name in folders
        )
        more = (
            f"<NextContinuationToken>{escape(page[-1])}</NextContinuationToken>"
            if len(page) < len(names)
            else ""
        )
        body = (
            '<?xml version="1.0" encoding="UTF-8"?>'
            '<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
            f"<Name>{BUCKET}</Name><KeyCount>{len(page)}</KeyCount>"
            f"<IsTruncated>{'true' if more else 'false'}</IsTruncated>{more}{contents}{common}</ListBucketResult>"
        )
        return 200, body.encode(), "application/xml"

    def _filter(self, wanted: dict[str, Any]) -> Answer:
        if wanted.get("logGroupName") != GROUP:
            return _json_error(400, "ResourceNotFoundException")
        limit = wanted.get("limit", 10_000)
        if not 1 <= limit <= 10_000 or wanted["startTime"] > wanted["endTime"]:
            return _json_error(400, "InvalidParameterException")
        first = 0
        if "nextToken" in wanted:
            if wanted["nextToken"] not in self.tokens:
                return _json_error(400, "InvalidParameterException")
            first = self.tokens[wanted["nextToken"]]
        events = sorted(
            event for event in self.events if wanted["startTime"] <= event[0] <= wanted["endTime"]
        )
        size = 0 if self.empty_pages and "nextToken" not in wanted else min(limit, self.page_events)
        page, left = events[first : first + size], len(events) - first - size
        body: dict[str, Any] = {
            "events": [{"timestamp": at, "eventId": name, "message": text} for at, name, text in page],
            "searchedLogStreams": [],
        }
        if left > 0:
            body["nextToken"] = f"token-{len(self.tokens)}"
            self.tokens[body["nextToken"]] = first + size
        return 200, json.dumps(body).encode(), "application/x-amz-json-1.1"


def _xml_error(status: int, code: str) -> Answer:
    body = (
        f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>the prompt said hunter2</Message></Error>"
    )
    return status, body.encode(), "application/xml"


def _json_error(status: int, code: str) -> Answer:
    body = {"__type": code, "message": "the prompt said hunter2"}
    return status, json.dumps(body).encode(), "application/x-amz-json-1.1"


def _handler(twin: AwsTwin) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            self._serve()

        def do_POST(self) -> None:
            self._serve()

        def _serve(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            status, payload, kind = twin.answer(self.command, self.path, headers, body)
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(payload)))
            self.end_headers()
            self.wfile.write(payload)

        def log_message(self, *_: Any) -> None:
            """Tests read answers, not access logs."""

    return Handler
