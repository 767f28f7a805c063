"""The operator's own expressions: which are refused because they could take for ever, and how they are applied.

Python's `re` has no time limit, and a search cannot be interrupted. So an expression that repeats an ambiguous group
without end is refused when the settings are read, and the others see a long text through a window, which keeps the cost
of an expression that is merely slow proportional to the text.
"""

from __future__ import annotations

import re
import string
from collections.abc import Iterator

MARK = "[redacted]"
WINDOW_CHARS = 4_000
LONGEST_MATCH_CHARS = 1_000
"""A match up to this length is found wherever it stands."""

_MOST_REPEATS = 20
_LONG_REPEAT = 100
_SAMPLES = string.printable + "中é０"
_NO_CHARACTER = re.compile(r"\\[bBAZ0-9]|[\^$]|\(\?.*\)")
_ATOM = re.compile(
    r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|\(\?[aiLmsux]+\)|\(\?P=\w+\)"
    r"|\(\?P<\w+>|\(\?[aiLmsux-]*[:>]|\(\?<?[=!]|\(\?\(\w+\)|\(|\)|\||[*+?]|\{\d*,?\d*\}|[^\\]",
    re.DOTALL,
)


def problem(expression: str) -> str | None:
    """Why an expression cannot be used, in words, or None."""
    try:
        compiled = re.compile(expression)
    except re.error as error:
        return f"is not a regular expression: {error}"
    if compiled.match("") is not None and compiled.fullmatch("") is not None:
        return "matches the empty text"
    if _is_explosive(expression):
        return (
            "repeats without end a group that can match one text in several ways, which can take for ever; "
            "write (…)++ or (…)*+ for the repetition, or give it a limit of up to 20 as in (…){1,20}"
        )
    if _is_slow(expression):
        return (
            "has two repetitions without end that can share the same characters, which can take very long; give one "
            "of them a limit of up to 100 as in .{0,100}, or make the first possessive as in \\d++"
        )
    return None


def replaced(pattern: re.Pattern[str], text: str) -> str:
    """`text` with every match of the pattern replaced by `MARK`; empty matches are none."""
    if len(text) <= WINDOW_CHARS:
        return pattern.sub(_mark, text)
    parts: list[str] = []
    done = 0
    for start, end in _spans(pattern, text):
        parts += text[done:start], MARK
        done = end
    return "".join([*parts, text[done:]])


def _mark(found: re.Match[str]) -> str:
    return MARK if found.group() else ""


def _spans(pattern: re.Pattern[str], text: str) -> Iterator[tuple[int, int]]:
    """Matches from left to right. One that begins in the last part of a window is looked for again in the next."""
    at, size = 0, len(text)
    while at < size:
        end = min(at + WINDOW_CHARS, size)
        sure = end if end == size else end - LONGEST_MATCH_CHARS
        following = sure
        for found in pattern.finditer(text, at, end):
            if found.start() >= sure and end < size:
                break
            if found.end() > found.start():
                yield found.span()
                following = max(following, found.end())
        at = following


def _is_explosive(expression: str) -> bool:
    """Whether a group that varies stands under a repetition without end that gives back what it took.

    One pass with a stack of open groups; an entry says how the group began and whether it can match in several ways.
    """
    atoms = _ATOM.findall(expression)
    open_groups: list[tuple[str, bool]] = [("", False)]
    varies = False  # whether the atom just read can match in several ways
    for place, atom in enumerate(atoms):
        if _opens(atom):
            open_groups.append((atom, False))
        elif atom == ")" and len(open_groups) > 1:
            opener, inside = open_groups.pop()
            varies = inside and opener != "(?>"
            if varies and not _is_possessive(atoms, place + 1):
                _mark_varying(open_groups)
        elif atom == "|":
            _mark_varying(open_groups)
        elif _is_quantifier(atom) and place and not _is_quantifier(atoms[place - 1]):
            if _is_possessive(atoms, place):
                continue
            if varies and _most(atom) > _MOST_REPEATS:
                return True
            if _most(atom) != _least(atom):
                _mark_varying(open_groups)
        else:
            varies = False
    return False


def _is_slow(expression: str) -> bool:
    """Whether two long repetitions compete for the same text: the time would grow with its cube, not its square.

    They do not compete when something stands between them that one of the two cannot match. Groups are seen as if they
    were not there; an alternative and a look around begin anew.
    """
    atoms = _ATOM.findall(expression)
    earlier: list[
        tuple[frozenset[str], list[frozenset[str]]]
    ] = []  # a repetition, and what stood behind it since
    openers: list[str] = []
    for place, atom in enumerate(atoms):
        if atom == "|":
            earlier.clear()
        elif _opens(atom):
            openers.append(atom)
            _begin_anew_around(earlier, atom)
        elif atom == ")":
            _begin_anew_around(earlier, openers.pop() if openers else "")
        elif not _is_quantifier(atom) and not _NO_CHARACTER.fullmatch(atom):
            matched = _characters(atom)
            quantifier = (
                atoms[place + 1] if place + 1 < len(atoms) and _is_quantifier(atoms[place + 1]) else "{1}"
            )
            if _most(quantifier) > _LONG_REPEAT and not _is_possessive(atoms, place + 1):
                if any(matched & first and all(matched & item for item in since) for first, since in earlier):
                    return True
                earlier = [item for item in earlier if not _least(quantifier)]
                earlier.append((matched, []))
            elif _least(quantifier):
                earlier = [(first, [*since, matched]) for first, since in earlier if first & matched]
    return False


def _begin_anew_around(earlier: list[tuple[frozenset[str], list[frozenset[str]]]], opener: str) -> None:
    if opener in {"(?=", "(?!", "(?<=", "(?<!"}:
        earlier.clear()


def _characters(atom: str) -> frozenset[str]:
    """Which of the samples a single atom matches."""
    try:
        pattern = re.compile(atom, re.DOTALL)
    except re.error:  # the beginning of \x41 or the like, whose rest follows as atoms of its own
        return frozenset({atom})
    return frozenset(filter(pattern.fullmatch, _SAMPLES)) | {atom}


def _opens(atom: str) -> bool:
    return atom == "(" or (len(atom) > 1 and atom.startswith("(") and not atom.endswith(")"))


def _mark_varying(open_groups: list[tuple[str, bool]]) -> None:
    open_groups[-1] = (open_groups[-1][0], True)


def _is_possessive(atoms: list[str], place: int) -> bool:
    return place + 1 < len(atoms) and _is_quantifier(atoms[place]) and atoms[place + 1] == "+"


def _is_quantifier(atom: str) -> bool:
    return atom in {"*", "+", "?"} or (len(atom) > 2 and atom[0] == "{")


def _most(atom: str) -> float:
    if atom in {"*", "+"}:
        return float("inf")
    if atom == "?":
        return 1
    least, comma, most = atom[1:-1].partition(",")
    return float(most) if most else float("inf") if comma else float(least)


def _least(atom: str) -> float:
    if atom in {"*", "?"}:
        return 0
    return 1 if atom == "+" else float(atom[1:-1].partition(",")[0] or 0)
