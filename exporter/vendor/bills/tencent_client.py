"""Requests to Tencent Cloud through its own SDK core, which signs them with TC3, and what its refusals mean."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any
from urllib.parse import urlsplit

from exporter.config.bills import BillSettings
from exporter.errors import Misconfigured, Unreachable
from exporter.vendor.bills.pages import Answer

Ask = Callable[[str, Mapping[str, Any]], Answer]
"""Asks an action of a service. Raises Misconfigured or Unreachable."""

_DENIED = ("AuthFailure", "UnauthorizedOperation")
_KEY_HINT = (
    "set key and secret to a SecretId and SecretKey that may read TokenHub's usage and the bill"
    " (QcloudFinanceBillReadOnlyAccess)"
)


def client_of(settings: BillSettings, service: str, version: str) -> Ask:
    """Connects to nothing. Raises Misconfigured when the SDK's core is missing."""
    try:
        common, credential = (
            import_module(f"tencentcloud.common.{name}") for name in ("common_client", "credential")
        )
        profiles = import_module("tencentcloud.common.profile.client_profile")
        http = import_module("tencentcloud.common.profile.http_profile")
        errors = import_module("tencentcloud.common.exception.tencent_cloud_sdk_exception")
    except ImportError:
        raise Misconfigured(
            [f"bills {settings.name}: tencent needs Tencent's SDK core, which is not installed"],
            "pip install 'dify-exporter[tencent]'",
        ) from None
    address = urlsplit(settings.url) if settings.url else None
    profile = http.HttpProfile(
        protocol=address.scheme if address else "https",
        endpoint=address.netloc if address else None,
        reqTimeout=int(settings.timeout),
    )
    client = common.CommonClient(
        service,
        version,
        credential.Credential(settings.key.get_secret_value(), settings.secret.get_secret_value()),
        settings.region or "ap-guangzhou",
        profiles.ClientProfile(httpProfile=profile),
    )

    def asked(action: str, params: Mapping[str, Any]) -> Answer:
        what = f"Tencent Cloud {service} {action}"
        try:
            answer = client.call_json(action, dict(params))["Response"]
        except errors.TencentCloudSDKException as error:
            raise _meaning(what, str(error.get_code())) from None
        except (ValueError, KeyError, TypeError):
            raise Unreachable(f"{what} gave an answer in an unknown form") from None
        if not isinstance(answer, Mapping):
            raise Unreachable(f"{what} gave an answer in an unknown form")
        return answer

    return asked


def _meaning(what: str, code: str) -> Misconfigured | Unreachable:
    if code.startswith(_DENIED):
        return Misconfigured([f"{what} refused the credentials ({code})"], _KEY_HINT)
    return Unreachable(f"{what} failed ({code})", "it is tried again by itself")
