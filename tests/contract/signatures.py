"""The clouds' request signatures, computed from their documents alone, to hold what a client sent against.

Sources: AWS "Create a signed AWS API request"; Tencent Cloud "Signature v3"; Alibaba Cloud "Request structure and signature V3"
(ACS3-HMAC-SHA256); Volcengine "Signature method" (HMAC-SHA256). None of the vendors' code is used.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from urllib.parse import quote

from tests.contract.twin_server import Request


def _hmac(key: bytes, text: str) -> bytes:
    return hmac.new(key, text.encode(), hashlib.sha256).digest()


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _query(request: Request) -> str:
    pairs = sorted((quote(name, safe="-_.~"), quote(value, safe="-_.~")) for name, value in request.pairs)
    return "&".join(f"{name}={value}" for name, value in pairs)


def _canonical(request: Request, signed: str, payload_hash: str) -> str:
    headers = "".join(f"{name}:{' '.join(request.headers[name].split())}\n" for name in signed.split(";"))
    return "\n".join([request.method, request.path or "/", _query(request), headers, signed, payload_hash])


def aws(request: Request, secret: str) -> bool:
    """AWS Signature Version 4."""
    found = re.fullmatch(
        r"AWS4-HMAC-SHA256 Credential=[^/]+/((\d{8})/([^/]+)/([^/]+)/aws4_request), SignedHeaders=([^,]+), Signature=(\w+)",
        request.headers.get("authorization", ""),
    )
    if found is None:
        return False
    scope, day, region, service, signed, signature = found.groups()
    canonical = _canonical(request, signed, _sha256(request.body))
    to_sign = "\n".join(
        ["AWS4-HMAC-SHA256", request.headers["x-amz-date"], scope, _sha256(canonical.encode())]
    )
    key = _hmac(_hmac(_hmac(_hmac(b"AWS4" + secret.encode(), day), region), service), "aws4_request")
    return hmac.compare_digest(hmac.new(key, to_sign.encode(), hashlib.sha256).hexdigest(), signature)


def tencent(request: Request, secret: str) -> bool:
    """TC3-HMAC-SHA256."""
    found = re.fullmatch(
        r"TC3-HMAC-SHA256 Credential=[^/]+/(([\d-]{10})/([^/]+)/tc3_request), SignedHeaders=([^,]+), Signature=(\w+)",
        request.headers.get("authorization", ""),
    )
    if found is None:
        return False
    scope, day, service, signed, signature = found.groups()
    canonical = _canonical(request, signed, _sha256(request.body))
    to_sign = "\n".join(
        ["TC3-HMAC-SHA256", request.headers["x-tc-timestamp"], scope, _sha256(canonical.encode())]
    )
    key = _hmac(_hmac(_hmac(b"TC3" + secret.encode(), day), service), "tc3_request")
    return hmac.compare_digest(hmac.new(key, to_sign.encode(), hashlib.sha256).hexdigest(), signature)


def alibaba(request: Request, secret: str) -> bool:
    """ACS3-HMAC-SHA256."""
    found = re.fullmatch(
        r"ACS3-HMAC-SHA256 Credential=[^,]+,\s?SignedHeaders=([^,]+),\s?Signature=(\w+)",
        request.headers.get("authorization", ""),
    )
    if found is None:
        return False
    signed, signature = found.groups()
    must = {
        "host",
        "x-acs-action",
        "x-acs-version",
        "x-acs-date",
        "x-acs-signature-nonce",
        "x-acs-content-sha256",
    }
    if not must <= set(signed.split(";")) or request.headers["x-acs-content-sha256"] != _sha256(request.body):
        return False
    canonical = _canonical(request, signed, _sha256(request.body))
    to_sign = f"ACS3-HMAC-SHA256\n{_sha256(canonical.encode())}"
    return hmac.compare_digest(_hmac(secret.encode(), to_sign).hex(), signature)


def volcengine(request: Request, secret: str) -> bool:
    """Volcengine's HMAC-SHA256."""
    found = re.fullmatch(
        r"HMAC-SHA256 Credential=[^/]+/((\d{8})/([^/]+)/([^/]+)/request), SignedHeaders=([^,]+), Signature=(\w+)",
        request.headers.get("authorization", ""),
    )
    if found is None or request.headers.get("x-content-sha256") != _sha256(request.body):
        return False
    scope, day, region, service, signed, signature = found.groups()
    canonical = _canonical(request, signed, _sha256(request.body))
    to_sign = "\n".join(["HMAC-SHA256", request.headers["x-date"], scope, _sha256(canonical.encode())])
    key = _hmac(_hmac(_hmac(_hmac(secret.encode(), day), region), service), "request")
    return hmac.compare_digest(hmac.new(key, to_sign.encode(), hashlib.sha256).hexdigest(), signature)
