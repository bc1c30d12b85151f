"""One partition of calls over in-memory twins; a voice-activity model that hears loudness stands in for Silero."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import numpy as np
from prometheus_client import CollectorRegistry

from streams.adapters.memory_calls import MemoryCalls
from streams.adapters.memory_tables import MemoryTables
from streams.adapters.memory_topics import Kept, MemoryDeadLetters, MemoryTopics
from streams.domain.privacy import Epoch, pseudonym
from streams.domain.records import Audio, CallBody, CallRecord, Consent, Encoding, Ended, Notice, Purpose, Role, Started
from streams.kafka.cloudevents import decode_window, encode_call
from streams.metrics import Metrics
from streams.ports import Batch, Fetched
from streams.speech.activity import Activity, Stretch, VoiceActivity, frame_samples
from streams.speech.decode import encode
from streams.speech.expecting import Expecting
from streams.stages.segment import Segment
from streams.topics import CALLS, WINDOWS

AT = datetime(2026, 11, 23, 12, tzinfo=UTC)
EPOCH = Epoch("e1", b"k" * 32, AT - timedelta(days=1))
NOTICE = Notice("ivr-7", "3", "es", AT)
GRANT = Consent(Purpose.ALERTING, granted=True, basis="consent", given_at=AT)
STARTED = Started("demo", (Role.AGENT, Role.CUSTOMER), "es", notice=NOTICE, consents=(GRANT,))


class Loudness(VoiceActivity):
    """Speech is what is loud; the state counts frames, so that a lost or doubled frame shows in every later one."""

    def __init__(self) -> None:
        """No model file."""

    def hear(self, rate: int, stretches: Sequence[Stretch]) -> list[Activity]:
        return [self._hear(stretch, frame_samples(rate)) for stretch in stretches]

    def _hear(self, stretch: Stretch, size: int) -> Activity:
        frames = stretch.frames.reshape(-1, size).astype(np.int64)
        energy = [int(value) for value in (frames * frames).sum(axis=1)]
        seen = int.from_bytes(stretch.state[:8], "big") + int(stretch.context.astype(np.int64).sum()) % 7 * bool(energy)
        probability = tuple(float(value > size * 10_000) for value in energy)
        return Activity(probability, tuple(energy), (seen + len(energy)).to_bytes(8, "big"))


class Bench:
    """One partition of calls, the twins, and a stage that can crash."""

    def __init__(self) -> None:
        self.now = AT
        self.topics = MemoryTopics(partitions=1, now=lambda: self.now)
        self.tables = MemoryTables()
        self.letters = MemoryDeadLetters()
        self.committed = 0
        self.stage = self.start()

    def start(self) -> Segment:
        self.registry = CollectorRegistry()
        return Segment(
            epochs=(EPOCH,),
            use_cases={"demo": Expecting()},
            partitions=lambda: 1,
            store=MemoryCalls(self.tables),
            sender=self.topics,
            letters=self.letters,
            activity=Loudness(),
            metrics=Metrics(self.registry),
            clock=lambda: self.now,
            checkpoint_interval_s=1e-9,
        )

    def crash(self) -> None:
        self.stage = self.start()

    def handle(self, records: Sequence[Fetched], *, caught_up: bool = False) -> int | None:
        batch = Batch(CALLS.name, 0, tuple(records), self.now if caught_up else None)
        return asyncio.run(self.stage.handle(batch))

    def windows(self) -> dict[str, tuple[int, int, bytes, datetime]]:
        found: dict[str, tuple[int, int, bytes, datetime]] = {}
        for record in self.topics.read(WINDOWS.name):
            window = decode_window(record)
            content = (window.start_ms, window.end_ms, window.data, window.spoken_at)
            assert found.setdefault(window.id, content) == content
        return found

    def fates(self, call_id: str = "a") -> dict[str, dict[str, int]]:
        fates = self.tables.calls[pseudonym(EPOCH, call_id)].fates
        return {channel: dict(ms) for channel, ms in fates.items()}

    def counted(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(f"undertone_{name}_total", labels)


def chunks(marks: str, *, chunk_ms: int, seed: int = 0) -> list[Audio]:
    """Audio by the half second: a agent, c customer, b both, - nobody."""
    rng = np.random.default_rng(seed)
    speech = rng.integers(-8000, 8000, (2, len(marks) * 4000)).astype(np.int16)
    for channel, loud in enumerate(("ab", "cb")):
        quiet = np.repeat([mark not in loud for mark in marks], 4000)
        speech[channel, quiet] //= 1000
    size = chunk_ms * 8
    return [
        Audio(Encoding.L16, 8000, 2, encode(Encoding.L16, speech[:, start : start + size]))
        for start in range(0, speech.shape[1], size)
    ]


def call(marks: str, *, call_id: str = "a", chunk_ms: int = 200, started: Started = STARTED) -> list[CallRecord]:
    bodies: list[CallBody] = [started, *chunks(marks, chunk_ms=chunk_ms, seed=len(call_id)), Ended("completed")]
    records, media_ms = [], 0
    for sequence, body in enumerate(bodies):
        records.append(CallRecord(call_id, sequence, media_ms, AT, body))
        media_ms += body.duration_ms if isinstance(body, Audio) else 0
    return records


def publish(bench: Bench, records: Sequence[CallRecord], step_ms: int = 200) -> list[Kept]:
    kept = []
    for record in records:
        kept.append(bench.topics.append(encode_call(record)))
        bench.now += timedelta(milliseconds=step_ms)
    return kept
