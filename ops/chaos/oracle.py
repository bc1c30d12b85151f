"""What must come of a call: the live stream's own folds over the records of the log, in one pass that nothing disturbs.

Nothing here knows of batches, checkpoints, partitions that move, or Postgres: those are what chaos is about.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

import numpy as np
from threadpoolctl import threadpool_limits

from ops.chaos import scorer
from ops.chaos.sounds import RATE
from services.emotion.bundle import Bundle
from services.emotion.model import Judgements, judge, names, outcome_of
from streams.domain import call as fold
from streams.domain import rules, scoring
from streams.domain.call import Action, Break, Ledger, Listen, Withdraw
from streams.domain.deadletters import UnusableError
from streams.domain.privacy import Epoch, epoch_at, pseudonym, window_id
from streams.domain.records import Audio, Encoding, Escalation, Label, Outcome, Purpose, Window
from streams.domain.rules import Rule
from streams.domain.unlabelled import Unlabelled
from streams.kafka.cloudevents import decode_call, partition_of
from streams.ports import Fetched
from streams.speech import listening
from streams.speech.activity import VoiceActivity
from streams.speech.decode import encode
from streams.speech.expecting import Expecting
from streams.speech.listening import Listening, Spoken
from streams.speech.resample import resample

_NOTHING = Expecting()

Labeller = Callable[[Sequence[Window]], list[Label]]


@dataclass(slots=True)
class Expected:
    """What must be there of one call once everything has settled."""

    call: str  #: pseudonym
    partition: int  #: of its records on `calls.v1`
    withdrawn_at: datetime | None = None  #: the log's time
    windows: list[Window] = field(default_factory=list)
    first_offsets: dict[str, int] = field(default_factory=dict)  #: window id -> record that holds its first sample
    fates: list[dict[str, int]] = field(default_factory=list)  #: of each channel
    heard_ms: int = 0  #: audio and gaps of the log, each channel
    labels: list[Label] = field(default_factory=list)
    escalations: list[Escalation] = field(default_factory=list)


@dataclass(slots=True)
class _Call:
    """A call as it is folded."""

    ledger: Ledger
    heard: Listening
    expected: Expected
    chunks: list[tuple[int, int]] = field(default_factory=list)  #: where each chunk that was heard begins, its offset


class Oracle:
    """Folds calls one by one."""

    def __init__(
        self,
        epochs: Sequence[Epoch],
        rules: Sequence[Rule],
        partitions: int,
        labeller: Labeller,
        expecting: Expecting = _NOTHING,
    ) -> None:
        self._epochs, self._rules, self._partitions, self._labeller = epochs, rules, partitions, labeller
        self._activity, self._expecting = VoiceActivity(), expecting

    def expect(self, records: Sequence[Fetched]) -> Expected | None:
        """Fold the records of one key, in the order of the log; None where no call came of them."""
        call: _Call | None = None
        for record in records:
            if partition_of(record.key or b"", self._partitions) == record.partition:
                call = self._take_in(call, record)
        if call is None:
            return None
        shared, expected = call.ledger.fates, call.expected
        for own in call.heard.hearing.fates:
            fates = {fate.value: own.get(fate, 0) + shared.get(fate, 0) for fate in {*own, *shared}}
            expected.fates.append(fates)
        if expected.withdrawn_at is None:
            self._judge(call)
        return expected

    def _take_in(self, call: _Call | None, record: Fetched) -> _Call | None:
        try:
            said = decode_call(record)
            if call is None:
                epoch = epoch_at(self._epochs, said.logged_at) or self._epochs[0]
                told = self._expecting.one_channel
                ledger = fold.begin(said, call=pseudonym(epoch, said.call_id), epoch=epoch.id, told=told)
                heard = listening.silent(ledger.channels, self._expecting)
                return _Call(ledger, heard, Expected(ledger.call, record.partition))
        except UnusableError:
            return call
        if call.ledger.ended_at is None and call.expected.withdrawn_at is None:
            before = call.ledger.media_ms
            call.ledger, actions = fold.step(call.ledger, said)
            passed = call.ledger.media_ms - before
            repeated = said.body.duration_ms if isinstance(said.body, Audio) and not passed else 0
            call.expected.heard_ms += passed + repeated
            for action in actions:
                self._act(call, action, record.offset)
        return call

    def _act(self, call: _Call, action: Action, offset: int) -> None:
        match action:
            case Break(at_ms):
                self._keep(call, call.heard.stop(at_ms))
            case Listen(at_ms):
                call.chunks.append((at_ms, offset))
                self._keep(call, listening.hear(self._activity, [(call.heard, action, offset)])[0])
            case Withdraw(at):
                call.expected.withdrawn_at = at
            case _:
                pass

    def _keep(self, call: _Call, spoken: Sequence[Spoken]) -> None:
        for each in spoken:
            window = _window(call.ledger, each)
            call.expected.windows.append(window)
            held = [offset for at_ms, offset in call.chunks if at_ms <= each.start_ms]
            call.expected.first_offsets[window.id] = held[-1]

    def _judge(self, call: _Call) -> None:
        """What the rule says of all labels together."""
        expected, permission = call.expected, call.ledger.permission
        expected.labels = self._labeller(expected.windows)
        consent = permission.consents.get(Purpose.ALERTING)
        if consent is None:
            return
        expected.escalations = rules.escalations(
            self._rules,
            expected.labels,
            (),
            consent=scoring.told(consent, permission.notice),
            reference=call.ledger.reference,
            at=call.ledger.last_at,
        )


def _window(ledger: Ledger, spoken: Spoken) -> Window:
    return Window(
        id=window_id(ledger.call, spoken.role, spoken.start_ms),
        call=ledger.call,
        use_case=ledger.use_case,
        role=spoken.role,
        start_ms=spoken.start_ms,
        end_ms=spoken.end_ms,
        consent_seq=spoken.consent_seq,
        spoken_at=spoken.spoken_at,
        rate=spoken.rate,
        data=encode(Encoding.L16, spoken.samples[np.newaxis]),
    )


def scored(windows: Sequence[Window]) -> list[Label]:
    """The labels that `ops.chaos.scorer` gives."""
    return [_labelled(window) for window in windows]


def bundled(bundle: Bundle) -> Labeller:
    """The labels that the real service gives with this bundle."""

    def label(windows: Sequence[Window]) -> list[Label]:
        heard = [np.frombuffer(window.data, ">i2").astype(np.float32) / np.float32(32768) for window in windows]
        resampled = [resample(samples[np.newaxis], RATE, bundle.manifest.rate)[0] for samples in heard]
        with threadpool_limits(1, user_api="blas"):  # as the service: more threads round a product otherwise
            judged = judge(bundle, resampled)
        return [_said(bundle, judged, row, window) for row, window in enumerate(windows)]

    return label


def _said(bundle: Bundle, judged: Judgements, row: int, window: Window) -> Label:
    label, reason = _unlabelled(window, bundle.sha256), judged.reasons[row]
    classes, heads = names(bundle, judged, row)
    outcome = Outcome.LABELLED if classes else outcome_of(reason)  # the demo's use case marks what is out of domain
    return replace(label, outcome=outcome, heads=heads, reason=reason, classes=classes)


def _labelled(window: Window) -> Label:
    found, label = scorer.judge(window.data), _unlabelled(window, scorer.BUNDLE)
    if found is None:
        return label
    heads = {head: dict(zip(scorer.CLASSES[head], row, strict=True)) for head, row in found.items()}
    classes = {head: scorer.named(head, row) for head, row in found.items()}
    return replace(label, outcome=Outcome.LABELLED, heads=heads, reason=None, classes=classes)


def _unlabelled(window: Window, bundle: str) -> Label:
    return Label(
        window_id=window.id,
        call=window.call,
        use_case=window.use_case,
        role=window.role,
        start_ms=window.start_ms,
        end_ms=window.end_ms,
        consent_seq=window.consent_seq,
        spoken_at=window.spoken_at,
        outcome=Outcome.ABSTAINED,
        bundle=bundle,
        reason=Unlabelled.SILENT,
    )
