"""A timeline as a picture: the customer's valence and arousal over the call."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from services.timeline import Timeline

if TYPE_CHECKING:
    from matplotlib.axes import Axes

DIMENSIONS = ("valence", "arousal")


class PlotError(RuntimeError):
    """No picture can be drawn. One line: why, and the remedy."""


def plot(found: Timeline, raised_ms: Sequence[int], path: Path) -> None:
    """Write a PNG: for each window, how likely each class of the full heads is; a dashed line at each escalation."""
    try:
        from matplotlib.figure import Figure  # noqa: PLC0415 - an extra: the demo does without
    except ImportError:
        raise PlotError("a picture needs matplotlib: pip install 'undertone[plot]'") from None
    figure = Figure(figsize=(12, 5), layout="constrained")
    figure.suptitle(f"{found.recording.path.name}: the customer's windows")
    for axes, dimension in zip(figure.subplots(len(DIMENSIONS), sharex=True), DIMENSIONS, strict=True):
        _draw(axes, found, f"{dimension}.full")
        for at_ms in raised_ms:
            axes.axvline(at_ms / 1000, color="black", linestyle="--", label="escalation" * (at_ms == raised_ms[0]))
        axes.set(ylabel=f"{dimension}: probability", ylim=(0, 1), xlim=(0, found.recording.duration_ms / 1000))
        if axes.get_legend_handles_labels()[1]:
            axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
    figure.axes[-1].set_xlabel("seconds")
    try:
        figure.savefig(path, format="png", dpi=120)
    except OSError as error:
        raise PlotError(f"{path}: cannot be written ({error.strerror}); choose another --png") from None


def _draw(axes: "Axes", found: Timeline, head: str) -> None:
    """Stacked bars as wide as the windows; the scheme's first class lies lowest."""
    from matplotlib import colormaps  # noqa: PLC0415 - as above

    labelled = [label for label in found.labels if label.heads]
    classes = list(labelled[0].heads[head]) if labelled else []
    colours = colormaps["RdYlBu"]
    starts = [label.start_ms / 1000 for label in labelled]
    widths = [(label.end_ms - label.start_ms) / 1000 for label in labelled]
    bottom = [0.0] * len(labelled)
    for rank, name in enumerate(classes):
        heights = [label.heads[head][name] for label in labelled]
        colour = colours(0.15 + 0.7 * rank / max(1, len(classes) - 1))
        axes.bar(starts, heights, widths, bottom, align="edge", color=colour, edgecolor="white", label=name)
        bottom = [low + height for low, height in zip(bottom, heights, strict=True)]
    for label in found.labels:
        if not label.heads:
            axes.axvspan(label.start_ms / 1000, label.end_ms / 1000, color="lightgrey", hatch="//")
