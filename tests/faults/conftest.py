"""A process that can be killed, and two platforms that count what they hold."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from exporter.state import ledger
from exporter.state.store import Store
from tests.conftest import RecordedDify
from tests.contract import langfuse_twin, langsmith_twin
from tests.contract.langfuse_twin import LangfuseTwin
from tests.contract.langsmith_twin import LangSmithTwin

ROOT = Path(__file__).parents[2]


@dataclass
class Killable:
    """Exporter runs in children that may be killed."""

    process: subprocess.Popen[str]
    folder: Path
    settings: dict[str, Any]
    boundaries: list[tuple[str, int]] = field(default_factory=list)

    def run(self, **order: Any) -> dict[str, Any]:
        """One run; `boundaries` afterwards holds those it crossed."""
        file = self.folder / "boundaries.txt"
        file.unlink(missing_ok=True)
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(
            json.dumps({"settings": self.settings, "boundaries": str(file), **order}) + "\n"
        )
        self.process.stdin.flush()
        answer: dict[str, Any] = json.loads(self.process.stdout.readline())
        lines = file.read_text("ascii").splitlines() if file.exists() else []
        self.boundaries = [
            (line.split("\t")[0], int(line.split("\t")[1])) for line in lines if line.count("\t") == 1
        ]
        return answer

    def spans(self) -> dict[str, list[str]]:
        """Trace id → span ids, as the ledger knows them."""
        store = Store(Path(self.settings["state.path"]))
        with store.read() as connection:
            found = ledger.newest(connection, 100_000)
        store.close()
        return {
            trace["trace_id"]: [step["span_id"] for step in trace["steps"]]
            for trace in found
            if trace["exported"]
        }

    def forget(self) -> None:
        """Begin anew with an empty state."""
        for file in self.folder.glob("state.db*"):
            file.unlink()


@pytest.fixture(scope="session")
def zygote() -> Iterator[subprocess.Popen[str]]:
    """The process that forks the runs."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.faults.zygote"], cwd=ROOT, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    yield process
    assert process.stdin is not None
    process.stdin.close()
    process.wait(10)


@pytest.fixture
def langfuse() -> Iterator[LangfuseTwin]:
    with LangfuseTwin() as twin:
        yield twin


@pytest.fixture
def langsmith() -> Iterator[LangSmithTwin]:
    with LangSmithTwin() as twin:
        yield twin


@pytest.fixture
def killable(
    zygote: subprocess.Popen[str],
    recorded_dify: RecordedDify,
    langfuse: LangfuseTwin,
    langsmith: LangSmithTwin,
    tmp_path: Path,
) -> Killable:
    """The exporter between the recorded Dify and both platforms."""
    fast = {"confirm_after": "0.02s", "requests_per_second": 5000}
    destinations = [
        {
            "kind": "langfuse", "endpoint": langfuse.url, "public_key": langfuse_twin.PUBLIC_KEY,
            "secret_key": langfuse_twin.SECRET_KEY, "max_spans": 60, **fast,
        },
        {"kind": "langsmith", "endpoint": langsmith.url, "api_key": langsmith_twin.API_KEY, **fast},
    ]  # fmt: skip
    settings = {
        "dify.database.url": recorded_dify.url,
        "dify.page_size": 25,
        "vendor": [{"kind": "file", "path": str(recorded_dify.vendor_log)}],
        "destinations": destinations,
        "state.path": str(tmp_path / "state.db"),
        "log.level": "error",
    }
    return Killable(zygote, tmp_path, settings)


def assert_held_once(killable: Killable, langfuse: LangfuseTwin, langsmith: LangSmithTwin) -> None:
    """Both platforms hold every span of the ledger exactly once, and saw no broken rule."""
    expected = {(trace, span) for trace, spans in killable.spans().items() for span in spans}
    assert expected
    assert langfuse.counts() == dict.fromkeys(expected, 1)
    held = langsmith.held()["spans"]
    assert len(held) == len(expected)
    assert {entry["rows"] for entry in held.values()} == {1}
    assert langfuse.violations == []
    assert langsmith.violations == []
