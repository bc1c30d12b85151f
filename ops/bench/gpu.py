"""`python ops/bench/gpu.py`: what the encoders do on a GPU, with torch, transformers, numpy and the repository alone.

Checks exactness first, then times ours and transformers' in turn on the same windows. Without a GPU it says so.
"""

import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parents[2]))  # the repository need not be installed

import numpy as np
import torch
from results import Measure, compared, keep, progress, quantile
from rows import GPU, WAVLM, XLSR
from shapes import RATE, network, seconds_of, theirs, windows
from torch import Tensor

from services.emotion.encoders import audio as audio_module
from services.emotion.encoders.audio import REACH, Recorded
from services.emotion.encoders.encoder import Encoder
from services.emotion.encoders.graphs import Graphs
from services.emotion.heads import Heads, fast, fast_decisions
from services.emotion.heads_on_device import on

HALF, FULL = torch.bfloat16, torch.float32
DEVICE = "cuda"
BATCH = 32  #: transformers' batches, in arrival order
COUNT, ROUNDS, LONE = 512, 5, 300
SUPPORT, VALUES, HEARD, SEED = 8_000, 1_024, 256, 4  #: of the heads
SEEN = (0, 12, 24)  #: layers that are compared
EXACT, HALF_SHARE = 1e-4, 0.05
CEILING_TFLOPS = 790  #: dense bfloat16 that an H200 keeps up, for the distance to the limit
GFLOPS_A_SECOND = {24: 37.7, 12: 21.8}  #: of audio at 7.3 s, all 24 layers and 12 of them


def main() -> None:
    """Take every row, or say why there is none."""
    if not torch.cuda.is_available():
        print("bench-gpu: no GPU that torch can use; every row is left out, nothing was measured")
        return
    torch.backends.cuda.matmul.allow_tf32 = False
    progress(f"bench-gpu on {torch.cuda.get_device_name()}, CUDA {torch.version.cuda}")
    found = measure(DEVICE, COUNT)
    keep(found)
    if unknown := {each.name for each in found} - set(GPU):
        sys.exit(f"ops/bench/rows.py does not name {', '.join(sorted(unknown))}")


def measure(device: str, count: int) -> list[Measure]:
    """Every row, for windows of the paper's lengths."""
    some = windows(count)
    found = [*exact(XLSR, device), *exact(WAVLM, device)]
    ours = {shape: encoder(shape, device) for shape in (XLSR, WAVLM)}
    found += [*throughput(ours[XLSR], some, device), between(ours[WAVLM], ours[XLSR], some), wavlm(ours[WAVLM], some)]
    found += [*labels(XLSR, device, some), *labels(WAVLM, device, some)]
    alone = profiled(ours[XLSR], some)
    found += [*lone(ours[XLSR], device), memory(ours[XLSR], some), alone, six_heads(device, alone.value)]
    return [*found, *as_recorded(ours[XLSR], some, device)]


def encoder(shape: str, device: str, dtype: torch.dtype = HALF) -> Encoder:
    """Ours, ready."""
    return Encoder(network(shape).to(device, dtype))


def exact(shape: str, device: str) -> list[Measure]:
    """How far means are from transformers' own. Raises in float32, and where a recorded run is not what it recorded."""
    torch.backends.cudnn.allow_tf32 = False  # transformers' own convolutions would have ten bits
    some = windows(24)
    wanted = theirs(network(shape).to(device), some, 1, SEEN)
    full = encoder(shape, device, FULL).means(some, SEEN)
    _refuse(shape, "float32", float((full - wanted).abs().max()), EXACT)
    torch.backends.cudnn.allow_tf32 = True
    ours = encoder(shape, device)
    half, others = ours.means(some, SEEN), theirs(network(shape).to(device, HALF), some, 1, SEEN)
    apart = torch.stack([torch.pdist(wanted[:, at]).median() for at in range(len(SEEN))])  # (layers,)
    off, others_off = ((each - wanted).norm(dim=2).median(dim=0).values / apart for each in (half, others))
    singly = torch.cat([ours.means([each], SEEN) for each in some[:3]])  # by recorded runs
    _refuse(shape, "recorded runs", float(((singly - half[:3]).norm(dim=2) / apart).max()), HALF_SHARE)
    remarks = "median difference over the median distance of two windows; baseline: transformers in bfloat16"
    pairs = zip(SEEN, off.tolist(), others_off.tolist(), strict=True)
    return [
        Measure(f"{shape}, bfloat16 off at layer {layer}", mine, "", baseline, goal=f"{HALF_SHARE}", remarks=remarks)
        for layer, mine, baseline in pairs
    ]


def labels(shape: str, device: str, some: Sequence[Tensor]) -> list[Measure]:
    """How many labels six heads give alike, fitted on means in float32 of a layer in the middle."""
    try:
        from planted import LEARNT, alike  # noqa: PLC0415 - fits with scikit-learn, which nothing else here needs
    except ModuleNotFoundError as error:
        progress(f"{shape}: labels are not compared, as {error.name} is not installed")
        return []
    means = {each: encoder(shape, device, each).means(some, [SEEN[1]])[:, 0].cpu().numpy() for each in (FULL, HALF)}
    share = alike(means[FULL], means[HALF])
    remarks = f"bfloat16 against float32, layer {SEEN[1]}, planted labels, {len(some) - LEARNT} windows unheard"
    return [Measure(f"{shape}, equal labels", share, "of all labels", goal="0.999", remarks=remarks)]


def _refuse(shape: str, what: str, found: float, limit: float) -> None:
    progress(f"{shape}, {what}: off by {found:.1e}, at most {limit:.1e}")
    if not found <= limit:
        raise RuntimeError(f"{shape}, {what}: off by {found:.1e}, more than {limit:.1e}")


def throughput(ours: Encoder, some: Sequence[Tensor], device: str) -> list[Measure]:
    """All layers and half of them, against transformers in the same precision and as it comes."""
    half, full, few = network(XLSR).to(device, HALF), network(XLSR).to(device), some[: len(some) // 8]
    last, middle = ours.last, ours.last // 2
    alone = {
        "ours": lambda: ours.means(some, [last]),
        "exit": lambda: ours.means(some, [middle]),
        "half": lambda: theirs(half, some, BATCH, [last]),
    }
    rounds = [{name: _rate(some, way) for name, way in alone.items()} for _ in range(ROUNDS)]
    slow = _pairs(few, lambda: ours.means(few, [last]), lambda: theirs(full, few, BATCH, [last]))
    rates = {name: statistics.median(each[name] for each in rounds) for name in alone}
    return [
        _reached(f"{XLSR}, {last} layers", rates["ours"], 12_000, last),
        _reached(f"{XLSR}, exit at {middle}", rates["exit"], 19_000, middle),
        _against("bfloat16 with SDPA, the same layers", [(each["ours"], each["half"]) for each in rounds], "3"),
        _against(f"bfloat16 with SDPA, ours exits at {middle}", [(each["exit"], each["half"]) for each in rounds], "5"),
        _against("as it comes, float32", slow, "20"),
    ]


def _reached(name: str, rate: float, goal: int, layers: int) -> Measure:
    limit = CEILING_TFLOPS * 1e3 / GFLOPS_A_SECOND[layers] if layers in GFLOPS_A_SECOND else rate
    remarks = f"{rate / limit:.0%} of {limit:,.0f}, what {CEILING_TFLOPS} TFLOP/s allow; {torch.cuda.get_device_name()}"
    return Measure(name, rate, "x real time", goal=f"{goal:,}", remarks=remarks)


def _against(name: str, pairs: Sequence[tuple[float, float]], goal: str, shape: str = XLSR) -> Measure:
    remarks = f"padded batches of {BATCH} in arrival order"
    return compared(f"{shape}, against transformers {name}", "x real time", pairs, goal=goal, remarks=remarks)


def between(wavlm_: Encoder, xlsr: Encoder, some: Sequence[Tensor]) -> Measure:
    """WavLM beside XLS-R, both ours."""
    pairs = _pairs(some, lambda: wavlm_.means(some, [24]), lambda: xlsr.means(some, [24]))
    return compared(f"{WAVLM}, against our {XLSR}", "x real time", pairs, goal="0.9", remarks="24 layers")


def wavlm(ours: Encoder, some: Sequence[Tensor]) -> Measure:
    """WavLM against transformers' own."""
    half, few = network(WAVLM).to(ours.device, HALF), some[: len(some) // 4]
    pairs = _pairs(few, lambda: ours.means(few, [24]), lambda: theirs(half, few, BATCH, [24]))
    return _against("bfloat16", pairs, "3", WAVLM)


def lone(ours: Encoder, device: str) -> list[Measure]:
    """How long one window of 5 s by itself takes, from memory to memory."""
    one, model = [windows(1)[0].new_zeros(5 * RATE).normal_()], network(XLSR).to(device)
    mine = _times(lambda: ours.means(one, [ours.last]).cpu())
    others = _times(lambda: theirs(model, one, 1, [ours.last]).cpu())
    spread = {"low": min(mine), "high": max(mine)}
    remarks = f"{LONE} times, median {statistics.median(mine):.2f} ms; 0.3 ms to read the weights and compute"
    return [
        Measure("one window of 5 s, p99", quantile(mine, 0.99), "ms", goal="3 ms", remarks=remarks, **spread),
        compared(
            "one window of 5 s, against transformers as it comes",
            "windows/s",
            [(1e3 / quantile(mine, 0.99), 1e3 / quantile(others, 0.99))],
            goal="5",
            remarks="p99 of both; float32 with SDPA there",
        ),
    ]


def memory(ours: Encoder, some: Sequence[Tensor]) -> Measure:
    """Bytes at the peak beside the weights, of every network of this bench, for all layers' means over one's."""
    peaks = []
    for layers in ([ours.last], range(ours.last + 1)):
        ours.graphs = Graphs(ours.geometry)  # what is recorded is kept, and was counted before
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        weights = torch.cuda.memory_allocated()
        ours.means(some, layers)
        peaks.append(torch.cuda.max_memory_allocated() - weights)
    return Measure(
        f"{XLSR}, peak memory of all layers' means / of one's, GPU",
        peaks[1] / peaks[0],
        "",
        goal="flat",
        remarks=f"{peaks[0] / 1e9:.2f} GB beside the weights for {len(some)} windows",
    )


def profiled(ours: Encoder, some: Sequence[Tensor]) -> Measure:
    """Where the microseconds of a window go, kernel by kernel."""
    spent = _kernels(lambda: ours.means(some, [ours.last]))
    total = sum(spent.values())
    most = ", ".join(f"{name[:60]} {each / len(some):.0f}" for name, each in list(spent.items())[:10])
    return Measure(f"{XLSR}, GPU time a window", total / len(some), "us", goal="575 us", remarks=most.replace("|", "/"))


def as_recorded(ours: Encoder, some: Sequence[Tensor], device: str) -> list[Measure]:
    """What a window costs that comes from a telephone: G.711 by table, copied, resampled and normalised there."""
    given = [each[::2].contiguous() for each in some]
    audio, how = Recorded(RATE // 2, RATE, normalised=True), _filter()
    ready = sum(_kernels(lambda: ours.means(some, [ours.last])).values())
    ways = _kernels(lambda: ours.means(given, [ours.last], audio))
    copied = sum(each for name, each in ways.items() if "HtoD" in name)
    decoded = sum(_kernels(lambda: _decoded(given, device)).values())
    share = (sum(ways.values()) - ready + decoded) / ready
    remarks = (
        f"GPU time of windows at {RATE // 2} Hz beyond that of windows made ready, and {decoded / len(some):.1f} us"
        f" a window for G.711 by table with its copy; {how}"
    )
    return [
        Measure("audio on the GPU, share of the encoder's time", share, "", goal="stated", remarks=remarks),
        _copied(given, device, copied / len(some)),
        compared(
            f"{XLSR}, windows as recorded against windows made ready",
            "x real time",
            _pairs(some, lambda: ours.means(given, [ours.last], audio), lambda: ours.means(some, [ours.last])),
            goal="stated",
            remarks="24 layers; the processor lays the windows out in both",
        ),
    ]


def _filter() -> str:
    """Which filter is taken: one of the same size costs the same time."""
    try:
        audio_module.response(RATE // 2, RATE)
    except ModuleNotFoundError:
        taps = np.arange(-REACH, REACH + 1)
        sinc = (np.sinc(taps / 2) * np.hanning(len(taps))).astype(np.float32)
        audio_module.response = lambda *_: sinc
        return "a sinc's filter, as soxr is not installed"
    return "soxr's filter"


def _decoded(given: Sequence[Tensor], device: str) -> Tensor:
    """Samples out of a byte each, from memory that the GPU reads by itself."""
    codes = torch.zeros(sum(map(len, given)), dtype=torch.uint8).pin_memory().to(device, non_blocking=True)
    levels = torch.linspace(-1, 1, 256, device=device)
    return levels[codes.int()]


def _copied(given: Sequence[Tensor], device: str, spent_us: float) -> Measure:
    """Copies to the GPU, and what they would take from memory that the system may move."""
    whole = torch.cat(list(given))
    pinned = whole.pin_memory()
    pairs = [(_rate(given, lambda: pinned.to(device)), _rate(given, lambda: whole.to(device))) for _ in range(ROUNDS)]
    faster = statistics.median(one / other for one, other in pairs)
    remarks = (
        f"{whole.nbytes / len(given) / 1e3:.0f} kB each; {faster:.1f} times as fast as from memory that is not pinned"
    )
    return Measure("copying a window to the GPU", spent_us, "us", goal="stated", remarks=remarks)


def _kernels(way: Callable[[], object]) -> dict[str, float]:
    """Kernel or copy -> microseconds of the GPU, the longest first, after a first time that counts for nothing."""
    way()
    torch.cuda.synchronize()
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as found:
        way()
        torch.cuda.synchronize()
    kernels = sorted(found.key_averages(), key=lambda each: -each.self_device_time_total)
    return {each.key: each.self_device_time_total for each in kernels}


def six_heads(device: str, encoder_us: float) -> Measure:
    """What a window costs beside the encoder, with the processor's part: 12 machines, 8,000 support vectors."""
    random = np.random.default_rng(SEED)
    classes = {f"{at}": ("no", "yes") for at in range(6)}
    mean, scale, dual = np.zeros(VALUES), np.ones(VALUES), random.normal(size=(SUPPORT, 12))
    heads = Heads(
        classes, mean, scale, random.normal(size=(SUPPORT, VALUES)).astype(np.float32), dual, np.zeros(12), 1 / VALUES
    )
    made, points = fast(heads, on(device)), random.normal(size=(HEARD, VALUES)).astype(np.float32)
    product = on(device)(made)
    spent = statistics.median(_times(lambda: product(points))) * 1e3 / HEARD
    whole = statistics.median(_times(lambda: fast_decisions(made, points))) * 1e3 / HEARD
    remarks = (
        f"{whole:.2f} us a window in batches of {HEARD}, from memory to memory; {spent:.2f} us of it"
        f" ({spent / encoder_us:.2%} of the encoder's time) is the product on the GPU with its transfers"
    )
    return Measure("six SVM heads, share of the encoder's time", whole / encoder_us, "", goal="0.01", remarks=remarks)


def _pairs(
    some: Sequence[Tensor], ours: Callable[[], object], others: Callable[[], object]
) -> list[tuple[float, float]]:
    return [(_rate(some, ours), _rate(some, others)) for _ in range(ROUNDS)]


def _rate(some: Sequence[Tensor], way: Callable[[], object]) -> float:
    """Seconds of audio in a second, after a first time that counts for nothing."""
    way()
    torch.cuda.synchronize()
    began = time.perf_counter()
    way()
    torch.cuda.synchronize()
    return seconds_of(some) / (time.perf_counter() - began)


def _times(way: Callable[[], Any]) -> list[float]:
    """Milliseconds of each of many times."""
    found = []
    for at in range(LONE + 20):
        began = time.perf_counter()
        way()
        if at >= 20:
            found.append((time.perf_counter() - began) * 1e3)
    return found


if __name__ == "__main__":
    main()
