"""The figures of a report, as SVG."""

from collections.abc import Mapping, Sequence
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter
from numpy.typing import NDArray

from services.training.calibrate import bins, ece, ece_if_perfect
from services.training.report.judgements import Judgement
from services.training.report.tables import Cell, Column, Row, Table
from services.training.results import NO_FEATURE

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Values = NDArray[np.float64]

COLOURS = {"wide": "#0072B2", "telephone": "#D55E00"}  # told apart by the colour-blind too (Okabe and Ito 2008)
GREY, INK = "#8a8f98", "#20242a"
WORLDS = 1_000  #: in which every probability is right
STYLE: dict[Any, Any] = {
    "svg.hashsalt": "undertone",  # the same figures give the same file
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": GREY,
    "axes.labelcolor": INK,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.titlesize": 10,
    "legend.frameon": False,
}


def svg(figure: Figure) -> str:
    """A figure as the text of an SVG file."""
    with rc_context(STYLE):
        content = BytesIO()
        figure.savefig(content, format="svg", metadata={"Date": None}, bbox_inches="tight")
    return content.getvalue().decode()


def figure_of_intervals(table: Table) -> Figure:
    """Macro-F1 of every system with its interval, a panel for each head, the bands beside each other."""
    heads = list(dict.fromkeys(column.head for column in table.columns))
    with rc_context(STYLE):
        size = (1.8 + 2.1 * len(heads), 1.0 + 0.34 * len(table.rows))
        figure = Figure(figsize=size, layout="constrained")
        panels = figure.subplots(1, len(heads), sharey=True, squeeze=False)[0]
        for panel, head in zip(panels, heads, strict=True):
            _draw_intervals(panel, table, head)
        bands = list(dict.fromkeys(column.band for column in table.columns))
        panels[0].set_yticks(range(len(table.rows)), [name(row) for row in table.rows])
        panels[0].set_ylim(len(table.rows) - 0.4, -0.6)
        handles = [panels[0].plot([], [], "o", color=_colour(band), label=band)[0] for band in bands]
        figure.legend(handles=handles, loc="outside upper right", ncols=len(bands))
        figure.supxlabel("macro-F1 in %, with its 95 % interval", fontsize=9)
    return figure


def _draw_intervals(panel: "Axes", table: Table, head: str) -> None:
    at = [index for index, column in enumerate(table.columns) if column.head == head]
    for place, row in enumerate(table.rows):
        cells = [(table.columns[index], row.cells[index]) for index in at]
        shown = cells[:1] if row.feature == NO_FEATURE else cells
        for rank, (column, cell) in enumerate(shown):
            if cell:
                _draw_interval(panel, place + 0.26 * (rank - (len(shown) - 1) / 2), cell, _shade(row, column))
    panel.set_title(head)
    panel.xaxis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=""))
    panel.grid(axis="x", color="#e4e6ea", linewidth=0.8)
    panel.set_axisbelow(True)
    panel.tick_params(axis="y", length=0)


def _draw_interval(panel: "Axes", place: float, cell: Cell, colour: str) -> None:
    score = cell.score
    panel.plot([score.low, score.high], [place, place], color=colour, linewidth=1.6, solid_capstyle="round")
    face = colour if cell.level else "white"
    panel.plot([score.value], [place], "o", color=colour, markerfacecolor=face, markersize=5)


def _colour(band: str) -> str:
    return COLOURS.get(band, INK)


def _shade(row: Row, column: Column) -> str:
    return GREY if row.feature == NO_FEATURE else _colour(column.band)


def name(row: Row) -> str:
    """As a row is called."""
    return row.kind if row.feature == NO_FEATURE else f"{row.feature}, {row.kind}"


def figure_of_confusions(judged: Sequence[Judgement]) -> Figure:
    """A matrix a judgement: of each true class in a row, what share was said to be what."""
    with rc_context(STYLE):
        figure = Figure(figsize=(3.1 * len(judged), 3.2), layout="constrained")
        panels = figure.subplots(1, len(judged), squeeze=False)[0]
        for panel, each in zip(panels, judged, strict=True):
            _draw_confusion(panel, each)
    return figure


def _draw_confusion(panel: "Axes", judged: Judgement) -> None:
    counts = judged.table
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    panel.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for (true, said), share in np.ndenumerate(shares):
        text = f"{100 * share:.0f} %\n{counts[true, said]:.0f}"
        panel.text(said, true, text, ha="center", va="center", fontsize=8, color="white" if share > 0.55 else INK)
    places = range(len(judged.classes))
    panel.set_xticks(places, judged.classes, rotation=30, ha="right", rotation_mode="anchor")
    panel.set_yticks(places, judged.classes)
    panel.set(xlabel="said", ylabel="true")
    panel.set_title(f"{judged.head}, {judged.system.band}\n{judged.system.name}", fontsize=9)
    panel.spines[:].set_visible(False)
    panel.tick_params(length=0)


def figure_of_reliability(judged: Sequence[tuple[Judgement, Values]], seed: int) -> Figure:
    """How often the class said is right, by how certain it is, beside where a calibrated model's points would lie."""
    with rc_context(STYLE):
        figure = Figure(figsize=(2.9 * len(judged), 3.3), layout="constrained")
        panels = figure.subplots(1, len(judged), sharey=True, squeeze=False)[0]
        for panel, (each, probabilities) in zip(panels, judged, strict=True):
            _draw_reliability(panel, each, probabilities, seed)
        panels[0].set_ylabel("share that is right")
        figure.supxlabel("certainty of the class said, ten bins of equal mass", fontsize=9)
    return figure


def _draw_reliability(panel: "Axes", judged: Judgement, probabilities: Values, seed: int) -> None:
    certainty, right = certain(judged, probabilities)
    places = bins(certainty)
    means = np.array([certainty[at].mean() for at in places])
    worlds = np.random.default_rng(seed).random((WORLDS, len(certainty))) < certainty
    low, high = np.percentile([worlds[:, at].mean(axis=1) for at in places], [2.5, 97.5], axis=1)
    panel.plot([0, 1], [0, 1], color=GREY, linewidth=1, linestyle=":")
    panel.fill_between(means, low, high, color=GREY, alpha=0.25, linewidth=0)
    colour = _colour(judged.system.band)
    panel.plot(means, [right[at].mean() for at in places], "o-", color=colour, markersize=4, linewidth=1.2)
    figures = calibration_error(judged, probabilities, seed)
    panel.text(
        0.97,
        0.04,
        f"error {figures['ece']:.3f}\nif calibrated {figures['perfect']:.3f}\n({figures['low']:.3f} to"
        f" {figures['high']:.3f})",
        transform=panel.transAxes,
        ha="right",
        va="bottom",
        fontsize=8,
    )
    panel.set(xlim=(1 / len(judged.classes) - 0.02, 1.02), ylim=(-0.02, 1.02))
    panel.set_title(f"{judged.head}, {judged.system.band}\n{judged.system.name}", fontsize=9)


def certain(judged: Judgement, probabilities: Values) -> tuple[Values, NDArray[np.bool_]]:
    """(n,) probability of the class said, and (n,) whether it is the true one."""
    said = judged.decisions[0].argmax(axis=1)
    return probabilities[np.arange(len(said)), said], said == judged.wanted


def calibration_error(judged: Judgement, probabilities: Values, seed: int) -> Mapping[str, float]:
    """The error, and what it would be (mean and 95 %) were every probability right, on as many segments."""
    certainty, right = certain(judged, probabilities)
    perfect = ece_if_perfect(certainty, draws=WORLDS, seed=seed)
    low, high = np.percentile(perfect, [2.5, 97.5])
    return {
        "ece": ece(certainty, right),
        "perfect": float(perfect.mean()),
        "low": float(low),
        "high": float(high),
    }


def figure_of_layers(curves: Mapping[str, Values]) -> Figure:
    """Name -> (folds, layers): what a linear probe finds on each hidden layer, inside each fold's training segments."""
    with rc_context(STYLE):
        figure = Figure(figsize=(6.4, 3.2), layout="constrained")
        panel = figure.subplots()
        for number, (what, folds) in enumerate(curves.items()):
            line = panel.plot(folds.mean(axis=0), "-", color=f"C{number}", label=what)[0]
            panel.fill_between(
                range(folds.shape[1]), folds.min(axis=0), folds.max(axis=0), color=line.get_color(), alpha=0.15
            )
            taken = folds.argmax(axis=1)
            panel.plot(taken, folds.max(axis=1), "o", color=line.get_color(), markersize=4)
        panel.set(xlabel="hidden layer (0: what goes into the first)", ylabel="probe's macro-F1 in %, mean of heads")
        panel.yaxis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=""))
        panel.xaxis.set_major_locator(MaxNLocator(integer=True))
        panel.grid(color="#e4e6ea", linewidth=0.8)
        panel.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return figure
