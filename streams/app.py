"""The composition root: builds each stage from its parts, and runs it as a process of its own."""

import asyncio
import gc
import logging
import tempfile
from collections.abc import Awaitable, Callable, Collection, Mapping
from datetime import UTC, date, datetime, timedelta
from functools import partial
from typing import Any

import faust
import mode
from prometheus_client import CollectorRegistry

from streams import topics, usecases
from streams.adapters.inference import InferenceClient
from streams.domain.reviews import Review, review
from streams.domain.scoring import Served
from streams.kafka.connection import certificate_end, connection
from streams.kafka.deadletters import KafkaDeadLetters
from streams.kafka.feed import Feed, NoFaustConsumer, fail_stop
from streams.kafka.liveness import Liveness
from streams.kafka.positions import Enquiry, Positions
from streams.kafka.producer import KafkaSender
from streams.logs import LOGGING
from streams.metrics import Metrics
from streams.ports import Stage
from streams.probes import serving
from streams.settings import Settings, SettingsError
from streams.speech.activity import VoiceActivity
from streams.speech.expecting import expecting
from streams.speech.telling import open_telling
from streams.stages.careful import Careful
from streams.stages.escalate import EscalateStage
from streams.stages.intake import named
from streams.stages.label import LabelStage
from streams.stages.relay import Relay
from streams.stages.segment import Segment, is_withdrawal
from streams.stages.untraced import Untraced
from streams.store.attempts import PostgresAttempts
from streams.store.audit import tell_head
from streams.store.calls import PostgresCalls
from streams.store.database import Database
from streams.store.epochs import read_epochs
from streams.store.erasure import count_erasures
from streams.store.outbox import PostgresOutbox
from streams.store.outcomes import Outcomes
from streams.store.retention import prune
from streams.topics import Topic
from streams.usecases import UseCase

log = logging.getLogger(__name__)

NAMES = ("segment", "label", "escalate", "relay")

#: `fetch_max_wait_ms` with `fetch_min_bytes` makes batches fat under load and costs a quiet topic 100 ms at most.
_CONSUMER: Mapping[str, Any] = {
    "fetch_min_bytes": 64 * topics.KIB,
    "fetch_max_wait_ms": 100,
    "max_partition_fetch_bytes": 1024 * topics.KIB,
    "session_timeout_ms": 6_000,  # the least that a broker allows as it is shipped: how long a killed worker is missed
    "heartbeat_interval_ms": 1_500,
    "max_poll_interval_ms": 120_000,
    "metadata_max_age_ms": 10_000,  # partitions that were added are known before calls land on them
}

#: Audio of many calls is heard in one go: what a fetch brings within its 100 ms is then a chunk of each.
_FATTER: Mapping[str, Mapping[str, Any]] = {"segment": {"fetch_min_bytes": 1024 * topics.KIB}}

PRUNE_S = 60.0  #: between two looks for rows that are past their time, and between two counts of erasures
HEAD_S = 3600.0  #: between two words in the log on the audit trail's head, and on reviews


def group(stage: str) -> str:
    """The consumer group of a stage."""
    return f"undertone.{stage}"


#: What each stage reads.
SOURCES: Mapping[str, Topic] = {"segment": topics.CALLS, "label": topics.WINDOWS, "escalate": topics.LABELS}


class Parts:
    """What a stage is built from. Nothing connects before it is first used."""

    def __init__(self, stage: str, settings: Settings) -> None:
        self.settings = settings
        self.metrics = Metrics(CollectorRegistry())
        self.database = Database(settings.postgres.get_secret_value(), application=stage)
        self.sender = KafkaSender(connection(settings))
        self.letters = KafkaDeadLetters(self.sender)
        self.use_cases = usecases.load(settings.use_cases)
        wanted = {name: Served(use_case.bundle, use_case.demo) for name, use_case in self.use_cases.items()}
        self.emotion = InferenceClient(settings.inference, self.metrics, wanted)
        self.tracing = _tracing(stage, settings, self.use_cases)

    def waiting(self) -> Mapping[str, Callable[[], bool]]:
        """Which dependencies are waited for now."""
        return {
            "kafka": lambda: self.sender.waiting,
            "postgres": lambda: self.database.waiting,
            "inference": lambda: self.emotion.waiting,
        }

    def outcomes(self) -> Outcomes:
        """Labels, evolutions and escalations, by the schemes and rules of the installed use cases."""
        rules = {name: use_case.rules for name, use_case in self.use_cases.items()}
        schemes = {name: use_case.scheme for name, use_case in self.use_cases.items()}
        return Outcomes(self.database, rules, schemes, now, self.tracing.trace_of)

    async def close(self) -> None:
        """Let go of every connection."""
        await self.sender.stop()
        await self.emotion.close()
        await self.database.close()
        await asyncio.to_thread(self.tracing.close)


def _tracing(stage: str, settings: Settings, use_cases: Collection[str]) -> Untraced:
    if settings.traces is None:
        return Untraced()
    try:
        from streams.adapters.spans import Spans  # noqa: PLC0415 - OpenTelemetry is an extra, and traces are off
        from streams.stages.traced import Traced  # noqa: PLC0415 - the same
    except ModuleNotFoundError as error:
        raise SettingsError("UNDERTONE_TRACES: needs the extra `traces`: pip install 'undertone[traces]'") from error
    return Traced(Spans.to(settings.traces, stage=stage, ratio=settings.traces_ratio), use_cases)


def now() -> datetime:
    """The time by this machine's clock."""
    return datetime.now(UTC)


def segment(parts: Parts, partitions: Callable[[], int]) -> Segment:
    """calls.v1 -> windows.v1."""
    activity, said = VoiceActivity(), parts.settings
    telling = open_telling(said.speaker_embedding, said.speaker_space, said.segmentation)
    reach_ms = telling.reach_ms
    return Segment(
        epochs=read_epochs(parts.settings.epochs),
        use_cases={name: expecting(activity, use_case, reach_ms) for name, use_case in parts.use_cases.items()},
        partitions=partitions,
        store=PostgresCalls(parts.database),
        sender=parts.tracing.sender(parts.sender),
        letters=parts.letters,
        activity=activity,
        telling=telling,
        metrics=parts.metrics,
        clock=now,
        checkpoint_interval_s=parts.settings.checkpoint_interval_s,
    )


def label(parts: Parts) -> LabelStage:
    """windows.v1 -> labels.v1."""
    asked = {name: use_case.asked for name, use_case in parts.use_cases.items()}
    emotion, sender = parts.tracing.emotion(parts.emotion), parts.tracing.sender(parts.sender)
    return LabelStage(parts.letters, parts.outcomes(), emotion, asked, sender, parts.metrics, now)


def escalate(parts: Parts) -> EscalateStage:
    """labels.v1 -> Postgres."""
    return EscalateStage(parts.letters, parts.tracing.outcomes(parts.outcomes()), parts.metrics, now)


def collect_seldom() -> None:
    """Look for cyclic garbage after 100,000 new objects, not 700: what a batch makes is freed without it."""
    gc.set_threshold(100_000, 50, 100)


def run(name: str, settings: Settings) -> None:
    """Run the stage until it is told to stop. Ends the process."""
    collect_seldom()
    parts = Parts(name, settings)
    with tempfile.TemporaryDirectory() as folder:  # Faust wants a folder for tables that it does not have
        worker = _relay_worker(parts) if name == "relay" else _stage_worker(name, parts, folder)
        worker.execute_from_commandline()


def _stage_worker(name: str, parts: Parts, folder: str) -> mode.Worker:
    app = faust.App(
        f"undertone-{name}",
        broker="kafka://unused",  # the feed and the sender have connections of their own
        datadir=folder,
        web_enabled=False,
        topic_allow_declare=False,
        topic_disable_leader=True,
    )
    app.boot_strategy = NoFaustConsumer(app)
    feed: Feed
    stage = _careful(name, parts, lambda: feed.partition_count)

    def held() -> Collection[int]:
        return feed.assigned()

    topic, arguments = SOURCES[name].name, connection(parts.settings)
    broker = Enquiry(lambda: Positions(arguments), group(name), topic, held)
    liveness = Liveness(parts.metrics, file=parts.settings.liveness, positions=broker.ask, waiting=parts.waiting())
    parts.emotion.answered = liveness.advanced
    consumer = {**arguments, **_CONSUMER, **_FATTER.get(name, {}), "group_id": group(name)}
    feed = Feed(app, stage, topic=topic, consumer=consumer, metrics=parts.metrics, liveness=liveness)
    services = (Surroundings(parts, liveness, broker.close), feed)
    return _FaustWorker(app, *services, loglevel="INFO", logging_config=LOGGING, redirect_stdouts=False)


def _careful(name: str, parts: Parts, partitions: Callable[[], int]) -> Careful:
    """The stage, wrapped so that no record can kill the process for ever."""
    attempts, dependencies = PostgresAttempts(parts.database), parts.waiting().values()

    def waiting() -> bool:
        return any(waits() for waits in dependencies)

    around = partial(Careful, attempts=attempts, letters=parts.letters, metrics=parts.metrics, waiting=waiting)
    if name == "segment":
        stage = segment(parts, partitions)
        return around(parts.tracing.stage(stage), name=stage.named, needed=is_withdrawal)
    later: Stage = label(parts) if name == "label" else escalate(parts)
    return around(parts.tracing.stage(later), name=named)


def tell_reviews(use_cases: Collection[UseCase], metrics: Metrics, today: date) -> None:
    """Count the use cases by how their review stands, and name those that somebody must look at."""
    found = {each.name: review(each.review_by, today) for each in use_cases}
    for state in Review:
        metrics.set("reviews", list(found.values()).count(state), state=state)
    for name, state in found.items():
        if state in {Review.DUE, Review.OVERDUE}:
            log.warning("a use case must be reviewed", extra={"use_case": name, "review": state})


def _relay_worker(parts: Parts) -> mode.Worker:
    liveness = Liveness(parts.metrics, file=parts.settings.liveness, waiting=parts.waiting())
    outbox = PostgresOutbox(parts.database, now, tracing=parts.tracing.relaying)
    relay = Relay(outbox, parts.tracing.sender(parts.sender), parts.metrics, liveness.progressed)

    async def prune_often() -> None:
        while True:
            await prune(parts.database, timedelta(days=parts.settings.retention_days))
            await asyncio.sleep(PRUNE_S)

    async def tell_head_often() -> None:
        while True:
            await tell_head(parts.database)
            await asyncio.sleep(HEAD_S)

    async def count_erasures_often() -> None:
        while True:
            for state, number in (await count_erasures(parts.database, now())).items():
                parts.metrics.set("erasures", number, state=state)
            await asyncio.sleep(PRUNE_S)

    async def tell_reviews_often() -> None:
        while True:
            tell_reviews(parts.use_cases.values(), parts.metrics, now().date())
            await asyncio.sleep(HEAD_S)

    beside = {
        "prune": prune_often,
        "audit": tell_head_often,
        "erasures": count_erasures_often,
        "reviews": tell_reviews_often,
    }
    loops = (Loop("relay", relay.run), *(Loop(name, often) for name, often in beside.items()))
    services = (Surroundings(parts, liveness), *loops)
    return _ModeWorker(*services, loglevel="INFO", logging_config=LOGGING, redirect_stdouts=False)


class _Deaf:
    """At SIGUSR1 mode prints every task's local variables, call ids and audio among them; at SIGUSR2 it opens pdb."""

    def _on_sigusr1(self) -> None:
        """Do nothing."""

    def _on_sigusr2(self) -> None:
        """Do nothing."""


class _FaustWorker(_Deaf, faust.Worker):
    """A worker with an app."""


class _ModeWorker(_Deaf, mode.Worker):
    """A worker without."""


class Surroundings(mode.Service):
    """What every worker has beside its stage: metrics, probes, liveness; closes every connection at the end."""

    def __init__(self, parts: Parts, liveness: Liveness, close: Callable[[], Awaitable[None]] | None = None) -> None:
        super().__init__()
        self._parts, self._liveness, self._close = parts, liveness, close

    async def on_start(self) -> None:
        """Watch over the process and serve the probes."""
        await self.add_runtime_dependency(Loop("liveness", self._liveness.run))
        settings, liveness = self._parts.settings, self._liveness
        self._parts.metrics.set("certificate_end_seconds", certificate_end(settings))
        if settings.metrics_port:
            self.add_context(
                serving(
                    self._parts.metrics.registry,
                    settings.metrics_host,
                    settings.metrics_port,
                    live=lambda: liveness.live,
                    ready=lambda: liveness.ready,
                )
            )

    async def on_stop(self) -> None:
        """Close what the stage used."""
        await self._parts.close()
        if self._close is not None:
            await self._close()


class Loop(mode.Service):
    """Something that runs until the worker stops, and takes the process with it where it fails."""

    def __init__(self, name: str, run: Callable[[], Awaitable[None]]) -> None:
        super().__init__()
        self._name, self._run = name, run

    @mode.Service.task
    async def _forever(self) -> None:
        try:
            await self._run()
        except Exception as error:  # noqa: BLE001 - the edge of the process
            fail_stop(self._name, error)
