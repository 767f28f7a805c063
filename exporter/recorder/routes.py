"""Which upstream a request goes to, and which model operation its path asks for.

Only paths of OpenAI's form (chat, completions, responses, embeddings, rerank), of Anthropic's Messages and of native
DashScope are recorded; everything else is passed on and forgotten.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from exporter.recorder.options import Upstream

_DASHSCOPE = "/api/v1/services/"
_OPERATIONS = (
    (re.compile(r"/chat/completions$"), "chat", None),
    (re.compile(r"/completions$"), "completion", None),
    (re.compile(r"/responses$"), "responses", None),
    (re.compile(r"/embeddings$"), "embeddings", None),
    (re.compile(r"/re-?ranks?$"), "rerank", None),
    (re.compile(r"(?:^|/v1)/messages$"), "chat", "anthropic"),
)
_NATIVE = (
    (re.compile(r"aigc/(?:text|multimodal)-generation/generation$"), "chat"),
    (re.compile(r"embeddings/[^/]+/[^/]+$"), "embeddings"),
    (re.compile(r"rerank/[^/]+/[^/]+$"), "rerank"),
)
_DEPLOYMENT = re.compile(r"/openai/deployments/([^/]+)/")

_PROVIDERS = (
    ("api.openai.com", "openai"),
    (".openai.azure.com", "azure_openai"),
    (".cognitiveservices.azure.com", "azure_openai"),
    ("api.anthropic.com", "anthropic"),
    ("dashscope.aliyuncs.com", "tongyi"),
    ("dashscope-intl.aliyuncs.com", "tongyi"),
    ("api.deepseek.com", "deepseek"),
    ("api.moonshot.cn", "moonshot"),
    ("api.moonshot.ai", "moonshot"),
    ("open.bigmodel.cn", "zhipuai"),
    (".volces.com", "volcengine_maas"),
    ("api.hunyuan.cloud.tencent.com", "hunyuan"),
    ("api.siliconflow.cn", "siliconflow"),
    ("api.mistral.ai", "mistralai"),
    ("api.groq.com", "groq"),
    ("api.x.ai", "x"),
    ("openrouter.ai", "openrouter"),
    ("api.cohere.com", "cohere"),
    ("api.jina.ai", "jina"),
    ("api.together.xyz", "togetherai"),
)
"""The public host of a vendor's API → the last part of Dify's provider id."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where a request goes: `url` is the whole address as it is asked for, `path` its path without the query."""

    upstream: Upstream
    url: str
    path: str


@dataclass(frozen=True, slots=True)
class Operation:
    """What a path asks a model for. `dialect` is None for OpenAI's form; `deployment` is Azure's name of the model."""

    name: str
    dialect: str | None = None
    deployment: str | None = None


def target_of(upstreams: Sequence[Upstream], raw_path: str) -> Target | None:
    """The upstream for a request line's target, the longest prefix first; None when no upstream is meant."""
    path_and_query = _without_authority(raw_path)
    if path_and_query is None:
        return None
    path, mark, query = path_and_query.partition("?")
    for upstream in upstreams:
        rest = path.removeprefix(upstream.prefix)
        if len(rest) + len(upstream.prefix) == len(path) and rest[:1] in ("", "/"):
            onward = upstream.base_path + rest
            return Target(upstream, f"{upstream.origin}{onward or '/'}{mark}{query}", onward)
    return None


def operation_of(method: str, path: str) -> Operation | None:
    """The model operation that a request asks for; None when it is none that is recorded."""
    if method != "POST":
        return None
    native = path.find(_DASHSCOPE)
    if native >= 0:
        rest = path[native + len(_DASHSCOPE) :]
        return next((Operation(name, "dashscope") for form, name in _NATIVE if form.match(rest)), None)
    for form, name, dialect in _OPERATIONS:
        if form.search(path):
            named = _DEPLOYMENT.search(path)
            return Operation(name, dialect, named[1] if named else None)
    return None


def provider_of(authority: str, operation: Operation) -> str | None:
    """Dify's name of the provider behind a public API host, or the one whose form is spoken; None when unknown."""
    host = authority.rpartition("@")[2].partition(":")[0].lower()
    for known, provider in _PROVIDERS:
        if host == known or (known.startswith(".") and host.endswith(known)):
            return provider
    return {"anthropic": "anthropic", "dashscope": "tongyi"}.get(operation.dialect or "")


def _without_authority(raw_path: str) -> str | None:
    """The origin form of a request target: `http://host/path` is written so by clients that think of a proxy."""
    if raw_path.startswith("/"):
        return raw_path
    found = re.match(r"^https?://[^/?]*(/.*)?$", raw_path, re.IGNORECASE | re.DOTALL)
    return (found[1] or "/") if found else None
