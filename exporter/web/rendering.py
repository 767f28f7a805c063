"""How answers are made: templates with autoescape on, an ETag on everything.

An answer that is the same as the one the browser has is a 304, so a page may ask again every few seconds.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape
from starlette.requests import Request
from starlette.responses import Response

from exporter import __version__
from exporter.model import Verdict
from exporter.web.language import LANGUAGES, Links, language_of, same_page_in
from exporter.web.readiness import Readiness

_HERE = Path(__file__).parent
_QUOTED = re.compile(r"`([^`]+)`")
_TYPES = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(version=__version__, verdicts=[verdict.value for verdict in Verdict])
    environment.filters.update(prose=_prose)
    return environment


def _prose(text: str) -> Markup:
    """A sentence whose `quoted` words are code; everything in it is escaped first."""
    return Markup(_QUOTED.sub(r"<code>\1</code>", str(escape(text))))


_templates = _environment()


def page(request: Request, readiness: Readiness, template: str, **values: Any) -> Response:
    """A whole page; whether the exporter is ready is said in the head of each."""
    text = _rendered(request, template, readiness=readiness, **values)
    return _in_language(request, answer(request, text.encode(), "text/html; charset=utf-8"))


def message(request: Request, heading: str, text: str, status: int) -> Response:
    """A plain page for what went wrong; needs nothing that could fail again, and repeats nothing of the address.
    `heading` is a key, `text` are words."""
    heading = language_of(request)(heading)
    body = _rendered(request, "message.html", readiness=None, heading=heading, text=text, others=())
    return _in_language(request, Response(body, status, media_type="text/html"))


def _rendered(request: Request, template: str, **values: Any) -> str:
    say, links = language_of(request), Links.of(request)
    others = [
        (language, same_page_in(request, language)) for language in LANGUAGES.values() if language != say
    ]
    frame = {"say": say, "to": links.to, "lang": links.chosen, "others": others, "here": request.url.path}
    return _templates.get_template(template).render(frame | values)


def _in_language(request: Request, response: Response) -> Response:
    response.headers["Content-Language"] = language_of(request).tag
    response.headers["Vary"] = "Accept-Language"
    return response


def answer(request: Request, body: bytes, media_type: str) -> Response:
    """The body, or 304 when the client says that it has this very body."""
    etag = f'"{hashlib.sha256(body).hexdigest()[:24]}"'
    if request.headers.get("if-none-match") == etag:
        return Response(status_code=304, headers={"ETag": etag})
    return Response(body, media_type=media_type, headers={"ETag": etag})


def static_files() -> dict[str, tuple[bytes, str]]:
    """Everything under static/, read once: name → content and media type."""
    return {
        path.name: (path.read_bytes(), _TYPES[path.suffix]) for path in sorted((_HERE / "static").iterdir())
    }
