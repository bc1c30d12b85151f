"""`encoder`: prints its measures as JSON."""

import json
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict

import torch
from peak import Peak
from planted import LEARNT, alike
from results import Measure, compared, progress
from rows import BASE, WAVLM, XLSR
from shapes import RATE, SHAPES, network, seconds_of, theirs, windows
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from services.emotion.encoders.encoder import Encoder

#: `UNDERTONE_LONG=1` takes transformers' batches as they are on a GPU.
BATCH, LONG_BATCH = 8, 32
ROUNDS = 3
LABELLED, SHORT_S = 500, 2  #: windows, and what is heard of each
EXACT = 1e-4
PRECISIONS = {"ours": "", "half": " in bfloat16"}
ONE_BY_ONE = (
    "no goal here: 2 is set against padded batches, what transformers makes of several windows at once; its pipelines"
    " without a batch size take windows one by one, as here"
)


def measure() -> list[Measure]:
    """Throughput of two shapes, then work and memory of two at full size without computing anything."""
    batch = LONG_BATCH if os.environ.get("UNDERTONE_LONG") == "1" else BATCH
    found = [each for shape in (XLSR, BASE) for each in throughput(shape, windows(batch), ROUNDS)]
    found += [labels(shape, windows(LABELLED)) for shape in (XLSR, BASE)]
    for shape in (XLSR, WAVLM):
        found += [work(shape, windows(32)), layers(shape, windows(8)), memory(shape)]
    return found


def throughput(shape: str, some: Sequence[Tensor], rounds: int) -> list[Measure]:
    """Ours against transformers, padded to the longest and window by window, all layers in all of them."""
    model, encoder, half = network(shape), Encoder(network(shape)), Encoder(network(shape).to(torch.bfloat16))
    every = range(encoder.last + 1)
    progress(f"encoder: {shape}, {len(some)} windows of {seconds_of(some):.0f} s")
    apart = float((encoder.means(some, every) - theirs(model, some, 1)).abs().max())
    if apart > EXACT:
        raise RuntimeError(f"{shape}: the encoder's means are off by {apart:.0e}")
    ways: dict[str, Callable[[], object]] = {
        "ours": lambda: encoder.means(some, every),
        "half": lambda: half.means(some, every),
        f"padded batches of {len(some)} in arrival order": lambda: theirs(model, some, len(some)),
        "window by window": lambda: theirs(model, some, 1),
    }
    rates = [{name: seconds_of(some) / _cpu_s(way) for name, way in ways.items()} for _ in range(rounds)]
    remarks = (
        f"all layers' means, {torch.get_num_threads()} threads; off by {apart:.0e} from window by window in float32"
    )
    return [
        _against(shape, mine, name, [(each[mine], each[name]) for each in rates], remarks)
        for mine in PRECISIONS
        for name in ways
        if name not in PRECISIONS
    ]


def _against(shape: str, mine: str, name: str, pairs: Sequence[tuple[float, float]], remarks: str) -> Measure:
    wanted = name.startswith("padded") or mine == "half"
    return compared(
        f"{shape}{PRECISIONS[mine]}, against transformers' default, {name}",
        "s of audio/CPU-s",
        pairs,
        goal="2" if wanted else "stated",
        remarks=remarks if wanted else f"{remarks}; {ONE_BY_ONE}",
    )


def labels(shape: str, some: Sequence[Tensor]) -> Measure:
    """How many labels six heads give alike on a CPU, fitted on means in float32 of the last layer."""
    progress(f"encoder: {shape}, labels of {len(some)} windows in both precisions")
    heard = [each[: SHORT_S * RATE] for each in some]
    exact, half = (
        encoder.means(heard, [encoder.last])[:, 0].numpy()
        for encoder in (Encoder(network(shape).to(dtype)) for dtype in (torch.float32, torch.bfloat16))
    )
    remarks = (
        f"bfloat16 against float32, last layer, planted labels, {len(some) - LEARNT} windows of {SHORT_S} s unheard"
    )
    return Measure(
        f"{shape}, equal labels on a CPU", alike(exact, half), "of all labels", goal="0.999", remarks=remarks
    )


def work(shape: str, some: Sequence[Tensor]) -> Measure:
    """Operations executed over those that each window needs by itself."""
    with torch.device("meta"):
        model = SHAPES[shape]().eval()
        given = [torch.empty(len(each)) for each in some]
        needed = _flops(lambda: [model(each[None]) for each in given])
        batches = _flops(lambda: model(torch.empty(len(given), max(map(len, given)))))
        encoder = Encoder(model)
        executed = _flops(lambda: encoder.means(given, [encoder.last]))
    return Measure(
        f"{shape}, FLOPs executed / needed",
        executed / needed,
        "",
        baseline=batches / needed,
        goal="1.05",
        remarks=f"FlopCounterMode, {len(given)} windows, {seconds_of(some):.0f} s; baseline: padded to the longest",
    )


def layers(shape: str, some: Sequence[Tensor]) -> Measure:
    """Layers executed over those that are needed, where a bundle reads the one in the middle: by their operations."""
    with torch.device("meta"):
        encoder, given = Encoder(SHAPES[shape]().eval()), [torch.empty(len(each)) for each in some]
        before, middle, whole = (
            _flops(lambda layer=layer: encoder.means(given, [layer])) for layer in (0, encoder.last // 2, encoder.last)
        )
    executed = (middle - before) * encoder.last / (whole - before)
    return Measure(
        f"{shape}, layers executed / needed",
        executed / (encoder.last // 2),
        "",
        goal="1",
        remarks=f"FlopCounterMode, layer {encoder.last // 2} of {encoder.last} is read; {len(given)} windows",
    )


def memory(shape: str) -> Measure:
    """Bytes at the peak for the means of one layer and of all."""
    with torch.device("meta"):
        encoder, given = Encoder(SHAPES[shape]().eval()), [torch.empty(5 * 16_000)] * 2
        one, every = (_peak(encoder, given, layers) for layers in ([encoder.last], range(encoder.last + 1)))
    return Measure(
        f"{shape}, peak memory of all layers' means / of one's",
        every / one,
        "",
        goal="flat",
        remarks=f"{one / 1e6:,.1f} MB beside the weights for two windows of 5 s",
    )


def _cpu_s(way: Callable[[], object]) -> float:
    """Of all threads: other programs on the machine count less than by the clock."""
    began = time.process_time()
    way()
    return time.process_time() - began


def _flops(way: Callable[[], object]) -> int:
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH), torch.no_grad():
        way()
    return int(counter.get_total_flops())


def _peak(encoder: Encoder, given: Sequence[Tensor], layers: Sequence[int]) -> int:
    with Peak(encoder.parameters()) as peak, torch.no_grad():
        encoder.means(given, layers)
    return peak.most


if __name__ == "__main__":
    print(json.dumps([asdict(each) for each in measure()]))
