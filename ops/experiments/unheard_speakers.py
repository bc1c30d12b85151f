"""Share of anger calls and of neutral calls that the demo rule escalates, each speaker unheard by its bundle.

    python ops/experiments/unheard_speakers.py ../shared/data/emodb4 KEPT [--feature functionals-2] [--copies ...]

For each speaker a bundle is trained on the others; calls are spliced from the speaker's utterances of one emotion and
go through the live stream's own functions. Intervals: 2,000 resamples of speakers.
"""

import tempfile
from pathlib import Path

import numpy as np
from left_out import Design, asked, speakers
from rich.progress import track

from services.recordings import open_recording
from services.timeline import episodes, timeline
from services.training.intervals import draws, interval
from services.training.spliced import splice
from streams import usecases
from streams.domain.records import Role

CALLS = 5  #: of each speaker and emotion
SEED = 20261123


def escalated(design: Design, speaker: str, folder: Path) -> dict[str, list[bool]]:
    """For each emotion, which of the speaker's calls raise an escalation."""
    corpus, bundle = design.corpus, design.without(speaker)
    use_case, rng = usecases.load()["demo"], np.random.default_rng([SEED, int(speaker)])
    said = {each.segment: each.labels["category"] for each in corpus.annotations}
    agents = [each for each in corpus.segments if each.speaker != speaker and said[each.id] == "neutral"]
    found: dict[str, list[bool]] = {}
    for label in ("anger", "neutral"):
        customer = [each for each in corpus.segments if each.speaker == speaker and said[each.id] == label]
        found[label] = []
        for number in range(CALLS):
            path = folder / f"{label}-{number}.wav"
            splice(path, corpus.recordings, customer, agents, rng)
            heard = timeline(open_recording(path), (Role.AGENT, Role.CUSTOMER), bundle, use_case=use_case)
            found[label].append(bool(episodes(heard, use_case)))
    return found


def main() -> None:
    """Print shares with intervals, and each speaker's own."""
    (design,) = asked(__doc__)
    shares: dict[str, list[float]] = {"anger": [], "neutral": []}
    for speaker in track(speakers(design.corpus), description="speakers"):
        with tempfile.TemporaryDirectory() as folder:
            for label, raised in escalated(design, speaker, Path(folder)).items():
                shares[label].append(float(np.mean(raised)))
    for label, each in shares.items():
        values = np.concatenate([weights @ np.array(each) / len(each) for weights in draws(len(each))])
        found = interval(float(np.mean(each)), values)
        cell = f"{found.value:.2f} [{found.low:.2f}, {found.high:.2f}]"
        print(f"{label}: {cell} of {CALLS * len(each)} calls; by speaker {each}")


if __name__ == "__main__":
    main()
