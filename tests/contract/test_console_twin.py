"""The Console twin answers as the recorded Dify did, field by field; so what is proven with the twin holds for Dify."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.contract.console_twin import ConsoleTwin
from tests.contract.twin_server import Request
from tests.sources.console.restored import VERSIONS, restored, twin_of

FOLDERS = {"1.12.1": "http", "1.14.0": "http-1.14.0"}

RECORDED_AT = {"1.12.1": 1_795_463_270, "1.14.0": 1_795_466_800}
"""When the lists were recorded (seconds); what was made later is in the database only."""

NOT_SERVED = (
    "/console/api/setup", "/console/api/version", "/console/api/datasets", "default-model", "statistics", "workflow-runs/count",
    "workflows/publish", "/workflows", "pause-details", "/console/api/workspaces/current",
)  # fmt: skip
"""Addresses that the exporter does not ask."""

NOT_COMPARED = {
    # what the exporter does not read, and the twin does not tell
    "icon", "icon_type", "icon_background", "icon_url", "description", "tags", "workflow", "max_active_requests", "access_mode",
    "use_icon_as_answer_icon", "created_by", "updated_by", "create_user_name", "author_name", "has_draft_trigger", "deleted_tools",
    "enable_site", "enable_api", "tracing", "site", "api_base_url", "summary", "annotated", "annotation", "model_config",
    "user_feedback_stats", "admin_feedback_stats", "status_count", "from_account_name", "feedbacks", "annotation_hit_history",
    "parent_message_id", "extra_contents", "chain_id", "tool_labels", "files", "tool_label", "tool_icon", "tool_output", "details",
    "is_anonymous", "retry_index", "extras", "meta", "tool_raw", "thought_files", "type", "plan", "status_", "avatar", "avatar_url",
    "last_login_at", "last_login_ip", "interface_language", "interface_theme", "is_password_set", "message_files",
    "code_", "filename", "upload_file_id",
    # what moved between the recording of the answer and that of the database
    "read_at", "updated_at",
}  # fmt: skip


MOVED = ("029-console-chat-conversations-chat-updated.json", "030-console-chat-conversations-range.json")
"""Ordered by the time of the last change, which moved when the recorder opened these conversations afterwards."""


def exchanges(folder: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    for file in sorted(folder.glob("*.json")):
        yield file.name, json.loads(file.read_text("utf-8"))


def served(exchange: dict[str, Any]) -> bool:
    request = exchange["request"]
    path = request["path"]
    if request["method"] != "GET" or not path.startswith("/console/api/apps"):
        return path == "/console/api/workspaces" and request["method"] == "GET"
    is_app = path.count("/") == 4 and "/apps/" in path
    is_chat = "/chat-conversations/" in path
    return not is_app and not is_chat and not any(part in path for part in NOT_SERVED)


@pytest.fixture(scope="module", params=VERSIONS)
def recorded(
    request: pytest.FixtureRequest, shared: Path
) -> Iterator[tuple[ConsoleTwin, list[tuple[str, Any]]]]:
    version = request.param
    with restored(shared, version) as url:
        twin = twin_of(url, version)
        hide_later(twin, datetime.fromtimestamp(RECORDED_AT[version], UTC).replace(tzinfo=None))
        yield twin, list(exchanges(shared / "dify" / FOLDERS[version]))


def hide_later(twin: ConsoleTwin, moment: datetime) -> None:
    """Serve only what was there then."""
    for name in ("conversations", "messages", "workflow_runs", "workflow_app_logs"):
        twin.rows.tables[name] = [row for row in twin.rows.tables[name] if row["created_at"] <= moment]
    twin.rows.of.clear()


def test_every_recorded_answer_is_the_twins(recorded: tuple[ConsoleTwin, list[tuple[str, Any]]]) -> None:
    twin, found = recorded
    admin = pass_of(twin)
    compared = 0
    for name, exchange in found:
        request, response = exchange["request"], exchange["response"]
        if not served(exchange) or response["status"] == 401:
            continue
        answer = twin.answer(Request("GET", request["path"], request["query"], admin, b""))
        assert answer.status == response["status"], name
        if response["status"] == 200 and name not in MOVED:
            wrong = list(
                differences(*compared_bodies(request["path"], response["body"], answer.body, twin, admin), "")
            )
            assert wrong == [], name
            compared += 1
    assert compared > 20
    assert twin.version == found[0][1]["response"]["headers"]["x-version"][0]


def compared_bodies(
    path: str, recorded: Any, answered: Any, twin: ConsoleTwin, admin: dict[str, str]
) -> tuple[Any, Any]:
    """Apps made in the same second come in any order, so they are compared by their id; of an opened entry, its message."""
    if path.endswith("/apps"):
        every = twin.answer(Request("GET", path, {"limit": "100"}, admin, b"")).body["data"]
        by_id = {entry["id"]: entry for entry in every}
        return recorded["data"], [by_id[entry["id"]] for entry in recorded["data"]]
    return (recorded["message"], answered["message"]) if "-conversations/" in path else (recorded, answered)


def test_every_recorded_answer_of_the_service_api_is_the_twins(
    recorded: tuple[ConsoleTwin, list[tuple[str, Any]]],
) -> None:
    twin, found = recorded
    compared = 0
    for name, exchange in found:
        path, query = exchange["request"]["path"], exchange["request"].get("query", {})
        if exchange["response"]["status"] != 200 or not path.startswith(
            ("/v1/workflows/logs", "/v1/workflows/run/")
        ):
            continue
        body = exchange["response"]["body"]
        app = owner(twin, path, body)
        if exchange["request"]["method"] != "GET" or app is None:
            continue
        twin.keys["app-key"] = app
        if "status" in query:
            continue
        answer = twin.answer(Request("GET", path, query, {"authorization": "Bearer app-key"}, b""))
        assert list(differences(body, answer.body, "")) == [], name
        compared += 1
    assert compared > 2


def owner(twin: ConsoleTwin, path: str, body: Any) -> str | None:
    """The app whose key the recorder used: that of the runs in the answer."""
    entries = body.get("data")
    run_id = entries[0]["workflow_run"]["id"] if entries else path.rsplit("/", 1)[-1]
    run = twin.rows.row("workflow_runs", run_id)
    return run["app_id"] if run is not None and (entries or body["id"]) else None


def pass_of(twin: ConsoleTwin) -> dict[str, str]:
    """Headers of the account that the recordings were made with: the workspace with most apps."""
    tenants = [row["tenant_id"] for row in twin.rows.tables["apps"]]
    first = max(set(tenants), key=tenants.count)
    email = next(email for email, login in twin.logins.items() if login.tenant_id == first)
    twin._give(email)
    access = next(name for name, owner in twin.passes.items() if owner == email)
    return {"cookie": f"access_token={access}; csrf_token=same", "x-csrf-token": "same"}


def differences(recorded: Any, answered: Any, path: str) -> Iterator[str]:
    """Where the twin says something else, or does not say what is compared."""
    if isinstance(recorded, dict) and isinstance(answered, dict):
        for name in recorded.keys() | answered.keys():
            if name not in NOT_COMPARED:
                if name not in answered or name not in recorded:
                    yield f"{path}.{name} is on one side only"
                else:
                    yield from differences(recorded[name], answered[name], f"{path}.{name}")
    elif isinstance(recorded, list) and isinstance(answered, list):
        if len(recorded) != len(answered):
            yield f"{path} has {len(recorded)} and {len(answered)} entries"
        for number, (one, other) in enumerate(zip(recorded, answered, strict=False)):
            yield from differences(one, other, f"{path}[{number}]")
    elif recorded != answered:
        yield f"{path}: {str(recorded)[:60]} | {str(answered)[:60]}"
