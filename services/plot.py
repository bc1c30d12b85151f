"""A timeline as a picture: a call's turns, what the models say of the customer's windows, and what that comes to."""

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from services import lanes
from services.timeline import Timeline
from services.wording import told
from streams.domain.evolution import Evolution
from streams.domain.rules import said, shares

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, FigureBase

DIMENSIONS = ("valence", "arousal")
_WIDTH, _DPI = 12, 100  #: inches, and pixels in one


class PlotError(RuntimeError):
    """No picture can be drawn. One line: why, and the remedy."""


def plot(found: Timeline, raised_ms: Sequence[int], path: Path, evolution: Evolution | None) -> None:
    """Write a PNG: the call's turns (`services/lanes.py`), and for each window how likely each class is.

    A dashed line is an escalation. A window that was not judged is hatched; one out of domain that was judged all the
    same is pale. Below the share of emotional and of negative speech in each third, where an `evolution` is given.
    """
    heads = [f"{dimension}.full" for dimension in DIMENSIONS]
    names = [*DIMENSIONS, *["share of speech"] * (evolution is not None)]
    above, below = lanes.height(found), _height(names, row_in=1.7)
    figure = _figure(above + below, f"{found.recording.path.name}: who speaks, and the customer's windows")
    (turns,), (said_of,) = figure.subfigures(2, squeeze=False, height_ratios=(above, below))
    lanes.draw(turns, found, raised_ms)
    axes = _axes(said_of, found, names)
    for each, head in zip(axes, heads, strict=False):
        _draw(each, found, head)
    if evolution is not None:
        _draw_thirds(axes[-1], evolution)
    for each in axes:
        for at_ms in raised_ms:
            each.axvline(at_ms / 1000, color="black", linestyle="--", label="escalation" * (at_ms == raised_ms[0]))
    _legends(axes)
    try:
        figure.savefig(path, format="png", dpi=_DPI)
    except OSError as error:
        raise PlotError(f"{path}: cannot be written ({error.strerror}); choose another --png") from None


def picture(found: Timeline, heads: Sequence[str], title: str) -> bytes:
    """A PNG of what these heads say of each window, and nothing that is concluded from it."""
    figure = _figure(_height(heads, row_in=1.4), title)
    axes = _axes(figure, found, heads)
    for each, head in zip(axes, heads, strict=True):
        _draw(each, found, head)
    _legends(axes)
    written = BytesIO()
    figure.savefig(written, format="png", dpi=_DPI)
    return written.getvalue()


def _height(names: Sequence[str], *, row_in: float) -> float:
    """Of a row for each name, in inches."""
    return 1 + row_in * len(names)


def _figure(height: float, title: str) -> "Figure":
    try:
        from matplotlib.figure import Figure  # noqa: PLC0415 - an extra: the demo does without
    except ImportError:
        raise PlotError("a picture needs matplotlib: pip install 'undertone[plot]'") from None
    figure = Figure(figsize=(_WIDTH, height), layout="constrained")
    figure.suptitle(title)
    return figure


def _axes(figure: "FigureBase", found: Timeline, names: Sequence[str]) -> "list[Axes]":
    """One row for each name, over the time of the recording."""
    axes = list(figure.subplots(len(names), sharex=True, squeeze=False)[:, 0])
    for each, name in zip(axes, names, strict=True):
        each.set(ylabel=name, ylim=(0, 1), xlim=(0, found.recording.duration_ms / 1000))
    axes[-1].set_xlabel("seconds")
    return axes


def _legends(axes: "Sequence[Axes]") -> None:
    for each in axes:
        if each.get_legend_handles_labels()[1]:
            each.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)


def _draw_thirds(axes: "Axes", evolution: Evolution) -> None:
    """Bars as wide as the thirds: how much of the judged speech is emotional; a line in each: how much is negative."""
    for number, third in enumerate(third for third in evolution.thirds if third.judged_ms):
        start, end = third.start_ms / 1000, third.end_ms / 1000
        emotional, negative = third.emotional_ms / third.judged_ms, third.negative_ms / third.judged_ms
        names = ("emotional", "negative") if number == 0 else ("", "")  # in the legend once
        axes.bar(start, emotional, end - start, align="edge", color="#fee090", edgecolor="white", label=names[0])
        axes.hlines(negative, start, end, color="#a50026", linewidth=4, label=names[1])
    if evolution.strongest_ms is not None:
        axes.plot(evolution.strongest_ms / 1000, 0.08, "^", color="#a50026", markersize=9, label="strongest begins")
    axes.set(ylim=(-0.04, 1.04))
    axes.set_title(told(evolution), fontsize="medium", loc="left")


def _draw(axes: "Axes", found: Timeline, head: str) -> None:
    """Stacked bars as wide as the windows; the scheme's first class lies lowest."""
    labelled = [label for label in found.labels if head in said(label)]
    starts = [label.start_ms / 1000 for label in labelled]
    widths = [(label.end_ms - label.start_ms) / 1000 for label in labelled]
    bottom = [0.0] * len(labelled)
    for name, colour in lanes.colours(labelled, head).items():
        heights = [shares(label, head).get(name, 0.0) for label in labelled]
        shades = [(*colour, lanes.PALE if label.reason else 1) for label in labelled]
        axes.bar(starts, heights, widths, bottom, align="edge", color=shades, edgecolor="white")
        axes.plot([], [], "s", color=colour, label=name)  # for the legend alone
        bottom = [low + height for low, height in zip(bottom, heights, strict=True)]
    if any(label.reason for label in labelled):
        axes.plot([], [], "s", color=(0.5, 0.5, 0.5, lanes.PALE), label="pale: out of domain")
    for label in found.labels:
        if not said(label):
            axes.axvspan(label.start_ms / 1000, label.end_ms / 1000, color="lightgrey", hatch="//")
