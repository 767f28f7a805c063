"""The rank data in the package is OpenAI's and Anthropic's, and our encodings are tiktoken's."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import subprocess
import sys
import zlib
from pathlib import Path

import pytest

from exporter.local import bpe

# tiktoken_ext/openai_public.py, `expected_hash` of each published rank file
PUBLISHED_SHA256 = {
    "r50k_base": "306cd27f03c1a714eca7108e03d66b7dc042abe8c258b44c199a7ed9838dd930",
    "cl100k_base": "223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7",
    "o200k_base": "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d",
}

CLAUDE_2_SHA256 = "a8fb587eecc2656d79598c12af956f10e6d9e5846bee4818816cb0afe6fb5388"


def published_file(name: str) -> bytes:
    """The rank file as OpenAI publishes it, rebuilt from ours."""
    return b"".join(base64.b64encode(token) + b" %d\n" % rank for rank, token in enumerate(bpe.tokens(name)))


@pytest.mark.parametrize("name", sorted(PUBLISHED_SHA256))
def test_the_published_rank_file_can_be_rebuilt_byte_for_byte(name: str) -> None:
    assert hashlib.sha256(published_file(name)).hexdigest() == PUBLISHED_SHA256[name]


def test_the_published_string_of_claude_2_can_be_rebuilt() -> None:
    """As `bpe_ranks` stands in Anthropic's claude.json: the first rank is 5, after five special tokens."""
    written = "! 5 " + " ".join(base64.b64encode(token).decode() for token in bpe.tokens("claude2"))
    assert hashlib.sha256(written.encode()).hexdigest() == CLAUDE_2_SHA256


def test_the_note_of_origin_names_the_same_hashes() -> None:
    note = (Path(bpe.__file__).parent / "ranks" / "README.md").read_text("utf-8")
    assert all(digest in note for digest in (*PUBLISHED_SHA256.values(), CLAUDE_2_SHA256))


@pytest.mark.parametrize("name", bpe.PATTERNS)
def test_damaged_rank_data_is_refused(name: str) -> None:
    whole = zlib.decompress((Path(bpe.__file__).parent / "ranks" / f"{name}.ranks").read_bytes())
    with pytest.raises(ValueError, match="install dify-exporter again"):
        bpe.unpacked(name, zlib.compress(whole[:-1]))
    with pytest.raises(ValueError, match="install dify-exporter again"):
        bpe.unpacked(name, zlib.compress(whole[:1000]))


def test_tiktokens_own_encodings_count_the_same(tmp_path: Path, texts: dict[str, str]) -> None:
    """tiktoken loads the rebuilt files through its own cache, checks their hashes itself and counts."""
    for name in PUBLISHED_SHA256:
        address = f"https://openaipublic.blob.core.windows.net/encodings/{name}.tiktoken"
        (tmp_path / hashlib.sha1(address.encode()).hexdigest()).write_bytes(published_file(name))
    program = (
        "import json, sys, tiktoken\n"
        "texts = json.load(sys.stdin)\n"
        "count = lambda name: [len(tiktoken.get_encoding(name).encode_ordinary(text)) for text in texts]\n"
        "print(json.dumps({name: count(name) for name in sys.argv[1:]}))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *PUBLISHED_SHA256],
        input=json.dumps(list(texts.values())),
        env={**os.environ, "TIKTOKEN_CACHE_DIR": str(tmp_path), "HTTPS_PROXY": "http://127.0.0.1:9"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    ours = {name: bpe.load(name) for name in PUBLISHED_SHA256}
    assert json.loads(done.stdout) == {
        name: [load(text) for text in texts.values()] for name, load in ours.items()
    }
