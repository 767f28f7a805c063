"""The scenario as a user of OpenInference writes it for Phoenix or Arize: its tracer and its OpenAI instrumentation.

Run as a process of its own, because the instrumentation patches the client: `python -m docs.sdk.with_openinference ADDRESS`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import openai
from openinference.instrumentation import (
    OITracer,
    TraceConfig,
    TracerProvider,
    get_retriever_attributes,
    using_attributes,
)
from openinference.instrumentation.openai import OpenAIInstrumentor
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

from docs.sdk import scenario
from docs.sdk.asking import ask_all

_KINDS = {"workflow": "chain", "retrieval": "retriever"}


def main(address: str) -> None:
    """Do the work once and export its spans to the address."""
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter(f"{address}/v1/traces")))
    OpenAIInstrumentor().instrument(tracer_provider=provider)
    tracer = OITracer(provider.get_tracer("scenario"), config=TraceConfig())

    def span(case: str, name: str, given: Any, work: Callable[[], Any]) -> Any:
        with tracer.start_as_current_span(name, openinference_span_kind=_KINDS.get(case, case)) as made:
            made.set_input(given)
            result = work()
            if case == "retrieval":
                made.set_attributes(get_retriever_attributes(documents=_documents()))
            made.set_output(result)
            if case == "tool":
                made.set_tool(name=name, parameters=scenario.TOOL_SCHEMA["function"]["parameters"])
            return result

    with using_attributes(user_id=scenario.USER, session_id=scenario.SESSION, tags=scenario.TAGS):
        ask_all(openai.OpenAI(base_url=f"{address}/v1", api_key="sk-1", max_retries=0), span)
    provider.shutdown()


def _documents() -> list[Any]:
    return [
        {
            "id": document["id"],
            "content": document["content"],
            "score": document["score"],
            "metadata": {"title": document["title"]},
        }
        for document in scenario.DOCUMENTS
    ]


if __name__ == "__main__":
    main(sys.argv[1])
