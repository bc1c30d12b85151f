"""Share of anger calls and of neutral calls that the demo rule escalates, each speaker unheard by its bundle.

    python ops/experiments/unheard_speakers.py ../shared/data/emodb4

For each speaker a bundle is trained on the others; calls are spliced from the speaker's utterances of one emotion and
go through the live stream's own functions. Intervals: 2,000 resamples of speakers.
"""

import sys
import tempfile
from pathlib import Path

import numpy as np
from rich.progress import track

from services.recordings import open_recording
from services.timeline import episodes, timeline
from services.training.corpora.corpus import Corpus
from services.training.corpora.folder import read_corpus
from services.training.spliced import splice
from services.training.train import Plan, train
from streams import usecases
from streams.domain.records import Role

CALLS = 5  #: of each speaker and emotion
SEED = 20261123


def escalated(corpus: Corpus, speaker: str, folder: Path, root: Path) -> dict[str, list[bool]]:
    """For each emotion, which of the speaker's calls raise an escalation."""
    bundle = train(Plan(corpus=root, out=folder / "bundle", left_out=(speaker,)))
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
    root = Path(sys.argv[1])
    corpus = read_corpus(root)
    speakers = sorted({each.speaker for each in corpus.segments})
    shares: dict[str, list[float]] = {"anger": [], "neutral": []}
    for speaker in track(speakers, description="speakers"):
        with tempfile.TemporaryDirectory() as folder:
            for label, raised in escalated(corpus, speaker, Path(folder), root).items():
                shares[label].append(float(np.mean(raised)))
    rng = np.random.default_rng(SEED)
    for label, each in shares.items():
        draws = np.array(each)[rng.integers(0, len(each), (2000, len(each)))].mean(axis=1)
        low, high = np.percentile(draws, [2.5, 97.5])
        print(f"{label}: {np.mean(each):.2f} [{low:.2f}, {high:.2f}] of {CALLS * len(each)} calls; by speaker {each}")


if __name__ == "__main__":
    main()
