"""Speech to committed label: 20 calls in real time through the whole stack, and each stage's share."""

import asyncio
import statistics
import tempfile
from collections.abc import Mapping
from pathlib import Path
from urllib.request import urlopen

from live import SAMPLES, certain_after_ms, play, watching
from prometheus_client.parser import text_string_to_metric_families
from results import Measure, progress, quantile

from services.standalone.stack import Stack, running_stack

OPEN_CALLS, STAGGER_S = 20, 0.73
GOAL_S = 1.5
SHARES = {
    "segment": ("ingest_seconds", "commit_seconds"),
    "label": ("queue_seconds", "inference_seconds", "commit_seconds"),
    "escalate": ("commit_seconds",),
}


def measure() -> list[Measure]:
    """Beyond the silence (or the 2.5 s of further speech) by which the rule knows that a window has ended."""
    with tempfile.TemporaryDirectory() as folder:
        return asyncio.run(_measure(Path(folder)))


async def _measure(folder: Path) -> list[Measure]:
    certain = {sample: certain_after_ms(sample) for sample in SAMPLES}
    async with running_stack(folder, demo_bundle=True, partitions=4) as stack, watching(stack) as watch:
        progress(f"latency: {OPEN_CALLS} calls of about 52 s in real time")
        chosen = [SAMPLES[number % len(SAMPLES)] for number in range(OPEN_CALLS)]
        playing = [play(stack, sample, after_s=STAGGER_S * n) for n, sample in enumerate(chosen)]
        names = await asyncio.gather(*playing)
        await asyncio.sleep(10)
        sample_of = {name: sample for [name], sample in zip(names, chosen, strict=True)}
        waits = [
            row.seen_at - row.spoken_at - certain[sample_of[row.call]][row.start_ms] / 1000
            for row in watch.rows.values()
        ]
        shares = _shares(stack)
    if len(waits) != sum(len(certain[sample]) for sample in chosen):
        raise RuntimeError("not every window was labelled")
    remarks = f"{len(waits)} windows of {OPEN_CALLS} calls; min to max beside; means by stage: {shares}"
    told = {"p95": quantile(waits, 0.95), "median": statistics.median(waits)}
    return [
        Measure(
            f"log-append to label, {which}",
            value,
            "s",
            low=min(waits),
            high=max(waits),
            goal=f"{GOAL_S} s" if which == "p95" else "stated",
            remarks=remarks if which == "p95" else "",
        )
        for which, value in told.items()
    ]


def _shares(stack: Stack) -> str:
    """The mean of each stage's histograms."""
    said = []
    for stage, names in SHARES.items():
        means = _means(stack.probes[stage].removesuffix("/ready") + "/metrics")
        said += [f"{stage} {name.removesuffix('_seconds')} {means[name] * 1000:.0f} ms" for name in names]
    return ", ".join(said)


def _means(address: str) -> Mapping[str, float]:
    with urlopen(address, timeout=5) as reply:  # noqa: S310 - our own worker's metrics
        families = list(text_string_to_metric_families(reply.read().decode()))
    found = {}
    for family in families:
        values = {sample.name: sample.value for sample in family.samples}
        if values.get(f"{family.name}_count"):
            mean = values[f"{family.name}_sum"] / values[f"{family.name}_count"]
            found[family.name.removeprefix("undertone_")] = mean
    return found
