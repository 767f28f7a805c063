"""The committed boards: what the code says, what Grafana's schema allows, and what keeps boards readable and importable."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard

from dashboards import generate
from tests.dashboards import boards
from tests.dashboards.boards import Target

EVERY_BOARD = pytest.mark.parametrize("board", sorted(boards.BOARDS))
EVERY_QUERY = pytest.mark.parametrize("item", boards.targets(), ids=str)
PANELS = [
    pytest.param(board, panel, id=f"{board}: {panel['title']}")
    for board in boards.BOARDS
    for panel in boards.panels(board)
]
COUNTER = re.compile(r"\b(?:dify|process)_\w+_(?:total|bucket|count|sum)\b")
RANGES = {"$__range", "$__rate_interval", "1d"}
"""A day is the one range that a board may name itself, where it says so."""


def test_the_files_are_what_the_code_says() -> None:
    assert generate.main(["--check"]) == 0


def test_a_file_that_was_changed_by_hand_is_noticed(tmp_path: Path) -> None:
    for name, content in generate.files().items():
        (tmp_path / name).write_text(content, "utf-8")
    assert generate.stale_files(tmp_path) == []
    (tmp_path / "causes.json").write_text(generate.files()["causes.json"].replace("Step", "step", 1), "utf-8")
    (tmp_path / "old.json").write_text("{}", "utf-8")
    (tmp_path / "models.json").unlink()
    assert generate.stale_files(tmp_path) == ["causes.json", "models.json", "old.json"]


@EVERY_BOARD
def test_the_sdk_reads_back_exactly_what_it_wrote(board: str) -> None:
    """Whatever the schema of Grafana 11 does not know would be lost on the way."""
    register_default_plugins()
    written = {
        name: value
        for name, value in boards.BOARDS[board].items()
        if name not in ("__inputs", "__requires", "id")
    }
    read = json.loads(json.dumps(Dashboard.from_json(written), cls=JSONEncoder))
    assert read == written


@EVERY_BOARD
def test_the_import_dialog_asks_for_each_data_source(board: str) -> None:
    """Grafana asks for what `__inputs` names and puts the answer wherever ${NAME} stands: in the variables of that kind. Else
    (provisioned) no such data source exists, and Grafana takes the first of the kind."""
    document = boards.BOARDS[board]
    asked = {item["name"]: item["pluginId"] for item in document["__inputs"]}
    sources = [item for item in boards.variables(board).values() if item["type"] == "datasource"]
    assert {item["current"]["value"]: item["query"] for item in sources} == {
        f"${{{name}}}": kind for name, kind in asked.items()
    }
    assert {"DS_PROMETHEUS"} <= set(asked) <= {"DS_PROMETHEUS", "DS_LEDGER"}
    assert document["id"] is None
    grafana = next(item for item in document["__requires"] if item["type"] == "grafana")
    assert int(grafana["version"].partition(".")[0]) >= 11


def test_boards_have_their_own_uids_titles_and_descriptions() -> None:
    documents = boards.BOARDS.values()
    assert len({item["uid"] for item in documents}) == len({item["title"] for item in documents}) == 5
    assert all(len(item["uid"]) <= 40 and item["description"] and item["tags"] for item in documents)


@EVERY_BOARD
def test_panel_ids_are_unique_and_panels_do_not_overlap(board: str) -> None:
    shown = [panel for item in boards.BOARDS[board]["panels"] for panel in [item, *item.get("panels", [])]]
    assert max(Counter(panel["id"] for panel in shown).values()) == 1
    cells = Counter(
        (x, y)
        for panel in shown
        for position in [panel["gridPos"]]
        for x in range(position["x"], position["x"] + position["w"])
        for y in range(position["y"], position["y"] + position["h"])
    )
    assert max(cells.values()) == 1
    assert max(x for x, _ in cells) < 24


@pytest.mark.parametrize(("board", "panel"), PANELS)
def test_a_panel_has_title_description_unit_and_a_templated_source(board: str, panel: dict[str, Any]) -> None:
    assert panel["title"].strip()
    assert panel["description"].endswith(".")
    assert panel["description"] != panel["title"]
    if panel["type"] == "text":
        return
    assert panel["fieldConfig"]["defaults"]["unit"]
    assert panel["datasource"]["uid"] in ("${datasource}", "${ledger}")
    assert [item["refId"] for item in panel["targets"]] == list("ABCDEFGHIJ")[: len(panel["targets"])]
    assert {item["datasource"]["uid"] for item in panel["targets"]} == {panel["datasource"]["uid"]}
    if panel["type"] in ("stat", "table", "bargauge"):
        assert panel["fieldConfig"]["defaults"]["noValue"]
    if panel["type"] == "table":  # else each unknown cell would show the sentence for an empty table
        cells = [
            item["properties"]
            for item in panel["fieldConfig"]["overrides"]
            if item["matcher"]["options"] == "/.*/"
        ]
        assert cells == [[{"id": "noValue", "value": "–"}]]


@pytest.mark.parametrize(("board", "panel"), PANELS)
def test_colours_that_judge_are_explained_in_words(board: str, panel: dict[str, Any]) -> None:
    steps = panel.get("fieldConfig", {}).get("defaults", {}).get("thresholds", {}).get("steps", [])
    if "red" in {step["color"] for step in steps}:
        words = panel["description"].lower()
        assert "red" in words or "bands" in words, panel["title"]


@EVERY_QUERY
def test_a_counter_is_read_through_increase_or_rate_alone(item: Target) -> None:
    text = item.target["expr"]
    for found in COUNTER.finditer(text):
        before = text[: found.start()]
        assert re.search(r"(?:increase|rate)\($", before), f"{found[0]} in {text}"
        after = re.match(r"\{[^}]*\}\[([^\]]+)\]\)", text[found.end() :])
        assert after is not None, text
        assert after[1] in RANGES, after[1]


@EVERY_QUERY
def test_a_query_takes_the_chosen_exporters_and_names_no_job(item: Target) -> None:
    text = item.target["expr"]
    for name, selector in re.findall(r"\b((?:dify|process)_\w+|up)(\{[^}]*\})?", text):
        joined = name == "dify_exporter_build_info" and ("on (job, instance)" in text)
        assert 'instance=~"$instance"' in selector or joined, f"{name}{selector}"
    assert not re.search(r"job\s*[=!]", text)


@EVERY_BOARD
def test_boards_about_calls_can_be_narrowed_to_exporter_app_provider_and_model(board: str) -> None:
    found = boards.variables(board)
    about_calls = {"instance", "app", "provider", "model"}
    assert about_calls <= set(found) or board == "health"
    for name in about_calls & set(found):
        assert found[name]["multi"] is True
        assert found[name]["includeAll"] is True
        assert found[name]["datasource"]["uid"] == "${datasource}"
    assert all(item["label"] and item["description"] for item in found.values())


@EVERY_BOARD
def test_every_variable_a_board_mentions_exists(board: str) -> None:
    own = {"__range", "__rate_interval", "__field", "__data", "__timeFilter", "re"}
    text = json.dumps(boards.BOARDS[board]["panels"])
    mentioned = {first or second for first, second in re.findall(r"\$\{(\w+)|\$(\w+)", text)}
    assert mentioned - own - {"1"} <= set(boards.variables(board))


def test_a_row_that_asks_a_source_of_its_own_is_closed_until_it_is_opened() -> None:
    for board in boards.BOARDS.values():
        for panel in board["panels"]:
            sources = {inner["datasource"]["uid"] for inner in panel.get("panels", [])}
            assert panel.get("collapsed", False) == ("${ledger}" in sources)
            assert panel.get("datasource", {}).get("uid") != "${ledger}"
