"""The variables of the boards: which exporter, app, provider and model, and where a trace can be opened."""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import dashboard as models

from dashboards.parts import PROMETHEUS

_LABEL_VALUES = 1
"""What Grafana's own editor writes for `label_values(…)`."""


def source_variable(name: str, label: str, kind: str, declared: str) -> Builder[models.VariableModel]:
    """Names a data source. `declared` is filled in by Grafana's import dialog; a provisioned copy finds no data source of
    that name and takes the first of its kind."""
    return (
        dashboard.DatasourceVariable(name)
        .label(label)
        .description(f"The {label} data source this board asks.")
        .type(kind)
        .current(models.VariableOption(text=f"${{{declared}}}", value=f"${{{declared}}}"))
    )


def label_variable(name: str, label: str, query: str, description: str) -> Builder[models.VariableModel]:
    """One or more values of a metric's label; all unless chosen."""
    return (
        dashboard.QueryVariable(name)
        .label(label)
        .description(description)
        .datasource(PROMETHEUS)
        .query(
            {"qryType": _LABEL_VALUES, "query": query, "refId": "PrometheusVariableQueryEditor-VariableQuery"}
        )
        .refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(models.VariableSort.ALPHABETICAL_CASE_INSENSITIVE_ASC)
        .multi(True)
        .include_all(True)
        .all_value(".*")
        .current(models.VariableOption(selected=True, text=["All"], value=["$__all"]))
    )


def text_variable(name: str, label: str, value: str, description: str) -> Builder[models.VariableModel]:
    """Something typed by a person."""
    return (
        dashboard.TextBoxVariable(name)
        .label(label)
        .description(description)
        .default_value(value)
        .current(models.VariableOption(selected=True, text=value, value=value))
    )


DATASOURCE = source_variable("datasource", "Prometheus", "prometheus", "DS_PROMETHEUS")
LEDGER = source_variable("ledger", "PostgreSQL", "grafana-postgresql-datasource", "DS_LEDGER")
INSTANCE = label_variable(
    "instance",
    "Exporter",
    "label_values(dify_exporter_build_info, instance)",
    "Exporters, by the address at which Prometheus scrapes them.",
)
APP = label_variable(
    "app",
    "App",
    'label_values(dify_calls_total{instance=~"$instance"}, app)',
    "Dify's apps; the small ones are in other.",
)
PROVIDER = label_variable(
    "provider",
    "Provider",
    'label_values(dify_calls_total{instance=~"$instance", app=~"$app"}, provider)',
    "Model providers, as Dify names them.",
)
MODEL = label_variable(
    "model",
    "Model",
    'label_values(dify_calls_total{instance=~"$instance", app=~"$app", provider=~"$provider"}, model)',
    "Models, as Dify names them; the rare ones are in other.",
)
PAGE = text_variable(
    "page",
    "Exporter's page",
    "http://127.0.0.1:9464",
    "Address of the exporter's own page as your browser reaches it; links to traces lead there.",
)
LANGFUSE = text_variable(
    "langfuse",
    "Langfuse project",
    "http://127.0.0.1:3000/project/dify",
    "Address of your project in Langfuse, …/project/ID; links to traces lead there too.",
)
CURRENCY = label_variable(
    "currency",
    "Currency",
    'label_values({__name__=~"dify_(recorded|local|vendor)_cost_total", instance=~"$instance"}, currency)',
    "Currencies are never added: choose one to hold it against a bill.",
)
BILL = text_variable(
    "bill", "Bill", "0", "What the vendor's bill says for the range on screen and the chosen currency."
)

CALLS = (DATASOURCE, INSTANCE, APP, PROVIDER, MODEL, PAGE, LANGFUSE)
EXPORTER = (DATASOURCE, INSTANCE)
