"""The built-in bundle on one thread of a processor: windows of speech as they are sent, to what is said of them."""

import statistics
import time
from collections.abc import Callable

from results import Measure, progress
from spoken import RATE, judged
from threadpoolctl import threadpool_limits

from services.emotion.bundle import DEMO, load_bundle
from services.inference.model import Sent, heard

WINDOWS, WINDOW_S = 12, 5  #: judged together, all of them labelled
ROUNDS, AT_LEAST_S = 9, 1.0
GOAL = 300


def measure() -> list[Measure]:
    """Seconds of audio a second of the processor's time: whether they are fit, features, heads and distance."""
    bundle = load_bundle(DEMO)
    sent = [Sent(each, RATE) for each in judged(bundle, WINDOWS, WINDOW_S)]
    with threadpool_limits(1):
        rates = [_rate(lambda: heard(bundle, sent), WINDOWS * WINDOW_S) for _ in range(ROUNDS)]
    progress(f"servers: the built-in bundle judges {statistics.median(rates):,.0f} s of speech in a second of a core")
    return [
        Measure(
            "the built-in bundle, whole judgement",
            statistics.median(rates),
            "x real time per core",
            low=min(rates),
            high=max(rates),
            goal=f"{GOAL}",
            remarks=f"{WINDOWS} windows of {WINDOW_S} s of speech at once, every one labelled; one thread, CPU time",
        )
    ]


def _rate(judge: Callable[[], object], seconds: float) -> float:
    """Of the processor's time: other programs on the machine count less than by the clock."""
    judge()  # what is done once is no part of it
    began, done = time.process_time(), 0.0
    while (spent := time.process_time() - began) < AT_LEAST_S:
        judge()
        done += seconds
    return done / spent
