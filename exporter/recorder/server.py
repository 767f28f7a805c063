"""The HTTP server and the HTTP client of the recorder, set up so that neither adds, unpacks or remembers anything."""

from __future__ import annotations

import ssl

import certifi
import orjson
from aiohttp import ClientSession, ClientTimeout, DummyCookieJar, TCPConnector, hdrs, web
from aiohttp.typedefs import Handler

from exporter.recorder.options import RecorderOptions
from exporter.recorder.proxy import SENT, Site, pass_on

HEALTH_PATH = "/-/recorder/health"
"""The recorder's own answer; no upstream can be asked for it."""

_LONGEST_HEADER = 64 * 2**10
_MOST_HEADERS = 512
_READ_BYTES = 64 * 2**10
_IDLE_SECONDS = 4.0
"""An idle connection to an upstream is closed before the shortest usual server (uvicorn, Node: 5 s) closes it itself."""
_NOT_ADDED = ("User-Agent", "Accept", "Accept-Encoding", "Content-Type")
_ADDED_BY_THE_SERVER = (hdrs.DATE, hdrs.SERVER, hdrs.CONTENT_TYPE)


def build_session(options: RecorderOptions) -> ClientSession:
    """The client for all upstreams: pooled connections, certificates checked, nothing added or unpacked."""
    trusted = ssl.create_default_context()
    trusted.load_verify_locations(certifi.where())
    if options.upstream_ca is not None:
        trusted.load_verify_locations(options.upstream_ca)
    return ClientSession(
        connector=TCPConnector(limit=0, ssl=trusted, keepalive_timeout=_IDLE_SECONDS),
        timeout=ClientTimeout(total=None, connect=options.connect_seconds, sock_read=options.silence_seconds),
        cookie_jar=DummyCookieJar(),
        skip_auto_headers=_NOT_ADDED,
        auto_decompress=False,
        read_bufsize=_READ_BYTES,
        max_line_size=_LONGEST_HEADER,
        max_field_size=_LONGEST_HEADER,
        max_headers=_MOST_HEADERS,
    )


def build_runner(site: Site) -> web.AppRunner:
    """The server. A caller that hangs up cancels its request at once."""

    @web.middleware
    async def every_request(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.raw_path.partition("?")[0] == HEALTH_PATH:
            return _health(site)
        site.counts.requests += 1
        site.counts.in_flight += 1
        try:
            return await pass_on(site, request)
        finally:
            site.counts.in_flight -= 1

    app = web.Application(middlewares=[every_request])
    app.on_response_prepare.append(_add_nothing)
    return web.AppRunner(
        app,
        access_log=None,
        handler_cancellation=True,
        auto_decompress=False,
        read_bufsize=_READ_BYTES,
        max_line_size=_LONGEST_HEADER,
        max_field_size=_LONGEST_HEADER,
        max_headers=_MOST_HEADERS,
        shutdown_timeout=site.options.drain_seconds,
    )


def _health(site: Site) -> web.Response:
    document = site.counts.document(site.handoff.waiting, site.memory.used_bytes, site.memory.limit_bytes)
    return web.Response(body=orjson.dumps(document), content_type="application/json")


async def _add_nothing(request: web.Request, response: web.StreamResponse) -> None:
    """Take out what the server adds to an answer whose upstream did not send it."""
    sent = request.get(SENT)
    if sent is not None:
        for name in _ADDED_BY_THE_SERVER:
            if name.lower() not in sent:
                response.headers.popall(name, None)
