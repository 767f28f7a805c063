"""What may be typed, what a path asks for, and which public host is which provider."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from exporter.config import LogSettings
from exporter.errors import Misconfigured
from exporter.recorder.options import read_options
from exporter.recorder.routes import Operation, operation_of, provider_of, target_of


def _read(**given: Any) -> Any:
    return read_options(
        **{"listen": "127.0.0.1:9465", "upstream": ["https://api.openai.com"], "log": LogSettings(), **given}
    )


def test_records_go_to_the_exporter_beside_it_unless_told_otherwise(tmp_path: Path) -> None:
    assert _read().push == "http://127.0.0.1:9464"
    assert _read(push="https://exporter.test/").push == "https://exporter.test"
    assert _read(out=tmp_path / "records.jsonl").push is None


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"listen": "9465"}, "--listen"),
        ({"listen": "localhost:70000"}, "--listen"),
        ({"listen": ":9465"}, "--listen"),
        ({"upstream": []}, "--upstream"),
        ({"upstream": ["api.openai.com"]}, "--upstream"),
        ({"upstream": ["ftp://api.openai.com"]}, "--upstream"),
        ({"upstream": ["https://"]}, "--upstream"),
        ({"upstream": ["https://host:port"]}, "--upstream"),
        ({"upstream": ["https://user:secret@api.openai.com"]}, "--upstream"),
        ({"upstream": ["https://api.openai.com?key=secret"]}, "--upstream"),
        ({"upstream": ["/-/recorder/x=https://api.openai.com"]}, "--upstream"),
        ({"upstream": ["/a=https://one.test", "/a/=https://two.test"]}, "--upstream"),
        ({"upstream": ["/prefix"]}, "--upstream"),
        ({"push": "exporter:9464"}, "--push"),
        ({"push": "http://exporter:9464", "out": Path("x.jsonl")}, "--out"),
        ({"out": Path("/no/such/folder/x.jsonl")}, "--out"),
        ({"upstream_ca": Path("/no/such/file.pem")}, "--upstream-ca"),
        ({"timeout_seconds": 0.0}, "--timeout"),
        ({"name": ""}, "--name"),
    ],
)
def test_what_cannot_work_is_named_and_no_secret_is_repeated(given: dict[str, Any], named: str) -> None:
    with pytest.raises(Misconfigured) as raised:
        _read(**given)
    assert len(raised.value.problems) == 1
    assert raised.value.problems[0].startswith(named)
    assert "secret" not in str(raised.value)


def test_all_problems_are_told_at_once() -> None:
    with pytest.raises(Misconfigured) as raised:
        _read(listen="x", upstream=["y"], push="z")
    assert len(raised.value.problems) == 3


def test_address_of_ipv6_is_understood() -> None:
    options = _read(listen="[::1]:9465")
    assert (options.host, options.port) == ("::1", 9465)


@pytest.mark.parametrize(
    ("target", "url"),
    [
        ("/v1/models", "https://api.openai.com/v1/models"),
        ("/", "https://api.openai.com/"),
        ("/?a=/anthropic/x", "https://api.openai.com/?a=/anthropic/x"),
        ("/anthropic/v1/messages", "https://api.anthropic.com/v1/messages"),
        ("/anthropic", "https://api.anthropic.com/"),
        ("/anthropic?x=1", "https://api.anthropic.com/?x=1"),
        ("/anthropics/v1", "https://api.openai.com/anthropics/v1"),
        ("http://recorder:9465/v1/models?x", "https://api.openai.com/v1/models?x"),
        ("HTTP://recorder:9465", "https://api.openai.com/"),
        ("//v1//models", "https://api.openai.com//v1//models"),
    ],
)
def test_target_of_a_request_is_the_upstream_of_its_longest_prefix(target: str, url: str) -> None:
    options = _read(upstream=["https://api.openai.com", "/anthropic/=https://api.anthropic.com/"])
    found = target_of(options.upstreams, target)
    assert found is not None
    assert found.url == url


@pytest.mark.parametrize("target", ["*", "host:443", "", "ftp://x/y"])
def test_target_that_is_no_path_has_no_upstream(target: str) -> None:
    assert target_of(_read().upstreams, target) is None


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/v1/chat/completions", "chat"),
        ("/compatible-mode/v1/chat/completions", "chat"),
        ("/api/paas/v4/chat/completions", "chat"),
        ("/openai/deployments/d/chat/completions", "chat"),
        ("/v1/completions", "completion"),
        ("/v1/responses", "responses"),
        ("/v1/embeddings", "embeddings"),
        ("/v1/rerank", "rerank"),
        ("/compatible-api/v1/reranks", "rerank"),
        ("/v1/messages", "chat"),
        ("/api/v1/services/aigc/text-generation/generation", "chat"),
        ("/api/v1/services/aigc/multimodal-generation/generation", "chat"),
        ("/api/v1/services/embeddings/text-embedding/text-embedding", "embeddings"),
        ("/api/v1/services/rerank/text-rerank/text-rerank", "rerank"),
        ("/v1/models", None),
        ("/v1/threads/t/messages", None),
        ("/v1/messages/count_tokens", None),
        ("/v1/responses/resp_1/cancel", None),
        ("/v1/images/generations", None),
        ("/v1/audio/speech", None),
        ("/api/v1/services/aigc/text2image/image-synthesis", None),
    ],
)
def test_paths_that_ask_a_model_are_known(path: str, name: str | None) -> None:
    found = operation_of("POST", path)
    assert (found.name if found else None) == name
    assert operation_of("GET", path) is None


@pytest.mark.parametrize(
    ("host", "dialect", "provider"),
    [
        ("api.openai.com", None, "openai"),
        ("our.openai.azure.com", None, "azure_openai"),
        ("openai.azure.com.evil.test", None, None),
        ("API.DeepSeek.com:443", None, "deepseek"),
        ("vllm.internal:8000", None, None),
        ("proxy.internal", "anthropic", "anthropic"),
        ("proxy.internal", "dashscope", "tongyi"),
    ],
)
def test_provider_is_told_by_a_public_host_or_by_the_form(
    host: str, dialect: str | None, provider: str | None
) -> None:
    assert provider_of(host, Operation("chat", dialect)) == provider
