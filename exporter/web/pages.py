"""The pages a person reads and the JSON behind them. Each handler reads the ledger once and renders; nothing is kept."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlencode

import orjson
from starlette.requests import Request
from starlette.responses import Response

from exporter.model import Verdict
from exporter.state import ledger, totals
from exporter.web import listing, overview, rendering, standing, tree
from exporter.web.listing import Document, Found, Place, Wanted
from exporter.web.site import Site

ROWS = 100
_MOST_ROWS = 500
_JSON = "application/json"


class NotUnderstood(ValueError):
    """The address asks for something that cannot be meant; the text says what is expected."""


@dataclass(frozen=True, slots=True)
class _Filter:
    """The filter as the page shows it: the choices, and links that keep the rest of the filter."""

    app: str
    verdict: str
    apps: tuple[str, ...]

    def link(self, **changed: str) -> str:
        """Address of this page with another filter."""
        kept = {
            name: value
            for name, value in {"app": self.app, "verdict": self.verdict, **changed}.items()
            if value
        }
        return f"/?{urlencode(kept)}" if kept else "/"


def traces(site: Site, request: Request) -> Response:
    """`/`: the newest traces."""
    wanted = _wanted(request, ROWS)
    with site.store.read() as connection:
        found = listing.find(connection, wanted)
        apps = {total.app for total in totals.all_totals(connection) if total.metric == "calls"}
    chosen = _Filter(
        wanted.app or "", wanted.verdict or "", tuple(sorted(apps | _apps(found), key=str.casefold))
    )
    return rendering.page(
        request,
        site.readiness(),
        "traces.html",
        rows=[overview.trace_row(document) for document in found.traces],
        summary=overview.summary(found.traces),
        filter=chosen,
        older=chosen.link(before=str(found.older)) if found.older else None,
        looked_at=found.looked_at,
        is_first_page=wanted.after is None,
    )


def trace(site: Site, request: Request) -> Response:
    """`/traces/{id}`: one trace as a tree."""
    document = _found_trace(site, request)
    if document is None:
        return rendering.message(
            "No such trace", "The ledger holds no trace, message or run with this id.", 404
        )
    return rendering.page(
        request,
        site.readiness(),
        "trace.html",
        trace=tree.trace_view(document),
        totals=overview.trace_row(document),
    )


def status(site: Site, request: Request) -> Response:
    """`/status`: what works and what does not."""
    readiness = site.readiness()
    with site.store.read() as connection:
        shown = standing.standing(connection, readiness, site.destinations, site.clock())
    return rendering.page(request, readiness, "status.html", standing=shown)


def api_traces(site: Site, request: Request) -> Response:
    """`/api/traces`: the documents of the list; `older` is the value of `before` that goes on."""
    with site.store.read() as connection:
        found = listing.find(connection, _wanted(request, ROWS))
    body = {"traces": found.traces, "older": str(found.older) if found.older else None}
    return rendering.answer(request, orjson.dumps(body), _JSON)


def api_trace(site: Site, request: Request) -> Response:
    """`/api/traces/{id}`: one document, as `explain --json` prints it."""
    document = _found_trace(site, request)
    if document is None:
        return Response(orjson.dumps({"error": "no such trace"}), 404, media_type=_JSON)
    return rendering.answer(request, orjson.dumps(document), _JSON)


def _found_trace(site: Site, request: Request) -> Document | None:
    with site.store.read() as connection:
        try:
            return ledger.trace(connection, request.path_params["id"])
        except ValueError:
            raise NotUnderstood(
                "A trace is named by 32 hexadecimal digits, or by a message's or run's id."
            ) from None


def _wanted(request: Request, rows: int) -> Wanted:
    asked = request.query_params
    verdict = asked.get("verdict") or None
    if verdict is not None and verdict not in list(Verdict):
        raise NotUnderstood(f"A verdict is one of {', '.join(Verdict)}.")
    try:
        limit = int(asked.get("limit", rows))
        after = Place.parse(asked["before"]) if asked.get("before") else None
    except ValueError:
        raise NotUnderstood("`limit` is a number, and `before` is copied from an earlier answer.") from None
    if not 1 <= limit <= _MOST_ROWS:
        raise NotUnderstood(f"`limit` lies between 1 and {_MOST_ROWS}.")
    return Wanted(limit, asked.get("app") or None, verdict, after)


def _apps(found: Found) -> set[str]:
    return {str(document["app_name"]) for document in found.traces}
