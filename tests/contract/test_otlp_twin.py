"""The twin is strict: a client that breaks a platform's rule is told so."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import requests
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.contract.otlp_twin import MOST_ATTRIBUTES, RULES, OtlpTwin

PROTOBUF = {"Content-Type": "application/x-protobuf"}


def export(kind: str, told: Mapping[str, Any], *, parent: bytes = b"", resource: bool = True) -> bytes:
    request = ExportTraceServiceRequest()
    resource_spans = request.resource_spans.add()
    for name, value in RULES[kind].resource.items() if resource else ():
        attribute = resource_spans.resource.attributes.add()
        attribute.key, attribute.value.string_value = name, value
    span = resource_spans.scope_spans.add().spans.add()
    span.trace_id, span.span_id, span.parent_span_id = b"t" * 16, b"s" * 8, parent
    for name, value in told.items():
        attribute = span.attributes.add()
        attribute.key = name
        field = {int: "int_value", float: "double_value", str: "string_value"}[type(value)]
        setattr(attribute.value, field, value)
    return bytes(request.SerializeToString())


def post(twin: OtlpTwin, body: bytes, **changes: str) -> int:
    headers = {**PROTOBUF, **twin.rules.headers, **changes}
    return requests.post(twin.url + twin.rules.path, data=body, headers=headers, timeout=5).status_code


@pytest.mark.parametrize("kind", RULES)
def test_another_path_type_or_header_is_refused(kind: str) -> None:
    with OtlpTwin(kind) as twin:
        body = export(kind, {})
        assert requests.post(twin.url + "/else", data=body, headers=PROTOBUF, timeout=5).status_code == 404
        assert post(twin, body, **{"Content-Type": "application/json"}) == 415
        for name in twin.rules.headers:
            assert post(twin, body, **{name: "wrong"}) == twin.rules.refusal
        assert twin.spans == {}


def test_mlflow_wants_its_experiment() -> None:
    with OtlpTwin("mlflow") as twin:
        reply = requests.post(twin.url + "/v1/traces", data=export("mlflow", {}), headers=PROTOBUF, timeout=5)
        assert reply.status_code == 422


def test_a_count_under_both_of_weaves_names_is_twice() -> None:
    both = {
        "llm.token_count.prompt": 5,
        "llm.token_count.completion": 1,
        "gen_ai.usage.input_tokens": 5,
        "gen_ai.usage.output_tokens": 1,
    }
    with OtlpTwin("weave") as twin:
        assert post(twin, export("weave", both)) == 200
        assert twin.tokens() == (10, 2)


def test_opik_refuses_fractions_as_usage_and_notes_what_it_would_show_as_input() -> None:
    with OtlpTwin("opik") as twin:
        assert post(twin, export("opik", {"gen_ai.usage.weight": 0.5})) == 400
        assert post(twin, export("opik", {"dify_exporter.verdict": "agree"})) == 200
        assert twin.violations == ["dify_exporter.verdict has no rule and would be shown as input"]


@pytest.mark.parametrize("kind", ["aliyun-arms", "tencent-apm"])
def test_an_apm_wants_kinds_sums_and_entry_spans(kind: str) -> None:
    with OtlpTwin(kind) as twin:
        wrong = {
            "gen_ai.usage.input_tokens": 5,
            "gen_ai.usage.output_tokens": 1,
            "gen_ai.usage.total_tokens": 5,
        }
        assert post(twin, export(kind, wrong)) == 400
        assert post(twin, export(kind, {"gen_ai.span.kind": "NODE"})) == 200
        assert twin.violations == ["gen_ai.span.kind is 'NODE'", "a root is no entry span"]


def test_orphans_foreign_projects_and_floods_of_attributes_are_noted() -> None:
    with OtlpTwin("arize") as twin:
        many = {f"a{number}": number for number in range(MOST_ATTRIBUTES + 1)}
        assert post(twin, export("arize", many, parent=b"p" * 8, resource=False)) == 200
        noted = " / ".join(twin.violations)
    assert "never came" in noted
    assert "openinference.project.name is None" in noted
    assert f"{MOST_ATTRIBUTES + 1} attributes" in noted


@pytest.mark.parametrize(("kind", "held"), [("phoenix", 1), ("mlflow", 2), ("databricks", 1)])
def test_a_span_that_comes_twice_stays_replaces_or_is_noted(kind: str, held: int) -> None:
    with OtlpTwin(kind) as twin:
        assert post(twin, export(kind, {"n": 1})) == post(twin, export(kind, {"n": 2})) == 200
        (span,) = twin.spans.values()
        assert span.attributes[0].value.int_value == held
        assert any("came twice" in item for item in twin.violations) == (kind == "databricks")
