"""Writes the tables of docs/sdk-differences.md: field by field, what a platform's own SDK writes for the same work and what we
write, with the reason where they differ: `python -m docs.sdk.differences`.

Every SDK runs in a process of its own and exports over loopback. Times and random ids are replaced by words, so that the page
is the same every time; a test fails while it is not, and while a difference has no reason or a reason no difference.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from docs.sdk import ours, runs, scenario
from docs.sdk.loopback import listening
from docs.sdk.reasons import platforms
from docs.sdk.terms import Difference, Platform, Reason
from exporter.destinations import langsmith_patch
from exporter.spans.otlp import attributes

PAGE = Path(__file__).parents[1] / "sdk-differences.md"
_ROOT = Path(__file__).parents[2]
_MARKED = re.compile(r"(<!-- table:(\w+) -->\n).*?(<!-- end -->\n)", re.DOTALL)
_SETTINGS_OF_SDKS = ("LANGFUSE_", "LANGSMITH_", "LANGCHAIN_", "OTEL_", "OPENAI_", "OPENINFERENCE_")
_KINDS = {0: "unspecified", 1: "internal", 2: "server", 3: "client"}
_STATUS = {0: "unset", 1: "ok", 2: "error"}
_SHOWN_CHARS = 120
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d")

Fields = dict[str, Any]
"""The fields of one span: its attributes, and what else a platform reads of it under names of the form `span.…`."""


@dataclass(frozen=True, slots=True)
class Row:
    """One field with what both sides write; `cases` are the spans that it is like this on."""

    field: str
    theirs: str
    ours: str
    difference: Difference
    cases: list[str]
    reason: Reason | None


def generated(page: str) -> str:
    """The page with its tables written anew."""
    tables = {
        name: _table(platform, rows(platform, sdk_fields(platform), our_fields(platform)))
        for name, platform in platforms().items()
    }
    return _MARKED.sub(lambda place: f"{place[1]}{tables[place[2]]}{place[3]}", page)


def rows(platform: Platform, theirs: Mapping[str, Fields], mine: Mapping[str, Fields]) -> list[Row]:
    """All fields of both sides, each by case, in the order of the tables."""
    found: dict[tuple[str, Difference, str], Row] = {}
    for case in scenario.CASES:
        for row in _compared(platform, case, theirs[case], mine[case]):
            known = found.setdefault((row.field, row.difference, row.reason.why if row.reason else ""), row)
            if known is not row:
                known.cases.append(case)
    order = list(Difference)
    return sorted(found.values(), key=lambda row: (order.index(row.difference), row.field))


def sdk_fields(platform: Platform) -> dict[str, Fields]:
    """What the platform's SDK writes, by case."""
    exports, posts = _recorded(platform.script)
    spans = [
        span
        for export in exports
        for of_resource in export.resource_spans
        for of_scope in of_resource.scope_spans
        for span in of_scope.spans
    ]
    spans.sort(key=lambda span: span.start_time_unix_nano)
    return _by_case([*map(_fields, spans), *_run_fields(posts)])


def our_fields(platform: Platform) -> dict[str, Fields]:
    """What we write, by case."""
    spans = ours.spans(platform.dialect)
    if platform.dialect == platform.name:
        return _by_case([_fields(Span.FromString(span)) for span in spans])
    return _by_case(_run_fields([(langsmith_patch.CONTENT_TYPE, langsmith_patch.body(spans, {}))]))


@cache
def _recorded(
    script: tuple[str, ...],
) -> tuple[tuple[ExportTraceServiceRequest, ...], tuple[tuple[str, bytes], ...]]:
    """What a script sends: OTLP exports, and LangSmith's own requests."""
    settings = {name: value for name, value in os.environ.items() if not name.startswith(_SETTINGS_OF_SDKS)}
    module, *options = script
    with listening() as server:
        subprocess.run(
            [sys.executable, "-m", f"docs.sdk.{module}", server.url, *options],
            cwd=_ROOT,
            env={**settings, "LANGCHAIN_REVISION_ID": "1", "NO_PROXY": "127.0.0.1"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=120,
            check=True,
        )
        return tuple(server.exports), tuple(server.runs)


def _by_case(found: Sequence[Fields]) -> dict[str, Fields]:
    return dict(zip(scenario.CASES, found, strict=True))


def _fields(span: Span) -> Fields:
    found = {name: _plain(value) for name, value in attributes(span).items()}
    found |= {
        "span.name": span.name,
        "span.kind": _KINDS[span.kind],
        "span.status": _STATUS[span.status.code],
    }
    if span.status.message:
        found["span.status.message"] = span.status.message
    for event in span.events:
        found[f"event {event.name}"] = "at a time"
        for name, value in attributes(event).items():
            found[f"event {event.name}: {name}"] = _plain(value)
    return found


def _run_fields(requests: Iterable[tuple[str, bytes]]) -> list[Fields]:
    return [{name: _plain(value) for name, value in run.items()} for run in runs.by_start(requests)]


def _plain(value: Any) -> Any:
    """The value; JSON text as what it spells, so that blanks and the order of names make no difference."""
    if not isinstance(value, str):
        return value
    if value[:1] in ("{", "[", '"'):
        with suppress(ValueError):
            value = json.loads(value)
    if not isinstance(value, str):
        return value
    before, stack, _ = value.partition("Traceback (most recent call last)")
    if stack:
        return f"{before}<stack trace>"
    return "<time>" if _TIME.match(value) else value


def _compared(platform: Platform, case: str, theirs: Fields, mine: Fields) -> Iterator[Row]:
    names = platform.other_names
    told = {names[field] for field in theirs if names.get(field) in mine}
    for field, value in theirs.items():
        other = names.get(field, field)
        if other not in mine:
            yield _row(platform, field, _shown(value), "", Difference.THEIRS, case)
            continue
        is_same = mine[other] == value and type(mine[other]) is type(value)
        difference = (
            Difference.VALUE if not is_same else Difference.NONE if other == field else Difference.NAME
        )
        shown = _shown(mine[other]) if other == field else f"{other} = {_shown(mine[other])}"
        yield _row(platform, field, _shown(value), shown, difference, case)
    for field in mine:
        if field not in theirs and field not in told:
            yield _row(platform, field, "", _shown(mine[field]), Difference.OURS, case)


def _row(platform: Platform, field: str, theirs: str, mine: str, difference: Difference, case: str) -> Row:
    if difference is Difference.NONE:
        return Row(field, theirs, mine, difference, [case], None)
    reason = next(
        (
            reason
            for reason in platform.reasons
            if reason.difference is difference
            and fnmatchcase(field, reason.fields)
            and case in (reason.cases or scenario.CASES)
        ),
        None,
    )
    if reason is not None and difference is Difference.OURS and "*" in reason.fields:
        field, mine = reason.fields, "…"
    return Row(field, theirs, mine, difference, [case], reason)


def _shown(value: Any) -> str:
    text = " ".join(value.split()) if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _SHOWN_CHARS else text[: _SHOWN_CHARS - 1] + "…"


def _table(platform: Platform, found: Sequence[Row]) -> str:
    versions = ", ".join(f"{name} {version(name)}" for name in platform.packages)
    head = ("field", "the SDK writes", "we write", "", "on", "why")
    cells = [head, ("---",) * len(head), *map(_cells, found)]
    return f"Made with {versions}.\n\n" + "".join(f"| {' | '.join(row)} |\n" for row in cells)


def _cells(row: Row) -> tuple[str, ...]:
    cases = "all" if len(set(row.cases)) == len(scenario.CASES) else ", ".join(dict.fromkeys(row.cases))
    why = row.reason.why if row.reason else "" if row.difference is Difference.NONE else "NO REASON"
    return (f"`{row.field}`", _code(row.theirs), _code(row.ours), str(row.difference), cases, why)


def _code(text: str) -> str:
    return f"`{text.replace('|', '¦').replace('`', chr(39))}`" if text else "–"


if __name__ == "__main__":
    PAGE.write_text(generated(PAGE.read_text("utf-8")), "utf-8")
