"""How answers are made: templates with autoescape on, an ETag on everything.

An answer that is the same as the one the browser has is a 304, so a page may ask again every two seconds.
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
from exporter.web import words
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
    environment.globals.update(version=__version__, verdicts=words.VERDICTS)
    environment.filters.update(prose=_prose)
    return environment


def _prose(text: str) -> Markup:
    """A sentence whose `quoted` words are code; everything in it is escaped first."""
    return Markup(_QUOTED.sub(r"<code>\1</code>", str(escape(text))))


_templates = _environment()


def page(request: Request, readiness: Readiness, template: str, **values: Any) -> Response:
    """A whole page; whether the exporter is ready is said in the head of each."""
    text = _templates.get_template(template).render(readiness=readiness, here=request.url.path, **values)
    return answer(request, text.encode(), "text/html; charset=utf-8")


def message(heading: str, text: str, status: int) -> Response:
    """A plain page for what went wrong; needs nothing that could fail again."""
    body = _templates.get_template("message.html").render(readiness=None, here="", heading=heading, text=text)
    return Response(body, status, media_type="text/html")


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
