"""label, escalate and relay over the in-memory twins, with the real codec between them."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TypeVar

import pytest
from prometheus_client import CollectorRegistry

from streams import topics, usecases
from streams.adapters.fixed_emotion import FixedEmotion
from streams.adapters.memory_outcomes import MemoryOutcomes
from streams.adapters.memory_tables import MemoryTables
from streams.adapters.memory_topics import MemoryDeadLetters, MemoryTopics
from streams.domain import scoring
from streams.domain.deadletters import Reason
from streams.domain.privacy import window_id
from streams.domain.records import Consent, Label, Notice, Outcome, Purpose, Role, Window
from streams.domain.schemes import EMODB
from streams.domain.unlabelled import Unlabelled
from streams.kafka.cloudevents import (
    decode_escalation,
    encode_label,
    encode_window,
)
from streams.metrics import Metrics
from streams.ports import Batch, Call
from streams.stages.escalate import EscalateStage
from streams.stages.label import LabelStage
from streams.stages.relay import Relay

T = TypeVar("T")
CALL = "c" * 64
BEGAN = datetime(2026, 11, 2, 9, 0, tzinfo=UTC)
NOTICE = Notice("ivr-1", "3", "en", BEGAN)
ANGRY_AUDIO, CALM_AUDIO = b"\x10\x00" * 24_000, b"\x00\x10" * 24_000
ANGRY = {
    "category.full": {"anger": 0.7, "happiness": 0.1, "neutral": 0.1, "sadness": 0.1},
    "category.binary": {"emotional": 0.9, "neutral": 0.1},
    "valence.full": {"negative": 0.8, "neutral": 0.1, "positive": 0.1},
    "valence.binary": {"negative": 0.8, "rest": 0.2},
    "arousal.full": {"excited": 0.9, "neutral": 0.1},
}
CALM = {**ANGRY, "category.binary": {"emotional": 0.1, "neutral": 0.9}}

SEEN_AT = datetime(2026, 11, 23, tzinfo=UTC)  #: the partition's end


def call(name: str = CALL, **changes: object) -> Call:
    consent = Consent(Purpose.ALERTING, granted=True, basis="consent", given_at=BEGAN)
    return replace(
        Call(
            call=name,
            epoch="e1",
            use_case="demo",
            language="en",
            channels=(Role.CUSTOMER, Role.AGENT),
            started_at=BEGAN,
            reference="ticket 7",
            notice=NOTICE,
            consents={Purpose.ALERTING: consent},
            consent_seq=0,
        ),
        **changes,  # type: ignore[arg-type]  # the caller names fields
    )


def window(number: int, data: bytes = ANGRY_AUDIO, *, role: Role = Role.CUSTOMER, name: str = CALL) -> Window:
    start_ms = number * 5_000
    return Window(
        id=window_id(name, role, start_ms),
        call=name,
        use_case="demo",
        role=role,
        start_ms=start_ms,
        end_ms=start_ms + 3_000,
        consent_seq=0,
        spoken_at=BEGAN + timedelta(milliseconds=start_ms + 3_000),
        rate=8000,
        data=data,
    )


@dataclass
class Asked:
    """An `Emotion` that remembers each request."""

    answers: FixedEmotion
    requests: list[list[Window]] = field(default_factory=list)

    async def label(self, windows: Sequence[Window]) -> list[Label]:
        self.requests.append(list(windows))
        return await self.answers.label(windows)


@dataclass
class Bench:
    broker: MemoryTopics = field(default_factory=MemoryTopics)
    dead: MemoryDeadLetters = field(default_factory=MemoryDeadLetters)
    tables: MemoryTables = field(default_factory=lambda: MemoryTables(calls={CALL: call()}))
    metrics: Metrics = field(default_factory=lambda: Metrics(CollectorRegistry()))
    emotion: Asked = field(
        default_factory=lambda: Asked(FixedEmotion({"demo": EMODB}, {ANGRY_AUDIO: ANGRY, CALM_AUDIO: CALM}))
    )
    now: datetime = BEGAN + timedelta(seconds=30)

    @property
    def store(self) -> MemoryOutcomes:
        rules = {name: use_case.rules for name, use_case in usecases.load().items()}
        return MemoryOutcomes(self.tables, rules, {"demo": EMODB}, lambda: self.now)

    @property
    def label(self) -> LabelStage:
        asked = {"demo": scoring.Asked(EMODB)}
        return LabelStage(self.dead, self.store, self.emotion, asked, self.broker, self.metrics, lambda: self.now)

    @property
    def escalate(self) -> EscalateStage:
        return EscalateStage(self.dead, self.store, self.metrics, lambda: self.now)

    @property
    def relay(self) -> Relay:
        return Relay(self.store, self.broker, self.metrics, lambda: None)

    async def flow(self, *windows: Window) -> None:
        await self.broker.send([encode_window(each) for each in windows])
        await self.label.handle(self.batch(topics.WINDOWS))
        await self.escalate.handle(self.batch(topics.LABELS))
        while await self.relay.turn():
            pass

    def batch(self, topic: topics.Topic) -> Batch:
        return Batch(topic.name, 0, tuple(self.broker.read(topic.name)), caught_up=SEEN_AT)

    def counted(self, name: str, **labels: str) -> float:
        value = self.metrics.registry.get_sample_value(f"undertone_{name}_total", labels)
        assert value is not None
        return value

    def sample(self, name: str, **labels: str) -> float | None:
        return self.metrics.registry.get_sample_value(f"undertone_{name}", labels)


@pytest.fixture
def bench() -> Bench:
    return Bench()


async def test_two_of_three_angry_windows_leave_one_escalation_on_the_topic(bench: Bench) -> None:
    await bench.flow(window(0), window(1, CALM_AUDIO), window(2), window(3))
    [record] = bench.broker.read(topics.ESCALATIONS.name)
    escalation = decode_escalation(record)
    assert escalation.window_ids == (window(0).id, window(2).id)
    assert (escalation.reference, escalation.consent.notice, escalation.late) == ("ticket 7", NOTICE, False)
    assert bench.counted("escalations", severity="high") == 1
    assert bench.counted("labels", outcome="labelled") == 4
    assert bench.counted("relayed") == 1


async def test_a_calm_call_is_labelled_and_raises_nothing(bench: Bench) -> None:
    await bench.flow(*(window(number, CALM_AUDIO) for number in range(6)))
    assert len(bench.tables.labels) == 6
    assert bench.broker.read(topics.ESCALATIONS.name) == []


async def test_a_label_is_timed_from_its_last_sample_on_less_what_the_rule_waits_for(bench: Bench) -> None:
    late = window(1)
    bench.now = late.spoken_at + timedelta(seconds=2.3)  # of which 0.5 are the silence that closes its turn
    await bench.flow(late)
    await bench.flow()  # it comes again, and is not timed a second time
    assert bench.sample("label_seconds_count") == 1
    assert bench.sample("label_seconds_sum") == pytest.approx(1.8)
    assert bench.sample("label_seconds_bucket", le="2.0") == 1


@pytest.mark.parametrize(
    ("closing_ms", "beyond_s"),
    [
        (500, 2.5),  # a long turn that ended in silence
        (3_000, 0.0),  # one that was cut
        (60_000, 0.0),  # more than the rule can ask for
        (None, 0.0),  # as an older segment leaves it: at most what the rule can ask for
    ],
)
async def test_a_long_window_is_timed_beyond_what_the_rule_did_wait_for(
    bench: Bench, closing_ms: int | None, beyond_s: float
) -> None:
    long = replace(window(1), end_ms=window(1).start_ms + 13_000, closing_ms=closing_ms)
    bench.now = long.spoken_at + timedelta(seconds=3)
    await bench.flow(long)
    assert bench.sample("label_seconds_sum") == pytest.approx(beyond_s)


@pytest.mark.parametrize("said", [b"", b"-1", b"1e3", b"9" * 40, b"\xff"])
async def test_a_wait_that_is_no_number_is_passed_over(bench: Bench, said: bytes) -> None:
    sent = encode_label(label(0))
    await bench.broker.send([replace(sent, headers=(*sent.headers, ("ce_closingms", said)))])
    bench.now = window(0).spoken_at + timedelta(seconds=2)
    await bench.escalate.handle(bench.batch(topics.LABELS))
    assert bench.sample("label_seconds_sum") == pytest.approx(1.5)


async def test_what_the_models_say_is_counted_by_class_and_how_sure_they_are(bench: Bench) -> None:
    await bench.flow(window(0), window(1, CALM_AUDIO))
    assert bench.counted("valence", said="negative") == 2
    assert bench.counted("arousal", said="excited") == 2
    assert bench.sample("confidence_count") == 2


async def test_a_class_of_a_name_that_no_menu_has_is_counted_as_other(bench: Bench) -> None:
    said = {"valence.full": "ERIKA MUSTERMANN"}
    label = replace(FixedEmotion({"demo": EMODB}, {}).label_one(window(0)), outcome=Outcome.LABELLED, reason=None)
    bench.escalate._count_labels([replace(label, heads={}, classes=said)], {})
    assert bench.counted("valence", said="other") == 1


async def test_a_batch_that_comes_again_changes_nothing(bench: Bench) -> None:
    await bench.flow(window(0), window(1))
    labels = dict(bench.tables.labels)
    await bench.flow()  # every window and label once more
    assert bench.tables.labels == labels
    assert len(bench.broker.read(topics.ESCALATIONS.name)) == 1


async def test_a_batch_is_one_request_to_the_inference_service(bench: Bench) -> None:
    bench.tables.calls["d" * 64] = call("d" * 64)
    await bench.broker.send([encode_window(window(0)), encode_window(window(0, name="d" * 64))])
    assert await bench.label.handle(bench.batch(topics.WINDOWS)) == 2
    assert [len(request) for request in bench.emotion.requests] == [2]


@pytest.mark.parametrize("role", [Role.AGENT, Role.MIXED])
async def test_nobody_but_the_customer_is_scored_or_written(bench: Bench, role: Role) -> None:
    other = window(0, role=role)
    label = bench.emotion.answers.label_one(other)
    await bench.broker.send([encode_window(other), encode_label(label)])
    assert await bench.label.handle(bench.batch(topics.WINDOWS)) == 1
    assert await bench.escalate.handle(bench.batch(topics.LABELS)) == 1
    assert bench.emotion.requests == []
    assert bench.tables.labels == {}
    assert [letter.reason for letter in bench.dead.letters] == [Reason.NOT_CUSTOMER] * 2
    assert bench.counted("dead_letters", reason="not_customer") == 2


@pytest.mark.parametrize(
    "calls",
    [
        {},
        {CALL: call(consent_seq=None)},
        {CALL: call(consent_seq=3)},
        {
            CALL: call(
                consents={
                    Purpose.ALERTING: Consent(
                        Purpose.ALERTING, granted=True, basis="consent", given_at=BEGAN, expires_at=window(0).spoken_at
                    )
                }
            )
        },
    ],
    ids=["unknown call", "no consent", "another consent", "expired"],
)
async def test_a_window_whose_call_is_not_open_for_it_is_counted_and_not_scored(
    bench: Bench, calls: Mapping[str, Call]
) -> None:
    bench.tables.calls = dict(calls)
    await bench.broker.send([encode_window(window(0))])
    assert await bench.label.handle(bench.batch(topics.WINDOWS)) == 1
    assert bench.emotion.requests == []
    assert bench.broker.read(topics.LABELS.name) == []
    assert bench.counted("not_open") == 1


async def test_a_label_whose_call_closed_meanwhile_is_counted_and_not_written(bench: Bench) -> None:
    await bench.broker.send([encode_window(window(0))])
    await bench.label.handle(bench.batch(topics.WINDOWS))
    del bench.tables.calls[CALL]
    assert await bench.escalate.handle(bench.batch(topics.LABELS)) == 1
    assert bench.tables.labels == {}
    assert bench.counted("not_open") == 1


async def test_what_cannot_be_read_is_put_on_record_and_the_rest_goes_on(bench: Bench) -> None:
    broken = replace(encode_window(window(0)), headers=())
    await bench.broker.send([broken, encode_window(window(1)), replace(encode_label(label(2)), value=b"{")])
    await bench.flow()
    assert [letter.reason for letter in bench.dead.letters] == [Reason.MALFORMED] * 2
    assert list(bench.tables.labels) == [window(1).id]
    assert bench.counted("dead_letters", reason="malformed") == 2


async def test_the_share_of_records_that_cannot_be_read_is_shown(bench: Bench) -> None:
    await bench.broker.send([replace(encode_window(window(0)), headers=()), encode_window(window(1))])
    await bench.label.handle(bench.batch(topics.WINDOWS))
    value = bench.metrics.registry.get_sample_value("undertone_dead_letter_share", {"partition": "0"})
    assert value == 0.001


async def test_a_dead_letter_names_a_pseudonym_and_never_another_key(bench: Bench) -> None:
    for key in (CALL.encode(), b"+34 600 000 000"):
        await bench.broker.send([replace(encode_window(window(0)), key=key, headers=())])
    await bench.label.handle(bench.batch(topics.WINDOWS))
    assert [letter.call for letter in bench.dead.letters] == [CALL, None]


def label(number: int) -> Label:
    return FixedEmotion({}, {ANGRY_AUDIO: ANGRY}).label_one(window(number))


@pytest.mark.parametrize(
    "broken",
    [
        replace(label(0), window_id=window(1).id),
        replace(label(0), end_ms=0),
        replace(label(0), heads={}, classes={}),
        replace(label(0), reason="silent"),
        replace(label(0), outcome=Outcome.ABSTAINED, heads={}, classes={}),
        replace(label(0), outcome=Outcome.ABSTAINED, heads={}, classes={}, reason="bored"),
    ],
    ids=["another window's id", "no length", "no heads", "heads and reason", "no reason", "unknown reason"],
)
async def test_a_label_that_contradicts_itself_is_not_written(bench: Bench, broken: Label) -> None:
    await bench.broker.send([encode_label(broken)])
    assert await bench.escalate.handle(bench.batch(topics.LABELS)) == 1
    assert bench.tables.labels == {}
    assert [letter.reason for letter in bench.dead.letters] == [Reason.MALFORMED]


async def test_an_abstained_window_has_a_row_with_its_reason(bench: Bench) -> None:
    quiet = next(data for data in map(silent, range(400)) if not bench.emotion.answers.label_one(window(0, data)).heads)
    await bench.flow(window(0, quiet))
    [row] = bench.tables.labels.values()
    assert (row.outcome, row.reason, row.heads) == (Outcome.ABSTAINED, "silent", {})
    assert bench.counted("unlabelled", reason="silent") == 1


def silent(number: int) -> bytes:
    return number.to_bytes(2, "big") * 24_000


async def test_heads_that_are_not_the_schemes_leave_a_failed_row(bench: Bench) -> None:
    bench.emotion.answers = FixedEmotion({}, {ANGRY_AUDIO: {"mood.full": {"bad": 1.0}}})
    await bench.flow(window(0), window(1, CALM_AUDIO))
    assert bench.tables.labels[window(0).id].reason == "other_scheme"
    assert bench.tables.labels[window(0).id].outcome is Outcome.FAILED
    assert bench.counted("unlabelled", reason="other_scheme") == 1


@dataclass
class Far:
    """An inference service to which every window is unlike anything that it knows."""

    answers: FixedEmotion

    async def label(self, windows: Sequence[Window]) -> list[Label]:
        return [replace(label, reason=Unlabelled.DISTANCE) for label in await self.answers.label(windows)]


@pytest.mark.parametrize(("choice", "raised"), [("abstain", 0), ("mark", 1)])
async def test_the_use_case_decides_whether_windows_out_of_domain_are_abstained_from_or_marked(
    bench: Bench, choice: str, raised: int
) -> None:
    asked = {"demo": scoring.Asked(EMODB, scoring.OutOfDomain(choice))}
    far = replace(bench.label, emotion=Far(FixedEmotion({}, {ANGRY_AUDIO: ANGRY})), asked=asked)
    await bench.broker.send([encode_window(window(number)) for number in range(2)])
    await far.handle(bench.batch(topics.WINDOWS))
    await bench.escalate.handle(bench.batch(topics.LABELS))
    rows = list(bench.tables.labels.values())
    assert {row.reason for row in rows} == {"distance"}
    assert [bool(row.classes) for row in rows] == [bool(raised)] * 2
    assert len(bench.tables.escalations) == raised


async def test_a_tick_at_the_partitions_end_moves_nothing(bench: Bench) -> None:
    assert await bench.label.handle(Batch(topics.WINDOWS.name, 0, (), caught_up=SEEN_AT)) is None
    assert await bench.escalate.handle(Batch(topics.LABELS.name, 0, (), caught_up=SEEN_AT)) is None


async def test_the_relay_sends_again_what_it_could_not_mark(bench: Bench) -> None:
    await bench.flow(window(0), window(1))
    bench.tables.outbox[0].sent = False  # as after a crash between the broker's answer and the mark
    assert await bench.relay.turn() == 1
    first, second = bench.broker.read(topics.ESCALATIONS.name)
    assert (first.key, first.value, first.headers) == (second.key, second.value, second.headers)


async def test_equal_audio_gets_an_equal_label_and_its_probabilities_sum_to_one() -> None:
    emotion = FixedEmotion({"demo": EMODB}, {})
    labels = await emotion.label([window(0, silent(number)) for number in range(64)])
    assert labels == await emotion.label([window(0, silent(number)) for number in range(64)])
    judged = [label for label in labels if label.outcome is Outcome.LABELLED]
    assert 0 < len(judged) < 64
    for each in judged:
        assert {head: tuple(classes) for head, classes in each.heads.items()} == EMODB.heads()
        assert all(abs(sum(classes.values()) - 1) < 1e-9 for classes in each.heads.values())


@dataclass
class Hanging:
    """An inference service that does not answer before it is told to."""

    answers: Asked
    asked: list[int] = field(default_factory=list)
    go: asyncio.Event = field(default_factory=asyncio.Event)

    async def label(self, windows: Sequence[Window]) -> list[Label]:
        self.asked.append(len(windows))
        await self.go.wait()
        return await self.answers.label(windows)


@pytest.mark.parametrize("left", [0, 1])
async def test_a_window_whose_call_closes_while_the_service_is_waited_for_is_never_scored(
    bench: Bench, left: int
) -> None:
    other = "d" * 64
    if left:
        bench.tables.calls[other] = call(other)
        await bench.broker.send([encode_window(window(0, name=other))])
    await bench.broker.send([encode_window(window(0)), encode_window(window(1))])
    hanging = Hanging(bench.emotion)
    stage = replace(bench.label, emotion=hanging, ask_again_s=0.001)
    handling = asyncio.create_task(stage.handle(bench.batch(topics.WINDOWS)))
    while hanging.asked != [2 + left]:
        await asyncio.sleep(0)
    del bench.tables.calls[CALL]
    while bench.counted("not_open") < 2:
        await asyncio.sleep(0.001)
    hanging.go.set()
    assert await handling == 2 + left
    assert [scored.call for request in bench.emotion.requests for scored in request] == [other] * left
    assert len(bench.broker.read(topics.LABELS.name)) == left
    assert bench.counted("not_open") == 2


@pytest.mark.parametrize("timestamp", [-1, 2**62, -(2**63)])
async def test_a_record_whose_time_is_none_does_not_stop_the_stage(bench: Bench, timestamp: int) -> None:
    await bench.broker.send([encode_window(each) for each in (window(0), window(1))])
    sound, mad = bench.broker.read(topics.WINDOWS.name)
    mad.timestamp = timestamp
    await bench.label.handle(Batch(topics.WINDOWS.name, 0, (mad, sound)))
    assert bench.broker.read(topics.LABELS.name)
    assert [letter.reason for letter in bench.dead.letters] == [Reason.MALFORMED]
