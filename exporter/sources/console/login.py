"""Getting in: an account's login as each version of Dify wants it, its renewal, or the admin key. Never a second try.

Up to 1.9.1 tokens come in the answer's body; from 1.9.2 cookies, which go back with a CSRF header on every request; from 1.11.2
the password is Base64 text (measured: Dify 1.12.1 and 1.14.0, and Dify's history). Cookie names may have a
prefix (`__Host-`), so they are matched by their endings.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from exporter.errors import SourceRefused
from exporter.sources.console import versions
from exporter.sources.console.refusals import Refusals, fingerprint
from exporter.sources.http.asking import Answer, Asker, Denied

API = "/console/api"


@dataclass(frozen=True, slots=True)
class AdminKey:
    """Acts as the owner of one workspace, without a login."""

    key: str
    workspace: str


@dataclass(frozen=True, slots=True)
class Account:
    """An account of the exporter's own."""

    email: str
    password: str


@dataclass(frozen=True, slots=True)
class Pass:
    """What goes with every request, and what renews it."""

    headers: Mapping[str, str]
    refresh_token: str | None = None
    cookies: Mapping[str, str] | None = None


def by_key(admin: AdminKey) -> Pass:
    """The admin key needs no login."""
    return Pass({"Authorization": f"Bearer {admin.key}", "X-WORKSPACE-ID": admin.workspace})


def log_in(asker: Asker, account: Account, refusals: Refusals) -> Pass:
    """One try. Raises `SourceRefused`, also without asking when this login failed before, and `Unreachable`."""
    mark = fingerprint(asker.url, account.email, account.password)
    known = refusals.reason(mark)
    if known:
        raise SourceRefused(f"login as {account.email} is not tried again: {known}", _HINT)
    _look_first(asker, account)
    try:
        answer = asker.ask("POST", f"{API}/login", body=_request(asker.version, account))
        return _pass(answer)
    except Denied as denied:
        if not _is_final(denied):
            raise
        reason = _REASONS.get(denied.code or "", f"Dify refuses it ({denied})")
        besides = refusals.remember(mark, reason, is_locked=denied.code == _LOCKED)
        raise SourceRefused(f"login as {account.email} failed: {reason}{besides}", _HINT) from None


def renew(asker: Asker, old: Pass) -> Pass | None:
    """A new pass for an expired one, or None when it cannot be renewed (revoked, or too old)."""
    if old.refresh_token is None and old.cookies is None:
        return None
    body = {"refresh_token": old.refresh_token} if old.refresh_token else None
    try:
        answer = asker.ask("POST", f"{API}/refresh-token", headers=old.headers, body=body)
        return _pass(answer, old.cookies)
    except Denied as denied:
        if denied.status in (429, 502, 503, 504):
            raise
        return None


_HINT = "correct dify.console.email and password; Dify locks an account for a day after six failures"

_LOCKED = "email_code_login_limit"
_REASONS = {
    "authentication_failed": "wrong e-mail or password",
    "email_or_password_mismatch": "wrong e-mail or password",
    "account_not_found": "no such account",
    _LOCKED: "the account is locked after too many failures; Dify unlocks it after a day, and it is tried then",
    "account_banned": "the account is banned",
    "account_in_freeze": "the account is frozen",
    "invalid_email": "the e-mail address is not valid",
}


def _look_first(asker: Asker, account: Account) -> None:
    """The version decides how the password is sent, and a Dify without passwords is not tried at all."""
    try:
        features = asker.ask("GET", f"{API}/system-features").body
    except Denied as denied:
        if denied.code is None and not asker.version:
            raise
        features = None
    if not asker.version:
        raise SourceRefused(
            "the answers name no Dify version (header X-Version), so the form of the login is not known",
            "check dify.console.url; where a proxy takes the header away, set dify.console.version",
        )
    if isinstance(features, dict) and _is_sso_only(features):
        raise SourceRefused(
            f"login as {account.email} is not tried: this Dify lets accounts in by single sign-on only",
            "use dify.console.admin_key with dify.console.workspaces, or the database",
        )


def _is_sso_only(features: Mapping[str, Any]) -> bool:
    return (
        features.get("sso_enforced_for_signin") is True
        or features.get("enable_email_password_login") is False
    )


def _request(version: str, account: Account) -> dict[str, Any]:
    password = account.password
    if versions.has(version, versions.BASE64_PASSWORD):
        password = base64.b64encode(password.encode()).decode()
    return {"email": account.email, "password": password, "remember_me": True, "language": "en-US"}


def _is_final(denied: Denied) -> bool:
    """Dify itself refused this login; a busy or broken server has not looked at it."""
    if denied.status == 429:
        return denied.code == _LOCKED
    return denied.code is not None and denied.status < 500


def _pass(answer: Answer, before: Mapping[str, str] | None = None) -> Pass:
    """From the cookies or the body of a login or a renewal. Raises `Denied` when neither is there."""
    cookies = {**(before or {}), **answer.cookies}
    token = next((value for name, value in cookies.items() if name.endswith("csrf_token")), None)
    if answer.cookies and token:
        jar = "; ".join(f"{name}={value}" for name, value in sorted(cookies.items()))
        return Pass({"Cookie": jar, "X-CSRF-Token": token}, cookies=cookies)
    body = answer.body if isinstance(answer.body, dict) else {}
    data = body.get("data")
    if isinstance(data, dict) and isinstance(data.get("access_token"), str):
        return Pass({"Authorization": f"Bearer {data['access_token']}"}, str(data.get("refresh_token") or ""))
    code = body.get("code") if isinstance(body.get("code"), str) else "login_without_pass"
    raise Denied("the answer holds neither token nor cookies", 401, code)
