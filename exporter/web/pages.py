"""The pages a person reads and the JSON behind them. Each handler reads the ledger once and renders; nothing is kept."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

import orjson
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from exporter.state import browse, ledger
from exporter.state.browse import Order
from exporter.web import home, overview, reconciliation, rendering, standing, tree
from exporter.web.asked import Filter, NotUnderstood, days_of, filter_of, wanted
from exporter.web.language import ENGLISH, Language, Links, language_of
from exporter.web.site import Site
from exporter.web.words import ago

ROWS = 100
_JSON = "application/json"
_OF_A_LIST = ("app", "verdict", "before")
Document = ledger.Document


@dataclass(frozen=True, slots=True)
class Choices:
    """What the filter offers: apps and models as (value, name)."""

    apps: tuple[tuple[str, str], ...]
    models: tuple[tuple[str, str], ...]


def front(site: Site, request: Request) -> Response:
    """`/`: the overview. The list of traces once stood here; its addresses go on to where it stands now."""
    if any(request.query_params.get(name) for name in _OF_A_LIST):
        return RedirectResponse(f"/traces?{request.url.query}", 307)
    say = language_of(request)
    period = home.PERIODS.get(request.query_params.get("period") or "day")
    if period is None:
        raise NotUnderstood("error.period", names=", ".join(home.PERIODS))
    readiness = site.readiness()
    with site.store.read() as connection:
        shown = home.home(connection, period, site.clock(), say)
    return rendering.page(
        request,
        readiness,
        "overview.html",
        home=shown,
        period=period.name,
        periods=tuple(home.PERIODS),
        read=ago(readiness.read_at, site.clock(), say),
        behind=standing.behind(readiness.lag_seconds, say),
    )


def traces(site: Site, request: Request) -> Response:
    """`/traces`: the list, filtered and sorted."""
    say, links = language_of(request), Links.of(request)
    chosen = filter_of(request.query_params)
    with site.store.read() as connection:
        found, documents = _found(connection, request, chosen)
        choices = _choices(connection, chosen)
    further = links.to("/traces", **chosen.values(), before=found.further) if found.further else None
    return rendering.page(
        request,
        site.readiness(),
        "traces.html",
        rows=[overview.trace_row(document, say) for document in documents],
        summary=overview.summary(documents, say),
        filter=chosen,
        choices=choices,
        further=further,
        found=found,
        by_gap=chosen.order is Order.GAP,
        is_first_page=not request.query_params.get("before"),
    )


def trace(site: Site, request: Request) -> Response:
    """`/traces/{id}`: one trace as a tree."""
    say = language_of(request)
    document = _found_trace(site, request)
    if document is None:
        return rendering.message(request, "error.trace", say("error.trace.text"), 404)
    return rendering.page(
        request,
        site.readiness(),
        "trace.html",
        trace=tree.trace_view(document, say),
        totals=overview.trace_row(document, say),
        elsewhere=site.links(document["trace_id"]),
    )


def reconcile(site: Site, request: Request) -> Response:
    """`/reconciliation`: from Dify's number to the vendor's, day by day."""
    say, asked = language_of(request), request.query_params
    app, model = asked.get("app", ""), asked.get("model", "")
    days = days_of(asked)
    with site.store.read() as connection:
        span = reconciliation.chosen_days(days, browse.newest_at(connection), site.clock())
        shown = reconciliation.reconciliation(connection, span, app, model, say)
        choices = _choices(connection, Filter(app, model, "", Order.NEWEST, days))
    return rendering.page(
        request, site.readiness(), "reconciliation.html", shown=shown, app=app, model=model, choices=choices
    )


def health(site: Site, request: Request) -> Response:
    """`/status`: what works and what does not."""
    readiness = site.readiness()
    with site.store.read() as connection:
        shown = standing.standing(
            connection, readiness, site.destinations, site.clock(), language_of(request)
        )
    return rendering.page(request, readiness, "status.html", standing=shown)


def api_traces(site: Site, request: Request) -> Response:
    """`/api/traces`: the documents of the list; `older` is the value of `before` that goes on."""
    with site.store.read() as connection:
        found, documents = _found(connection, request, filter_of(request.query_params))
    body = {"traces": documents, "older": str(found.further) if found.further else None}
    return rendering.answer(request, orjson.dumps(body), _JSON)


def api_trace(site: Site, request: Request) -> Response:
    """`/api/traces/{id}`: one document, as `explain --json` prints it."""
    document = _found_trace(site, request)
    if document is None:
        return Response(orjson.dumps({"error": "no such trace"}), 404, media_type=_JSON)
    return rendering.answer(request, orjson.dumps(document), _JSON)


def _found(
    connection: sqlite3.Connection, request: Request, chosen: Filter
) -> tuple[browse.Found, list[Document]]:
    found = browse.find(connection, wanted(connection, request.query_params, chosen, ROWS))
    documents = (ledger.trace(connection, trace_id) for trace_id in found.trace_ids)
    return found, [document for document in documents if document is not None]


def _choices(connection: sqlite3.Connection, chosen: Filter) -> Choices:
    """Apps of one name are told apart by their ids; what is chosen is offered, though nothing may be known of it."""
    names = browse.apps(connection)
    count = {name: list(names.values()).count(name) for name in set(names.values())}
    apps = {
        name if count[name] == 1 else app_id: name if count[name] == 1 else f"{name} ({app_id[:8]})"
        for app_id, name in names.items()
    }
    if chosen.app and chosen.app not in apps:
        apps[chosen.app] = names.get(chosen.app, chosen.app)
    models = dict.fromkeys(browse.models(connection) + ([chosen.model] if chosen.model else []))
    return Choices(tuple(apps.items()), tuple((name, name) for name in models))


def _found_trace(site: Site, request: Request) -> Document | None:
    with site.store.read() as connection:
        try:
            return ledger.trace(connection, request.path_params["id"])
        except ValueError:
            raise NotUnderstood("error.id") from None


def words_of(error: NotUnderstood, say: Language = ENGLISH) -> str:
    """What is wrong with an address, in words."""
    return say(error.key, **error.values)
