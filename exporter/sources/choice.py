"""Which source the settings choose (database, Console API, or Service API; exactly one), and its opening."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from exporter.config import DifySettings, Settings, masked_url
from exporter.destinations.base import Checked
from exporter.errors import Misconfigured
from exporter.sources.rows import Source
from exporter.sources.tracing import Tracing

Kind = Literal["database", "console", "service_api"]

_SETTING: dict[Kind, str] = {
    "database": "dify.database.url",
    "console": "dify.console.url",
    "service_api": "dify.apps",
}


def chosen(dify: DifySettings) -> Kind:
    """The kind of source. Raises `Misconfigured` when none is set, or more than one."""
    is_set: dict[Kind, bool] = {
        "database": dify.database.url is not None,
        "console": bool(dify.console.url),
        "service_api": bool(dify.apps),
    }
    kinds = [kind for kind, given in is_set.items() if given]
    if not kinds:
        raise Misconfigured(
            [
                "dify.database.url: is required (DIFY_DATABASE_URL), or dify.console.url where there is no database role"
            ],
            "postgresql://readonly:password@host:5432/dify; docs/install.md has the SQL for a read-only role,"
            " docs/console.md tells how to go without",
        )
    if len(kinds) > 1:
        names = " and ".join(_SETTING[kind] for kind in kinds)
        raise Misconfigured(
            [f"{names} are set, but one source is read: they would tell the same traces twice"],
            "keep one; what was read from the other before is known and is not sent again",
        )
    return kinds[0]


def address(dify: DifySettings) -> str:
    """Where the source is, fit for a log. Raises `Misconfigured` as `chosen`."""
    kind = chosen(dify)
    if kind == "console":
        return f"{masked_url(dify.console.url)} (Console API)"
    if kind == "service_api":
        return ", ".join(dict.fromkeys(f"{masked_url(app.url)} (Service API)" for app in dify.apps))
    assert dify.database.url is not None
    return masked_url(dify.database.url.get_secret_value())


def ask_tracing(settings: Settings) -> Tracing:
    """Dify's own tracing, for `check`. Raises nothing: what went wrong is the reason why nothing is known."""
    if settings.dify.console.url:
        from exporter.sources.console.checks import ask_tracing

        return ask_tracing(settings.dify, _logins(settings))
    from exporter.sources.tracing import ask

    return ask(settings.dify)


def open_source(settings: Settings) -> Source:
    """Open it. Raises `Misconfigured`, `Unreachable` or `SourceRefused`."""
    kind = chosen(settings.dify)
    if kind == "console":
        from exporter.sources.console import open_console

        return open_console(settings.dify, _logins(settings))
    if kind == "service_api":
        from exporter.sources.service_api import open_service_api

        return open_service_api(settings.dify)
    from exporter.sources.database import open_database

    return open_database(settings.dify)


def check_chosen(settings: Settings) -> list[Checked]:
    """What `check` says of it: one line per thing tested. Raises nothing of its own."""
    try:
        kind = chosen(settings.dify)
    except Misconfigured as error:
        return [Checked("source", False, str(error), error.hint)]
    if kind == "console":
        from exporter.sources.console.checks import check_console

        return check_console(settings.dify, _logins(settings))
    if kind == "service_api":
        from exporter.sources.service_api.checks import check_service_api

        return check_service_api(settings.dify)
    from exporter.sources.checks import check_source

    return check_source(settings.dify)


def _logins(settings: Settings) -> Path:
    """Where failed logins are remembered: beside the state."""
    return settings.state.path.with_name(f"{settings.state.path.name}.logins")
