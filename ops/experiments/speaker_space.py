"""Estimate the space in which a network's vectors tell voices apart on one channel, beside the network's weights.

    python ops/experiments/speaker_space.py NETWORK RECORDINGS [speaker_space.safetensors]

RECORDINGS is EmoDB's folder, or one with a folder of WAV files for each speaker: at least three, better fifty, in all
the moods and on all the lines that calls have. NETWORK is a folder, or OWNER/NAME@COMMIT of the hub: then name the
file to write, and give it to the worker as UNDERTONE_SPEAKER_SPACE. What is written holds nobody's voice.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.progress import track
from two_party import RATE, emodb

from services.recordings import open_recording, read
from streams.domain.pieces import PIECE_MS
from streams.domain.records import Audio, Encoding
from streams.speech import speaker_space
from streams.speech.decode import decode, encode
from streams.speech.embedding import Embedding
from streams.speech.resample import resample, to_pcm
from streams.speech.speakers import SHORTEST_MS

Pcm = NDArray[np.int16]
_FULL_SCALE = np.float32(32768)


def speakers(folder: Path) -> dict[str, list[Pcm]]:
    """What each speaker says, as telephone speech."""
    if (folder / "labels.csv").is_file():
        return {name: [_line(each.samples) for each in said] for name, said in emodb(folder).items()}
    return {each.name: [_recorded(path) for path in sorted(each.rglob("*.wav"))] for each in _folders(folder)}


def _folders(folder: Path) -> Sequence[Path]:
    return sorted(each for each in folder.iterdir() if each.is_dir())


def _recorded(path: Path) -> Pcm:
    recording = open_recording(path)
    return _line(resample(read(recording)[:1].astype(np.float32) / _FULL_SCALE, recording.rate, RATE)[0])


def _line(samples: NDArray[np.float32]) -> Pcm:
    sent = encode(Encoding.PCMU, to_pcm(samples[np.newaxis]))
    return decode(Audio(Encoding.PCMU, RATE, 1, sent))[0]


def pieces(said: Sequence[Pcm]) -> list[Pcm]:
    """Pieces such as the stream cuts, of at most 1.28 s each."""
    most, least = (ms * RATE // 1000 for ms in (PIECE_MS, SHORTEST_MS))
    cut = [part for pcm in said for part in np.array_split(pcm, -(-len(pcm) // most)) if len(part) >= least]
    return [part for part in cut if part.any()]


def apart(space: speaker_space.SpeakerSpace, vectors: Sequence[NDArray[np.float32]]) -> float:
    """Median squared distance between two speakers' means, in a speaker's own standard deviations."""
    means = [space.project(each).mean(axis=0) for each in vectors]
    return float(np.median([((a - b) ** 2).sum() for n, a in enumerate(means) for b in means[n + 1 :]]))


def main() -> None:
    """Write the file."""
    network = Embedding(sys.argv[1])
    out = Path(sys.argv[3]) if len(sys.argv) > 3 else network.weights.with_name(speaker_space.NAME)
    said = {name: pieces(each) for name, each in speakers(Path(sys.argv[2])).items()}
    vectors = {name: network.embed(RATE, said[name]) for name in track(said, description="speakers")}
    space = speaker_space.estimated(network.sha256, list(vectors.values()))
    speaker_space.write(out, space)
    print(
        f"{out}: {space.weights.shape[1]} dimensions from {sum(map(len, said.values()))} pieces of {len(said)} speakers"
    )
    heard, unheard = [vectors[name] for name in [*vectors][::2]], [vectors[name] for name in [*vectors][1::2]]
    if len(heard) < speaker_space.FEWEST:
        print("too few speakers to say how far apart two lie whom it was not estimated on")
        return
    distance = apart(speaker_space.estimated(network.sha256, heard), unheard)
    print(f"from one half, two of the other half lie {distance:.0f} apart; from 40 on something may be scored")


if __name__ == "__main__":
    main()
