"""Every OTLP platform as one row: where it listens, how a request proves itself and finds its project, what it reads.

A row is data. `{api_key}`, `{project}` and so on stand for the settings of that name; what names an empty setting is
left out. A new platform is a row here, its kind and needs in the settings, and at most a flavour of its names.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Protocol

from pydantic import SecretStr

from exporter.config import DestinationSettings
from exporter.destinations.base import Confirmation, Unit
from exporter.destinations.holdings import Exported, Held
from exporter.destinations.http import Http
from exporter.destinations.phoenix_readback import PhoenixReadBack
from exporter.destinations.projects import Project
from exporter.spans.content import Content
from exporter.spans.flavour import Flavour, Projector, flavoured
from exporter.spans.openinference import OpenInferenceProjector
from exporter.spans.plain import PlainProjector


class ReadBack(Protocol):
    """A platform that can be asked what it holds, to confirm deliveries and for the audit."""

    def missing(self, units: Sequence[Unit]) -> set[int] | None:
        """The `seq` of units that are not there completely; None when it cannot be asked now."""

    def held(self, traces: Sequence[Exported], sample: AbstractSet[str]) -> Mapping[str, Held]:
        """See `exporter.destinations.holdings.Holdings`."""


_SETTING = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True, slots=True)
class Grpc:
    """How a platform takes OTLP over gRPC, where it does."""

    port: int = 4317
    """Of an address without TLS that names none."""
    headers: Mapping[str, str] | None = None
    """In place of those of HTTP, where they differ."""
    is_beside: bool = False
    """It listens beside the HTTP address, which is still needed for reading and links."""


@dataclass(frozen=True, slots=True)
class Preset:
    """One platform. Facts are those of the platforms' public documents and sources."""

    path: str
    """Below the address, where spans are posted."""
    projector: Callable[[Content], Projector]
    address: str = ""
    """The platform's own cloud; empty: the operator names one."""
    pasted: tuple[str, ...] = ()
    """Ends of addresses that people paste along."""
    headers: Mapping[str, str] = field(default_factory=dict)
    resource: Mapping[str, str] = field(default_factory=dict)
    max_spans: int = 0
    """Spans of one request that it takes in time, unless the operator says otherwise; 0 = as many as any."""
    confirmation: Confirmation = Confirmation.AGE
    takes_again: bool = False
    """A later revision may be sent: a span that is held is replaced, or stays as it is, and is never there twice."""
    read_back: Callable[[Http, str, Project], ReadBack] | None = None
    """Made from connection, address and project."""
    link: str = ""
    """A trace's page; `{address}` and `{trace_id}` besides the settings."""
    grpc: Grpc | None = None


def filled(template: str, settings: DestinationSettings, **more: str) -> str | None:
    """The template with the settings in it; None when one that it names is empty."""
    values = {
        name: more[name] if name in more else _text(settings, name) for name in _SETTING.findall(template)
    }
    return template.format(**values) if all(values.values()) else None


def filled_all(templates: Mapping[str, str], settings: DestinationSettings) -> dict[str, str]:
    """The headers or resource attributes that the settings give a value."""
    found = {name: filled(template, settings) for name, template in templates.items()}
    return {name: value for name, value in found.items() if value is not None}


def _text(settings: DestinationSettings, name: str) -> str:
    value = getattr(settings, name)
    return (value.get_secret_value() if isinstance(value, SecretStr) else str(value)).strip()


def _plain(flavour: Flavour) -> Callable[[Content], Projector]:
    return lambda content: flavoured(PlainProjector(content), flavour)


def _weave(content: Content) -> Projector:
    """Weave keeps a capped number of attributes, so conversations stay in input and output alone."""
    return flavoured(OpenInferenceProjector(content, messages_shown=0), _WEAVE)


_OPIK = Flavour(
    # What Opik has no rule for it shows as the span's input. It takes the provider from gen_ai.system first.
    own_prefix="opik.metadata.",
    names={
        "gen_ai.conversation.id": ("thread_id",),
        "session.id": (),
        "user.id": ("opik.metadata.user_id",),
        "gen_ai.provider.name": (),
    },
    tags_name="opik.tags",
)
_MLFLOW = Flavour(
    cost_object_name="mlflow.llm.cost",
    names={"dify_exporter.verdict": ("dify_exporter.verdict", "mlflow.traceTag.verdict")},
)
_WEAVE = Flavour(names={"session.id": ("session.id", "wandb.thread_id")}, on_root={"wandb.is_turn": True})
_ALIYUN = Flavour(
    kind_name="gen_ai.span.kind",
    names={
        "session.id": ("session.id", "gen_ai.session.id"),
        "user.id": ("user.id", "gen_ai.user.id"),
        "gen_ai.input.messages": ("gen_ai.input.messages", "input.value"),
        "gen_ai.output.messages": ("gen_ai.output.messages", "output.value"),
    },
    everywhere={"gen_ai.framework": "dify"},
    root_is_entry=True,
    total_name="gen_ai.usage.total_tokens",
)
_TENCENT = Flavour(
    kind_name="gen_ai.span.kind",
    kinds={"CHAIN": "TASK", "LLM": "GENERATION", "EMBEDDING": "TASK", "RERANKER": "TASK"},
    root_kind="WORKFLOW",
    names={
        "session.id": ("session.id", "gen_ai.session.id"),
        "user.id": ("user.id", "gen_ai.user.id"),
        "input.value": ("gen_ai.entity.input",),
        "output.value": ("gen_ai.entity.output",),
        "gen_ai.input.messages": ("gen_ai.input.messages", "gen_ai.prompt"),
        "gen_ai.output.messages": ("gen_ai.output.messages", "gen_ai.completion"),
    },
    on_root={"gen_ai.is_entry": "true"},
    root_is_entry=True,
    total_name="gen_ai.usage.total_tokens",
)

_V1 = "/v1/traces"
_BEARER = "Bearer {api_key}"

PRESETS: Mapping[str, Preset] = {
    "otlp": Preset(path=_V1, projector=PlainProjector, confirmation=Confirmation.AT_ONCE, grpc=Grpc()),
    "opik": Preset(
        address="https://www.comet.com/opik",
        path="/api/v1/private/otel/v1/traces",
        pasted=(_V1, "/v1/private/otel", "/api"),
        headers={"Authorization": "{api_key}", "Comet-Workspace": "{workspace}", "projectName": "{project}"},
        projector=_plain(_OPIK),
    ),
    "mlflow": Preset(
        path=_V1,
        headers={"x-mlflow-experiment-id": "{experiment}", "Authorization": _BEARER},
        projector=_plain(_MLFLOW),
        max_spans=100,  # it writes under 200 spans a second before it answers
        confirmation=Confirmation.AT_ONCE,  # the answer comes after the commit
        takes_again=True,
        link="{address}/#/experiments/{experiment}/traces?selectedEvaluationId=tr-{trace_id}",
    ),
    "databricks": Preset(
        path="/api/2.0/otel/v1/traces",
        pasted=(_V1, "/api/2.0/otel"),
        headers={"Authorization": _BEARER, "X-Databricks-UC-Table-Name": "{table}"},
        projector=_plain(_MLFLOW),
    ),
    "weave": Preset(
        address="https://trace.wandb.ai",
        path="/otel/v1/traces",
        pasted=(_V1, "/otel"),
        headers={"wandb-api-key": "{api_key}", "project_id": "{entity}/{project}"},
        resource={"wandb.entity": "{entity}", "wandb.project": "{project}"},
        projector=_weave,
    ),
    "arize": Preset(
        address="https://otlp.arize.com",
        path=_V1,
        pasted=(_V1, "/v1"),
        headers={"authorization": "{api_key}", "arize-space-id": "{space_id}", "arize-interface": "otel"},
        resource={"openinference.project.name": "{project}"},
        projector=OpenInferenceProjector,
        grpc=Grpc(),
    ),
    "phoenix": Preset(
        path=_V1,
        headers={"authorization": _BEARER},
        resource={"openinference.project.name": "{project}"},
        projector=OpenInferenceProjector,
        confirmation=Confirmation.READ_BACK,
        takes_again=True,  # the first write of a span stays, silently
        read_back=PhoenixReadBack,
        link="{address}/redirects/traces/{trace_id}",
        grpc=Grpc(is_beside=True),
    ),
    "aliyun-arms": Preset(
        address="http://tracing-analysis-dc-{region}.aliyuncs.com",
        path="/adapt_{api_key}/api/otlp/traces",
        pasted=("/api/otlp/traces", "/adapt_{api_key}"),
        resource={"acs.arms.service.feature": "genai_app"},
        projector=_plain(_ALIYUN),
        grpc=Grpc(port=8090, headers={"authentication": "{api_key}"}),
    ),
    "aliyun-cloudmonitor": Preset(
        path="/adapt_{api_key}/api/v1/traces",
        pasted=("/api/v1/traces", "/adapt_{api_key}"),
        resource={"acs.arms.service.feature": "genai_app"},
        projector=_plain(_ALIYUN),
    ),
    "tencent-apm": Preset(
        path=_V1,
        headers={"Authorization": _BEARER},
        resource={"token": "{api_key}"},
        projector=_plain(_TENCENT),
        grpc=Grpc(),
    ),
}
