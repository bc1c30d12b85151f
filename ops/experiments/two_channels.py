"""What becomes of the agent's echo, of swapped channels and of what is no speech on calls of two channels.

    python ops/experiments/two_channels.py ../shared/data

Echo is added to `calls8k`'s call; the constants of `streams/speech/crosstalk.py` were found on calls put together from
`emodb4`. Such calls, others, are the ones whose channels are swapped.
"""

import csv
import sys
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from rich.table import Table

from services.recordings import open_recording, read
from services.training.sounds import sounds
from streams.domain.call import Listen
from streams.domain.overlap import FRAME_MS, OFFSET, ONSET
from streams.domain.records import Audio, Encoding, Role
from streams.domain.windows import Fate
from streams.speech import crosstalk, listening
from streams.speech.activity import Activity, Stretch, VoiceActivity, context_samples, frame_samples
from streams.speech.crosstalk import Pair
from streams.speech.decode import Pcm, decode, encode
from streams.speech.expecting import Expecting
from streams.speech.listening import Listening
from streams.speech.resample import resample

RATE, CHUNK_MS, SEED = 8000, 5000, 20261127
GAINS_DB, DELAYS_MS = (-6, -12, -18, -24, -30), (0, 50, 100, 150, 200, 250, 300)
ROLES = (Role.AGENT, Role.CUSTOMER)
AT = datetime(2026, 1, 1, tzinfo=UTC)
CALLS, TURNS, SOUNDS = 40, 8, 25
MODEL = VoiceActivity()

Frames = NDArray[np.bool_]
Floats = NDArray[np.float64]


def wired(channels: Floats) -> Pcm:
    """As G.711 leaves it, shape (2, samples)."""
    pcm = np.clip(np.rint(channels), -32768, 32767).astype(np.int16)
    size = frame_samples(RATE)
    pcm = pcm[:, : pcm.shape[1] // size * size]
    return decode(Audio(Encoding.PCMU, RATE, 2, encode(Encoding.PCMU, pcm)))


def heard(pcm: Pcm, *, speaks_first: Role | None = None) -> tuple[Listening, Frames]:
    """A call through the functions of the live stream; which frames are in a window."""
    call, windows = listening.silent(ROLES, Expecting(speaks_first)), []
    size, at_ms = CHUNK_MS * RATE // 1000, 0
    for number, first in enumerate(range(0, pcm.shape[1], size)):
        audio = Audio(Encoding.L16, RATE, 2, encode(Encoding.L16, pcm[:, first : first + size]))
        chunk = Listen(at_ms, audio, 0, AT + timedelta(milliseconds=at_ms))
        windows += listening.hear(MODEL, [(call, chunk, number)])[0]
        at_ms += audio.duration_ms
    windows += call.stop(at_ms)
    scored = np.zeros(at_ms // FRAME_MS, bool)
    for window in windows:
        scored[window.start_ms // FRAME_MS : window.end_ms // FRAME_MS] = True
    return call, scored


def activities(pcm: Pcm) -> list[Activity]:
    """Voice activity of both channels."""
    silence = np.zeros(context_samples(RATE), np.int16)
    return MODEL.hear(RATE, [Stretch(np.ascontiguousarray(channel), silence) for channel in pcm])


def spoken(activity: Activity) -> Frames:
    """Frames of speech."""
    on, found = False, []
    for probability in activity.probability:
        on = probability >= (OFFSET if on else ONSET)
        found.append(on)
    return np.array(found)


def late(frames: Floats | Frames, count: int) -> Floats | Frames:
    """The same, later."""
    return np.concatenate((np.zeros(count, frames.dtype), frames[: len(frames) - count]))


def echo(call: Path) -> Table:
    """The goals: 99 % of the agent's echo not scored, at most 2 % of the customer's speech lost."""
    clean = wired(read(open_recording(call)).astype(float))
    agent, customer = map(spoken, activities(clean))
    _, before = heard(clean)
    table = Table("echo", "of echo alone scored", "of the customer's speech lost", "leak, s", title="echo on calls8k")
    worst, cases = Counter[str](), [(gain, delay) for gain in GAINS_DB for delay in DELAYS_MS]
    for gain_db, delay_ms in track(cases, description="echo"):
        added = late(clean[0].astype(float), delay_ms * RATE // 1000) * 10 ** (gain_db / 20)
        call_, after = heard(wired(clean + np.stack((0 * added, added))))
        alone = late(agent, round(delay_ms / FRAME_MS)).astype(bool) & ~customer
        scored, lost = (
            (after & alone).sum() / alone.sum(),
            (before & customer & ~after).sum() / (before & customer).sum(),
        )
        leak = call_.hearing.fates[1].get(Fate.LEAK, 0) / 1000
        table.add_row(f"{gain_db} dB, {delay_ms} ms", f"{scored:.2%}", f"{lost:.2%}", f"{leak:.1f}")
        worst |= Counter({"scored": scored, "lost": lost})
    table.add_row("worst", f"{worst['scored']:.2%}", f"{worst['lost']:.2%}", "")
    return table


def two_party(corpus: Path, random: np.random.Generator, *, hello: bool) -> Floats:
    """Two speakers of the corpus who take turns, the agent first; `hello`: after half a second of the customer's."""
    by_speaker: dict[str, list[Path]] = {}
    for row in csv.DictReader((corpus / "labels.csv").open(encoding="utf-8")):
        by_speaker.setdefault(row["speaker"], []).append(corpus / row["path"])
    pair = [by_speaker[name] for name in random.choice(sorted(by_speaker), 2, replace=False)]
    out, at = random.normal(0, 5, (2, 90 * RATE)), 0.5
    for turn in range(-1 if hello else 0, TURNS):
        samples = utterance(pair[turn % 2][random.integers(len(pair[turn % 2]))])
        samples = samples[: RATE // 2] if turn < 0 else samples
        first = int(at * RATE)
        out[turn % 2, first : first + len(samples)] += samples
        at += len(samples) / RATE + random.uniform(-0.2, 0.8)
    return out[:, : int((at + 1) * RATE)]


def utterance(path: Path) -> Floats:
    """At 8 kHz, as loud as others."""
    source = open_recording(path)
    told = resample(read(source).astype(np.float32), source.rate, RATE)[0].astype(float)
    return told / np.sqrt((told**2).mean()) * 3000


def swapped(corpus: Path) -> Table:
    """How often a call is refused whose channels are as declared, and how often one is not whose are not."""
    table = Table(
        "calls", "refused, as declared", "scored, swapped", "wrong person scored, s", title="speaks_first: agent"
    )
    random = np.random.default_rng(SEED)
    for name, hello, leaks in (("clean", False, False), ("echo -12 dB", False, True), ("'hello?' first", True, False)):
        counts = Counter[str]()
        for _ in track(range(CALLS), description=f"swapped, {name}"):
            channels = two_party(corpus, random, hello=hello)
            if leaks:
                channels[1] += 0.25 * late(channels[0], 1200)
            pcm = wired(channels)
            call, _ = heard(pcm, speaks_first=Role.AGENT)
            wrong, scored = heard(pcm[::-1], speaks_first=Role.AGENT)
            counts.update(
                alarms=call.hearing.doubt.refused, misses=not wrong.hearing.doubt.refused, frames=int(scored.sum())
            )
        wrong_s = counts["frames"] * FRAME_MS / 1000
        table.add_row(name, f"{counts['alarms']} of {CALLS}", f"{counts['misses']} of {CALLS}", f"{wrong_s:.1f}")
    return table


def not_speech(call: Path) -> Table:
    """Sounds that become windows, and the customer's speech that is taken for something else."""
    table = Table("sound", "taken for speech", "in a window", title="no speech, on the customer's channel")
    length, active, scored = Counter[str](), Counter[str](), Counter[str]()
    made = list(sounds(np.random.default_rng(SEED), SOUNDS))
    for name, samples in track(made, description="sounds"):
        pcm = wired(np.stack((np.zeros(len(samples)), samples * 32767.0)))
        length[name] += pcm.shape[1] // frame_samples(RATE)
        active[name] += int(spoken(activities(pcm)[1]).sum())
        scored[name] += int(heard(pcm)[1].sum())
    for name in length:
        table.add_row(name, f"{active[name] / length[name]:.2%}", f"{scored[name] / length[name]:.2%}")
    clean, _ = heard(wired(read(open_recording(call)).astype(float)))
    fates = clean.hearing.fates[1]
    dropped = fates.get(Fate.LEAK, 0) + fates.get(Fate.NOT_SPEECH, 0)
    speech = dropped + fates[Fate.WINDOW] + fates[Fate.SHORT]
    table.add_row("calls8k: the customer's speech dropped", f"{dropped / speech:.2%}", f"{dropped} ms")
    return table


def cost(call: Path) -> Table:
    """CPU a frame of a call: cross-talk beside voice activity, 128 calls in chunks of 192 ms."""
    clean = wired(read(open_recording(call)).astype(float))
    size, silence = 6 * frame_samples(RATE), np.zeros(context_samples(RATE), np.int16)
    pieces = [clean[:, n * size * 6 :][:, :size] for n in range(128)]
    stretches = [Stretch(np.ascontiguousarray(channel), silence) for piece in pieces for channel in piece]
    spent = []
    for _ in track(range(10), description="cost"):
        began = time.process_time()
        found = MODEL.hear(RATE, stretches)
        between = time.process_time()
        crosstalk.judge([Pair((one.levels, two.levels)) for one, two in zip(found[::2], found[1::2], strict=True)])
        spent.append((between - began, time.process_time() - between))
    voice, leak = (1e6 * least / len(pieces) / 6 for least in map(min, zip(*spent, strict=True)))
    table = Table("voice activity", "cross-talk", "share", "state a call", title="us of CPU a frame of a call")
    table.add_row(f"{voice:.1f}", f"{leak:.1f}", f"{leak / voice:.0%}", f"{len(crosstalk.START)} bytes")
    return table


def main() -> None:
    """Print every table."""
    data = Path(sys.argv[1])
    call = data / "calls8k" / "aws_auto_repairs_40_2ch.wav"
    for table in (echo(call), swapped(data / "emodb4"), not_speech(call), cost(call)):
        Console().print(table)


if __name__ == "__main__":
    main()
