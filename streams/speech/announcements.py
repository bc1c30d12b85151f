"""Announcements that a site plays on its calls, known again by their sound: the site's own recordings, never a person.

A frame's print is the signs of how the steps from band to band change from frame to frame (Haitsma and Kalker, "A
Highly Robust Audio Fingerprinting System", ISMIR 2002). Loudness, a codec and noise flip some of its bits, other speech
half of them. A second of prints is compared with a second of the announcement, second by second, so that what is
announced ends where the announcement ends, or within a second of where a caller has cut it short.
"""

import wave
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from streams.speech.activity import Samples, Stretch, VoiceActivity, context_samples, frame_samples
from streams.speech.levels import Levels
from streams.speech.silero import BANDS

SPAN = 32  #: frames that are compared at once
_EVERY = 31  #: frames from one place of an announcement that is looked for to the next
_SLACK = 4  #: frames by which the next place may be late
_PHASES_MS = (0, 8, 16, 24)  #: a call's frames lie anywhere between those of the recording
_FLIPPED = 155  #: of the 480 bits of a second, at most, in a match; other speech flips 240, and never under 179

_STATE = np.dtype([("prints", np.uint16, (SPAN - 1,)), ("last", np.uint8, (BANDS,)), ("left", np.uint16)])
START = bytes(_STATE.itemsize)  #: of a channel

Prints = NDArray[np.uint16]  #: (frames,)


@dataclass(frozen=True, slots=True)
class Announcements:
    """Places to look for, shape (places, 8), and for how many frames each stands."""

    places: NDArray[np.uint64] = field(repr=False)
    frames: NDArray[np.uint16] = field(repr=False)


class AnnouncementError(ValueError):
    """A recording cannot be used. The message names the file and the remedy."""


def read(model: VoiceActivity, files: Sequence[Path]) -> Announcements:
    """Learn from WAV files. Raises AnnouncementError that names every file which cannot be used."""
    recordings, faults = [], []
    for file in files:
        try:
            recordings.append(_recording(file))
        except (OSError, EOFError, wave.Error, ValueError) as error:
            faults.append(f"{file}: {error}; give a WAV of one channel, 16 bit, 8 or 16 kHz, of over 1.1 s")
    if faults:
        raise AnnouncementError("\n".join(faults))
    return learn(model, recordings)


def _recording(file: Path) -> tuple[int, Samples]:
    with wave.open(str(file)) as opened:
        rate, form = opened.getframerate(), (opened.getnchannels(), opened.getsampwidth())
        samples = np.frombuffer(opened.readframes(opened.getnframes()), "<i2").astype(np.int16)
    if form != (1, 2) or rate not in {8000, 16000}:
        raise ValueError(f"{form[0]} channel(s) of {8 * form[1]} bit at {rate} Hz")
    if len(samples) < (SPAN + 2) * frame_samples(rate):
        raise ValueError(f"{len(samples) / rate:.2f} s")
    return rate, samples


def learn(model: VoiceActivity, recordings: Sequence[tuple[int, Samples]]) -> Announcements:
    """Of recordings at 8 or 16 kHz, each with its rate, one channel, shape (samples,)."""
    places, frames = [np.zeros((0, SPAN // 4), np.uint64)], [np.zeros(0, np.uint16)]
    for rate, samples in recordings:
        for phase_ms in _PHASES_MS:
            size, late = frame_samples(rate), samples[phase_ms * rate // 1000 :]
            whole = np.ascontiguousarray(late[: len(late) // size * size])
            (heard,) = model.hear(rate, [Stretch(whole, np.zeros(context_samples(rate), np.int16))])
            found = _prints(np.frombuffer(heard.levels, np.uint8).reshape(-1, BANDS))
            at = np.arange(SPAN - 1, len(found), _EVERY)
            places.append(_spans(found)[at - SPAN + 1])
            frames.append(np.minimum(len(found) - at + 1, _EVERY + _SLACK).astype(np.uint16))
    return Announcements(np.concatenate(places), np.concatenate(frames))


def judge(known: Announcements, levels: bytes, state: bytes) -> tuple[list[int], bytes]:
    """Which whole frames of a channel are announced, and the state after them."""
    before = np.frombuffer(state, _STATE)[0]
    told = np.frombuffer(levels, np.uint8).reshape(-1, BANDS)
    prints = np.concatenate((before["prints"], _prints(np.concatenate((before["last"][np.newaxis], told)))))
    announced, left = list[int](), int(before["left"])
    matches = _matches(known, prints)
    for frame in range(len(told)):
        left = max(left - 1, matches.get(frame, 0), 0)
        announced += [frame] if left else []
    after = np.zeros((), _STATE)
    after["prints"], after["left"] = prints[-SPAN + 1 :], left
    after["last"] = told[-1] if len(told) else before["last"]
    return announced, after.tobytes()


def _matches(known: Announcements, prints: Prints) -> dict[int, int]:
    """For how many frames each frame announces that it does."""
    spans = _spans(prints)
    flipped = np.bitwise_count(spans[:, np.newaxis] ^ known.places).sum(axis=2, dtype=np.uint16)
    return {
        frame: int(known.frames[flipped[frame] <= _FLIPPED].max())
        for frame in np.flatnonzero((flipped <= _FLIPPED).any(axis=1)).tolist()
    }


def _prints(levels: Levels) -> Prints:
    """Of every frame but the first: (frames, bands) -> (frames - 1,)."""
    steps = np.diff(levels.astype(np.int16), axis=1)
    bits = (np.diff(steps, axis=0) > 0).astype(np.uint16)
    found: Prints = (bits << np.arange(BANDS - 1, dtype=np.uint16)).sum(axis=1, dtype=np.uint16)
    return found


def _spans(prints: Prints) -> NDArray[np.uint64]:
    """Every span of so many frames: (frames,) -> (spans, words)."""
    if len(prints) < SPAN:
        return np.zeros((0, SPAN // 4), np.uint64)
    return np.ascontiguousarray(np.lib.stride_tricks.sliding_window_view(prints, SPAN)).view(np.uint64)
