"""The one table that knows which plugin hands on the vendor's numbers."""

from __future__ import annotations

import pytest

from exporter.local.providers import provider_of, relays


@pytest.mark.parametrize(
    ("provider", "model", "expected"),
    [
        ("openai", "gpt-4o", True),
        ("azure_openai", "prod", True),
        ("tongyi", "qwen-plus", True),
        ("gemini", "gemini-2.5-pro", True),
        ("anthropic", "claude-sonnet-4-5", True),
        ("openai_api_compatible", "llama", True),
        ("vertex_ai", "gemini-2.5-pro", True),
        ("vertex_ai", "claude-sonnet-4-5@20250929", False),  # cached tokens left out
        ("bedrock", "anthropic.claude-3-5-sonnet", False),
        ("bedrock", None, False),
        ("minimax", "abab6.5", False),
        ("xinference", "llama", False),
        ("stepfun", "step-1-8k", False),
        ("cohere", "command-r", False),
        ("deepseek", "deepseek-chat", False),
        ("somebodys_plugin", "m", False),
        (None, None, False),
    ],
)
def test_relaying_plugins_are_known(provider: str | None, model: str | None, expected: bool) -> None:
    assert relays(provider, model) is expected


def test_rerank_plugins_report_no_usage() -> None:
    assert provider_of("openai_api_compatible", "rerank") is None
