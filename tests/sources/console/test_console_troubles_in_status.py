"""What Dify refuses while the daemon runs stands in `status` and /readyz as long as it lasts."""

from __future__ import annotations

from pathlib import Path

from exporter import clock, status
from exporter.checks import check_all
from exporter.daemon import App
from exporter.web.readiness import Live, assess
from tests.contract.console_twin import ConsoleTwin
from tests.sources.console.restored import console, settings
from tests.sources.console.test_console_bad_answers import app_with, rest


def test_a_list_refused_later_stands_in_status_and_readiness_until_it_is_given(
    twin: ConsoleTwin, tmp_path: Path
) -> None:
    wanted = settings(tmp_path, dify__console=console(twin))
    with App(wanted) as app:
        app.poll()
        assert told(app) == []
        twin.trouble.forbidden = {app_with(twin, "chat")}
        rest(app.source().source)
        app.poll()
        (words,) = told(app)
        assert "give the account the role editor" in words
        assert words in warnings(app)
        assert "trouble" in " ".join(status.document(app.store, wanted, app.now())["source"])
        twin.trouble.forbidden = set()
        rest(app.source().source)
        app.poll()
        assert told(app) == []
        assert "trouble" not in " ".join(status.document(app.store, wanted, app.now())["source"])


def told(app: App) -> list[str]:
    found = status.document(app.store, app.settings, app.now())["problems"]
    return [words for words in found if "Console API refuses" in words]


def warnings(app: App) -> tuple[str, ...]:
    return assess(app.store, Live(clock.now(), clock.now(), 10.0)).warnings


def test_check_tells_of_difys_own_tracing_without_its_database(twin: ConsoleTwin, tmp_path: Path) -> None:
    entry = {"kind": "langfuse", "endpoint": "http://127.0.0.1:1", "public_key": "p", "secret_key": "s"}
    wanted = settings(tmp_path, dify__console=console(twin), destinations=[entry])
    (line,) = (item for item in check_all(wanted) if item.name.endswith(": existing"))
    assert line.seen == "Dify's own Langfuse tracing is on for no app that is exported"
