"""`undertone publish`: recordings become calls on `calls.v1`."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated
from uuid import uuid4

import typer
from rich.console import Console
from rich.progress import Progress

from services.calls import GIVEN_BEFORE, Planned, counted, roles, use_case_named
from services.commands import site
from services.commands.moments import moment
from services.recordings import CHUNK_MS, Recording, open_recording
from streams.adapters.memory_topics import MemoryTopics
from streams.domain import call
from streams.domain.records import MAX_CHUNK_MS, Audio, Consent, Encoding, Notice, Purpose, Role, Started
from streams.domain.roles import OneChannel, told_apart
from streams.kafka.admin import partitions_of
from streams.kafka.cloudevents import decode_call, encode_call, partition_of
from streams.kafka.connection import connection
from streams.kafka.producer import KafkaSender
from streams.kafka.publish import NoTopicError
from streams.kafka.publish import publish as send
from streams.settings import Settings
from streams.topics import CALLS

PATIENCE_S = 2.0  #: until a progress bar appears

app = typer.Typer()


class Wire(StrEnum):
    """How audio can be written on the wire."""

    PCMU = "pcmu"
    PCMA = "pcma"
    L16 = "l16"


class PublishError(ValueError):
    """What was asked for cannot be published. Names the option and the remedy."""


Files = Annotated[list[Path], typer.Argument(help="Recordings: 8 to 48 kHz, PCM or G.711, 1 or 2 channels.")]
Channels = Annotated[
    str | None,
    typer.Option(help="Who is on which channel, in order: customer, agent or mixed. A wrong order scores the agent."),
]
NoticeId = Annotated[str | None, typer.Option("--notice", help="Id of the notice that the customer was given.")]
Basis = Annotated[str | None, typer.Option("--consent", help="Basis on which emotion.alerting is allowed.")]
Expires = Annotated[str | None, typer.Option(help="When that consent ends: a time such as 2026-12-31T23:59:00+01:00.")]
UseCaseName = Annotated[str, typer.Option(help="The use case by whose rules the call is judged.")]
Reference = Annotated[
    str | None, typer.Option(help="The contact centre's own id of the call, opaque: it comes back with escalations.")
]
CallId = Annotated[str | None, typer.Option(help="Raw id of the call; a random one where it is not given.")]
ChunkMs = Annotated[int, typer.Option(min=1, max=MAX_CHUNK_MS, help="Length of a chunk.")]
Encoded = Annotated[Wire | None, typer.Option(help="How audio is sent; as the file has it where not given.")]
Speed = Annotated[float, typer.Option(min=0, help="1: in real time; 0: as fast as the broker takes it.")]


@app.command()
def publish(
    files: Files,
    *,
    channels: Channels = None,
    notice: NoticeId = None,
    notice_version: Annotated[str, typer.Option(help="Version of the notice.")] = "1",
    notice_language: Annotated[str, typer.Option(help="Language of the notice (BCP 47).")] = "en",
    consent: Basis = None,
    expires_at: Expires = None,
    use_case: UseCaseName = "demo",
    language: Annotated[str, typer.Option(help="Language of the call (BCP 47).")] = "en",
    reference: Reference = None,
    call_id: CallId = None,
    chunk_ms: ChunkMs = CHUNK_MS,
    encoding: Encoded = None,
    speed: Speed = 0,
) -> None:
    """Publish recordings as calls, one each and all at the same time.

    Nothing is scored unless one channel is named customer, and notice and consent are given.

    For example:

        undertone publish call.wav --channels agent,customer --notice greeting --consent consent

        undertone publish monday/*.wav --speed 1
    """
    recordings = [_written(open_recording(file), encoding) for file in files]
    if call_id is not None and len(recordings) > 1:
        raise PublishError("--call-id names one call, but several files are given; publish them one by one")
    at = datetime.now(UTC)
    given_at = at - GIVEN_BEFORE
    told = Notice(notice, notice_version, notice_language, given_at) if notice is not None else None
    granted = None if consent is None else grant(consent, given_at, expires_at, at)
    started = Started(use_case, (), language, told, (granted,) if granted else (), reference)
    plans = [
        Planned(each, call_id or str(uuid4()), replace(started, channels=roles(channels, each)), at, chunk_ms)
        for each in recordings
    ]
    for plan in plans:
        check(plan)
    settings = site.settings()
    case = use_case_named(use_case, settings.use_cases)
    asyncio.run(_publish(plans, settings, speed))
    for reason in sorted({reason for plan in plans for reason in unscored(plan.started, case.one_channel)}):
        typer.secho(f"Nothing is scored: {reason}", fg="yellow", err=True)


def grant(basis: str, given_at: datetime, expires_at: str | None, now: datetime) -> Consent:
    """Consent to be alerted about the customer's emotion."""
    expires = None if expires_at is None else moment(expires_at, "--expires-at")
    if expires is not None and expires <= now:
        raise PublishError(f"--expires-at {expires_at}: is over; give a time to come")
    return Consent(Purpose.ALERTING, granted=True, basis=basis, given_at=given_at, expires_at=expires)


def check(plan: Planned) -> None:
    """Refuse here what the stream would only dead-letter. Raises UnusableError, RecordingError."""
    begins = next(plan.records())
    read = decode_call(MemoryTopics().append(encode_call(begins)))
    call.begin(read, call="", epoch="")


def unscored(started: Started, told: OneChannel | None = None) -> Iterator[str]:
    """Each reason why nothing of the call will be scored, with its remedy; `told` is the use case's `one_channel`."""
    apart = told_apart(started.channels, told) is not None
    if not apart and (Role.CUSTOMER not in started.channels or Role.MIXED in started.channels):
        yield "no channel is certainly the customer's (--channels agent,customer)"
    if started.notice is None:
        yield "no notice was given (--notice ID)"
    if not started.consents:
        yield "no consent was given (--consent BASIS)"


def _written(recording: Recording, wire: Wire | None) -> Recording:
    return recording if wire is None else replace(recording, encoding=Encoding[wire.name])


async def _publish(plans: Sequence[Planned], settings: Settings, speed: float) -> None:
    with site.kafka(settings):
        partitions = await partitions_of(settings, CALLS.name)
        if not partitions:
            raise NoTopicError(f"there is no topic {CALLS.name}; run `undertone topics apply`")
        async with KafkaSender(connection(settings)) as sender:
            with _progress(sum(plan.recording.duration_ms for plan in plans)) as advance:
                sent = await asyncio.gather(
                    *(send(counted(plan.records(), advance), sender, speed=speed) for plan in plans)
                )
    for plan, records in zip(plans, sent, strict=True):
        partition = partition_of(plan.call_id.encode(), partitions)
        seconds = plan.recording.duration_ms / 1000
        said = f"{plan.recording.path.name}: call {plan.call_id}, {records} records, {seconds:.1f} s"
        typer.echo(f"{said}, partition {partition} of {CALLS.name}")


@contextmanager
def _progress(total_ms: int) -> Iterator[Callable[[Audio], None]]:
    """A bar on stderr, which appears where it takes long and somebody watches."""
    bar = Progress(console=Console(stderr=True), transient=True)
    task = bar.add_task("publishing", total=total_ms)
    start = asyncio.get_running_loop().call_later(PATIENCE_S, bar.start) if bar.console.is_terminal else None
    try:
        yield lambda audio: bar.advance(task, audio.duration_ms)
    finally:
        if start is not None:
            start.cancel()
        if bar.live.is_started:
            bar.stop()
