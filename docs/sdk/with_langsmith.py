"""The scenario as a user of LangSmith's SDK writes it, with its traces and its wrapped OpenAI client.

Run as a process of its own: `python -m docs.sdk.with_langsmith ADDRESS otel` exports spans, `… ADDRESS langsmith` runs.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import langsmith
import openai
from langsmith.wrappers import wrap_openai
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

from docs.sdk import scenario
from docs.sdk.asking import ask_all

_INFO = {
    "batch_ingest_config": {
        "use_multipart_endpoint": True,
        "size_limit": 100,
        "size_limit_bytes": 20_971_520,
        "scale_up_nthreads_limit": 1,
        "scale_up_qsize_trigger": 1000,
    }
}
"""What the server says of itself, so that the SDK need not ask."""
_TYPES = {"workflow": "chain", "retrieval": "retriever", "agent": "chain"}


def main(address: str, mode: str) -> None:
    """Do the work once and export it to the address."""
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter(f"{address}/v1/traces")))
    client = langsmith.Client(
        api_url=address,
        api_key="ls-1",
        otel_tracer_provider=provider,
        tracing_mode=mode,
        info=_INFO,
    )
    thread = {"thread_id": scenario.SESSION, "user_id": scenario.USER}

    def span(case: str, name: str, given: Any, work: Callable[[], Any]) -> Any:
        run_type = _TYPES.get(case, case)
        is_root = case == "workflow"
        with langsmith.trace(
            name,
            run_type,
            inputs=given if isinstance(given, dict) else {"input": given},
            tags=scenario.TAGS if is_root else None,
        ) as run:
            result = work()
            run.end(outputs=_documents() if case == "retrieval" else {"output": result})
            return result

    def embed() -> None:
        metadata = {"ls_provider": "openai", "ls_model_name": scenario.EMBEDDING_MODEL}
        inputs = {"input": scenario.QUESTIONS["chat"]}
        with langsmith.trace("embedding", "embedding", inputs=inputs, metadata=metadata) as run:
            count = scenario.EMBEDDING_TOKENS
            usage = {"input_tokens": count, "output_tokens": 0, "total_tokens": count}
            run.end(outputs={"usage_metadata": usage})

    watched = wrap_openai(openai.OpenAI(base_url=f"{address}/v1", api_key="sk-1", max_retries=0))
    with langsmith.tracing_context(client=client, enabled=True, metadata=thread, project_name="dify"):
        ask_all(watched, span, embed)
    client.flush()
    provider.shutdown()


def _documents() -> dict[str, Any]:
    """Retrieved documents in the form that LangSmith draws."""
    return {
        "documents": [
            {
                "page_content": document["content"],
                "type": "Document",
                "metadata": {name: document[name] for name in ("id", "score", "title")},
            }
            for document in scenario.DOCUMENTS
        ]
    }


if __name__ == "__main__":
    main(*sys.argv[1:])
