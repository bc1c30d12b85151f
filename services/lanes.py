"""A call's turns as a picture: who speaks when on each channel, what was scored, and what was refused and why."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from math import ceil
from typing import TYPE_CHECKING

from services.timeline import Timeline
from services.wording import clock, judgement
from streams.domain.records import Label, Role
from streams.domain.rules import said, shares
from streams.domain.windows import Fate, Span

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

ROW_MS, ROWS = 60_000, 6  #: a longer call has as many rows, and more time in each
PALE = 0.4  #: opacity of what is said of a window out of domain
TEXT = 7  #: points
_LANE_IN, _AXIS_IN, _LEGEND_IN = 0.26, 0.35, 1.2  #: inches high
_GLYPH_IN = 0.06  #: inches wide
_TICKS_S = (1, 5, 10, 30, 60, 120, 300, 600, 1800)
_ROW_IN = 10.5  #: inches wide, less names and margins

Colour = tuple[float, float, float]

#: Of each fate its colour, its hatch, and what it means in the picture.
LOOKS: Mapping[Fate, tuple[str, str, str]] = {
    Fate.WINDOW: ("#238b45", "", "the customer's, scored"),
    Fate.SHORT: ("#a1d99b", "", "a turn under 2.5 s"),
    Fate.AGENT: ("#6baed6", "", "the agent's, never scored"),
    Fate.OVERLAP: ("#de2d26", "////", "both at once"),
    Fate.UNKNOWN_ROLE: ("#fdae6b", "", "whose is not certain"),
    Fate.LEAK: ("#c994c7", "xxxx", "the other channel's voice"),
    Fate.NOT_SPEECH: ("#a6761d", "", "a sound known as nobody's voice"),
    Fate.SILENCE: ("#f0f0f0", "", "no voice is heard"),
    Fate.NO_CONSENT: ("#636363", "", "not allowed, not heard"),
    Fate.GAP: ("#ffffff", "....", "no audio came"),
    Fate.LATE: ("#ffd92f", "", "came after what follows it"),
    Fate.DUPLICATE: ("#ffd92f", "||||", "came twice"),
    Fate.AFTER_END: ("#ffd92f", "xxxx", "came after the call's end"),
    Fate.DEAD: ("#000000", "", "could not be read"),
}


def height(found: Timeline) -> float:
    """Inches that the picture takes."""
    row = _LANE_IN * (len(found.roles) + 1) + _AXIS_IN
    return row * _rows(found.recording.duration_ms) + _LEGEND_IN


def draw(figure: "Figure | SubFigure", found: Timeline, raised_ms: Iterable[int]) -> None:
    """Rows of time; in each a lane for what is said of the windows and one a channel, the customer's first.

    What is said is in the colour of the class of `valence.full`. A dashed line is an escalation.
    """
    step_ms = row_ms(found.recording.duration_ms)
    order = sorted(range(len(found.roles)), key=lambda channel: found.roles[channel] is not Role.CUSTOMER)
    names = ["label", *[str(found.roles[channel]) for channel in order]]
    for row, axes in enumerate(figure.subplots(_rows(found.recording.duration_ms), squeeze=False)[:, 0]):
        _frame(axes, names, row * step_ms, step_ms)
        for lane, channel in enumerate(order, 1):
            _draw_lane(axes, lane, between(found.lanes[channel], row * step_ms, (row + 1) * step_ms))
        _draw_labels(axes, found.labels, row * step_ms, step_ms)
        for at_ms in raised_ms:
            if row * step_ms < at_ms <= (row + 1) * step_ms:
                axes.axvline(at_ms / 1000, color="black", linestyle="--")
    _legend(figure, found.fates)


def row_ms(duration_ms: int) -> int:
    """How long a row is, whole tens of seconds; a call of under a minute is one row as long as it is."""
    if duration_ms <= ROW_MS:
        return max(1, duration_ms)
    rows = min(ROWS, ceil(duration_ms / ROW_MS))
    return ceil(duration_ms / rows / 10_000) * 10_000


def between(lane: Iterable[Span], start_ms: int, end_ms: int) -> list[Span]:
    """What lies there of a lane, cut at both ends."""
    cut = [Span(max(span.start_ms, start_ms), min(span.end_ms, end_ms), span.fate) for span in lane]
    return [span for span in cut if span.start_ms < span.end_ms]


def colours(labels: Iterable[Label], head: str) -> dict[str, Colour]:
    """A colour for each class of the head that is said of them, in the scheme's order: red first, blue last."""
    from matplotlib import colormaps  # noqa: PLC0415 - an extra: the demo does without

    names = dict.fromkeys(name for label in labels if head in said(label) for name in shares(label, head))
    found = colormaps["RdYlBu"]
    return {name: found(0.15 + 0.7 * rank / max(1, len(names) - 1))[:3] for rank, name in enumerate(names)}


def _rows(duration_ms: int) -> int:
    return max(1, ceil(duration_ms / row_ms(duration_ms)))


def _frame(axes: "Axes", names: Sequence[str], start_ms: int, step_ms: int) -> None:
    """The first lane lies highest."""
    every = next((each for each in _TICKS_S if each * 6000 >= step_ms), _TICKS_S[-1])
    ticks = range(ceil(start_ms / 1000 / every) * every, (start_ms + step_ms) // 1000 + 1, every)
    axes.set(xlim=(start_ms / 1000, (start_ms + step_ms) / 1000), ylim=(len(names), 0))
    axes.set_xticks(ticks, [clock(tick * 1000) for tick in ticks], fontsize=TEXT)
    axes.set_yticks([lane + 0.5 for lane in range(len(names))], names, fontsize=TEXT)
    axes.tick_params(length=2)
    axes.spines[["top", "right"]].set_visible(False)


def _draw_lane(axes: "Axes", lane: int, spans: Iterable[Span]) -> None:
    ordered = sorted(spans, key=lambda span: list(LOOKS).index(span.fate))
    for fate, each in groupby(ordered, key=lambda span: span.fate):
        colour, hatch, _ = LOOKS[fate]
        parts = [(span.start_ms / 1000, (span.end_ms - span.start_ms) / 1000) for span in each]
        axes.broken_barh(parts, (lane + 0.05, 0.9), facecolor=colour, hatch=hatch, edgecolor="white", linewidth=0.4)


def _draw_labels(axes: "Axes", labels: Sequence[Label], start_ms: int, step_ms: int) -> None:
    known = colours(labels, "valence.full")
    for label in labels:
        start, end = max(label.start_ms, start_ms), min(label.end_ms, start_ms + step_ms)
        if start >= end:
            continue
        colour = known.get(said(label).get("valence.full", ""), (0.83, 0.83, 0.83))
        shade = (*colour, PALE if label.reason else 1)
        axes.broken_barh([(start / 1000, (end - start) / 1000)], (0.05, 0.9), facecolor=shade, edgecolor="white")
        fits = int((end - start) / step_ms * _ROW_IN / _GLYPH_IN)
        axes.text((start + end) / 2000, 0.5, _fitted(label, fits), fontsize=TEXT, ha="center", va="center")


def _fitted(label: Label, most: int) -> str:
    """The category, or why there is none; less of it where there is no room for all, and nothing for one word."""
    heads = said(label)
    head = "category.full" if "category.full" in heads else next(iter(heads), None)
    text = judgement(label, head) if head else f"{label.outcome}: {label.reason}"
    return next((some for some in (text, text.partition(" ")[0]) if len(some) <= most), "")


def _legend(figure: "Figure | SubFigure", fates: Iterable[Mapping[Fate, int]]) -> None:
    from matplotlib.patches import Patch  # noqa: PLC0415 - as above

    sums = sum(map(Counter, fates), Counter[Fate]())
    handles = [
        Patch(facecolor=colour, hatch=hatch, edgecolor="grey", label=f"{fate} {sums[fate] / 1000:.1f} s: {means}")
        for fate, (colour, hatch, means) in LOOKS.items()
    ]
    legend = figure.legend(handles=handles, loc="outside lower center", ncols=4, fontsize=TEXT, frameon=False)
    for fate, text in zip(LOOKS, legend.get_texts(), strict=True):
        text.set_color("black" if sums[fate] else "grey")
