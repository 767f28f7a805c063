"""Links from a trace to Dify's own pages: an app's log, the conversation in it, or its editor for what was run there.

Dify has no page of a single run: a run is found in its app's log, or in the editor's run history. Source: the routes of
Dify's web front end (`/app/<app>/logs`, `/workflow`, `/configuration`).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from urllib.parse import quote

from exporter.config import DifySettings
from exporter.model import Trace

FACT = "dify.url"
"""Name of the root step's fact; in spans `dify_exporter.dify.url`."""

_WITH_GRAPH = frozenset({"workflow", "advanced-chat"})
_WITHOUT_APP_PAGE = frozenset({"rag-pipeline"})


def pages_address(dify: DifySettings) -> str:
    """Where Dify's pages are, or an empty text where nothing says so."""
    return dify.pages_url or dify.console.url


def dify_link(document: dict[str, Any], base: str) -> str | None:
    """The page for a trace of `explain --json`; None without an address or a page."""
    return _link(
        base, document["app_id"], document["app_mode"], document["session_id"], is_debug=document["debug"]
    )


def with_page(trace: Trace, dify: DifySettings) -> Trace:
    """The trace with the link as a fact of its root step; as it was where there is none."""
    link = _link(pages_address(dify), trace.app.id, trace.app.mode, trace.session_id, is_debug=trace.is_debug)
    if link is None:
        return trace
    root = trace.steps[0]
    return replace(trace, steps=(replace(root, facts=(*root.facts, (FACT, link))), *trace.steps[1:]))


def _link(base: str, app_id: str, mode: str, conversation_id: str | None, *, is_debug: bool) -> str | None:
    """The log does not show what was run in the editor. `conversation_id` opens the conversation in releases that know
    it, and changes nothing in others."""
    if not base or mode in _WITHOUT_APP_PAGE:
        return None
    app = f"{base}/app/{quote(app_id, safe='')}"
    if is_debug:
        return f"{app}/{'workflow' if mode in _WITH_GRAPH else 'configuration'}"
    if conversation_id:
        return f"{app}/logs?conversation_id={quote(conversation_id, safe='')}"
    return f"{app}/logs"
