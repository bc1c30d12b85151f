"""How many windows of unheard speakers a bundle takes for out of domain, and how many sounds that are no speech.

    python ops/experiments/out_of_domain.py ../shared/data/emodb4 KEPT [--feature functionals-2] [--copies ...]

Each speaker in turn is left out: scaler, reference and limit are of the others. The sounds are judged by a bundle that
is trained on all, as they are and as a telephone line passes them.
"""

from collections import Counter

import numpy as np
from left_out import Design, asked, speakers
from numpy.typing import NDArray
from rich.progress import track

from services.emotion.abstention import Band
from services.emotion.bundle import Bundle
from services.emotion.model import judge
from services.training.audio import TELEPHONE_RATE, heard
from services.training.sounds import sounds
from streams.domain.records import Audio, Encoding
from streams.speech.decode import decode, encode

EACH = 40  #: sounds of a kind
SEED = 20261127


def reasons(bundle: Bundle, windows: list[NDArray[np.float32]]) -> Counter[str]:
    """Why these windows are abstained from, counted; `judged` where they are not."""
    return Counter(str(reason or "judged") for reason in judge(bundle, windows).reasons)


def passed(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """Through G.711 mu-law and back."""
    pcm = np.clip(np.rint(samples * 32768), -32768, 32767).astype(np.int16)
    line = decode(Audio(Encoding.PCMU, 8000, 1, encode(Encoding.PCMU, pcm[None, : len(pcm) // 8 * 8])))
    return line[0].astype(np.float32) / np.float32(32768)


def unheard(design: Design) -> Counter[str]:
    """What becomes of every recording, judged by a bundle that never heard its speaker."""
    corpus, found = design.corpus, Counter[str]()
    for speaker in track(speakers(corpus), description="speakers"):
        segments = [each for each in corpus.segments if each.speaker == speaker]
        windows = [heard(corpus.recordings, each, TELEPHONE_RATE, Band.TELEPHONE) for each in segments]
        own = reasons(design.without(speaker), windows)
        print(f"speaker {speaker}: {_shares(own)}")
        found += own
    return found


def main() -> None:
    """Print both shares."""
    (design,) = asked(__doc__)
    print(f"speech of unheard speakers: {_shares(unheard(design))}")
    bundle = design.without()
    total = Counter[str]()
    by_kind: dict[str, Counter[str]] = {}
    for kind, samples in sounds(np.random.default_rng(SEED), EACH):
        by_kind.setdefault(kind, Counter()).update(reasons(bundle, [samples, passed(samples)]))
    for kind, counted in by_kind.items():
        print(f"{kind}: {_shares(counted)}")
        total += counted
    print(f"sounds that are no speech: {_shares(total)}")


def _shares(counted: Counter[str]) -> str:
    windows = counted.total()
    told = ", ".join(f"{name} {number}" for name, number in counted.most_common())
    return f"{windows - counted['judged']} of {windows} abstained ({1 - counted['judged'] / windows:.1%}): {told}"


if __name__ == "__main__":
    main()
