"""Estimate the space in which voices are told apart on one channel (streams/speech/voices.safetensors).

    python ops/experiments/voices.py ../shared/data/emodb4

From five speakers of EmoDB as telephone speech; the other five are left for measuring (ops/experiments/one_channel.py).
"""

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file
from two_party import RATE, Utterance, emodb

from streams.domain.pieces import PIECE_MS
from streams.domain.records import Audio, Encoding
from streams.speech.decode import decode, encode
from streams.speech.resample import to_pcm
from streams.speech.voices import MEASURES, Cepstra

SPEAKERS = ("03", "08", "09", "11", "13")
EMOTIONS_OUT = 4  #: directions in which emotion moves a voice most
OWN = 0.1  #: weight of the measures' variances by themselves in the covariance: few speakers, many measures
OUT = Path("streams/speech/voices.safetensors")

Doubles = NDArray[np.float64]


def measured(said: Sequence[Utterance]) -> Doubles:
    """Measures of the pieces of utterances, (pieces, 38)."""
    pieces = []
    for utterance in said:
        line = encode(Encoding.PCMU, to_pcm(utterance.samples[np.newaxis]))
        (pcm,) = decode(Audio(Encoding.PCMU, RATE, 1, line))
        count = max(1, round(len(pcm) * 1000 / RATE / PIECE_MS))
        pieces += np.array_split(pcm, count)
    return Cepstra(np.eye(MEASURES, dtype=np.float32)).embed(RATE, pieces).astype(np.float64)


def space(groups: Sequence[Sequence[Doubles]]) -> Doubles:
    """(38, dimensions) from measures by speaker and emotion: own variance 1, the directions of emotion left out."""
    own, moved, count = np.zeros(()), np.zeros(()), 0
    for emotions in groups:
        centre = np.mean([group.mean(axis=0) for group in emotions], axis=0)
        for group in emotions:
            spread = group - group.mean(axis=0)
            own, count = own + spread.T @ spread, count + len(group) - 1
            away = group.mean(axis=0) - centre
            moved = moved + np.outer(away, away) - np.cov(group.T) / len(group)
    own = own / count
    own = (1 - OWN) * own + OWN * np.diag(np.diag(own))
    white = np.linalg.inv(np.linalg.cholesky(own)).T
    _, directions = np.linalg.eigh(white.T @ moved @ white)
    return white @ directions[:, :-EMOTIONS_OUT]


def main() -> None:
    """Write the space."""
    said = emodb(Path(sys.argv[1]))
    groups = [
        [
            measured([each for each in said[speaker] if each.manner == manner])
            for manner in sorted({each.manner for each in said[speaker]})
        ]
        for speaker in SPEAKERS
    ]
    found = np.ascontiguousarray(space(groups), np.float32)
    save_file({"space": found}, OUT)
    print(f"{OUT}: {found.shape}, from {sum(len(group) for emotions in groups for group in emotions)} pieces")


if __name__ == "__main__":
    main()
