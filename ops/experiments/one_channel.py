"""How much of what is scored on one channel is the agent's, on generated two-party calls, and what refusing costs.

    python ops/experiments/one_channel.py ../shared/data [reported|chosen|calls8k] [CALLS A PAIR]

`chosen` are the calls on which the thresholds were chosen: the speakers of EmoDB that the space was estimated from, and
a telephone agent. `reported` are of other speakers: the other five of EmoDB, and the two parties of a call. Networks
that UNDERTONE_SPEAKER_EMBEDDING, UNDERTONE_SPEAKER_SPACE and UNDERTONE_SEGMENTATION name are measured in the default's
place: its thresholds were not chosen for them.
"""

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.progress import track
from scipy.stats import beta
from two_party import RATE, Call, Utterance, channels, emodb, make, sexes, spoken
from voices import SPEAKERS

from services.recordings import open_recording, read
from streams.domain.call import Listen
from streams.domain.records import Audio, Encoding, Role
from streams.domain.roles import OneChannel
from streams.settings import Settings
from streams.speech import listening
from streams.speech.activity import VoiceActivity
from streams.speech.decode import encode
from streams.speech.expecting import Expecting
from streams.speech.telling import Telling, open_telling

AT = datetime(2026, 11, 27, tzinfo=UTC)
CHUNK_MS = 1000
TOGETHER = 64  #: calls that are heard at once
SEEDS = {"chosen": 11, "reported": 13}
TOLERATED_MS = 100  #: of the agent's voice by itself in a window: the edge of a word


@dataclass(frozen=True, slots=True)
class Scored:
    """A window that was scored: its pair of speakers and group, and for how long the parties speak in it (ms)."""

    pair: tuple[str, str]
    group: str
    start_ms: int
    length: int
    agent: int  #: at all
    agent_alone: int
    customer: int


@dataclass(frozen=True, slots=True)
class Drawn:
    """A generated call: who is on it, and of which group its pair is."""

    pair: tuple[str, str]
    group: str
    call: Call


def calls(shared: Path, which: str, each: int) -> Iterator[Drawn]:
    """The calls, `each` of every pair of speakers and order."""
    acted, telephone, sex = emodb(shared / "emodb4"), channels(shared / "calls8k"), sexes(shared / "emodb4")
    chosen = which == "chosen"
    names = [name for name in acted if (name in SPEAKERS) is chosen]
    lines = [name for name in telephone if (name == "other") is chosen]
    said: Mapping[str, Sequence[Utterance]] = {**acted, **telephone}
    for number, pair in enumerate((a, b) for a in [*names, *lines] for b in [*names, *lines] if a != b):
        both = sum(name in acted for name in pair)
        group = ("telephone", "acted and telephone", "acted, same sex")[both]
        if both == 2 and sex[pair[0]] != sex[pair[1]]:
            group = "acted, other sex"
        for repeat in range(each * (1 if both == 2 else 10)):  # of most acted pairs nothing is scored
            rng = np.random.default_rng([SEEDS[which], number, repeat])
            yield Drawn(pair, group, make(said[pair[0]], said[pair[1]], rng))


def scored(drawn: Sequence[Drawn], model: VoiceActivity, telling: Telling) -> list[Scored]:
    """The windows of some calls, heard together as a worker hears them."""
    expecting = Expecting(one_channel=OneChannel(Role.AGENT), reach_ms=telling.reach_ms)
    heard = [listening.silent((Role.MIXED,), expecting) for _ in drawn]
    found: list[Scored] = []
    longest = max(len(each.call.pcm) for each in drawn) * 1000 // RATE
    for at_ms in range(0, longest, CHUNK_MS):
        open_ = [index for index, each in enumerate(drawn) if len(each.call.pcm) * 1000 // RATE > at_ms]
        chunks = [(heard[index], Listen(at_ms, _audio(drawn[index].call, at_ms), 0, AT), at_ms) for index in open_]
        for index, windows in zip(open_, listening.hear(model, chunks, telling), strict=True):
            found += [_scored(drawn[index], window.start_ms, window.end_ms) for window in windows]
    for index, each in enumerate(drawn):
        ended = heard[index].stop(len(each.call.pcm) * 1000 // RATE)
        found += [_scored(each, window.start_ms, window.end_ms) for window in ended]
    return found


def _audio(call: Call, at_ms: int) -> Audio:
    pcm: NDArray[np.int16] = call.pcm[at_ms * RATE // 1000 : (at_ms + CHUNK_MS) * RATE // 1000]
    return Audio(Encoding.L16, RATE, 1, encode(Encoding.L16, pcm[np.newaxis]))


def _scored(drawn: Drawn, start_ms: int, end_ms: int) -> Scored:
    ticks = slice(start_ms // 10, end_ms // 10)
    agent, customer = drawn.call.agent[ticks], drawn.call.customer[ticks]
    times = [int(each.sum()) * 10 for each in (agent, agent & ~customer, customer)]
    return Scored(drawn.pair, drawn.group, start_ms, end_ms - start_ms, *times)


def upper(bad: int, of: int) -> float:
    """The exact upper 95 % bound of a share (Clopper and Pearson), one-sided: 3 / N where none of N is bad."""
    return 1.0 if bad >= of else float(beta.ppf(0.95, bad + 1, of - bad))


def bound(windows: Sequence[Scored]) -> float:
    """The upper 95 % bound of the agent's share of scored time: bootstrap over windows; 3 / N where there is none."""
    times = np.array([(each.agent_alone, each.length) for each in windows]).reshape(-1, 2)
    if not times[:, 0].any():
        return upper(0, len(windows))
    rng = np.random.default_rng(1)
    draws = [times[rng.integers(0, len(times), len(times))].sum(axis=0) for _ in range(2000)]
    return float(np.percentile([agent / length for agent, length in draws], 95))


def line(name: str, windows: Sequence[Scored], spoken_ms: int, count: int) -> str:
    """What came of a group of calls."""
    length = sum(each.length for each in windows)
    alone, any_ = (sum(getattr(each, what) for each in windows) for what in ("agent_alone", "agent"))
    bad = sum(each.agent_alone > TOLERATED_MS for each in windows)
    share = sum(each.customer for each in windows) / spoken_ms if spoken_ms else 0.0
    return (
        f"{name:20} {count:4} calls {len(windows):5} windows {length / 1000:7.0f} s, {share:5.1%} of their customers: "
        f"agent alone {alone / max(length, 1):.3%}, at all {any_ / max(length, 1):.3%} of scored time; "
        f"95 % bound {bound(windows):.3%}; windows with the agent alone: {bad}, bound {upper(bad, len(windows)):.3%}"
    )


def silent_seconds(folder: Path, model: VoiceActivity, telling: Telling) -> None:
    """List every scored second of the real call's mono sum in which the caller's own channel is silent."""
    agent, caller = (spoken(channel) for channel in read(open_recording(folder / "aws_auto_repairs_40_2ch.wav")))
    (mono,) = read(open_recording(folder / "aws_auto_repairs_40_mono.wav"))
    pair = ("agent", "caller")
    windows = scored([Drawn(pair, "real", Call(mono, agent, caller, 0))], model, telling)
    for window in windows:
        first, last = window.start_ms // 10, (window.start_ms + window.length) // 10
        seconds = sorted({(first + int(tick)) // 100 for tick in np.flatnonzero((agent & ~caller)[first:last])})
        print(f"{first / 100:7.1f} s, {window.length / 1000:4.1f} s long: the agent alone in {seconds or 'no second'}")
    print(line("mono sum", windows, int(caller.sum()) * 10, 1))


def main() -> None:
    """Print a line for each group of calls and one for all."""
    said = Settings.read(os.environ)
    telling = open_telling(said.speaker_embedding, said.speaker_space, said.segmentation)
    if sys.argv[2:3] == ["calls8k"]:
        silent_seconds(Path(sys.argv[1]) / "calls8k", VoiceActivity(), telling)
        return
    shared, which = Path(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else "reported"
    each, model = int(sys.argv[3]) if len(sys.argv) > 3 else 5, VoiceActivity()
    drawn = list(calls(shared, which, each))
    windows: list[Scored] = []
    for start in track(range(0, len(drawn), TOGETHER), description="calls"):
        windows += scored(drawn[start : start + TOGETHER], model, telling)
    for group in [*dict.fromkeys(one.group for one in drawn), "all"]:
        of = [one for one in drawn if group in {one.group, "all"}]
        spoken_ms = sum(int(one.call.customer.sum()) * 10 for one in of)
        print(line(group, [one for one in windows if group in {one.group, "all"}], spoken_ms, len(of)))
    overlap = np.percentile([one.call.overlap for one in drawn], [0, 50, 100])
    print(f"overlap of a call: {overlap[0]:.0%} to {overlap[2]:.0%} of its speech, median {overlap[1]:.1%}")


if __name__ == "__main__":
    main()
