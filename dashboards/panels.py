"""Panels as this project draws them, on top of the Grafana Foundation SDK: each has a title, words, a unit, and says
something where there is nothing."""

from __future__ import annotations

from collections.abc import Sequence
from string import ascii_uppercase
from typing import Any

from grafana_foundation_sdk.builders import (
    bargauge,
    common,
    dashboard,
    heatmap,
    prometheus,
    stat,
    table,
    text,
    timeseries,
)
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import common as common_models
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models.heatmap import HeatmapColorMode, HeatmapColorScale
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from dashboards.parts import CALM, POSTGRESQL, PROMETHEUS, UNKNOWN, Panel, Query, Sql, Step


def number(
    title: str,
    words: str,
    unit: str,
    *queries: Query,
    none: str = "no exporter is scraped",
    steps: Sequence[Step] = (CALM,),
    width: int = 6,
    decimals: int | None = None,
) -> Panel:
    """A large number, or several; `none` is said instead where there is none."""
    panel = (
        stat.Panel()
        .title(title)
        .description(words)
        .unit(unit)
        .no_value(none)
        .datasource(PROMETHEUS)
        .height(4)
        .span(width)
        .thresholds(_thresholds(steps))
        .color_mode(common_models.BigValueColorMode.VALUE)
        .graph_mode(common_models.BigValueGraphMode.NONE)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]).fields("").values(False))
        .targets(_targets(queries))
    )
    return panel if decimals is None else panel.decimals(decimals)


def series(
    title: str,
    words: str,
    unit: str,
    *queries: Query,
    stacked: bool = False,
    bars: bool = False,
    width: int = 12,
    height: int = 9,
    links: Sequence[tuple[str, str]] = (),
    steps: Sequence[Step] = (),
) -> Panel:
    """Values over time; `steps` are drawn as dashed lines."""
    panel = (
        timeseries.Panel()
        .title(title)
        .description(words)
        .unit(unit)
        .datasource(PROMETHEUS)
        .height(height)
        .span(width)
        .line_width(1)
        .fill_opacity(70 if bars else 25 if stacked else 8)
        .show_points(common_models.VisibilityMode.NEVER)
        .draw_style(common_models.GraphDrawStyle.BARS if bars else common_models.GraphDrawStyle.LINE)
        .legend(
            common.VizLegendOptions()
            .display_mode(common_models.LegendDisplayMode.LIST)
            .placement(common_models.LegendPlacement.BOTTOM)
            .show_legend(True)
        )
        .tooltip(
            common.VizTooltipOptions()
            .mode(common_models.TooltipDisplayMode.MULTI)
            .sort(common_models.SortOrder.DESCENDING)
        )
        .data_links(_links(links))
        .targets(_targets(queries))
    )
    if stacked:
        panel = panel.stacking(common.StackingConfig().mode(common_models.StackingMode.NORMAL).group("A"))
    if steps:
        style = common.GraphThresholdsStyleConfig().mode(common_models.GraphThresholdsStyleMode.DASHED)
        panel = panel.thresholds(_thresholds(steps)).thresholds_style(style)
    return panel


def ranking(
    title: str,
    words: str,
    unit: str,
    *queries: Query,
    none: str,
    width: int = 12,
    links: Sequence[tuple[str, str]] = (),
) -> Panel:
    """Horizontal bars, one a series."""
    return (
        bargauge.Panel()
        .title(title)
        .description(words)
        .unit(unit)
        .no_value(none)
        .datasource(PROMETHEUS)
        .height(9)
        .span(width)
        .orientation(common_models.VizOrientation.HORIZONTAL)
        .display_mode(common_models.BarGaugeDisplayMode.BASIC)
        .value_mode(common_models.BarGaugeValueMode.TEXT)
        .thresholds(_thresholds([(None, "blue")]))
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]).fields("").values(False))
        .data_links(_links(links))
        .targets(_targets(queries))
    )


def listing(
    title: str,
    words: str,
    unit: str,
    *queries: Query | Sql,
    none: str,
    shown: Sequence[tuple[str, str]],
    sort: str = "",
    units: Sequence[tuple[str, str]] = (),
    bar: str = "",
    links: Sequence[tuple[str, str, str]] = (),
    width: int = 24,
    height: int = 10,
) -> Panel:
    """A table; `none` is said when it has no row. `shown` are the columns in order (field, heading), `units` those (heading) that have their own unit, `bar` the
    column drawn as a bar, `links` (heading, title, address) what a cell leads to."""
    panel = (
        table.Panel()
        .title(title)
        .description(words)
        .unit(unit)
        .no_value(none)
        .height(height)
        .span(width)
        .filterable(True)
        .cell_height(common_models.TableCellHeight.SM)
        .transformations(_transformations(shown, sort))
    )
    if isinstance(queries[0], Sql):
        panel = panel.datasource(POSTGRESQL).targets(list(queries))  # type: ignore[arg-type]
    else:
        panel = panel.datasource(PROMETHEUS).targets(_targets([q for q in queries if isinstance(q, Query)]))
    panel = panel.override_by_regexp("/.*/", [models.DynamicConfigValue("noValue", UNKNOWN)])
    for heading, own in units:
        panel = panel.override_by_name(heading, [models.DynamicConfigValue("unit", own)])
    if bar:
        cell = common_models.TableBarGaugeCellOptions(common_models.BarGaugeDisplayMode.BASIC)
        panel = panel.override_by_name(bar, [models.DynamicConfigValue("custom.cellOptions", cell.to_json())])
    for heading in dict.fromkeys(heading for heading, _, _ in links):
        told = _links([(name, address) for of, name, address in links if of == heading])
        panel = panel.override_by_name(
            heading, [models.DynamicConfigValue("links", [link.build().to_json() for link in told])]
        )
    return panel


def spread(title: str, words: str, unit: str, query: Query, *, width: int = 12) -> Panel:
    """A histogram over time, with exemplars that lead to single traces."""
    return (
        heatmap.Panel()
        .title(title)
        .description(words)
        .unit(unit)
        .datasource(PROMETHEUS)
        .height(9)
        .span(width)
        .y_axis(heatmap.YAxisConfig().axis_placement(common_models.AxisPlacement.LEFT).unit(unit))
        .color(
            heatmap.HeatmapColorOptions()
            .mode(HeatmapColorMode.SCHEME)
            .scheme("Blues")
            .scale(HeatmapColorScale.EXPONENTIAL)
            .fill("dark-orange")
            .steps(32)
            .exponent(0.5)
        )
        .scale_distribution(common.ScaleDistributionConfig().type(common_models.ScaleDistribution.LINEAR))
        .exemplars_color("orange")
        .cell_gap(1)
        .targets(_targets([query]))
    )


def words(title: str, markdown: str, *, width: int = 24, height: int = 4) -> Panel:
    """A panel of text."""
    return (
        text.Panel()
        .title(title)
        .description("What this board answers, and how to read it.")
        .height(height)
        .span(width)
        .mode("markdown")  # type: ignore[arg-type]
        .content(markdown)
    )


def _targets(queries: Sequence[Query]) -> list[Builder[Any]]:
    return [_target(query, letter) for query, letter in zip(queries, ascii_uppercase, strict=False)]


def _target(query: Query, letter: str) -> Builder[Any]:
    target = (
        prometheus.Dataquery()
        .expr(query.expression)
        .legend_format(query.legend)
        .ref_id(letter)
        .datasource(PROMETHEUS)
        .exemplar(query.exemplar)
    )
    target = target.instant() if query.instant else target.range()
    if query.as_table:
        target = target.format(PromQueryFormat.TABLE)
    return target.format(PromQueryFormat.HEATMAP) if query.as_heatmap else target


def _thresholds(steps: Sequence[Step]) -> Builder[models.ThresholdsConfig]:
    listed = [models.Threshold(value=value, color=colour) for value, colour in steps]
    return dashboard.ThresholdsConfig().mode(models.ThresholdsMode.ABSOLUTE).steps(listed)


def _links(links: Sequence[tuple[str, str]]) -> list[Builder[models.DashboardLink]]:
    return [dashboard.DashboardLink(title).url(address).target_blank(True) for title, address in links]


def _transformations(shown: Sequence[tuple[str, str]], sort: str) -> list[models.DataTransformerConfig]:
    order = {name: place for place, (name, _) in enumerate(shown)}
    found = [
        models.DataTransformerConfig(id_val="merge", options={}),
        models.DataTransformerConfig(
            id_val="filterFieldsByName", options={"include": {"names": [name for name, _ in shown]}}
        ),
        models.DataTransformerConfig(
            id_val="organize",
            options={
                "indexByName": order,
                "renameByName": {name: heading for name, heading in shown if name != heading},
            },
        ),
    ]
    if sort:
        descending = not sort.startswith("+")
        by = {"sort": [{"field": sort.lstrip("+"), "desc": descending}]}
        found.append(models.DataTransformerConfig(id_val="sortBy", options=by))
    return found
