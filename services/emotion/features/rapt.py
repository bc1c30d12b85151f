"""RAPT, a robust algorithm for pitch tracking (Talkin, in Speech Coding and Synthesis, 1995, chapter 14).

Each frame's normalised cross-correlation gives candidates, and dynamic programming finds the cheapest path through
them, voiced or unvoiced. The names in capitals are Talkin's. His two passes, coarse and fine, are one here, as the
correlation is computed at full rate by FFT; his cost of a voicing change in a steady spectrum (VTR_S_C) is left out:
with it the result was farther from SPTK's RAPT, which DisVoice uses (ops/adr/0105-prosody.md).
"""

from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from services.emotion.features.feature import Array

Floats = NDArray[np.float64]

STEP_S = 0.01
WINDOW_S = 0.0075  #: that is correlated with its shifts
CAND_TR = 0.3  #: a peak below this part of the frame's highest is no candidate
LAG_WT = 0.3  #: what the longest lag loses of its correlation
FREQ_WT = 0.02 / STEP_S  #: a nat that the pitch leaps in a second of steps
DOUBL_C = 0.35
VTRAN_C = 0.005
VTR_A_C = 0.5
A_FACT = 10_000.0  #: in units of 16 bits: keeps silence from correlating
N_CANDS = 20


@dataclass(frozen=True, slots=True)
class Range:
    """What is looked for."""

    low_hz: float = 60.0
    high_hz: float = 350.0
    voice_bias: float = 0.0  #: added to the cost of being unvoiced: negative finds less voice


@dataclass(frozen=True, slots=True)
class Candidates:
    """A frame's ways out: its peaks and, last, being unvoiced."""

    hertz: Floats  #: (ways,), 0 where unvoiced
    cost: Floats  #: (ways,)


def f0(samples: Array, rate: int, wanted: Range) -> Floats:
    """Hz of each frame, one every `STEP_S` from the first sample on, 0 where it is unvoiced: (frames,)."""
    scaled = samples.astype(np.float64) * 32768
    lags = np.arange(int(rate / wanted.high_hz), round(rate / wanted.low_hz) + 2)
    correlation = _correlation(scaled, rate, lags)  # (frames, lags)
    frames = [_candidates(row, lags, rate, wanted) for row in correlation]
    return _cheapest(frames, *_voicing_costs(scaled, rate, len(frames)))


def _correlation(samples: Floats, rate: int, lags: NDArray[np.int64]) -> Floats:
    """Normalised cross-correlation of each frame with itself a lag later: (frames, lags)."""
    step, window = round(STEP_S * rate), round(WINDOW_S * rate)
    reach = window + int(lags[-1])
    count = -(-len(samples) // step)
    padded = np.pad(samples, (0, count * step + reach - len(samples)))
    spans = sliding_window_view(padded, reach)[::step][:count]  # (frames, reach)
    spans = spans - spans[:, :window].mean(axis=1, keepdims=True)
    size = 1 << (reach - 1).bit_length()
    spectrum = np.fft.rfft(spans, size) * np.fft.rfft(spans[:, :window], size).conj()
    products = np.fft.irfft(spectrum, size)[:, lags]
    energy = np.cumsum(np.pad(spans**2, ((0, 0), (1, 0))), axis=1)
    energies = energy[:, lags + window] - energy[:, lags]
    found: Floats = products / np.sqrt(A_FACT + energy[:, [window]] * np.maximum(energies, 0))
    return found


def _candidates(row: Floats, lags: NDArray[np.int64], rate: int, wanted: Range) -> Candidates:
    before, peak, after = row[:-2], row[1:-1], row[2:]
    at = np.flatnonzero((peak > before) & (peak >= after) & (peak > CAND_TR * row.max()) & (peak > 0))
    at = at[np.argsort(-peak[at], kind="stable")[:N_CANDS]]
    bend = before[at] - 2 * peak[at] + after[at]
    shift = 0.5 * (before[at] - after[at]) / np.where(bend < 0, bend, -1)
    height = np.minimum(peak[at] - 0.25 * (before[at] - after[at]) * shift, 1)
    lag = lags[1:-1][at] + shift
    voiced = 1 - height * (1 - LAG_WT * lag / lags[-1])
    unvoiced = wanted.voice_bias + (height.max() if len(height) else 0)
    return Candidates(np.append(rate / lag, 0), np.append(voiced, unvoiced))


def _voicing_costs(samples: Floats, rate: int, frames: int) -> tuple[Floats, Floats]:
    """What it costs to become voiced, and unvoiced, at each frame: dear where the level does not change with it."""
    size, step = round(0.03 * rate), round(STEP_S * rate)
    padded = np.pad(samples, (size, size + (frames + 2) * step))
    spans = sliding_window_view(padded, size)[size - size // 2 - step :: step][
        : frames + 2
    ]  # span i + 1: about frame i
    level = np.sqrt(((spans * np.hanning(size)) ** 2).mean(axis=1)) + 1
    ratio = level[2:] / level[:-2]  # (frames,) of 20 ms apart
    return VTRAN_C + VTR_A_C / ratio, VTRAN_C + VTR_A_C * ratio


def _cheapest(frames: list[Candidates], onset: Floats, offset: Floats) -> Floats:
    """The path of the least sum of costs, as Hz of each frame."""
    total, backs = frames[0].cost, [np.zeros(len(frames[0].cost), np.int64)]
    for at in range(1, len(frames)):
        ways = total + _transitions(frames[at - 1].hertz, frames[at].hertz, onset[at], offset[at])  # (now, before)
        backs.append(ways.argmin(axis=1))
        total = frames[at].cost + ways.min(axis=1)
    found, way = np.zeros(len(frames)), int(total.argmin())
    for at in range(len(frames) - 1, -1, -1):
        found[at] = frames[at].hertz[way]
        way = int(backs[at][way])
    return found


def _transitions(before: Floats, now: Floats, onset: float, offset: float) -> Floats:
    """What each step costs: (ways now, ways before)."""
    costs = np.zeros((len(now), len(before)))
    costs[:-1, -1], costs[-1, :-1] = onset, offset
    leap = np.abs(np.log(now[:-1, None] / before[None, :-1]))
    costs[:-1, :-1] = FREQ_WT * np.minimum(leap, DOUBL_C + np.abs(leap - np.log(2)))
    return costs
