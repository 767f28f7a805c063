"""The scenario as a user of Langfuse's Python SDK writes it, with its observations and its OpenAI client.

Run as a process of its own, because the SDK sets the process's tracer: `python -m docs.sdk.with_langfuse ADDRESS`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from langfuse import Langfuse, propagate_attributes
from langfuse.openai import OpenAI

from docs.sdk import scenario
from docs.sdk.asking import ask_all

_TYPES = {"workflow": "chain", "retrieval": "retriever"}


def main(address: str) -> None:
    """Do the work once and export its spans to the address."""
    langfuse = Langfuse(
        public_key="pk-lf-1", secret_key="sk-lf-1", base_url=address, environment="production"
    )

    def span(case: str, name: str, given: Any, work: Callable[[], Any]) -> Any:
        with langfuse.start_as_current_observation(
            as_type=_TYPES.get(case, case),
            name=name,
            input=given,
        ) as made:
            result = work()
            made.update(output=result)
            return result

    with propagate_attributes(
        user_id=scenario.USER,
        session_id=scenario.SESSION,
        tags=scenario.TAGS,
        trace_name=scenario.APP,
        version=scenario.VERSION,
    ):
        ask_all(OpenAI(base_url=f"{address}/v1", api_key="sk-1", max_retries=0), span)
    langfuse.flush()


if __name__ == "__main__":
    main(sys.argv[1])
