"""A timeline as a picture: what the models say of the customer's windows over the call, and what that comes to."""

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from services.timeline import Timeline
from services.wording import told
from streams.domain.evolution import Evolution
from streams.domain.rules import said, shares

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DIMENSIONS = ("valence", "arousal")
_PALE = 0.4  #: opacity of what is said of a window out of domain


class PlotError(RuntimeError):
    """No picture can be drawn. One line: why, and the remedy."""


def plot(found: Timeline, raised_ms: Sequence[int], path: Path, evolution: Evolution | None) -> None:
    """Write a PNG: for each window, how likely each class of the full heads is; a dashed line at each escalation.

    A window that was not judged is hatched; one out of domain that was judged all the same is pale. Below
    the share of emotional and of negative speech in each third of the call, where an `evolution` is given.
    """
    heads = [f"{dimension}.full" for dimension in DIMENSIONS]
    title = f"{found.recording.path.name}: the customer's windows"
    names = [*DIMENSIONS, *["share of speech"] * (evolution is not None)]
    figure, axes = _figure(found, names, title, row_in=2)
    for each, head in zip(axes, heads, strict=False):
        _draw(each, found, head)
    if evolution is not None:
        _draw_thirds(axes[-1], evolution)
    for each in axes:
        for at_ms in raised_ms:
            each.axvline(at_ms / 1000, color="black", linestyle="--", label="escalation" * (at_ms == raised_ms[0]))
    _legends(axes)
    try:
        figure.savefig(path, format="png", dpi=120)
    except OSError as error:
        raise PlotError(f"{path}: cannot be written ({error.strerror}); choose another --png") from None


def picture(found: Timeline, heads: Sequence[str], title: str) -> bytes:
    """A PNG of what these heads say of each window, and nothing that is concluded from it."""
    figure, axes = _figure(found, heads, title, row_in=1.4)
    for each, head in zip(axes, heads, strict=True):
        _draw(each, found, head)
    _legends(axes)
    written = BytesIO()
    figure.savefig(written, format="png", dpi=100)
    return written.getvalue()


def _figure(found: Timeline, names: Sequence[str], title: str, *, row_in: float) -> "tuple[Figure, list[Axes]]":
    """One row for each name, `row_in` inches high, over the time of the recording."""
    try:
        from matplotlib.figure import Figure  # noqa: PLC0415 - an extra: the demo does without
    except ImportError:
        raise PlotError("a picture needs matplotlib: pip install 'undertone[plot]'") from None
    figure = Figure(figsize=(12, 1 + row_in * len(names)), layout="constrained")
    figure.suptitle(title)
    axes = list(figure.subplots(len(names), sharex=True, squeeze=False)[:, 0])
    for each, name in zip(axes, names, strict=True):
        each.set(ylabel=name, ylim=(0, 1), xlim=(0, found.recording.duration_ms / 1000))
    axes[-1].set_xlabel("seconds")
    return figure, axes


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
    from matplotlib import colormaps  # noqa: PLC0415 - as above

    labelled = [label for label in found.labels if head in said(label)]
    classes = list(dict.fromkeys(name for label in labelled for name in shares(label, head)))
    colours = colormaps["RdYlBu"]
    starts = [label.start_ms / 1000 for label in labelled]
    widths = [(label.end_ms - label.start_ms) / 1000 for label in labelled]
    bottom = [0.0] * len(labelled)
    for rank, name in enumerate(classes):
        heights = [shares(label, head).get(name, 0.0) for label in labelled]
        colour = colours(0.15 + 0.7 * rank / max(1, len(classes) - 1))
        shades = [(*colour[:3], _PALE if label.reason else 1) for label in labelled]
        axes.bar(starts, heights, widths, bottom, align="edge", color=shades, edgecolor="white")
        axes.plot([], [], "s", color=colour, label=name)  # for the legend alone
        bottom = [low + height for low, height in zip(bottom, heights, strict=True)]
    if any(label.reason for label in labelled):
        axes.plot([], [], "s", color=(0.5, 0.5, 0.5, _PALE), label="pale: out of domain")
    for label in found.labels:
        if not said(label):
            axes.axvspan(label.start_ms / 1000, label.end_ms / 1000, color="lightgrey", hatch="//")
