"""A name that the ledger never saw is told, with those it may have been meant for; silence would look like "no calls"."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from difflib import get_close_matches

import typer

from exporter.state import browse, names

_NEAR = 3
_LIKENESS = 0.4


def refuse_unknown(connection: sqlite3.Connection, app: str | None, model: str | None) -> None:
    """Raises a usage error for an app (id or name) or a model of which nothing was ever seen."""
    if app is not None and not names.has_app(connection, app):
        known = {name for found in names.apps(connection).values() for name in found.names}
        raise typer.BadParameter(_told("app", app, known), param_hint="--app")
    if model is not None and not names.has_model(connection, model):
        raise typer.BadParameter(_told("model", model, browse.models(connection)), param_hint="--model")


def _told(what: str, text: str, known: Iterable[str]) -> str:
    near = _near(text, sorted(filter(None, known), key=str.casefold))
    return f"no {what} {text!r} was ever seen" + (f"; there is {', '.join(map(repr, near))}" if near else "")


def _near(text: str, known: list[str]) -> list[str]:
    """Those that hold the text, else those that are spelled alike; whatever the case."""
    folded = text.strip().casefold()
    holding = [name for name in known if folded and folded in name.casefold()]
    by_fold = {name.casefold(): name for name in known}
    alike = [by_fold[name] for name in get_close_matches(folded, list(by_fold), _NEAR, _LIKENESS)]
    return list(dict.fromkeys([*holding, *alike]))[:_NEAR]
