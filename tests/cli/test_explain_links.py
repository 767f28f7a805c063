"""`explain` leads to the trace where it is: ours, or the one that Dify's own tracing wrote."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest
from command import run

from exporter.destinations.base import Way
from exporter.state import sent_as
from exporter.state.store import Store
from tests.contract import langfuse_twin
from tests.contract.langfuse_twin import PROJECT, LangfuseTwin
from tests.web.traces_by_hand import build_trace, keep

TRACE = build_trace(7).trace
MESSAGE = str(UUID(int=7))


@pytest.fixture
def twin() -> Iterator[LangfuseTwin]:
    with LangfuseTwin("dual") as running:
        yield running


def explained(twin: LangfuseTwin, folder: Path, way: Way | None) -> str:
    """What is printed of a trace that went this way to the one destination."""
    store = Store(folder / "state.db")
    keep(store, build_trace(7))
    if way is not None:
        with store.transaction("test") as connection:
            sent_as.put(connection, [((TRACE.trace_id, "ours"), way)])
    store.close()
    settings = {
        "state": {"path": str(folder / "state.db")},
        "destinations": [
            {
                "kind": "langfuse", "name": "ours", "endpoint": twin.url, "public_key": langfuse_twin.PUBLIC_KEY,
                "secret_key": langfuse_twin.SECRET_KEY, "timeout": "2s",
            }
        ],
    }  # fmt: skip
    (folder / "dify-exporter.yaml").write_text(json.dumps(settings))
    done = run("explain", MESSAGE, cwd=folder)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("way", "shown"), [(None, TRACE.trace_id), (Way.OWN, TRACE.trace_id), (Way.ENRICHED, MESSAGE)]
)
def test_the_link_leads_to_the_trace_that_is_there(
    twin: LangfuseTwin, tmp_path: Path, way: Way | None, shown: str
) -> None:
    text = explained(twin, tmp_path, way)
    assert f"ours: {twin.url}/project/{PROJECT}/traces/{shown}\n" in text


def test_what_did_not_go_there_has_no_link(twin: LangfuseTwin, tmp_path: Path) -> None:
    assert "/traces/" not in explained(twin, tmp_path, Way.SKIPPED)


def test_a_platform_that_does_not_answer_has_no_link_and_the_rest_is_shown(
    twin: LangfuseTwin, tmp_path: Path
) -> None:
    twin.down()
    text = explained(twin, tmp_path, Way.OWN)
    assert "/traces/" not in text
    assert TRACE.trace_id in text
