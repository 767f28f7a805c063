"""Llama 4's vocabulary, from the file that Meta's package llama-models brings (the extra `llama4`).

Reads that one file and imports nothing of the package, which would load much more. Never opens a connection.
"""

from __future__ import annotations

import base64
import importlib.util
from collections.abc import Callable
from pathlib import Path

from exporter.local import bpe


def missing() -> str | None:
    """What to install, or None when the vocabulary is there."""
    return None if _file() else "the vocabulary of Llama 4 needs: pip install 'dify-exporter[llama4]'"


def load() -> Callable[[str], int]:
    """A function that counts the tokens of a text. Takes about 0.7 s and keeps about 45 MB."""
    file = _file()
    if file is None:
        raise FileNotFoundError(missing())
    # Llama 4 splits text exactly as o200k_base does (llama-models, llama4/tokenizer.py: O200K_PATTERN)
    return bpe.counter("llama4", bpe.PATTERNS["o200k_base"], _ranks(file))


def _file() -> Path | None:
    package = importlib.util.find_spec("llama_models")
    folders = package.submodule_search_locations if package else None
    found = [Path(folder, "llama4", "tokenizer.model") for folder in folders or ()]
    return next((file for file in found if file.is_file()), None)


def _ranks(file: Path) -> dict[bytes, int]:
    lines = (line.split() for line in file.read_bytes().splitlines() if line)
    return {base64.b64decode(token): int(rank) for token, rank in lines}
