"""Volcengine Ark's usage: tokens per hour or day, by endpoint where endpoints are named. No money, no requests.

Facts (Volcengine API reference, Ark 2024-01-01 GetUsage, in beta): Unix seconds; intervals of 3600 or 86400 s; results
PromptTokens and CompletionTokens with values per time. Models are not told apart but by asking for their endpoints. Signed
with Volcengine's HMAC-SHA256 by its own SDK core.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any
from urllib.parse import urlencode, urlsplit

import orjson

from exporter.config.bills import BillSettings
from exporter.destinations.http import JSON, Http, shown_address
from exporter.errors import Misconfigured, Unreachable
from exporter.model import SECOND, Tokens
from exporter.vendor.bills.choices import chosen_reports
from exporter.vendor.bills.days import UTC_8_SECONDS
from exporter.vendor.bills.pages import Answer, Row, Taken, unknown_form
from exporter.vendor.bills.stretches import BucketPuller, Cut, Read, Span
from exporter.vendor.bills.values import DAY_SECONDS, WIDTHS, count, rfc3339_seconds, unix_seconds
from exporter.vendor.pullers.base import Bucket, Puller, Traits
from exporter.vendor.pullers.rows import loads

PUBLIC_URL = "https://open.volcengineapi.com"
TRAITS = Traits(
    per_request=False,
    delay_seconds=1_800.0,
    reread_seconds=2.0 * DAY_SECONDS,
    includes_cached=True,
    time_zone="Asia/Shanghai",
)
_PARTS = {"PromptTokens": "input", "CompletionTokens": "output"}
_DENIED = ("InvalidAccessKey", "Signature", "AccessDenied", "InvalidCredential", "InvalidSecurityToken", "NotLogin")  # fmt: skip
_KEY_HINT = "set key and secret to an access key that may call ark:GetUsage (VOLC_ACCESSKEY, VOLC_SECRETKEY)"


def puller(settings: BillSettings) -> Puller:
    """The usage of one account or project. Raises Misconfigured, also when the SDK's core is missing."""
    chosen_reports(settings, ("usage",))
    if settings.width == "1m":
        raise Misconfigured([f"bills {settings.name}: volcengine has the widths 1h and 1d"])
    try:
        signer = import_module("volcenginesdkcore.signv4").SignerV4
    except ImportError:
        raise Misconfigured(
            [f"bills {settings.name}: volcengine needs Volcengine's SDK core, which is not installed"],
            "pip install 'dify-exporter[volcengine]'",
        ) from None
    return BucketPuller(settings, TRAITS, [_Usage(settings, signer)])


@dataclass(frozen=True, slots=True)
class _Usage:
    """Tokens per stretch, of everything or of each endpoint that the settings name."""

    settings: BillSettings
    signer: Any
    name: str = "usage"

    @property
    def shape(self) -> str:
        """Width and endpoints."""
        return " ".join([self.settings.width, *sorted(self.settings.endpoints)])

    @property
    def cut(self) -> Cut:
        """There up to half an hour later; days are UTC+8's."""
        width = self.settings.width
        offset = UTC_8_SECONDS if width == "1d" else 0
        return Cut(
            WIDTHS[width], 30 * DAY_SECONDS, int(TRAITS.delay_seconds), int(TRAITS.reread_seconds), offset
        )

    def read(self, span: Span) -> Read:
        """A span of each endpoint."""
        taken = Taken(f"{self.name} of {rfc3339_seconds(span.since)}")
        for endpoint in self.settings.endpoints or [""]:
            taken.take(_rows(self._ask(span, endpoint), endpoint), self._bucket)
        return taken.read()

    def check(self) -> str:
        """Whether the usage can be read."""
        self._ask(Span(1_767_225_600, 1_767_225_600 + DAY_SECONDS), "")
        return "Ark's usage can be read"

    def _ask(self, span: Span, endpoint: str) -> Answer:
        settings = self.settings
        asked: dict[str, Any] = {
            "StartTime": span.since, "EndTime": span.until, "Interval": WIDTHS[settings.width],
        }  # fmt: skip
        if endpoint:
            asked["EndpointIds"] = [endpoint]
        if settings.project:
            asked["ProjectName"] = settings.project
        base = (settings.url or PUBLIC_URL).rstrip("/")
        query = {"Action": "GetUsage", "Version": "2024-01-01"}
        body = orjson.dumps(asked).decode()
        headers = {"Content-Type": JSON, "Host": urlsplit(base).netloc}
        key, secret = settings.key.get_secret_value(), settings.secret.get_secret_value()
        region = settings.region or "cn-beijing"
        self.signer.sign("/", "POST", headers, body, None, query, key, secret, region, "ark")
        url = f"{base}/?{urlencode(query)}"
        reply = Http(headers, settings.timeout).query(url, body.encode())
        try:
            answer = loads(reply.body)
        except ValueError:
            answer = None
        code = _error(answer)
        if code or reply.status != 200:
            raise _meaning(f"GetUsage at {shown_address(url)}", code or f"HTTP {reply.status}", reply.status)
        result = answer.get("Result") if isinstance(answer, Mapping) else None
        if not isinstance(result, Mapping) or not isinstance(result.get("UsageResults"), list):
            raise unknown_form(url)
        return result

    def _bucket(self, place: Answer, value: Answer) -> Bucket:
        if place["part"] is None:
            raise ValueError("Name is neither PromptTokens nor CompletionTokens")
        width, starts_at = WIDTHS[self.settings.width], unix_seconds(value, "Timestamp")
        return Bucket(
            source=self.settings.name,
            starts_at=starts_at * SECOND,
            ends_at=(starts_at + width) * SECOND,
            model=self.settings.endpoints.get(place["endpoint"]) or None,
            key=place["endpoint"] or self.settings.project or None,
            tokens=Tokens(**{place["part"]: count(value, "Value")}),
            report=self.name,
        )


def _error(answer: object) -> str:
    """The error's code, when it is one."""
    told = answer.get("ResponseMetadata") if isinstance(answer, Mapping) else None
    error = told.get("Error") if isinstance(told, Mapping) else None
    code = str(error.get("Code")) if isinstance(error, Mapping) else ""
    return code if re.fullmatch(r"[A-Za-z][\w.]{0,60}", code) else ""


def _meaning(what: str, code: str, status: int) -> Misconfigured | Unreachable:
    if code.startswith(_DENIED) or status in (401, 403):
        return Misconfigured([f"{what} refused the credentials ({code})"], _KEY_HINT)
    return Unreachable(f"{what} failed ({code})", "it is tried again by itself")


def _rows(result: Answer, endpoint: str) -> Iterator[Row]:
    """Each value of each result; stretches without usage are told as 0 and are left out."""
    for usage in result["UsageResults"]:
        part = _PARTS.get(str(usage.get("Name")))
        for item in usage.get("MetricItems") or ():
            for value in item.get("Values") or ():
                if value.get("Value"):
                    yield {"part": part, "endpoint": endpoint}, value
