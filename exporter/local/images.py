"""What a picture costs, from its size in pixels: one rule per family of models, as its vendor documents it.

Pure. A model without a known rule, or a picture whose size is not known, has no count; a rule that was only measured by
others says by how many percent it may be off.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from math import ceil, floor, sqrt

LARGEST_SIDE = 1_000_000
"""Pixels; no vendor takes as many, and a size beyond is not believed."""


@dataclass(frozen=True, slots=True)
class Image:
    """A picture in a request: its size in pixels and the detail asked for; None where the request does not tell."""

    width: int | None = None
    height: int | None = None
    detail: str | None = None


@dataclass(frozen=True, slots=True)
class Rule:
    """How one family of models counts a picture; the sizes are whole and positive.

    `low_detail` is what a picture of low detail costs whatever its size.
    """

    tokens: Callable[[int, int], int]
    error_pct: float = 0.0
    low_detail: int | None = None


@dataclass(frozen=True, slots=True)
class ImagesCount:
    """The tokens of the pictures that could be counted, how many those were, and by how many percent they may be off."""

    tokens: int
    counted: int
    error_pct: float


def count_images(model: str, images: Iterable[Image]) -> ImagesCount:
    """The count for a model by its bare name (no vendor prefix)."""
    rule = rule_of(model)
    costs = [] if rule is None else [cost for image in images if (cost := _cost(rule, image)) is not None]
    return ImagesCount(sum(costs), len(costs), rule.error_pct if rule else 0.0)


def rule_of(model: str) -> Rule | None:
    """The rule of a model, or None where its vendor documents none."""
    name = model.lower()
    return next((rule for pattern, rule in _RULES if pattern.search(name)), None)


def _cost(rule: Rule, image: Image) -> int | None:
    if image.detail == "low" and rule.low_detail is not None:
        return rule.low_detail
    if image.width is None or image.height is None:
        return None
    if not (0 < image.width <= LARGEST_SIDE and 0 < image.height <= LARGEST_SIDE):
        return None
    return rule.tokens(image.width, image.height)


# ── OpenAI (guide "Images and vision") ──────────────────────────────────────────────────────────────────────

_PATCH = 32
_MOST_PATCHES = 1536


def _tiled(base: int, per_tile: int) -> Rule:
    """Fit into 2048 x 2048, shorten the shorter side to 768, then count tiles of 512 x 512."""

    def tokens(width: int, height: int) -> int:
        shrink = min(1.0, 2048 / max(width, height))
        shrink *= min(1.0, 768 / (min(width, height) * shrink))
        return base + per_tile * _cells(width * shrink, height * shrink, 512)

    return Rule(tokens, low_detail=base)


def _patched(factor: float, most: int = _MOST_PATCHES, error_pct: float = 0.0) -> Rule:
    """Patches of 32 x 32, after shrinking the picture until they are no more than `most`, times the model's factor."""

    def tokens(width: int, height: int) -> int:
        patches = _cells(width, height, _PATCH)
        if patches > most:
            shrink = sqrt(_PATCH * _PATCH * most / (width * height))
            across, down = width * shrink / _PATCH, height * shrink / _PATCH
            shrink *= min(max(1, floor(across)) / across, max(1, floor(down)) / down)
            patches = min(most, _cells(width * shrink, height * shrink, _PATCH))
        return ceil(patches * factor)

    return Rule(tokens, error_pct)


# ── Anthropic (guide "Vision") ──────────────────────────────────────────────────────────────────────────────


def _claude(longest_side: int, most: int) -> Rule:
    """One token per 28 x 28 pixels, after shrinking the picture to the model's native resolution."""

    def tokens(width: int, height: int) -> int:
        shrink = min(1.0, longest_side / max(width, height), sqrt(28 * 28 * most / (width * height)))
        return min(most, _cells(width * shrink, height * shrink, 28))

    return Rule(tokens, error_pct=5.0)


# ── Google (guide "Image understanding") ────────────────────────────────────────────────────────────────────


def _gemini_tiles(width: int, height: int) -> int:
    """258 tokens up to 384 x 384 pixels, else 258 per crop, whose side is the shorter side / 1.5 (256 to 768)."""
    if max(width, height) <= 384:
        return 258
    side = min(768, max(256, floor(min(width, height) / 1.5)))
    return 258 * _cells(width, height, side)


def _flat(tokens: int, error_pct: float) -> Rule:
    return Rule(lambda _width, _height: tokens, error_pct)


# ── Qwen (the models' published preprocessor, Alibaba Cloud Model Studio's "Visual understanding") ──────────


def _qwen(side: int, most: int, least: int = 4) -> Rule:
    """Both sides rounded to whole cells, shrunk or grown into the allowed number of cells; 2 marks around."""

    def tokens(width: int, height: int) -> int:
        across, down = max(1, round(width / side)), max(1, round(height / side))
        if across * down > most:
            shrink = sqrt(width * height / (most * side * side))
            across, down = max(1, floor(width / shrink / side)), max(1, floor(height / shrink / side))
        elif across * down < least:
            grow = sqrt(least * side * side / (width * height))
            across, down = ceil(width * grow / side), ceil(height * grow / side)
        return min(across * down, most) + 2

    return Rule(tokens, error_pct=5.0)


def _cells(width: float, height: float, side: int) -> int:
    """Squares that cover the picture; a hair above a whole number is rounding, not another row."""
    return max(1, ceil(round(width / side, 6))) * max(1, ceil(round(height / side, 6)))


_RULES: tuple[tuple[re.Pattern[str], Rule], ...] = tuple(
    (re.compile(rf"(?<![a-z0-9])(?:{pattern})"), rule)
    for pattern, rule in (
        (r"gpt-?4o-mini", _tiled(2833, 5667)),
        (r"gpt-?4\.1-mini", _patched(1.62)),
        (r"gpt-?4\.1-nano", _patched(2.46)),
        (r"o4-mini", _patched(1.72)),
        (r"gpt-?5[\d.]*-mini", _patched(1.62, error_pct=30.0)),  # documented 1.62, measured 1.20
        (r"gpt-?5[\d.]*-nano", _patched(2.46, error_pct=30.0)),
        (r"gpt-?5\.[5-9]|gpt-?[6-9]", _patched(1.20, 2450, error_pct=20.0)),  # measured by others
        (r"gpt-?5", _tiled(70, 140)),
        (r"(chat)?gpt-?4o|gpt-?4\.[15]|gpt-?4-(turbo|vision)", _tiled(85, 170)),
        (r"o[13](?![a-z0-9.]|-mini)", _tiled(75, 150)),
        (r"computer-use-preview", _tiled(65, 129)),
        (r"claude.*?((?<!\d)(?<!\d[-.])(4[-.][789]|[5-9])(?!\d)|fable|mythos)", _claude(2576, 4784)),
        (r"claude", _claude(1568, 1568)),
        (r"gemini-3", _flat(1083, 5.0)),  # measured by others at the default resolution
        (r"gemini", Rule(_gemini_tiles, error_pct=10.0)),
        (r"qwen-?3.*vl|qwen-?3\.[5-9]", _qwen(32, 2560)),
        (r"qwen.*vl|qvq", _qwen(28, 1280)),
    )
)
"""First match wins."""
