"""Links to Dify's own pages: of documents, of traces, and in the spans of every dialect."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from exporter.config import DifySettings
from exporter.documents import trace_document
from exporter.links_back import dify_link, pages_address, with_page
from exporter.spans.langfuse import LangfuseProjector
from exporter.spans.langsmith import LangSmithProjector
from exporter.spans.openinference import OpenInferenceProjector
from exporter.spans.plain import PlainProjector
from tests.spans import assessed_traces as traces
from tests.spans.decoded import full, seen

DIFY = "https://dify.example.com"


def document(**changes: Any) -> dict[str, Any]:
    known = {"app_id": "a-1", "app_mode": "chat", "session_id": "c-1", "debug": False}
    return {**known, **changes}


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({}, "/app/a-1/logs?conversation_id=c-1"),
        ({"app_mode": "advanced-chat"}, "/app/a-1/logs?conversation_id=c-1"),
        ({"app_mode": "workflow", "session_id": None}, "/app/a-1/logs"),
        ({"app_mode": "workflow", "session_id": None, "debug": True}, "/app/a-1/workflow"),
        ({"app_mode": "advanced-chat", "debug": True}, "/app/a-1/workflow"),
        ({"debug": True}, "/app/a-1/configuration"),
        ({"app_id": "../x?y"}, "/app/..%2Fx%3Fy/logs?conversation_id=c-1"),
    ],
)
def test_a_trace_is_linked_to_where_dify_shows_it(changes: dict[str, Any], path: str) -> None:
    assert dify_link(document(**changes), DIFY) == DIFY + path


def test_what_has_no_page_or_no_address_has_no_link() -> None:
    assert dify_link(document(app_mode="rag-pipeline"), DIFY) is None
    assert dify_link(document(), "") is None


@pytest.mark.parametrize(
    ("settings", "address"),
    [
        ({}, ""),
        ({"pages_url": "https://dify.example.com/"}, DIFY),
        ({"pages_url": "https://example.com/dify/console/api"}, "https://example.com/dify"),
        ({"console": {"url": DIFY, "email": "a@b.c", "password": "p"}}, DIFY),
        (
            {"console": {"url": "http://api:5001", "email": "a@b.c", "password": "p"}, "pages_url": DIFY},
            DIFY,
        ),
    ],
)
def test_the_pages_are_where_the_settings_say(settings: dict[str, Any], address: str) -> None:
    assert pages_address(DifySettings(**settings)) == address


@pytest.mark.parametrize(
    "url", ["dify.example.com", "ftp://dify.example.com", "https://user:secret@dify.example.com"]
)
def test_an_address_that_cannot_be_one_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(ValueError, match="pages_url") as caught:
        DifySettings(pages_url=url)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "project",
    [
        LangfuseProjector(full()),
        PlainProjector(full()),
        OpenInferenceProjector(full()),
        LangSmithProjector(full()),
    ],
    ids=lambda project: type(project).__name__,
)
def test_the_root_span_of_every_dialect_carries_the_link_and_no_other_span_does(project: Any) -> None:
    assessed = traces.chatflow()
    linked = replace(assessed, trace=with_page(assessed.trace, DifySettings(pages_url=DIFY)))
    link = dify_link(trace_document(assessed), DIFY)
    assert link == f"{DIFY}/app/{traces.APP.id}/logs?conversation_id={traces.uuid(900)}"
    root, *others = seen(project(linked))
    found = {key: value for key, value in root.attributes.items() if key.endswith("dify_exporter.dify.url")}
    assert list(found.values()) == [link]
    assert not any(link in json.dumps(span.attributes) for span in others)
    assert trace_document(linked) == trace_document(assessed)


def test_a_trace_is_as_it_was_without_an_address() -> None:
    found = traces.chatflow().trace
    assert with_page(found, DifySettings()) is found
