"""`python -m dashboards.generate` writes the boards to `grafana/`; `--check` fails when the files there say anything else.

The files are what people import and what Compose provisions: the same file does for both.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard as models

from dashboards import causes_board, exporter_board, models_board, readings_board, reconciliation_board
from dashboards.parts import Board

FOLDER = Path(__file__).parent / "grafana"
BOARDS = (
    readings_board.BOARD,
    causes_board.BOARD,
    models_board.BOARD,
    reconciliation_board.BOARD,
    exporter_board.BOARD,
)
OLDEST_GRAFANA = "11.0.0"
TAG = "dify-exporter"

_SOURCES = {
    "DS_PROMETHEUS": ("prometheus", "Prometheus", "The Prometheus that scrapes dify-exporter"),
    "DS_LEDGER": (
        "grafana-postgresql-datasource",
        "PostgreSQL",
        "The copy of the ledger; any PostgreSQL when you have none",
    ),
}
"""What the import dialog asks for, by the name that a data source variable carries."""


def main(arguments: list[str] | None = None) -> int:
    """Write or check; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m dashboards.generate", description=__doc__)
    parser.add_argument(
        "--check", action="store_true", help="write nothing; exit 1 when a file is not what would be written"
    )
    if parser.parse_args(arguments).check:
        stale = stale_files(FOLDER)
        for name in stale:
            sys.stderr.write(f"dashboards/grafana/{name} is not what the code says; run `make dashboards`\n")
        return 1 if stale else 0
    FOLDER.mkdir(exist_ok=True)
    wanted = files()
    for path in FOLDER.glob("*.json"):
        if path.name not in wanted:
            path.unlink()
    for name, content in wanted.items():
        (FOLDER / name).write_text(content, "utf-8")
    return 0


def stale_files(folder: Path) -> list[str]:
    """Names of files that are missing, differ, or should not be there."""
    wanted = files()
    found = {path.name: path.read_text("utf-8") for path in folder.glob("*.json")}
    return sorted(name for name in {*wanted, *found} if wanted.get(name) != found.get(name))


def files() -> dict[str, str]:
    """File name → content, for every board."""
    return {
        f"{board.uid.removeprefix('dify-exporter-')}.json": json.dumps(
            document(board), indent=2, ensure_ascii=False
        )
        + "\n"
        for board in BOARDS
    }


def document(board: Board) -> dict[str, Any]:
    """A board as Grafana takes it: the SDK's JSON, and what the import dialog asks and requires."""
    built = _built(board)
    _number_panels(built)
    content = json.loads(json.dumps(built, cls=JSONEncoder))
    return {**_import_dialog(content), **content, "id": None}


def _built(board: Board) -> models.Dashboard:
    builder = (
        dashboard.Dashboard(board.title)
        .uid(board.uid)
        .description(board.description)
        .tags([TAG])
        .time(board.since, "now")
        .refresh("1m")
        .timezone("browser")
        .tooltip(models.DashboardCursorSync.CROSSHAIR)
        .variables(list(board.variables))
        .link(
            dashboard.DashboardLink("Boards")
            .type(models.DashboardLinkType.DASHBOARDS)
            .tags([TAG])
            .as_dropdown(False)
            .keep_time(True)
            .include_vars(True)
        )
    )
    for row in board.rows:
        heading = dashboard.Row(row.title).collapsed(row.collapsed)
        if row.collapsed:
            for panel in row.panels:
                heading = heading.with_panel(panel)
        builder = builder.with_row(heading)
        for panel in () if row.collapsed else row.panels:
            builder = builder.with_panel(panel)
    return builder.build()


def _number_panels(built: models.Dashboard) -> None:
    for number, panel in zip(itertools.count(1), _panels(built), strict=False):
        panel.id_val = number


def _panels(built: models.Dashboard) -> Iterator[models.Panel | models.RowPanel]:
    for panel in built.panels or []:
        yield panel
        if isinstance(panel, models.RowPanel):
            yield from panel.panels


def _import_dialog(content: dict[str, Any]) -> dict[str, Any]:
    text = json.dumps(content)
    asked = {name: source for name, source in _SOURCES.items() if f"${{{name}}}" in text}
    kinds = sorted({panel["type"] for panel in _panel_documents(content)} - {"row"})
    return {
        "__inputs": [
            {
                "name": name,
                "label": label,
                "description": words,
                "type": "datasource",
                "pluginId": kind,
                "pluginName": label,
            }
            for name, (kind, label, words) in asked.items()
        ],
        "__requires": [
            {"type": "grafana", "id": "grafana", "name": "Grafana", "version": OLDEST_GRAFANA},
            *(
                {"type": "datasource", "id": kind, "name": label, "version": ""}
                for kind, label, _ in asked.values()
            ),
            *({"type": "panel", "id": kind, "name": kind, "version": ""} for kind in kinds),
        ],
    }


def _panel_documents(content: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for panel in content["panels"]:
        yield panel
        yield from panel.get("panels", [])


if __name__ == "__main__":
    sys.exit(main())
