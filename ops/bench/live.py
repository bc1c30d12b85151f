"""A contact centre on this machine, in real time: calls are published, label rows are watched as they come."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import psycopg
from results import ROOT

from services.recordings import call_records, open_recording
from services.standalone.stack import Stack
from streams.domain.call import Listen
from streams.domain.privacy import pseudonym
from streams.domain.records import Audio, CallRecord, Consent, Notice, Purpose, Role, Started
from streams.kafka.connection import connection
from streams.kafka.producer import KafkaSender
from streams.kafka.publish import publish
from streams.speech.activity import VoiceActivity
from streams.speech.listening import hear, silent
from streams.store.epochs import read_epochs

SAMPLES = [ROOT / "services" / "standalone" / "samples" / name for name in ("calm.wav", "angry.wav")]
ROLES = (Role.AGENT, Role.CUSTOMER)
LOOK_S = 0.02
NEW = "SELECT window_id, call, start_ms, extract(epoch FROM spoken_at)::float8 FROM labels WHERE labelled_at > %s"


@dataclass(frozen=True, slots=True)
class Row:
    """A label row: seen committed at `seen_at` (s since 1970), its last sample logged at `spoken_at`."""

    call: str
    start_ms: int
    spoken_at: float
    seen_at: float


@dataclass(slots=True)
class Watch:
    """Sees label rows as soon as others can see them, 20 ms late at most."""

    address: str
    rows: dict[str, Row] = field(default_factory=dict)

    async def run(self) -> None:
        """Look until cancelled."""
        since = datetime.now(UTC)
        async with await psycopg.AsyncConnection.connect(self.address, autocommit=True) as database:
            while True:
                found = await (await database.execute(NEW, (since,))).fetchall()
                now = time.time()
                for window, call, start_ms, spoken_at in found:
                    self.rows.setdefault(window, Row(call, start_ms, spoken_at, now))
                await asyncio.sleep(LOOK_S)


@asynccontextmanager
async def watching(stack: Stack) -> AsyncIterator[Watch]:
    """A watch over the stack's label rows."""
    watch = Watch(stack.settings.postgres.get_secret_value())
    task = asyncio.create_task(watch.run())
    try:
        yield watch
    finally:
        task.cancel()


def told(recording: Path) -> list[CallRecord]:
    """The recording as a new call."""
    at = datetime.now(UTC)
    grant = Consent(Purpose.ALERTING, granted=True, basis="consent", given_at=at)
    started = Started("demo", ROLES, "en", Notice("bench", "1", "en", at), (grant,))
    return list(call_records(open_recording(recording), call_id=f"call-{uuid.uuid4()}", started=started, at=at))


async def play(stack: Stack, recording: Path, *, after_s: float = 0, times: int = 1) -> list[str]:
    """Publish the recording in real time, so many times in turn; the calls' pseudonyms."""
    await asyncio.sleep(after_s)
    names = []
    async with KafkaSender(connection(stack.settings)) as sender:
        for _ in range(times):
            records = told(recording)
            names.append(pseudonym(read_epochs(stack.settings.epochs)[-1], records[0].call_id))
            await publish(records, sender, speed=1)
    return names


def certain_after_ms(recording: Path) -> dict[int, int]:
    """Start of each window -> ms from the chunk with its last sample to the one that makes it certain, by the rule."""
    model, call, found = VoiceActivity(), silent(ROLES), {}
    chunks = [record for record in told(recording) if isinstance(record.body, Audio)]
    ends = [record.media_ms + record.body.duration_ms for record in chunks if isinstance(record.body, Audio)]
    for record, end_ms in zip(chunks, ends, strict=True):
        if isinstance(record.body, Audio):
            chunk = Listen(record.media_ms, record.body, 0, record.logged_at)
            for window in hear(model, [(call, chunk, record.sequence)])[0]:
                found[window.start_ms] = end_ms - _chunk_end(ends, window.end_ms)
    for window in call.stop(ends[-1]):
        found[window.start_ms] = ends[-1] - _chunk_end(ends, window.end_ms)
    return found


def _chunk_end(ends: Sequence[int], media_ms: int) -> int:
    return next(end for end in ends if media_ms <= end)
