"""The demo bundle's features against those that it had before: recall of unheard speakers under every head, in pairs.

    python ops/experiments/compare_bundles.py ../shared/data/emodb4 KEPT [--feature functionals-2] [--copies ...]

Telephone band. Each speaker is judged by a bundle that was trained on the others, as `undertone train` makes it; the
first design is functionals-1 without copies. Prints a Markdown table. Intervals: speakers resampled, the same for both.
"""

import numpy as np
from left_out import Design, asked, speakers
from rich.progress import track

from services.emotion.abstention import Band
from services.emotion.model import judge
from services.training.audio import TELEPHONE_RATE, heard
from services.training.harmonise import harmonise
from services.training.intervals import Counts, Unit, difference, draws, interval, resampled, tables, units
from services.training.measures import uar
from streams.domain.schemes import EMODB


def said(design: Design) -> dict[str, Counts]:
    """Head -> (segments,) the class that is said of each by the bundle that never heard its speaker."""
    corpus = design.corpus
    found = {head: np.zeros(len(corpus.segments), np.int64) for head in EMODB.heads()}
    for speaker in track(speakers(corpus), description=f"{design.feature}, copies: {design.copies}"):
        own = [at for at, each in enumerate(corpus.segments) if each.speaker == speaker]
        windows = [heard(corpus.recordings, corpus.segments[at], TELEPHONE_RATE, Band.TELEPHONE) for at in own]
        for head, classes in judge(design.without(speaker), windows).classes.items():
            found[head][own] = classes
    return found


def main() -> None:
    """Print the table."""
    designs = list(asked(__doc__, others=True))
    corpus = designs[0].corpus
    wanted, unit = harmonise(corpus, EMODB).targets, units(corpus.segments, Unit.SPEAKER)
    answers = [said(design) for design in designs]
    print(f"| UAR, % | {' | '.join(f'{at.feature}, copies: {at.copies}' for at in designs)} | difference | p |")
    print("| --- | --- | --- | --- | --- |")
    for head, classes in EMODB.heads().items():
        each = np.stack([tables(wanted[head], answer[head], len(classes), unit) for answer in answers], axis=1)
        values, drawn = 100 * uar(each.sum(axis=0)), 100 * resampled(uar, each, draws(len(each)))
        figures = [interval(float(value), column) for value, column in zip(values, drawn.T, strict=True)]
        cells = " | ".join(f"{at.value:.1f} [{at.low:.1f}, {at.high:.1f}]" for at in figures)
        found = difference(float(values[1] - values[0]), drawn[:, 1] - drawn[:, 0])
        print(f"| {head} | {cells} | {found.value:+.1f} [{found.low:+.1f}, {found.high:+.1f}] | {found.p:.3f} |")


if __name__ == "__main__":
    main()
