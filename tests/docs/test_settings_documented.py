"""docs/settings.md and the example file name every setting, with its true default."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel, SecretStr, TypeAdapter
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from exporter import config

DOCS = Path(__file__).parents[2] / "docs"
LISTS: dict[str, type[BaseModel]] = {
    "dify.console.accounts": config.AccountSettings,
    "dify.apps": config.AppKeySettings,
    "vendor": config.VendorSettings,
    "bills": config.BillSettings,
    "models": config.ModelSettings,
    "prices.entries": config.PriceEntry,
    "prices.rates": config.ExchangeRate,
    "report.scopes": config.ScopeSettings,
    "report.schedule": config.ScheduleSettings,
    "destinations": config.DestinationSettings,
}
ROW = re.compile(r"^\| `([a-z0-9_.\[\]]+)` \| (.+?) \| (.+) \|$", re.MULTILINE)


def settings() -> Iterator[tuple[str, FieldInfo]]:
    for path, field in config.leaves():
        name = ".".join(path)
        yield name, field
        if name in LISTS:
            yield from ((f"{name}[].{'.'.join(inner)}", item) for inner, item in config.leaves(LISTS[name]))


def documented() -> dict[str, tuple[str, str]]:
    text = (DOCS / "settings.md").read_text("utf-8")
    return {name: (default, meaning) for name, default, meaning in ROW.findall(text)}


def example(*, with_optional: bool) -> str:
    text = (DOCS / "dify-exporter.example.yaml").read_text("utf-8")
    return re.sub(r"^#(?! \S)(?=.)", "", text, flags=re.MULTILINE) if with_optional else text


@pytest.mark.parametrize(
    ("name", "field"), list(settings()), ids=lambda value: value if isinstance(value, str) else ""
)
def test_every_setting_is_documented_with_its_default(name: str, field: FieldInfo) -> None:
    assert name in documented(), f"docs/settings.md has no row for {name}"
    default, meaning = documented()[name]
    assert len(meaning) > 5
    if default.startswith("see "):
        return
    if default == "–":
        assert field.default in (None, "", PydanticUndefined, SecretStr(""))
        return
    written = yaml.safe_load(default.strip("`"))
    annotation: Any = field.rebuild_annotation()
    assert TypeAdapter(annotation).validate_python(written) == field.default


def test_nothing_is_documented_that_is_no_setting() -> None:
    assert set(documented()) == {name for name, _ in settings()}


def test_the_example_file_loads_and_holds_only_defaults(tmp_path: Path) -> None:
    file = tmp_path / "dify-exporter.yaml"
    file.write_text(example(with_optional=False), "utf-8")
    assert config.load(file, {}).settings == config.load(None, {"DIFY_EXPORTER_CONFIG": "/dev/null"}).settings


def test_the_example_file_names_every_setting(tmp_path: Path) -> None:
    file = tmp_path / "dify-exporter.yaml"
    file.write_text(example(with_optional=True), "utf-8")
    loaded = config.load(file, {}).settings
    kinds = config.DestinationSettings.model_fields["kind"].annotation
    assert [item.kind for item in loaded.destinations] == list(kinds.__args__)
    tree = yaml.safe_load(file.read_text("utf-8"))
    missing = [name for name, _ in settings() if not _is_named(tree, name)]
    assert missing == []


def _is_named(tree: Any, name: str) -> bool:
    head, _, rest = name.partition("[].")
    places = [tree]
    for part in head.split("."):
        places = [place[part] for place in places if isinstance(place, dict) and part in place]
    if not rest:
        return bool(places)
    return any(rest in entry for place in places for entry in place)


def test_every_ecosystem_variable_is_documented() -> None:
    text = (DOCS / "settings.md").read_text("utf-8")
    source = "".join(file.read_text("utf-8") for file in Path(config.__file__).parent.glob("*.py"))
    variables = set(re.findall(r"environ\.get\(\"([A-Z_]+)\"", source))
    assert variables
    assert {name for name in variables if f"`{name}`" not in text} == set()
