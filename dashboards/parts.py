"""What boards are made of: queries, rows, boards, and the data sources that variables name."""

from __future__ import annotations

from dataclasses import dataclass, field

from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.runtime import UnknownDataquery
from grafana_foundation_sdk.models import dashboard as models

PROMETHEUS = models.DataSourceRef("prometheus", "${datasource}")
POSTGRESQL = models.DataSourceRef("grafana-postgresql-datasource", "${ledger}")

Panel = Builder[models.Panel]
Step = tuple[float | None, str]
"""A threshold: from which value (None: from the beginning) which colour."""

CALM: Step = (None, "text")
"""No judgement."""

UNKNOWN = "–"
"""Stands in a table's cell where nothing is known: a zero would claim something."""


@dataclass(frozen=True, slots=True)
class Query:
    """One query: PromQL, the legend of its series, and whether only its last value is wanted."""

    expression: str
    legend: str = "__auto"
    instant: bool = False
    exemplar: bool = False
    as_table: bool = False
    as_heatmap: bool = False


@dataclass(frozen=True, slots=True)
class Sql(Builder[UnknownDataquery]):
    """One query to the ledger's copy in PostgreSQL."""

    statement: str
    format: str = "table"
    ref_id: str = "A"

    def build(self) -> UnknownDataquery:
        """The query as Grafana's PostgreSQL data source stores it."""
        return UnknownDataquery(
            {
                "refId": self.ref_id,
                "datasource": POSTGRESQL.to_json(),
                "editorMode": "code",
                "format": self.format,
                "rawQuery": True,
                "rawSql": self.statement,
            }
        )


@dataclass(frozen=True, slots=True)
class Row:
    """A heading and the panels under it. A collapsed row asks nothing until it is opened."""

    title: str
    panels: tuple[Panel, ...]
    collapsed: bool = False


@dataclass(frozen=True, slots=True)
class Board:
    """One dashboard."""

    uid: str
    title: str
    description: str
    rows: tuple[Row, ...]
    variables: tuple[Builder[models.VariableModel], ...] = field(default=())
    since: str = "now-24h"
