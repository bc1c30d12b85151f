"""Who speaks when on one channel, as the stream tells it while the call goes on, for measuring against a reference."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from streams.domain import overlap
from streams.domain.overlap import FRAME_MS, Frame, Kind
from streams.domain.pieces import PAUSE_MS, Cutter, Piece, divide
from streams.domain.pieces import step as cut
from streams.domain.voices import Memory
from streams.speech import speakers
from streams.speech.activity import Samples, Stretch, VoiceActivity, context_samples, frame_samples
from streams.speech.segmentation import Segmentation
from streams.speech.telling import Telling, open_telling
from streams.speech.turns import SpeakerTurn


def diarize(samples: Samples, rate: int, telling: Telling | None = None) -> list[SpeakerTurn]:
    """Turns of two speakers on one channel at 8 or 16 kHz, nothing refused: the likelier voice, certain or not.

    Speaker 0 is the voice that is taken for the first to speak. Overlap that is noticed is in no turn.
    """
    telling = telling or open_telling()
    pieces, per_ms = _pieces(samples, rate), rate // 1000
    if telling.segmentation is not None and pieces:
        pieces = _divided(samples, rate, pieces, telling.segmentation)
    told = [piece for piece in pieces if speakers.long_enough(piece)]
    audio = [samples[piece.start_ms * per_ms : piece.end_ms * per_ms] for piece in told]
    vectors = telling.voiceprints.embed(rate, audio) if told else ()
    _, likenesses = speakers.tell(Memory(), pieces, list(vectors))
    turns: list[SpeakerTurn] = []
    for piece, likeness in zip(pieces, likenesses, strict=True):
        before = turns[-1] if turns else None
        speaker = (before.speaker if before else 0) if likeness is None else int(likeness.first < 0)
        if before and before.speaker == speaker and piece.start_ms - before.end_ms < PAUSE_MS:
            turns[-1] = replace(before, end_ms=piece.end_ms)
        else:
            turns.append(SpeakerTurn(speaker, piece.start_ms, piece.end_ms))
    return turns


def _divided(samples: Samples, rate: int, pieces: Sequence[Piece], segmentation: Segmentation) -> list[Piece]:
    before = np.concatenate((np.zeros(segmentation.window_ms * rate // 1000, np.int16), samples))
    ends = [piece.end_ms * rate // 1000 for piece in pieces]
    heard = segmentation.hear(rate, [before[end : end + len(before) - len(samples)] for end in ends])
    return [part for piece, speaking in zip(pieces, heard, strict=True) for part in divide(piece, speaking)[0]]


def _pieces(samples: Samples, rate: int) -> list[Piece]:
    whole = samples[: len(samples) // frame_samples(rate) * frame_samples(rate)]
    (activity,) = VoiceActivity().hear(rate, [Stretch(whole, np.zeros(context_samples(rate), np.int16))])
    floor, cutter, found = overlap.silent(1), Cutter(), list[Piece]()
    rest = ((0.0, 0),) * (PAUSE_MS // FRAME_MS)  # a pause after the end, so that the last piece ends
    frames = (*zip(activity.probability, activity.energy, strict=True), *rest)
    for index, (probability, energy) in enumerate(frames):
        times = (index * FRAME_MS, (index + 1) * FRAME_MS)
        floor, (heard,) = overlap.step(floor, Frame(*times, (probability,), (energy,)))
        speaks = heard.kind[0] is Kind.SPEECH
        cutter, piece = cut(cutter, speaks=speaks, start_ms=heard.start_ms, end_ms=heard.end_ms)
        found += [piece] if piece is not None else []
    return found
