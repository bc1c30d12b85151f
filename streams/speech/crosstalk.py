"""Which frames of a channel hold nothing but the other channel's voice, for many calls at once.

Echo is a copy of the other channel: later by up to 0.3 s, softer, its timbre changed. So in each band the channel is at
least as loud as the other was, less what the way takes: over time, the lowest difference of the two, for each delay,
tells the way (a minimum-statistics estimate, after Martin 2001). A frame no louder than that predicts is echo; whoever
speaks there is louder. Without echo the prediction lies at the channel's noise: it takes nobody for an echo
(`ops/adr/0132-cross-talk.md`).

All in whole numbers: the same to the bit, whatever else is in the batch.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from streams.speech.levels import decibels
from streams.speech.silero import BANDS

LAGS = 11  #: frames by which an echo may come later, from 0: 0 to 320 ms
_FINE = 16  #: parts of a step of a level
_AUDIBLE = decibels(24) * _FINE  #: the other channel's band is heard from here on: 40 dB below full scale
_NOISE = decibels(25) * _FINE  #: of a band at first: what a call begins with may be a voice
_ABOVE_NOISE = decibels(12) * _FINE  #: and so much over its noise
_FAINT = decibels(14) * _FINE  #: what is softer than this counts for nothing
_OVER_NOISE = decibels(6) * _FINE  #: and what is less over the channel's own noise
_CAP = -decibels(4) * _FINE  #: an echo is softer than the voice it comes from
_FIRST = -decibels(6) * _FINE  #: the loudest echo that is looked for
_DOWN, _UP = 17, 4  #: a fifth of the differences stay below the estimate: 0.4 dB down, 0.1 dB up
_HASTE, _SETTLED = 12, 30  #: steps are larger until so many frames were heard
_MARGIN = decibels(7) * _FINE  #: by which an echo is louder than the estimate
_FRAMES = 5  #: over which bands that are explained are counted
_WHOLE = 64  #: a frame of which every band is explained
_ENOUGH = 3 * _FRAMES * _WHOLE // 4  #: explained of the last frames, to be echo

_Fine = NDArray[np.int16]

_STATE = np.dtype(
    [
        ("way", np.int16, (2, LAGS, BANDS)),  #: from the other channel: fine steps, by delay
        ("noise", np.int16, (2, BANDS)),
        ("before", np.uint8, (2, LAGS - 1, BANDS)),  #: levels of the last frames
        ("explained", np.uint8, (2, _FRAMES - 1)),
        ("heard", np.uint8, (2,)),  #: frames in which there was something to learn
    ]
)


def _start() -> bytes:
    state = np.zeros((), _STATE)
    state["way"], state["noise"] = _FIRST, _NOISE
    return state.tobytes()


START = _start()  #: of a call


@dataclass(frozen=True, slots=True)
class Pair:
    """Whole frames of a call's two channels, a byte each band of each frame, and what came before."""

    levels: tuple[bytes, ...]
    state: bytes = START


@dataclass(frozen=True, slots=True)
class Echo:
    """Which channels hold the other's voice, if a voice at all, by frame; frames in which none does are left out."""

    flags: Mapping[int, tuple[bool, ...]]
    state: bytes  #: after the last frame


def rest(state: bytes) -> bytes:
    """The state after a break in the audio: the way stays known, the last frames are none."""
    known = np.frombuffer(state, _STATE).copy()
    known["before"] = known["explained"] = 0
    return known.tobytes()


def judge(pairs: Sequence[Pair]) -> list[Echo]:
    """Take in the frames of every call: frame by frame over all calls."""
    counts = [len(pair.levels[0]) // BANDS for pair in pairs]
    order = sorted(range(len(pairs)), key=lambda n: -counts[n])  # those that end first stand last
    states = np.frombuffer(b"".join(pairs[n].state for n in order), _STATE).copy()
    longest = max(counts, default=0)
    levels = np.zeros((len(pairs), 2, LAGS - 1 + longest, BANDS), np.uint8)
    levels[:, :, : LAGS - 1] = states["before"]
    for row, n in enumerate(order):
        told = np.frombuffer(b"".join(pairs[n].levels), np.uint8)
        levels[row, :, LAGS - 1 : LAGS - 1 + counts[n]] = told.reshape(2, counts[n], BANDS)
    flags = np.zeros((len(pairs), longest, 2), np.bool_)
    for frame in range(longest):
        alive = sum(count > frame for count in counts)
        flags[:alive, frame] = _frame(states[:alive], levels[:alive, :, frame : frame + LAGS])
    found: dict[int, Echo] = {}
    for row, n in enumerate(order):
        states["before"][row] = levels[row, :, counts[n] : counts[n] + LAGS - 1]
        found[n] = Echo(_told(flags[row, : counts[n]]), states[row].tobytes())
    return [found[n] for n in range(len(pairs))]


def _told(flags: NDArray[np.bool_]) -> dict[int, tuple[bool, ...]]:
    return {frame: tuple(flags[frame].tolist()) for frame in np.flatnonzero(flags.any(axis=1)).tolist()}


def _frame(states: NDArray[np.void], levels: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Learn from the last of the frames, (calls, 2, lags, bands), and judge it: (calls, 2)."""
    fine = levels.astype(np.int16) * np.int16(_FINE)
    now, noise = fine[:, :, -1], states["noise"]
    np.minimum(now, noise + np.int16(1), out=noise)
    source = fine[:, ::-1, ::-1]  # of each channel: the other's frames, the latest first
    audible = source > np.maximum(noise[:, ::-1] + np.int16(_ABOVE_NOISE), np.int16(_AUDIBLE))[:, :, np.newaxis]
    _learn(states, now[:, :, np.newaxis] - source, audible)
    predicted = np.where(audible, source + states["way"], np.int16(0)).max(axis=2)
    loud = now > np.maximum(noise + np.int16(_OVER_NOISE), np.int16(_FAINT))
    echo = _echo(states, loud, now <= predicted + np.int16(_MARGIN), predicted)
    # Nobody echoes an echo: of two channels that explain each other, the one that was louder of late is the voice.
    peak = levels.sum(axis=3, dtype=np.int16).max(axis=2)
    mutual = (echo & (loud.sum(axis=2) >= BANDS // 4))[:, ::-1]
    found: NDArray[np.bool_] = echo & ~(mutual & (peak >= peak[:, ::-1]))
    return found


def _learn(states: NDArray[np.void], taken: _Fine, audible: NDArray[np.bool_]) -> None:
    """Move the estimate towards the lowest fifth of what the way has taken: (calls, 2, lags, bands)."""
    way, heard = states["way"], states["heard"]
    haste = np.where(heard < _SETTLED, np.int16(_HASTE), np.int16(1))[:, :, np.newaxis, np.newaxis]
    moved = way + np.where(taken < way, np.int16(-_DOWN), np.int16(_UP)) * haste
    np.copyto(way, np.minimum(np.maximum(moved, np.int16(-8192)), np.int16(_CAP)), where=audible)
    heard += (heard < _SETTLED) & audible[:, :, 0].any(axis=2)


def _echo(
    states: NDArray[np.void], loud: NDArray[np.bool_], soft: NDArray[np.bool_], predicted: _Fine
) -> NDArray[np.bool_]:
    """Whether most of what is `loud` of the last frames is as `soft` as predicted: (calls, 2)."""
    bands, explained = loud.sum(axis=2), (loud & soft).sum(axis=2)
    share = np.where(bands > 0, explained * _WHOLE // np.maximum(bands, 1), _WHOLE * (predicted > 0).any(axis=2))
    last = states["explained"]
    enough: NDArray[np.bool_] = last.sum(axis=2) + share >= _ENOUGH
    last[:, :, :-1] = last[:, :, 1:]
    last[:, :, -1] = share
    return enough
