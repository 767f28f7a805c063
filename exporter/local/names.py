"""Takes from a model's name what gateways, clouds and fine-tuning put around it.

Pure. What is left starts with the model's own name wherever that can be told; nothing is looked up here.
"""

from __future__ import annotations

import re

_FINE_TUNED = re.compile(r"^ft:([^:]+)")
_CUSTOM = re.compile(r"[.:-]ft[-:].*$")
"""Azure's and Together's fine-tunes: `gpt-4o-2024-08-06.ft-0e20…`, `llama-3-8b-ft-2024…`."""

_HOST = re.compile(
    r"^(?:(?:us|eu|apac|ap|jp|au|ca|sa|me|af|us-gov|global)\.)?"  # Bedrock's inference profiles by region
    r"(?:ai21|amazon|anthropic|cohere|deepseek(?:-ai)?|google|meta|minimax|mistral|moonshot(?:ai)?|openai|qwen|xai|zai)\."
)
_ROUTE = re.compile(r"^(?:databricks-|(?:azure|bedrock|groq|ollama|openai|openrouter|vertex|vllm):)")


def bare(model: str) -> str:
    """The model's own name in lower case with hyphens: `us.anthropic.claude-sonnet-4-…-v1:0`, `publishers/google/models/
    gemini-2.5-pro`, `ft:gpt-4o-mini:org::id`, `openrouter/openai/gpt-4o:free` and the ARN of an inference profile."""
    name = model.strip().lower()
    tuned = _FINE_TUNED.match(name)
    if tuned:
        name = tuned[1]
    name = name.rstrip("/").rpartition("/")[2].replace("_", "-").replace(" ", "-")
    return _CUSTOM.sub("", _ROUTE.sub("", _HOST.sub("", name)))
