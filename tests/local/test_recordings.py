"""Every text-only OpenAI call of the big recordings: our prompt count is the vendor's, to the token."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from exporter.local.reading import read_local
from exporter.model import Accuracy, Call, PromptMessage

SHARED = Path(os.environ.get("DIFY_EXPORTER_SHARED") or Path(__file__).parents[3] / "shared")


@pytest.mark.parametrize("name", ["vendor-calls.jsonl", "vendor-calls-1.14.0.jsonl"])
def test_prompts_of_all_recorded_gpt_4o_calls_cost_what_the_vendor_billed(
    name: str, make_call: Callable[..., Call]
) -> None:
    log = SHARED / "dify" / name
    if not log.exists():
        pytest.skip(f"the recordings are not here (DIFY_EXPORTER_SHARED, looked for {name})")
    compared = 0
    for row in _text_calls(log):
        prompt = tuple(PromptMessage(item["role"], item["content"]) for item in row["request"]["messages"])
        reading = read_local(make_call(model=row["model"], prompt=prompt, answer=row["response_text"]))
        assert reading is not None
        assert (row["seq"], reading.tokens.input) == (row["seq"], row["usage"]["prompt_tokens"])
        assert reading.accuracy is Accuracy.EXACT
        if row["http_status"] == 200 and not row.get("sent_text"):
            assert (row["seq"], reading.tokens.output) == (row["seq"], row["usage"]["completion_tokens"])
        compared += 1
    assert compared > 120


def _text_calls(log: Path) -> Iterator[dict[str, Any]]:
    """Billed gpt-4o and gpt-4.1 calls without tools, schemas, pictures or texts cut from the log."""
    for line in log.read_text("utf-8").splitlines():
        row = json.loads(line)
        request = row["request"]
        if (
            not row["usage"]
            or "messages" not in request
            or not row["model"].startswith(("gpt-4o", "gpt-4.1"))
        ):
            continue
        if request.get("tools") or request.get("response_format") or "sha256" in line:
            continue
        if all(isinstance(item["content"], str) for item in request["messages"]):
            yield row
