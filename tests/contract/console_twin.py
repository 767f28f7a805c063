"""A Console API twin: a recorded Dify served over HTTP by Dify's documented rules, and a note of every call that would change it.

Rules: login by version (body tokens, cookies with CSRF, Base64 password), refresh, admin key; paging with strict cursors that lose ties;
filters in the account's time zone; runs of foreign ids answered with nulls; opening a conversation writes `read_at`. What a
correct client must never do is noted as a violation.
"""

from __future__ import annotations

import base64
import re
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from exporter.sources.console.versions import parsed as parsed_version
from tests.contract import console_shapes as shapes
from tests.contract.console_rows import Row, Rows, load, seconds
from tests.contract.twin_server import Refused, Request, Response, Twin

HTML = {"Content-Type": "text/html"}
TIMES = ("created_at", "updated_at", "finished_at", "read_at", "last_login_at")
TALKING = ("chat", "agent-chat", "advanced-chat")


@dataclass
class Login:
    """One account: its password, its current workspace and its time zone."""

    password: str
    tenant_id: str
    zone: str = "America/New_York"


@dataclass
class Trouble:
    """What goes wrong. Counters go down by one per request."""

    forbidden: set[str] = field(default_factory=set)  # apps that answer 403
    broken: dict[str, int] = field(default_factory=dict)  # paths that contain this answer 500, so many times
    broken_query: dict[str, int] = field(default_factory=dict)  # the same for a value in the query
    html: int = 0  # this many requests are answered by a proxy's page
    busy: int = 0  # this many requests get 429
    retry_after: str = "0"  # what it says then
    half: int = 0  # this many answers break off
    behind: int = (
        0  # times in answers are so many seconds behind those of the filters: a container that is not in UTC
    )
    foreign: tuple[str, Any, int] | None = (
        None  # a gateway answers so, with 200, to so many requests with this path's part
    )
    keeps_tools: bool = False  # this account may not look at tools
    sso_only: bool = False
    locked: bool = False
    nameless: bool = False  # a proxy takes X-Version away
    dies_after: int = 0  # requests after this many are not answered; 0 = all are


class ConsoleTwin(Twin):
    """Serves the rows of one database."""

    def __init__(
        self, dsn: str, *, version: str, logins: dict[str, Login], admin_key: str = "", port: int = 0
    ) -> None:
        super().__init__(port=port)
        self.dsn, self.version, self.logins, self.admin_key = dsn, version, logins, admin_key
        self.rows: Rows = load(dsn)
        self.trouble = Trouble()
        self.failed_logins = 0
        self.good_logins = 0
        self.changes: list[str] = []
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.asked_at: list[float] = []
        self.passes: dict[str, str] = {}
        self.refreshes: dict[str, str] = {}
        self.deleted_apps: set[str] = set()
        self.keys: dict[str, str] = {}  # Service API keys of apps

    def reload(self) -> None:
        """Serve what the database holds now."""
        with self.lock:
            self.rows = load(self.dsn)

    def revoke(self, *, refresh: bool = False) -> None:
        """All passes end; with `refresh` they cannot be renewed either."""
        with self.lock:
            self.passes.clear()
            if refresh:
                self.refreshes.clear()

    def held(self) -> dict[str, Any]:
        return {"requests": self.requests, "changes": self.changes}

    def paths(self, part: str) -> list[str]:
        """The asked paths that contain this."""
        return [path for path, _ in self.asked if part in path]

    def answer(self, request: Request) -> Response:
        with self.lock:
            self.requests += 1
            self.asked.append((request.path, request.query))
            self.asked_at.append(time.monotonic())
            if 0 < self.trouble.dies_after < self.requests:
                return Response(200, hang_up=True)
            if self.trouble.html:  # a proxy's own page, Dify never heard of the request
                self.trouble.html -= 1
                return Response(200, "", HTML, raw=b"<html><title>Sign in</title></html>")
            try:
                response = self._checked(request)
            except Refused as refused:
                body = refused.response.body
                response = Response(refused.response.status, body, refused.response.headers)
            extra = {} if self.trouble.nameless else {"X-Version": self.version, "X-Env": "PRODUCTION"}
            return Response(response.status, response.body, {**extra, **response.headers}, raw=response.raw)

    def _checked(self, request: Request) -> Response:
        if self.trouble.busy:
            self.trouble.busy -= 1
            return Response(
                429,
                {"code": "too_many_requests", "message": "", "status": 429},
                {"Retry-After": self.trouble.retry_after},
            )
        for part in self.trouble.broken:
            if part in request.path and self.trouble.broken[part] > 0:
                self.trouble.broken[part] -= 1
                return Response(500, {"message": "Internal Server Error", "code": "unknown"})
        for value in self.trouble.broken_query:
            if value in request.query.values() and self.trouble.broken_query[value] > 0:
                self.trouble.broken_query[value] -= 1
                return Response(500, {"message": "Internal Server Error", "code": "unknown"})
        if self.trouble.foreign and self.trouble.foreign[0] in request.path and request.method == "GET":
            part, body, number = self.trouble.foreign
            self.trouble.foreign = (part, body, number - 1) if number > 1 else None
            return Response(200, body)
        response = self._routed(request)
        if self.trouble.behind:
            response = Response(
                response.status, _shifted(response.body, self.trouble.behind), response.headers
            )
        if self.trouble.half and request.method == "GET":
            self.trouble.half -= 1
            return Response(200, None, raw=b'{"data": [{"id": "')
        return response

    def _routed(self, request: Request) -> Response:
        if request.path.startswith("/v1/"):
            return self._service(request)
        path = request.path.removeprefix("/console/api")
        if path == request.path:
            return _not_found()
        if (request.method, path) == ("POST", "/login"):
            return self._login(request)
        if (request.method, path) == ("POST", "/refresh-token"):
            return self._refresh(request)
        if path == "/system-features":
            return Response(
                200, {"sso_enforced_for_signin": self.trouble.sso_only, "enable_email_password_login": True}
            )
        login = self._let_in(request)
        if request.method != "GET":
            self.changes.append(f"{request.method} {path}")
            return Response(200, {"result": "success"})
        for pattern, answer in _ROUTES:
            found = re.fullmatch(pattern, path)
            if found:
                return Response(200, answer(self, login, request.query, *found.groups()))
        return _not_found()

    def _service(self, request: Request) -> Response:
        """The Service API of single apps, by their keys."""
        key = request.headers.get("authorization", "").removeprefix("Bearer ")
        app = self.rows.row("apps", self.keys.get(key))
        if app is None:
            raise _refused(401, "unauthorized")
        if request.method != "GET":
            self.changes.append(f"{request.method} {request.path}")
        path = request.path.removeprefix("/v1")
        if path == "/info":
            return Response(200, {"name": app["name"], "mode": app["mode"]})
        if path == "/workflows/logs":
            login = Login("", app["tenant_id"])
            is_workflow = app["mode"] == "workflow"
            page = self.logs(login, request.query, app["id"]) if is_workflow else _paged([], request.query)
            return Response(200, page)
        found = re.fullmatch(r"/workflows/run/([0-9a-f-]{36})", path)
        if not found:
            return _not_found()
        run = self.rows.row("workflow_runs", found[1])
        return Response(200, shapes.service_run(run if run and run["app_id"] == app["id"] else None))

    # letting in

    def _login(self, request: Request) -> Response:
        import json

        body = json.loads(request.body)
        login = self.logins.get(body["email"])
        if self.trouble.locked:
            raise _refused(429, "email_code_login_limit")
        password = body["password"]
        if parsed_version(self.version) >= (1, 11, 2):
            try:
                password = base64.b64decode(password, validate=True).decode()
            except ValueError:
                self.failed_logins += 1
                raise _refused(401, "authentication_failed") from None
        if login is None or login.password != password:
            self.failed_logins += 1
            raise _refused(401, "authentication_failed")
        self.good_logins += 1
        return self._give(body["email"])

    def _give(self, email: str) -> Response:
        number = len(self.refreshes) + len(self.passes) + self.good_logins
        access, refresh, csrf = f"access-{number}-{email}", f"refresh-{number}", f"csrf-{number}"
        self.passes[access] = email
        self.refreshes[refresh] = email
        if parsed_version(self.version) < (1, 9, 2):
            tokens = {"access_token": access, "refresh_token": refresh}
            return Response(200, {"result": "success", "data": tokens})
        cookies = {
            "Set-Cookie": f"access_token={access}; Max-Age=3600; HttpOnly; Path=/; SameSite=Lax",
            "set-cookie": f"refresh_token={refresh}; Max-Age=2592000; HttpOnly; Path=/; SameSite=Lax",
            "SET-COOKIE": f"csrf_token={csrf}; Max-Age=3600; Path=/; SameSite=Lax",
        }
        return Response(200, {"result": "success"}, cookies)

    def _refresh(self, request: Request) -> Response:
        import json

        if parsed_version(self.version) < (1, 9, 2):
            token = json.loads(request.body)["refresh_token"]
        else:
            token = _cookies(request).get("refresh_token", "")
        email = self.refreshes.pop(token, None)
        if email is None:
            raise _refused(401, "unauthorized")
        return self._give(email)

    def _let_in(self, request: Request) -> Login:
        bearer = request.headers.get("authorization", "").removeprefix("Bearer ")
        if self.admin_key and bearer == self.admin_key:
            tenant = request.headers.get("x-workspace-id", "")
            if self.rows.row("tenants", tenant) is None:
                raise _refused(401, "unauthorized")
            return Login("", tenant)
        if parsed_version(self.version) < (1, 9, 2):
            email = self.passes.get(bearer)
        else:
            cookies = _cookies(request)
            token = cookies.get("csrf_token")
            if token is None or request.headers.get("x-csrf-token") != token:
                raise _refused(401, "unauthorized")
            email = self.passes.get(cookies.get("access_token", ""))
        if email is None:
            raise _refused(401, "unauthorized")
        return self.logins[email]

    # answers

    def profile(self, login: Login, query: Row) -> Row:
        return {"timezone": login.zone, "interface_language": "en-US"}

    def workspaces(self, login: Login, query: Row) -> Row:
        listed = [
            {
                "id": row["id"],
                "name": row["name"],
                "current": row["id"] == login.tenant_id,
                "status": row.get("status"),
                "created_at": seconds(row.get("created_at")),
            }
            for row in self.rows.tables["tenants"]
        ]
        return {"workspaces": listed}

    def apps(self, login: Login, query: Row) -> Row:
        mine = [row for row in self.rows.tables["apps"] if self._is_mine(login, row)]
        mine = [row for row in mine if row["mode"] == query.get("mode", row["mode"])]
        mine.sort(key=lambda row: str(row.get("created_at") or row["id"]), reverse=True)
        return _paged([shapes.app(self.rows, row) for row in mine], query)

    def chat_conversations(self, login: Login, query: Row, app_id: str) -> Row:
        app = self._app(login, app_id, *TALKING)
        column = query.get("sort_by", "-updated_at")
        name = column.removeprefix("-")
        found = self._between(login, app_id, query, name, is_end_inclusive=True)
        if app["mode"] == "advanced-chat":
            found = [row for row in found if row["invoke_from"] != "debugger"]
        found.sort(key=lambda row: row[name], reverse=column.startswith("-"))
        page = _paged(found, query)
        return {**page, "data": [shapes.conversation(self.rows, row) for row in page["data"]]}

    def completion_conversations(self, login: Login, query: Row, app_id: str) -> Row:
        self._app(login, app_id, "completion")
        found = self._between(login, app_id, query, "created_at", is_end_inclusive=False)
        found.sort(key=lambda row: row["created_at"], reverse=True)
        page = _paged(found, query)
        return {**page, "data": [shapes.conversation(self.rows, row) for row in page["data"]]}

    def opened_conversation(self, login: Login, query: Row, app_id: str, _kind: str, row_id: str) -> Row:
        self._app(login, app_id)
        row = self.rows.row("conversations", row_id)
        if row is None or row["app_id"] != app_id:
            raise _refused(404, "not_found")
        if row["read_at"] is None:
            row["read_at"] = row["updated_at"] = datetime.now(UTC).replace(tzinfo=None)
            self.changes.append(f"read_at of conversation {row_id}")
        first = self.rows.group("messages", "conversation_id", row_id)[0]
        return {"id": row_id, "message": shapes.message(self.rows, first)}

    def chat_messages(self, login: Login, query: Row, app_id: str) -> Row:
        self._app(login, app_id, *TALKING)
        talk = self.rows.row("conversations", query["conversation_id"])
        if talk is None or talk["app_id"] != app_id:
            raise _refused(404, "not_found")
        found = sorted(
            self.rows.group("messages", "conversation_id", talk["id"]),
            key=lambda row: row["created_at"],
            reverse=True,
        )
        if query.get("first_id"):
            first = self.rows.row("messages", query["first_id"])
            if first is None:
                raise _refused(404, "not_found")
            found = [row for row in found if row["created_at"] < first["created_at"]]
        limit = _limit(query)
        data = [shapes.message(self.rows, row) for row in reversed(found[:limit])]
        return {"limit": limit, "has_more": len(found) > limit, "data": data}

    def message(self, login: Login, query: Row, app_id: str, row_id: str) -> Row:
        self._app(login, app_id)
        row = self.rows.row("messages", row_id)
        if row is None or row["app_id"] != app_id:
            raise _refused(404, "not_found")
        return shapes.message(self.rows, row)

    def agent_log(self, login: Login, query: Row, app_id: str) -> Row:
        self._app(login, app_id, "agent-chat")
        return shapes.agent_log(self.rows, self.rows.by_id["messages"][query["message_id"]])

    def logs(self, login: Login, query: Row, app_id: str) -> Row:
        self._app(login, app_id, "workflow")
        found = list(self.rows.group("workflow_app_logs", "app_id", app_id))
        if parsed_version(self.version) >= (1, 1, 0):
            if query.get("created_at__after"):
                found = [row for row in found if row["created_at"] >= _utc(query["created_at__after"])]
            if query.get("created_at__before"):
                found = [row for row in found if row["created_at"] <= _utc(query["created_at__before"])]
        found.sort(key=lambda row: row["created_at"], reverse=True)
        page = _paged(found, query)
        return {**page, "data": [shapes.log_entry(self.rows, row) for row in page["data"]]}

    def runs(self, login: Login, query: Row, app_id: str, chat: str | None = None) -> Row:
        self._app(login, app_id, *(("advanced-chat",) if chat else ("workflow", "advanced-chat")))
        trigger = query.get("triggered_from", "debugging")
        if parsed_version(self.version) < (1, 9, 2):
            trigger = "debugging"
        statuses = ("running", "succeeded", "failed", "stopped", "partial-succeeded")
        if trigger not in ("debugging", "app-run") or query.get("status", "running") not in statuses:
            raise _refused(400, "invalid_param")
        mine = self.rows.group("workflow_runs", "app_id", app_id)
        found = [row for row in mine if row["triggered_from"] == trigger]
        found = [row for row in found if row["status"] == query.get("status", row["status"])]
        found.sort(key=lambda row: row["created_at"], reverse=True)
        if query.get("last_id"):
            last = self.rows.row("workflow_runs", query["last_id"])
            if last is None:
                raise _refused(400, "invalid_param")
            found = [row for row in found if row["created_at"] < last["created_at"]]
        limit = _limit(query)
        data = [shapes.run_entry(self.rows, row, with_message=bool(chat)) for row in found[:limit]]
        return {"limit": limit, "has_more": len(found) > limit, "data": data}

    def run(self, login: Login, query: Row, app_id: str, run_id: str) -> Row:
        self._app(login, app_id, "workflow", "advanced-chat")
        row = self.rows.row("workflow_runs", run_id)
        if row is None or row["app_id"] != app_id:
            return dict(shapes.NULL_RUN)
        return shapes.run(self.rows, row)

    def nodes(self, login: Login, query: Row, app_id: str, run_id: str) -> Row:
        self._app(login, app_id, "workflow", "advanced-chat")
        found = [
            row
            for row in self.rows.group("workflow_node_executions", "workflow_run_id", run_id)
            if row["app_id"] == app_id
        ]
        found.sort(key=lambda row: row["created_at"])
        return {"data": [shapes.node(self.rows, row) for row in found]}

    def workflow_tool(self, login: Login, query: Row) -> Row:
        """Dify raises a ValueError, which is answered with 400, where the tool or its app is gone."""
        tool = self.rows.row("tool_workflow_providers", query["workflow_tool_id"])
        app = self.rows.row("apps", tool["app_id"]) if tool else None
        if tool is None or app is None or not self._is_mine(login, app):
            raise _refused(400, "invalid_param")
        if self.trouble.keeps_tools:
            raise _refused(403, "forbidden")
        return {"name": tool.get("name"), "workflow_tool_id": tool["id"], "workflow_app_id": tool["app_id"]}

    def trace(self, login: Login, query: Row, app_id: str) -> Row:
        """The switch of Dify's own tracing."""
        told = shapes.parsed(self._app(login, app_id).get("tracing"))
        return told or {"enabled": False, "tracing_provider": None}

    def trace_config(self, login: Login, query: Row, app_id: str) -> Row:
        """Its settings, with masked keys; Dify looks up the project at the platform for it."""
        self._app(login, app_id)
        provider = query["tracing_provider"]
        found = next(
            (
                row
                for row in self.rows.group("trace_app_config", "app_id", app_id)
                if row["tracing_provider"] == provider
            ),
            None,
        )
        return shapes.trace_config(found) if found else {"has_not_configured": True}

    def daily_messages(self, login: Login, query: Row, app_id: str) -> Row:
        self._app(login, app_id)
        since, until = self._local(login, query["start"]), self._local(login, query["end"])
        found = [
            row
            for row in self.rows.group("messages", "app_id", app_id)
            if since <= row["created_at"] < until and row["invoke_from"] != "debugger"
        ]
        return {"data": [{"date": "2026-11-23", "message_count": len(found)}] if found else []}

    def _between(
        self, login: Login, app_id: str, query: Row, column: str, *, is_end_inclusive: bool
    ) -> list[Row]:
        found = self.rows.group("conversations", "app_id", app_id)
        if query.get("start"):
            start = self._local(login, query["start"])
            found = [row for row in found if row[column] >= start]
        if query.get("end"):
            end = self._local(login, query["end"]) + timedelta(seconds=59)
            found = [row for row in found if row[column] <= end and (is_end_inclusive or row[column] < end)]
        return list(found)

    def _local(self, login: Login, text: str) -> datetime:
        """A minute in the account's zone as naive UTC. An hour that comes twice is taken for the second one, as pytz does."""
        try:
            local = datetime.strptime(text, "%Y-%m-%d %H:%M")
        except ValueError:
            raise _refused(400, "bad_request") from None
        return local.replace(tzinfo=ZoneInfo(login.zone), fold=1).astimezone(UTC).replace(tzinfo=None)

    def _app(self, login: Login, app_id: str, *modes: str) -> Row:
        row = self.rows.row("apps", app_id)
        if row is None or not self._is_mine(login, row) or (modes and row["mode"] not in modes):
            raise _refused(404, "app_not_found")
        if app_id in self.trouble.forbidden:
            raise _refused(403, "forbidden")
        return row

    def _is_mine(self, login: Login, row: Row) -> bool:
        return row["tenant_id"] == login.tenant_id and row["id"] not in self.deleted_apps


_APP = r"/apps/([0-9a-f-]{36})"
_ROUTES: tuple[tuple[str, Callable[..., Any]], ...] = (
    ("/account/profile", ConsoleTwin.profile),
    ("/workspaces", ConsoleTwin.workspaces),
    ("/apps", ConsoleTwin.apps),
    (_APP + "/chat-conversations", ConsoleTwin.chat_conversations),
    (_APP + "/completion-conversations", ConsoleTwin.completion_conversations),
    (_APP + r"/(chat|completion)-conversations/([0-9a-f-]{36})", ConsoleTwin.opened_conversation),
    (_APP + "/chat-messages", ConsoleTwin.chat_messages),
    (_APP + r"/messages/([0-9a-f-]{36})", ConsoleTwin.message),
    (_APP + "/agent/logs", ConsoleTwin.agent_log),
    (_APP + "/workflow-app-logs", ConsoleTwin.logs),
    (_APP + r"/(advanced-chat/)?workflow-runs", ConsoleTwin.runs),
    (_APP + r"/workflow-runs/([0-9a-f-]{36})", ConsoleTwin.run),
    (_APP + r"/workflow-runs/([0-9a-f-]{36})/node-executions", ConsoleTwin.nodes),
    ("/workspaces/current/tool-provider/workflow/get", ConsoleTwin.workflow_tool),
    (_APP + "/trace", ConsoleTwin.trace),
    (_APP + "/trace-config", ConsoleTwin.trace_config),
    (_APP + "/statistics/daily-messages", ConsoleTwin.daily_messages),
)


def _refused(status: int, code: str) -> Refused:
    refused = Refused(status, code)
    refused.response = Response(status, {"code": code, "message": "said to people", "status": status})
    return refused


def _not_found() -> Response:
    return Response(404, "", HTML, raw=b"<!doctype html><title>404 Not Found</title>")


def _shifted(value: Any, seconds: int) -> Any:
    """The same with other times; the agent log's are texts and stay."""
    if isinstance(value, dict):
        return {
            name: item - seconds if name in TIMES and isinstance(item, int) else _shifted(item, seconds)
            for name, item in value.items()
        }
    return [_shifted(item, seconds) for item in value] if isinstance(value, list) else value


def _cookies(request: Request) -> dict[str, str]:
    pairs = (item.partition("=") for item in request.headers.get("cookie", "").split("; "))
    return {name: value for name, _, value in pairs}


def _limit(query: Row) -> int:
    limit = int(query.get("limit", 20))
    if not 1 <= limit <= 100:
        raise _refused(400, "invalid_param")
    return limit


def _paged(found: Iterable[Any], query: Row) -> Row:
    listed, page, limit = list(found), int(query.get("page", 1)), _limit(query)
    data = listed[(page - 1) * limit : page * limit]
    has_more = page * limit < len(listed)
    return {"page": page, "limit": limit, "total": len(listed), "has_more": has_more, "data": data}


def _utc(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC).replace(tzinfo=None)
