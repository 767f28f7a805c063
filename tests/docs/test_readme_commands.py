"""What the documents tell a person to type exists, and every command is told of."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from exporter.cli import app

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])
COMMAND = re.compile(r"(?<![\w./-])(?:[\w./-]*/)?(?:dify-exporter|python -m exporter)((?: +[^\s`|)#&]+)+)")


def commands() -> dict[str, object]:
    """Every command's full name and its click object."""
    return dict(_below(typer.main.get_command(app), ""))


def _below(group: object, before: str) -> Iterator[tuple[str, object]]:
    for name, command in getattr(group, "commands", {}).items():
        full = f"{before} {name}".strip()
        if hasattr(command, "commands"):
            yield from _below(command, full)
        else:
            yield full, command


def options_of(command: object) -> set[str]:
    return {name for parameter in command.params for name in parameter.opts} | {"--help"}  # type: ignore[attr-defined]


def typed() -> Iterator[tuple[str, str]]:
    """(document, what follows `dify-exporter`) in code spans and blocks."""
    for document in DOCUMENTS:
        text = document.read_text("utf-8")
        code = re.findall(r"```(?:bash)?\n(.*?)```", text, re.DOTALL) + re.findall(r"(?<!`)`([^`\n]+)`", text)
        for found in (match for part in code for match in COMMAND.findall(part)):
            yield document.name, found.strip()


def test_there_is_something_to_test() -> None:
    assert len(list(typed())) > 15
    assert {"demo", "check", "run", "backfill", "status", "calls", "explain", "replay", "config show"} <= set(
        commands()
    )


@pytest.mark.parametrize(("document", "line"), sorted(set(typed())))
def test_a_documented_command_exists_with_its_options(document: str, line: str) -> None:
    words = shlex.split(line, comments=True)
    group = typer.main.get_command(app)
    general = options_of(group)
    while words and words[0].startswith("-"):
        assert words[0] in general, f"{document}: dify-exporter has no {words[0]}"
        words = words[1:] if words[0] in ("--help", "--version") else words[2:]
    if not words:
        return
    name = " ".join(words[:2]) if " ".join(words[:2]) in commands() else words[0]
    if re.fullmatch(r"[a-z-]+", words[0]) is None or name not in commands():
        pytest.fail(f"{document}: there is no `dify-exporter {name}`")
    given = {word.partition("=")[0] for word in words if word.startswith("--")}
    assert given <= options_of(commands()[name]), f"{document}: {line}"


@pytest.mark.parametrize("name", sorted(commands()))
def test_every_command_has_help_and_is_in_the_readme(name: str) -> None:
    shown = CliRunner().invoke(app, [*name.split(), "--help"])
    assert shown.exit_code == 0
    assert commands()[name].help, name  # type: ignore[attr-defined]
    assert f"`dify-exporter {name}`" in (ROOT / "README.md").read_text("utf-8")


@pytest.mark.parametrize("name", sorted(commands()))
def test_every_option_of_a_command_has_help(name: str) -> None:
    without = [
        parameter.name for parameter in commands()[name].params if not getattr(parameter, "help", None)
    ]  # type: ignore[attr-defined]
    assert without == []


def test_make_targets_in_the_documents_exist() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    for document in [*DOCUMENTS, ROOT / "CHANGELOG.md"]:
        named = set(re.findall(r"(?:^|`)make ([a-z]+)", document.read_text("utf-8"), re.MULTILINE))
        assert named <= targets, document.name
    assert {"demo", "test", "lint", "bench", "lock"} <= targets


def test_links_between_documents_lead_somewhere() -> None:
    for document in DOCUMENTS:
        for target, anchor in re.findall(
            r"\]\((?!https?:)([^)#\s]*)(?:#([^)]+))?\)", document.read_text("utf-8")
        ):
            file = (document.parent / target).resolve() if target else document
            assert file.exists(), f"{document.name}: {target}"
            if anchor:
                headings = re.findall(r"^#+ (.+)$", file.read_text("utf-8"), re.MULTILINE)
                slugs = {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
                assert anchor in slugs, f"{document.name}: {target}#{anchor}"
