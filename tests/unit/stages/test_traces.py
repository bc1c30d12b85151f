"""One trace leads from the chunk that closed a window to the escalation, and no span holds anything of a call."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client import CollectorRegistry
from unit.stages.bench import AT, EPOCH, STARTED, Loudness, call

from streams import app, topics, usecases
from streams.adapters.fixed_emotion import FixedEmotion
from streams.adapters.memory_calls import MemoryCalls
from streams.adapters.memory_outcomes import MemoryOutcomes
from streams.adapters.memory_tables import MemoryTables
from streams.adapters.memory_topics import MemoryDeadLetters, MemoryTopics
from streams.adapters.spans import TRACEPARENT, Did, Said, Spans, made
from streams.domain import scoring
from streams.domain.privacy import pseudonym
from streams.domain.records import CallRecord, Label, Window
from streams.domain.schemes import EMODB
from streams.kafka.cloudevents import encode_call
from streams.kafka.envelope import raw_headers
from streams.metrics import Metrics
from streams.ports import Batch, Fetched, Stage
from streams.settings import Settings, SettingsError
from streams.speech.expecting import Expecting
from streams.stages.escalate import EscalateStage
from streams.stages.label import LabelStage
from streams.stages.relay import Relay
from streams.stages.segment import Segment
from streams.stages.traced import Traced
from streams.stages.untraced import Untraced

CALL_ID = "tel:+34-600-000-000"
REFERENCE = "ERIKA MUSTERMANN"
TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
SENT = f"00-{TRACE}-{PARENT}-01"
ANGRY = {
    "category.full": {"anger": 0.7, "happiness": 0.1, "neutral": 0.1, "sadness": 0.1},
    "category.binary": {"emotional": 0.9, "neutral": 0.1},
    "valence.full": {"negative": 0.8, "neutral": 0.1, "positive": 0.1},
    "valence.binary": {"negative": 0.8, "rest": 0.2},
    "arousal.full": {"excited": 0.9, "neutral": 0.1},
}
MAY_SAY = {"undertone.use_case", "undertone.partition", "undertone.windows", "undertone.outcome", "undertone.result"}


class Angry:
    """An inference service to which everybody is angry."""

    async def label(self, windows: Sequence[Window]) -> list[Label]:
        return [FixedEmotion({"demo": EMODB}, {window.data: ANGRY}).label_one(window) for window in windows]


@dataclass
class Site:
    """Every stage on in-memory twins, around them what `tracing` puts there."""

    tracing: Untraced
    broker: MemoryTopics = field(default_factory=lambda: MemoryTopics(now=lambda: AT))
    tables: MemoryTables = field(default_factory=MemoryTables)
    dead: MemoryDeadLetters = field(default_factory=MemoryDeadLetters)
    metrics: Metrics = field(default_factory=lambda: Metrics(CollectorRegistry()))

    @property
    def store(self) -> MemoryOutcomes:
        rules = {name: use_case.rules for name, use_case in usecases.load().items()}
        around = (self.tracing.trace_of, self.tracing.relaying)
        return MemoryOutcomes(self.tables, rules, {"demo": EMODB}, lambda: AT + timedelta(seconds=40), *around)

    def stages(self) -> list[tuple[topics.Topic, Stage]]:
        sender, clock = self.tracing.sender(self.broker), lambda: AT
        segment = Segment(
            epochs=(EPOCH,),
            use_cases={"demo": Expecting()},
            partitions=lambda: 1,
            store=MemoryCalls(self.tables),
            sender=sender,
            letters=self.dead,
            activity=Loudness(),
            metrics=self.metrics,
            clock=clock,
        )
        asked, emotion = {"demo": scoring.Asked(EMODB)}, self.tracing.emotion(Angry())
        label = LabelStage(self.dead, self.store, emotion, asked, sender, self.metrics, clock)
        escalate = EscalateStage(self.dead, self.tracing.outcomes(self.store), self.metrics, clock)
        read = (topics.CALLS, segment), (topics.WINDOWS, label), (topics.LABELS, escalate)
        return [(topic, self.tracing.stage(stage)) for topic, stage in read]

    async def flow(self) -> None:
        for topic, stage in self.stages():
            await stage.handle(Batch(topic.name, 0, tuple(self.broker.read(topic.name))))
        relay = Relay(self.store, self.tracing.sender(self.broker), self.metrics, lambda: None)
        while await relay.turn():
            pass

    def publish(self, records: Sequence[CallRecord], traceparent: str | None) -> None:
        """Publish a call whose publisher traces, or does not."""
        for record in records:
            sent = encode_call(record)
            more = () if traceparent is None else ((TRACEPARENT, traceparent.encode()),)
            self.broker.append(replace(sent, headers=(*sent.headers, *more)))


@pytest.fixture
def told() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def tracing(told: InMemorySpanExporter) -> Traced:
    return Traced(Spans(provider(told)), {"demo"})


def provider(told: InMemorySpanExporter, ratio: float = 1) -> TracerProvider:
    provider = made("test", ratio)
    provider.add_span_processor(SimpleSpanProcessor(told))
    return provider


@pytest.fixture
def site(tracing: Traced) -> Site:
    return Site(tracing)


def angry_call(marks: str = "ccccccc---ccccccc---a") -> list[CallRecord]:
    """Two windows of the customer, by which the demo's rule escalates."""
    return call(marks, call_id=CALL_ID, started=replace(STARTED, reference=REFERENCE))


def named(told: InMemorySpanExporter, name: str) -> list[ReadableSpan]:
    return [span for span in told.get_finished_spans() if span.name == name]


def carried(records: Sequence[Fetched]) -> list[str]:
    return [raw_headers(record)[TRACEPARENT].decode() for record in records]


def above(span: ReadableSpan, told: InMemorySpanExporter) -> str:
    """The name of the span that it follows; nothing where that is somebody else's."""
    assert span.parent is not None
    return "".join(each.name for each in told.get_finished_spans() if each.context.span_id == span.parent.span_id)


async def test_one_trace_leads_from_the_chunk_to_the_escalation(site: Site, told: InMemorySpanExporter) -> None:
    site.publish(angry_call(), SENT)
    await site.flow()
    spans = told.get_finished_spans()
    assert {f"{span.context.trace_id:032x}" for span in spans} == {TRACE}
    assert {span.name: above(span, told) for span in spans} == {
        "segment": "",
        "label": "segment",
        "infer": "label",
        "escalate": "label",
        "commit": "escalate",
        "relay": "escalate",
    }
    assert {f"{span.parent.span_id:016x}" for span in named(told, "segment") if span.parent} == {PARENT}
    [escalation] = site.broker.read(topics.ESCALATIONS.name)
    [relayed] = named(told, "relay")
    assert carried([escalation]) == [f"00-{TRACE}-{relayed.context.span_id:016x}-01"]


async def test_a_window_follows_the_very_chunk_that_closed_it(site: Site, told: InMemorySpanExporter) -> None:
    for number, record in enumerate(angry_call("ccccccc---")):
        site.publish([record], f"00-{TRACE}-{number + 1:016x}-01")
    await site.flow()
    [cut] = named(told, "segment")
    assert cut.parent is not None
    # 3.5 s of speech and 0.5 s of silence, in whole frames of 32 ms: the 21st chunk, after the call's beginning.
    assert cut.parent.span_id == 1 + 21
    assert cut.start_time == round(AT.timestamp() * 1000) * 1_000_000


async def test_a_batch_has_one_span_for_its_request_and_one_for_its_transaction_linked_to_every_window(
    site: Site, told: InMemorySpanExporter
) -> None:
    site.publish(angry_call(), None)
    await site.flow()
    for shared, each in (("infer", "label"), ("commit", "escalate")):
        [span] = named(told, shared)
        ids = {other.context.span_id for other in named(told, each)}
        assert span.parent is not None
        assert {span.parent.span_id, *(link.context.span_id for link in span.links)} == ids
        assert span.attributes == {"undertone.partition": 0, "undertone.windows": 2}


async def test_what_a_batch_shares_is_in_a_trace_that_is_kept(site: Site, told: InMemorySpanExporter) -> None:
    records = angry_call()
    site.publish(records[:30], f"00-{'1' * 32}-{PARENT}-00")  # the first window, of which nothing is kept
    site.publish(records[30:], SENT)
    await site.flow()
    assert {span.name for span in told.get_finished_spans()} >= {"infer", "commit"}
    assert {f"{span.context.trace_id:032x}" for span in told.get_finished_spans()} == {TRACE}


async def test_spans_say_how_it_ended(site: Site, told: InMemorySpanExporter) -> None:
    site.publish(angry_call(), None)
    await site.flow()
    said = [dict(span.attributes or {}) for span in named(told, "escalate")]
    assert sorted(each["undertone.result"] for each in said) == ["raised", "written"]
    assert {each["undertone.outcome"] for each in said} == {"labelled"}
    site.tables.calls.clear()
    await site.flow()
    later = [dict(span.attributes or {})["undertone.result"] for span in named(told, "escalate")[2:]]
    assert later == ["refused", "refused"]


async def test_what_comes_again_goes_on_with_the_trace_that_it_had(site: Site, told: InMemorySpanExporter) -> None:
    site.publish(angry_call(), SENT)
    await site.flow()
    first = {(span.name, span.parent.span_id if span.parent else None) for span in told.get_finished_spans()}
    told.clear()
    (_, _), (windows, label), (labels, escalate) = site.stages()  # they died, and start again
    await label.handle(Batch(windows.name, 0, tuple(site.broker.read(windows.name))))
    await escalate.handle(Batch(labels.name, 0, tuple(site.broker.read(labels.name)[:2])))
    for span in (*named(told, "label"), *named(told, "escalate")):
        assert span.parent is not None
        assert (span.name, span.parent.span_id) in first
    [queued] = site.tables.outbox
    queued.sent = False  # sent, and not marked
    await Relay(site.store, site.tracing.sender(site.broker), site.metrics, lambda: None).turn()
    assert {span.parent.span_id for span in named(told, "relay") if span.parent} <= {each for _, each in first}


async def test_without_a_publisher_that_traces_each_window_begins_a_trace_of_its_own(
    site: Site, told: InMemorySpanExporter
) -> None:
    site.publish(angry_call(), None)
    await site.flow()
    windows = named(told, "segment")
    assert [span.parent for span in windows] == [None, None]
    assert len({span.context.trace_id for span in windows}) == 2


@pytest.mark.parametrize("sent", ["", "00-4bf9-00f0-01", f"00-{'0' * 32}-{PARENT}-01", "\udcff" * 3, CALL_ID])
async def test_a_header_that_is_no_context_is_passed_over(site: Site, told: InMemorySpanExporter, sent: str) -> None:
    for record in map(encode_call, angry_call()):
        more = (TRACEPARENT, sent.encode(errors="surrogateescape"))
        site.broker.append(replace(record, headers=(*record.headers, more)))
    await site.flow()
    assert [span.parent for span in named(told, "segment")] == [None, None]
    assert len(site.broker.read(topics.ESCALATIONS.name)) == 1
    assert site.dead.letters == []


async def test_no_span_holds_anything_of_the_call(site: Site, told: InMemorySpanExporter) -> None:
    site.publish(angry_call(), SENT)
    await site.flow()
    windows = {raw_headers(record)["ce_id"].decode() for record in site.broker.read(topics.WINDOWS.name)}
    canaries = {CALL_ID, REFERENCE, "600", pseudonym(EPOCH, CALL_ID), "negative", "anger", "high", *windows}
    canaries |= set(site.tables.escalations)
    spans = [json.loads(span.to_json()) for span in told.get_finished_spans()]
    assert len(spans) > 5
    for span in spans:
        told_of = json.dumps([span["name"], span["attributes"], span["events"], span["status"], span["resource"]])
        assert not [canary for canary in canaries if canary in told_of]
        assert span["attributes"].keys() <= MAY_SAY
        assert span["events"] == []
        assert set(span["resource"]["attributes"]) == {"service.name", "service.namespace"}


async def test_a_use_case_is_named_only_where_it_is_installed(told: InMemorySpanExporter) -> None:
    site = Site(Traced(Spans(provider(told)), {"support"}))
    site.publish(angry_call(), None)
    await site.flow()
    assert {dict(span.attributes or {})["undertone.use_case"] for span in named(told, "segment")} == {"other"}


async def test_a_share_of_the_traces_is_kept_and_a_publisher_decides_for_its_own(told: InMemorySpanExporter) -> None:
    for sent, kept in ((None, False), (SENT, True)):
        site = Site(Traced(Spans(provider(told, ratio=0)), {"demo"}))
        site.publish(angry_call(), sent)
        await site.flow()
        assert len(site.broker.read(topics.ESCALATIONS.name)) == 1
        assert bool(told.get_finished_spans()) is kept


async def test_a_request_that_is_given_up_is_told_so(told: InMemorySpanExporter, tracing: Traced) -> None:
    class Away:
        async def label(self, _: Sequence[Window]) -> list[Label]:
            raise asyncio.CancelledError

    site = Site(tracing)
    site.publish(angry_call(), None)
    (_, segment), *_ = site.stages()
    await segment.handle(Batch(topics.CALLS.name, 0, tuple(site.broker.read(topics.CALLS.name))))
    label = LabelStage(site.dead, site.store, tracing.emotion(Away()), {}, site.broker, site.metrics, lambda: AT)
    with pytest.raises(asyncio.CancelledError):
        await tracing.stage(label).handle(Batch(topics.WINDOWS.name, 0, tuple(site.broker.read(topics.WINDOWS.name))))
    ended = [dict(span.attributes or {}) for span in (*named(told, "label"), *named(told, "infer"))]
    assert {each.get("undertone.result") for each in ended} == {"given_up"}


def test_a_collector_that_is_away_is_waited_for_by_nobody(caplog: pytest.LogCaptureFixture) -> None:
    spans = Spans.to("http://127.0.0.1:9", stage="segment", ratio=1)
    opened = spans.begin(Did.SEGMENT, None, Said("demo"))
    opened.end()
    spans.close()
    assert {record.name.partition(".")[0] for record in caplog.records} <= {"opentelemetry", "urllib3"}


def test_without_the_extra_the_setting_is_refused_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "streams.adapters.spans", None)
    with pytest.raises(SettingsError, match=r"^UNDERTONE_TRACES: needs the extra `traces`: pip install"):
        app.Parts("label", Settings(traces="http://127.0.0.1:9"))


async def test_off_no_record_carries_a_trace_and_the_outbox_keeps_none() -> None:
    site = Site(Untraced())
    site.publish(angry_call(), SENT)
    await site.flow()
    for topic in (topics.WINDOWS, topics.LABELS, topics.ESCALATIONS):
        assert site.broker.read(topic.name)
        assert not [record for record in site.broker.read(topic.name) if TRACEPARENT in raw_headers(record)]
    assert [queued.traceparent for queued in site.tables.outbox] == [None]


def test_off_every_part_is_left_as_it_is_and_opentelemetry_is_not_imported() -> None:
    program = (
        "import sys; from streams import app; from streams.settings import Settings\n"
        "parts = app.Parts('label', Settings.read({}))\n"
        "assert app.label(parts).sender is parts.sender and app.label(parts).emotion is parts.emotion\n"
        "assert type(app.escalate(parts).store) is type(parts.outcomes())\n"
        "print(sorted(name for name in sys.modules if name.startswith('opentelemetry')))"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == "[]"
