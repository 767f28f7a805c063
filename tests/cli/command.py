"""Running the real command, as a person would."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
CLEAN = {
    "PATH": os.environ["PATH"],
    "HOME": "/nonexistent",
    "LANG": "C.UTF-8",
    "COLUMNS": "200",
    "PYTHONPATH": str(ROOT),
}


def run(
    *arguments: str, cwd: Path, env: Mapping[str, str] | None = None, timeout: float = 60
) -> subprocess.CompletedProcess[str]:
    """`dify-exporter ARGUMENTS` in a folder, with nothing in the environment but what is given."""
    return subprocess.run(
        [sys.executable, "-m", "exporter", *arguments], cwd=cwd, env={**CLEAN, **(env or {})},
        capture_output=True, text=True, timeout=timeout, check=False,
    )  # fmt: skip


def start(*arguments: str, cwd: Path, env: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
    """The same, left running; its log comes on `stderr`."""
    return subprocess.Popen(
        [sys.executable, "-m", "exporter", *arguments], cwd=cwd, env={**CLEAN, **(env or {})},
        text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def lines(output: str) -> list[dict[str, Any]]:
    """JSON Lines."""
    return [json.loads(line) for line in output.splitlines()]
