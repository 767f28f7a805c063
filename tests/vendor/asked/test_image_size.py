"""Sizes read from the first bytes of real pictures, and of what only looks like one."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.vendor.asked.image_size import size_of

PICTURES = json.loads(
    (Path(__file__).parents[2] / "data" / "tokenizers" / "formats" / "pictures.json").read_text("utf-8")
)
RECORDED_PNG = "iVBORw0KGgoAAAANSUhEUgAAAGAAAABACAIAAABqVuVZAAAAlklEQVR4nO3QsREAEADAQOy/MxtISfE/QS5zD27W64DfGRQMCgYFg4JBwaBg"
"""The beginning of a picture that a real Dify sent to its vendor: 96 x 64."""


@pytest.mark.parametrize("picture", PICTURES, ids=lambda picture: picture["name"])
def test_the_size_is_read_from_every_format(picture: dict[str, object]) -> None:
    encoded = str(picture["base64"])
    assert size_of(encoded) == (picture["width"], picture["height"])
    assert size_of(encoded.replace("+", "-").replace("/", "_")) == (picture["width"], picture["height"])


def test_a_recorded_picture_has_its_size() -> None:
    assert size_of(RECORDED_PNG) == (96, 64)


@pytest.mark.parametrize("picture", PICTURES, ids=lambda picture: picture["name"])
def test_a_picture_cut_short_has_no_size_or_its_own(picture: dict[str, object]) -> None:
    encoded = str(picture["base64"])
    found = {size_of(encoded[:length]) for length in range(0, len(encoded), 7)}
    assert found <= {None, (picture["width"], picture["height"])}


def test_other_files_and_broken_base64_have_none() -> None:
    for encoded in (
        "",
        "====",
        "Zm9v",
        "ü" * 100,
        "iVBORw0KGgo",
        "\ud800" * 80,
        "%PDF" * 50,
        "/9j/" * 100_000,
    ):
        assert size_of(encoded) is None


@given(
    st.binary(max_size=80),
    st.sampled_from([b"", b"\xff\xd8", b"GIF89a", b"\x89PNG\r\n\x1a\n", b"RIFF0000WEBP"]),
)
def test_no_bytes_make_it_raise(tail: bytes, start: bytes) -> None:
    size = size_of(base64.b64encode(start + tail).decode())
    assert size is None or min(size) >= 0


@given(st.text(alphabet=st.characters(exclude_categories=()), max_size=200))
def test_no_text_makes_it_raise(encoded: str) -> None:
    size_of(encoded)
