"""Writes the table of versions.md between its markers: `python docs/generate_versions.py`.

Neighbouring releases of which the same is true share a row. Nothing outside the markers is touched; a test fails while the
table is not that of the code.
"""

from __future__ import annotations

import re
from itertools import groupby
from pathlib import Path

from exporter.sources.by_version import Gain, Limit, gains, limits
from exporter.sources.versions import Releases, known_releases

PAGE = Path(__file__).with_name("versions.md")
_MARKED = re.compile(r"(<!-- table:versions -->\n).*?(<!-- end -->\n)", re.DOTALL)

Facts = tuple[tuple[Gain, ...], tuple[tuple[Limit, bool], ...]]


def generated(page: str) -> str:
    """The page with its table written anew."""
    return _MARKED.sub(lambda place: f"{place[1]}{_table()}{place[2]}", page)


def _facts(releases: Releases) -> Facts:
    return tuple(gains(releases)), tuple(limits(releases))


def _table() -> str:
    rows = ["| Dify | what works, beyond the row above | what degrades | why |", "|---|---|---|---|"]
    above: tuple[Gain, ...] = ()
    for (works, degrades), group in groupby(known_releases(), key=_facts):
        same = list(group)
        rows.append(
            f"| {_span(same)} | {_list([gain.words for gain in works if gain not in above])}"
            f" | {_list([_limit(limit, certain) for limit, certain in degrades])}"
            f" | {_list([limit.why for limit, _ in degrades])} |"
        )
        above = works
    return "".join(f"{row}\n" for row in rows)


def _span(same: list[Releases]) -> str:
    first, last = same[0].words.partition("–")[0], same[-1].words.rpartition("–")[2]
    return first if first == last else f"{first}–{last}"


def _limit(limit: Limit, is_certain: bool) -> str:
    if is_certain:
        return limit.what
    return f"{limit.what} ({f'before {limit.before}' if limit.before else f'from {limit.since} on'})"


def _list(items: list[str]) -> str:
    """Numbered, so that what degrades and why stay together."""
    return "<br>".join(f"{number}. {item}" for number, item in enumerate(items, 1)) or "–"


def main() -> None:
    """Write the page."""
    PAGE.write_text(generated(PAGE.read_text("utf-8")), "utf-8")


if __name__ == "__main__":
    main()
