"""How each of Dify's model plugins comes by the token numbers it hands to Dify. This knowledge lives here once.

Facts: read in langgenius/dify-official-plugins (August 2026), `models/<provider>/models/`; the rows "OAI" inherit from
`OAICompatLargeLanguageModel` of langgenius/dify-plugin-sdks. A provider is named by the last segment of Dify's provider
id (`langgenius/openai/openai` → `openai`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum


class Source(StrEnum):
    """Where a plugin's numbers come from."""

    VENDOR = "vendor"  # the vendor's usage; nothing else is ever put in its place
    VENDOR_FIRST = "vendor_first"  # asks the vendor for usage, estimates when the answer holds none
    IF_SENT = (
        "if_sent"  # takes usage that comes unasked, estimates otherwise: only the numbers can tell which
    )
    ESTIMATE = "estimate"  # ignores the vendor's usage
    CONFLICTING = "conflicting"  # depends on mode or vendor in ways nobody could settle


class Fallback(StrEnum):
    """The formula a plugin estimates with."""

    NONE = "none"
    GPT2 = "gpt2"
    OPENAI = "openai"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Provider:
    """What one plugin does. `excludes_cached` matches the models whose prompt tokens leave cached tokens out;
    `weights_cached` those whose prompt tokens are multiplied by the price of cached tokens."""

    source: Source
    fallback: Fallback = Fallback.NONE
    excludes_cached: str | None = None
    weights_cached: str | None = None


_OAI = Provider(Source.IF_SENT, Fallback.GPT2)
_LOCAL = Provider(Source.ESTIMATE, Fallback.GPT2)
_FIRST = Provider(Source.VENDOR_FIRST, Fallback.GPT2)
_VENDOR = Provider(Source.VENDOR)

_ALL = ""
_CLAUDE = "claude"

_CHAT: dict[str, Provider] = {
    "openai": Provider(Source.VENDOR_FIRST, Fallback.OPENAI),
    "azure_openai": Provider(
        Source.VENDOR_FIRST, Fallback.OPENAI
    ),  # Responses API streams: always the estimate
    "anthropic": Provider(Source.VENDOR, weights_cached=_ALL),
    "aihubmix": Provider(Source.IF_SENT, Fallback.GPT2, weights_cached=_CLAUDE),
    "bedrock": Provider(Source.VENDOR_FIRST, Fallback.GPT2, excludes_cached=_ALL),
    "minimax": Provider(Source.VENDOR_FIRST, Fallback.GPT2, excludes_cached=_ALL),
    "vertex_ai": Provider(Source.VENDOR_FIRST, Fallback.GPT2, excludes_cached=_CLAUDE),
    "gemini": _FIRST,
    "tongyi": _VENDOR,
    "hunyuan": _VENDOR,
    "zhipuai": _VENDOR,
    "azure_ai_studio": _VENDOR,
    "openllm": _VENDOR,
    "oci": _VENDOR,
    "volcengine": _FIRST,
    "volcengine_maas": _FIRST,
    "byteplus": _FIRST,
    "ollama": _FIRST,
    "gitee_ai": _FIRST,
    "fireworks": _FIRST,
    "llama_api": _FIRST,
    "upstage": Provider(Source.VENDOR_FIRST, Fallback.OTHER),
    "perfxcloud": Provider(Source.VENDOR_FIRST, Fallback.OTHER),
    "deepseek": Provider(Source.CONFLICTING, Fallback.GPT2),
    "baichuan": Provider(
        Source.CONFLICTING, Fallback.OTHER
    ),  # blocking: an estimate; streaming: the vendor's
    "yi": Provider(Source.IF_SENT, Fallback.OTHER),
    "cohere": Provider(Source.ESTIMATE, Fallback.OTHER),
    "xinference": _LOCAL,
    "localai": _LOCAL,
    "huggingface_hub": _LOCAL,
    "replicate": _LOCAL,
    "sagemaker": _LOCAL,
    "modelscope": _LOCAL,
    "chatglm": _LOCAL,
    "triton_inference_server": _LOCAL,
    "stepfun": _LOCAL,  # streaming reports 5 tokens a character
    "openai_api_compatible": _OAI,
    "groq": _OAI,
    "moonshot": _OAI,
    "mistralai": _OAI,
    "x": _OAI,
    "siliconflow": _OAI,
    "openrouter": _OAI,
    "nvidia": _OAI,
    "nvidia_nim": _OAI,
    "togetherai": _OAI,
    "novita": _OAI,
    "sambanova": _OAI,
    "huaweicloud_maas": _OAI,
    "huaweicloud_maas_hk": _OAI,
    "wenxin": _OAI,
    "zhinao": _OAI,
    "mimo": _OAI,
    "longcat": _OAI,
    "ant_ling": _OAI,
    "vessl_ai": _OAI,
    "regolo": _OAI,
    "gmicloud": _OAI,
    "lemonade": _OAI,
    "gpustack": _OAI,
    "cometapi": _OAI,
    "deerapi": _OAI,
}

_EMBEDDING_ESTIMATES = frozenset({"ollama", "huggingface_tei"})
_EMBEDDING_VENDOR = frozenset(
    {
        *(
            "openai",
            "azure_openai",
            "openai_api_compatible",
            "siliconflow",
            "openrouter",
            "gpustack",
            "wenxin",
        ),
        *(
            "aihubmix",
            "tongyi",
            "hunyuan",
            "zhipuai",
            "volcengine_maas",
            "mistralai",
            "jina",
            "voyage",
            "nomic",
        ),
        *("xinference", "localai", "mixedbread", "minimax", "baichuan", "upstage"),
    }
)


def provider_of(name: str | None, kind: str = "chat") -> Provider | None:
    """What is known of a plugin for this kind of call, or None. Rerank plugins report no usage at all."""
    if "rerank" in kind:
        return None
    if "embedding" not in kind:
        return _CHAT.get(name or "")
    if name in _EMBEDDING_ESTIMATES:
        return _LOCAL
    return _VENDOR if name in _EMBEDDING_VENDOR else None


def relays(name: str | None, model: str | None = None) -> bool:
    """True when this plugin's chat numbers, where they are not an estimate, are the vendor's own and complete.

    False for plugins whose prompt tokens leave out cached tokens or are weighted by their price, because such a
    number equals neither the vendor's bill nor a count. (Anthropic weights nothing as long as no caching is used;
    `estimates.classify_recorded` tells the two apart, so it counts as relaying here.)
    """
    provider = provider_of(name)
    if provider is None or provider.source in (Source.ESTIMATE, Source.CONFLICTING):
        return False
    return not applies(provider.excludes_cached, model)


def applies(pattern: str | None, model: str | None) -> bool:
    """Whether a pattern of this table concerns a model; None concerns none, an empty pattern all."""
    return pattern is not None and re.search(pattern, (model or "").lower()) is not None
