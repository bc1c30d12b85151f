"""`python -m ops.dashboards.draw PROMETHEUS FOLDER [MINUTES]`: each dashboard, a picture of what Prometheus has now."""

import re
import sys
import time
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, FuncFormatter, PercentFormatter

from ops.dashboards.__main__ import BOARDS
from ops.dashboards.ask import Period, Series, ask
from ops.dashboards.board import WIDTH, Board, Panel, Shown

MINUTES = 60.0
_COLUMN_IN, _ROW_IN, _HEAD_IN = 0.7, 2.5, 0.4  #: inches of a column of Grafana's grid, a row of panels, the title
_LABEL = re.compile(r"\{\{(\w+)\}\}")
_FEW, _LETTERS = 12, 10  #: names in a legend of usual size, and letters of it that a column holds


def draw(board: Board, prometheus: str, period: Period) -> Figure:
    """The dashboard, its panels where Grafana would put them."""
    lines = _lines(board)
    height = len(lines) * _ROW_IN + _HEAD_IN
    figure = Figure(figsize=(WIDTH * _COLUMN_IN, height))
    figure.text(0.01, 1 - 0.3 / height, f"Undertone / {board.title}", fontsize=15)
    for row, (title, panels) in enumerate(lines):
        bottom = height - _HEAD_IN - (row + 1) * _ROW_IN
        figure.text(0.01, (bottom + _ROW_IN - 0.12) / height, title, fontsize=10, weight="bold")
        left = 0
        for panel in panels:
            place = ((left + 0.8) / WIDTH, (bottom + 0.8) / height, (panel.width - 1) / WIDTH, 1.3 / height)
            axes = figure.add_axes(place)
            axes.set_title(panel.title, fontsize=9, loc="left")
            _fill(axes, panel, _found(panel, prometheus, period), period)
            left += panel.width
    return figure


def _lines(board: Board) -> list[tuple[str, list[Panel]]]:
    """Panels side by side, as many as fit; the first line of a row has its title."""
    lines: list[tuple[str, list[Panel]]] = []
    for title, panels in board.rows.items():
        lines.append((title, []))
        for panel in panels:
            if sum(each.width for each in lines[-1][1]) + panel.width > WIDTH:
                lines.append(("", []))
            lines[-1][1].append(panel)
    return lines


def _found(panel: Panel, prometheus: str, period: Period) -> list[tuple[str, Series]]:
    """The panel's series, each with its name in the legend."""
    return [
        (_LABEL.sub(lambda label, series=series: series.labels.get(label[1], ""), legend), series)
        for legend, expression in panel.queries.items()
        for series in ask(prometheus, expression, period)
    ]


def _fill(axes: Axes, panel: Panel, found: list[tuple[str, Series]], period: Period) -> None:
    if not found:
        axes.text(0.5, 0.5, "no data", ha="center", va="center", color="grey")
    elif panel.shown is Shown.NUMBER:
        said = [f"{name}  {_written(series.values[-1], panel.unit)}".strip() for name, series in found]
        axes.text(0.5, 0.5, "\n".join(said), ha="center", va="center", fontsize=16 if len(said) < 3 else 10)
    elif panel.shown is Shown.LINES:
        for name, series in found:
            axes.plot(_since(series.times, period), series.values, label=name, linewidth=1)
    else:
        _stack(axes, found, period, shares=panel.shown is Shown.SHARES)
    if panel.shown is Shown.NUMBER or not found:
        axes.set_axis_off()
        return
    axes.set_xlim((period.begin - period.end) / 60, 0)
    axes.set_ylim(0, 1.05 * (panel.most or axes.get_ylim()[1]))
    axes.yaxis.set_major_formatter(_axis(panel))
    axes.tick_params(labelsize=7)
    _name(axes, panel, [name for name, _ in found])


def _name(axes: Axes, panel: Panel, names: list[str]) -> None:
    """A legend below, as wide as the panel."""
    if names != [""]:
        columns = max(1, panel.width * _LETTERS // (max(map(len, names)) + 6))
        below = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.13), "frameon": False}
        axes.legend(fontsize=6 if len(names) <= _FEW else 4, ncols=min(columns, 6), **below)


def _stack(axes: Axes, found: list[tuple[str, Series]], period: Period, *, shares: bool) -> None:
    times = sorted({at for _, series in found for at in series.times})
    rows = [dict(zip(series.times, series.values, strict=True)) for _, series in found]
    table = [[row.get(at, 0.0) for at in times] for row in rows]
    if shares:
        totals = [sum(column) or 1.0 for column in zip(*table, strict=True)]
        table = [[value / total for value, total in zip(row, totals, strict=True)] for row in table]
    axes.stackplot(_since(tuple(times), period), *table, labels=[name for name, _ in found], alpha=0.7)


def _since(times: tuple[float, ...], period: Period) -> list[float]:
    """Minutes before the end, below 0."""
    return [(at - period.end) / 60 for at in times]


def _axis(panel: Panel) -> EngFormatter | FuncFormatter | PercentFormatter:
    if panel.shown is Shown.SHARES or panel.unit == "percentunit":
        return PercentFormatter(1)
    return EngFormatter(unit={"s": "s", "bytes": "B", "cps": "/s", "reqps": "/s", "cpm": "/min"}.get(panel.unit, ""))


def _written(value: float, unit: str) -> str:
    if unit == "dateTimeAsIso":
        return time.strftime("%Y-%m-%d", time.gmtime(value / 1000))
    return f"{value:.1%}" if unit == "percentunit" else f"{value:.0f}"


def main() -> None:
    """Draw them all."""
    if not 3 <= len(sys.argv) <= 4:
        sys.exit("usage: python -m ops.dashboards.draw PROMETHEUS FOLDER [MINUTES]")
    prometheus, folder, now = sys.argv[1].rstrip("/"), Path(sys.argv[2]), time.time()
    minutes = float(sys.argv[3]) if len(sys.argv) == 4 else MINUTES
    mpl.use("agg")
    folder.mkdir(parents=True, exist_ok=True)
    for board in BOARDS:
        file = folder / f"{board.name}.png"
        draw(board, prometheus, Period(now - minutes * 60, now)).savefig(file, dpi=100)
        print(file)


if __name__ == "__main__":
    main()
