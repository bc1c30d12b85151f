"""A dashboard as the project describes it, and what Grafana makes of it (11.6 or newer)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from grafana_foundation_sdk.builders import stat, timeseries
from grafana_foundation_sdk.builders.common import ReduceDataOptions, StackingConfig, VizLegendOptions
from grafana_foundation_sdk.builders.dashboard import Dashboard, DatasourceVariable, QueryVariable, Row
from grafana_foundation_sdk.builders.dashboard import Panel as GrafanaPanel
from grafana_foundation_sdk.builders.prometheus import Dataquery
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.common import (
    BigValueGraphMode,
    LegendDisplayMode,
    LegendPlacement,
    StackingMode,
)
from grafana_foundation_sdk.models.dashboard import DataSourceRef, VariableRefresh

from ops.dashboards.queries import named

WIDTH = 24  #: of Grafana's grid
HEIGHT = 8
SOURCE = DataSourceRef("prometheus", "$datasource")


class Shown(StrEnum):
    """How a panel shows its series."""

    LINES = "lines"
    STACKED = "stacked"
    SHARES = "shares"  #: stacked to 100 %
    NUMBER = "number"  #: the last value of each


@dataclass(frozen=True, slots=True)
class Panel:
    """One question about the site; `queries` maps each legend (`{{label}}` stands for its value) to a query."""

    title: str
    queries: Mapping[str, str]
    unit: str = "short"  #: by Grafana's name
    shown: Shown = Shown.LINES
    width: int = 8
    most: float | None = None  #: the end of the axis, where it has one
    remark: str = ""


@dataclass(frozen=True, slots=True)
class Board:
    """A dashboard: its rows, each with a title."""

    name: str
    title: str
    explained: str
    rows: Mapping[str, Sequence[Panel]] = field(default_factory=dict)

    @property
    def panels(self) -> list[Panel]:
        """Those of all rows."""
        return [panel for panels in self.rows.values() for panel in panels]


def as_json(board: Board) -> str:
    """What Grafana reads."""
    built = (
        Dashboard(f"Undertone / {board.title}")
        .uid(f"undertone-{board.name}")
        .description(board.explained)
        .tags(["undertone"])
        .refresh("30s")
        .time("now-1h", "now")
        .editable()
        .with_variable(DatasourceVariable("datasource").label("Data source").type("prometheus"))
        .with_variable(_namespace())
    )
    for title, panels in board.rows.items():
        built.with_row(Row(title))
        for panel in panels:
            built.with_panel(_panel(panel))
    return JSONEncoder(sort_keys=True, indent=1).encode(built.build()) + "\n"


def _namespace() -> QueryVariable:
    values = "label_values(undertone_live, namespace)"
    every = QueryVariable("namespace").label("Namespace").datasource(SOURCE).query(values)
    return every.refresh(VariableRefresh.ON_TIME_RANGE_CHANGED).include_all(include_all=True).all_value(".*")


def _panel(panel: Panel) -> GrafanaPanel:
    made = _number() if panel.shown is Shown.NUMBER else _graph(panel)
    made = made.title(panel.title).description(_explained(panel)).unit(panel.unit).datasource(SOURCE).min(0)
    made = made.span(panel.width).height(HEIGHT)
    if panel.most is not None:
        made = made.max(panel.most)
    for number, (legend, expression) in enumerate(panel.queries.items()):
        query = Dataquery().ref_id(chr(ord("A") + number)).expr(expression).legend_format(legend).datasource(SOURCE)
        made = made.with_target(query.instant() if panel.shown is Shown.NUMBER else query.range())
    return made


def _number() -> stat.Panel:
    last = ReduceDataOptions().calcs(["lastNotNull"])
    return stat.Panel().graph_mode(BigValueGraphMode.NONE).reduce_options(last).decimals(0)


def _graph(panel: Panel) -> timeseries.Panel:
    legend = VizLegendOptions().show_legend(show_legend=True)
    legend = legend.display_mode(LegendDisplayMode.LIST).placement(LegendPlacement.BOTTOM)
    made = timeseries.Panel().legend(legend).fill_opacity(10).line_width(1)
    modes = {Shown.STACKED: StackingMode.NORMAL, Shown.SHARES: StackingMode.PERCENT}
    if mode := modes.get(panel.shown):
        made = made.stacking(StackingConfig().mode(mode).group("A")).fill_opacity(60)
    return made


def _explained(panel: Panel) -> str:
    """What the catalogue says of each metric in the panel."""
    helps = dict.fromkeys(metric.help for query in panel.queries.values() for metric in named(query))
    return "\n\n".join([*([panel.remark] if panel.remark else []), *helps])
