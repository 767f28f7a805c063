"""Exported files as rows of text: CSV in the encodings that consoles write, JSON, JSON Lines, each also as .gz.

The heading need not be in the first line. Nothing is dropped here: empty rows come as rows without values.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from exporter.errors import Misconfigured

_DELIMITERS = (",", ";", "\t")
_HEADING_WITHIN = 30
_PACKED = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")


@dataclass(frozen=True, slots=True)
class Table:
    """A file's headings and its rows with their line numbers. `has_decimal_comma`: its columns are parted by semicolons."""

    headings: tuple[str, ...]
    rows: tuple[tuple[int, Mapping[str, str]], ...]
    has_decimal_comma: bool = False


def read_table(path: Path, encoding: str, is_heading: Callable[[Sequence[str]], bool]) -> Table:
    """The rows of a file. `is_heading` says which of the first lines holds the columns. Raises Misconfigured."""
    text = _decoded(path, encoding)
    start = text.lstrip()[:1]
    return _json_table(path, text) if start in ("{", "[") else _csv_table(path, text, is_heading)


def _decoded(path: Path, encoding: str) -> str:
    try:
        raw = path.read_bytes()
        if raw[:2] == b"\x1f\x8b":
            raw = gzip.decompress(raw)
    except (OSError, EOFError, zlib.error) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else "it is damaged"
        raise Misconfigured([f"{path} cannot be read: {reason}"]) from None
    if raw[:4] in _PACKED:
        raise Misconfigured(
            [f"{path} is a spreadsheet or an archive"], "export CSV, or unpack it and name the CSV in it"
        )
    for name in (encoding,) if encoding else ("utf-8-sig", "gb18030"):
        try:
            return raw.decode("utf-16" if raw[:2] in (b"\xff\xfe", b"\xfe\xff") else name)
        except (UnicodeDecodeError, LookupError):
            continue
    raise Misconfigured([f"{path} is not text in {encoding or 'UTF-8 or GB18030'}"], "set its encoding")


def _csv_table(path: Path, text: str, is_heading: Callable[[Sequence[str]], bool]) -> Table:
    for delimiter in _DELIMITERS:
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
        for number, cells in enumerate(reader):
            names = [cell.strip() for cell in cells]
            if is_heading(names):
                return Table(tuple(names), tuple(_rows(reader, names)), delimiter == ";")
            if number >= _HEADING_WITHIN:
                break
    raise Misconfigured(
        [f"{path} has no line with the columns that are looked for"],
        "check the preset, or name the columns of the file in `columns`",
    )


def _rows(reader: Iterator[list[str]], names: list[str]) -> Iterator[tuple[int, Mapping[str, str]]]:
    line = reader.line_num + 1  # type: ignore[attr-defined]
    for cells in reader:
        yield line, {name: cell.strip() for name, cell in zip(names, cells, strict=False)}
        line = reader.line_num + 1  # type: ignore[attr-defined]


def _json_table(path: Path, text: str) -> Table:
    try:
        whole = json.loads(text, parse_float=str)
    except ValueError:
        whole = _json_lines(path, text)
    except RecursionError:
        raise Misconfigured([f"{path} is nested too deeply"]) from None
    if isinstance(whole, dict):
        lists = [value for value in whole.values() if isinstance(value, list)]
        whole = lists[0] if len(lists) == 1 else [whole]
    rows = [(number, _flat(item)) for number, item in enumerate(whole, start=1)]
    names = dict.fromkeys(name for _, row in rows for name in row)
    return Table(tuple(names), tuple(rows))


def _json_lines(path: Path, text: str) -> list[object]:
    try:
        return [json.loads(line, parse_float=str) for line in text.splitlines() if line.strip()]
    except (ValueError, RecursionError):
        raise Misconfigured([f"{path} is neither JSON nor JSON Lines"]) from None


def _flat(item: object, prefix: str = "") -> dict[str, str]:
    """An object's values as text; what is inside of another is named `outer.inner`."""
    if not isinstance(item, dict):
        return {}
    found: dict[str, str] = {}
    for name, value in item.items():
        if isinstance(value, dict):
            found |= _flat(value, f"{prefix}{name}.")
        elif value is not None and not isinstance(value, list):
            found[f"{prefix}{name}"] = str(value).strip()
    return found
