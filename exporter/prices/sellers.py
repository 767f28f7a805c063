"""Who sells a model: the provider of Dify's plugin or of a gateway's record, as the public list of prices names it.

A gateway or an endpoint of one's own may lead anywhere. Through it only models that nobody but their maker's customers
can have are priced, at the maker's list price; models with public weights may cost anything there, also nothing.
"""

from __future__ import annotations

import re

from exporter.local.names import bare
from exporter.prices.entries import Unknown

_LISTED = {
    "anthropic": "anthropic",
    "azure": "azure",
    "azure_ai": "azure",
    "azure_ai_studio": "azure",
    "azure_openai": "azure",
    "amazon_bedrock": "aws",
    "bedrock": "aws",
    "bedrock_converse": "aws",
    "cerebras": "cerebras",
    "cohere": "cohere",
    "deepseek": "deepseek",
    "fireworks": "fireworks",
    "fireworks_ai": "fireworks",
    "gemini": "google",
    "google": "google",
    "vertex_ai": "google",
    "groq": "groq",
    "minimax": "minimax",
    "mistral": "mistral",
    "mistralai": "mistral",
    "moonshot": "moonshotai",
    "novita": "novita",
    "openai": "openai",
    "openrouter": "openrouter",
    "perplexity": "perplexity",
    "together": "together",
    "together_ai": "together",
    "togetherai": "together",
    "voyage": "voyageai",
    "x": "x-ai",
    "x-ai": "x-ai",
    "xai": "x-ai",
    "zai": "zai",
}
"""Dify's short provider name, or a gateway's → the provider in genai-prices. Zhipu is left out: its prices there are yuan
converted at a rate of the list's own, and nothing is converted here but at the operator's rates."""

_ANYWHERE = frozenset(
    {"", "aihubmix", "custom_openai", "litellm", "litellm_proxy", "one-api", "new-api", "openai_api_compatible", "openai_like"}
)  # fmt: skip
"""Providers that say nothing of who answers."""

_MAKERS = (
    (re.compile(r"^(?:gpt-(?!oss)|chatgpt-|o[134](?:-|$)|text-embedding-(?:3-|ada))"), "openai"),
    (re.compile(r"^claude-"), "anthropic"),
    (re.compile(r"^gemini-"), "google"),
    (re.compile(r"^grok-"), "x-ai"),
)
"""Models whose weights are not public, by their names."""

_OUTDATED = frozenset({("deepseek", "deepseek-chat"), ("deepseek", "deepseek-reasoner")})
"""Names whose listed price is known to be gone: DeepSeek ended these prices, and the night's discount, on 2025-09-05
(its API documentation, "Models & Pricing")."""

_TUNED = re.compile(r"^ft:|[.:-]ft[-:]")
MAKER = " (its maker's list price: who answers is not known)"


def vendor_named(provider: str | None) -> str | None:
    """The vendor that a provider's name names, one whatever the spelling; None where it says nothing of who answers."""
    name = _short(provider)
    if name in _ANYWHERE:
        return None
    return "google" if name.startswith("vertex_ai") else _LISTED.get(name, name)


def _short(provider: str | None) -> str:
    return (provider or "").strip().lower().rpartition("/")[2]


def seller(provider: str | None, model: str) -> tuple[str, str, str] | Unknown:
    """The list's provider, the name to look the model up by, and what to add to the origin of its price; or why there is
    no list price."""
    name = _short(provider)
    if (name, model.lower()) in _OUTDATED:
        return Unknown("the public list has only an outdated price of it")
    if name in _LISTED:
        return _LISTED[name], model.rpartition("/")[2] if name == "vertex_ai" else model, ""
    if name.startswith("vertex_ai"):
        return "google", model.rpartition("/")[2], ""
    if name not in _ANYWHERE:
        return Unknown(f"no list prices are known of the provider {name}")
    if _TUNED.search(model.lower()):
        return Unknown("who answers is not known, and a fine-tuned model has its own price")
    own = bare(model)
    for pattern, maker in _MAKERS:
        if pattern.match(own) and not own.endswith(":free"):
            return maker, own, MAKER
    return Unknown("who answers is not known, and the model's weights are public or unknown")
