"""Where categories lie in the plane of valence and arousal, as the paper's Figures 1 and 2 show it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from services.training.corpora.corpus import Corpus
from services.training.corpora.menu import PAPER
from services.training.errors import CorpusError
from streams.domain.schemes import Scheme, class_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Points = NDArray[np.float64]  #: (n, 2): valence, arousal

KERNEL = 0.45  #: standard deviation of the density's kernel, grades being 1 apart
MASS = (0.8, 0.4)  #: shares of a category's judgements within its outer and inner line
DOTS = 300  #: judgements of a category that are shown, spread a little
SEED = 20261127


def points(corpus: Corpus, scheme: Scheme) -> dict[str, Points]:
    """Raw category -> the valence and arousal that went with it, a row a judgement; the commonest category first.

    A grade is its place on the paper's scale (neutral is 0), a number where labels are numbers, else the place of the
    scheme's class. CorpusError where nothing can be placed.
    """
    found: dict[str, list[tuple[float, float]]] = {}
    for each in corpus.annotations:
        valence, arousal = (_grade(each.labels.get(name), name, scheme) for name in ("valence", "arousal"))
        if valence is not None and arousal is not None and "category" in each.labels:
            found.setdefault(each.labels["category"], []).append((valence, arousal))
    if not found:
        raise CorpusError(
            f"corpus {corpus.name}: no category with valence and arousal on a scale; name one by --scheme"
        )
    return {name: np.array(rows) for name, rows in sorted(found.items(), key=lambda each: -len(each[1]))}


def _grade(raw: str | None, name: str, scheme: Scheme) -> float | None:
    if raw is None:
        return None
    if raw.isdecimal():
        return float(raw)
    scale, dimension = PAPER[name], scheme.dimensions.get(name)
    for label in (raw, class_of(raw, dimension.classes) if dimension else None):
        if label in scale:
            return float(scale.index(label) - scale.index("neutral"))
    return None


def segments_of(corpus: Corpus) -> dict[str, int]:
    """Raw category -> segments that anybody gave it: the numbers in the figures' brackets."""
    pairs = {(each.segment, each.labels["category"]) for each in corpus.annotations if "category" in each.labels}
    return {name: sum(label == name for _, label in pairs) for name in {label for _, label in pairs}}


def draw(corpus: Corpus, scheme: Scheme, path: Path) -> None:
    """Write a PNG: of each category the lines within which 80 and 40 % of its judgements lie."""
    from matplotlib.figure import Figure  # noqa: PLC0415 - an extra: the other statistics do without

    found, counts = points(corpus, scheme), segments_of(corpus)
    figure = Figure(figsize=(8, 6), layout="constrained")
    axes = figure.subplots()
    random = np.random.default_rng(SEED)
    for at, (name, rows) in enumerate(found.items()):
        _category(axes, f"{name} ({counts[name]})", rows, f"C{at % 10}", random)
    _scale(axes, found)
    axes.set_title(f"{corpus.name}: categories by valence and arousal (segments)")
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
    figure.savefig(path, format="png", dpi=120)


def _category(axes: "Axes", label: str, rows: Points, colour: str, random: np.random.Generator) -> None:
    across, up = (np.linspace(low - 1.2, high + 1.2, 120) for low, high in zip(rows.min(0), rows.max(0), strict=True))
    density = _density(rows, across, up)
    levels = _levels(density)
    axes.contourf(across, up, density, levels=[*levels, density.max()], colors=[colour], alpha=0.12)
    axes.contour(across, up, density, levels=levels, colors=[colour], linewidths=(1.0, 1.8))
    valence, arousal = (rows[:DOTS] + random.normal(0, KERNEL / 3, rows[:DOTS].shape)).T
    axes.scatter(valence, arousal, s=4, color=colour, alpha=0.35, linewidths=0)
    axes.plot([], [], color=colour, label=label)


def _density(rows: Points, across: NDArray[np.float64], up: NDArray[np.float64]) -> Points:
    """(up, across): a Gaussian at each judgement, all of one width, for grades lie on a lattice."""
    places, counts = np.unique(rows, axis=0, return_counts=True)
    over, high = (
        np.exp(-(((axis - places[:, [at]]) / KERNEL) ** 2) / 2) for at, axis in enumerate((across, up))
    )  # (places, across), (places, up)
    density: Points = np.einsum("p,pu,pa->ua", counts, high, over)
    return density


def _levels(density: Points) -> list[float]:
    """The heights above which the shares of `MASS` lie."""
    heights = np.sort(density.ravel())[::-1]
    within = np.cumsum(heights) / heights.sum()
    return [float(heights[int(np.searchsorted(within, share))]) for share in MASS]


def _scale(axes: "Axes", found: Mapping[str, Points]) -> None:
    everything = np.concatenate(list(found.values()))
    low, high = everything.min(0), everything.max(0)
    grades, names = _ticks("valence", low[0], high[0])
    axes.set_xticks(grades, [name.replace(" ", "\n") for name in names])
    axes.set_yticks(*_ticks("arousal", low[1], high[1]))
    axes.set(xlabel="valence", ylabel="arousal", xlim=(low[0] - 1, high[0] + 1), ylim=(low[1] - 1, high[1] + 1))


def _ticks(name: str, low: float, high: float) -> tuple[Sequence[int], Sequence[str]]:
    """The grades of the paper's scale; plain numbers where the scale is another."""
    neutral = PAPER[name].index("neutral")
    grades = list(range(int(np.floor(low)), int(np.ceil(high)) + 1))
    places = [grade + neutral for grade in grades]
    if min(places) >= 0 and max(places) < len(PAPER[name]):
        return grades, [PAPER[name][place] for place in places]
    return grades, [str(grade) for grade in grades]
