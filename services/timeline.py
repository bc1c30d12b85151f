"""A recording's timeline, without Kafka: the functions of the live stream, over a file, into labels."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np

from services.emotion.bundle import Bundle
from services.emotion.model import Judgements, judge, names, outcome_of
from services.recordings import Recording, RecordingError, chunks
from streams.domain import evolution, rules
from streams.domain.call import Listen
from streams.domain.evolution import Evolution
from streams.domain.privacy import window_id
from streams.domain.records import Label, Outcome, Role
from streams.domain.roles import OneChannel, told_apart
from streams.domain.rules import Episode
from streams.domain.scoring import fitted
from streams.domain.windows import Fate, Span
from streams.speech import listening
from streams.speech.activity import VoiceActivity
from streams.speech.announcements import AnnouncementError
from streams.speech.expecting import expecting
from streams.speech.listening import Listening, Spoken
from streams.speech.resample import Floats, resample
from streams.speech.telling import Telling
from streams.usecases import UseCase

_CHUNK_MS = 1000  #: how a recording is cut changes nothing but speed
_FULL_SCALE = np.float32(32768)
_START = datetime(1970, 1, 1, tzinfo=UTC)  #: a recording has no log: its media time serves


@dataclass(frozen=True, slots=True)
class Timeline:
    """What is heard of a recording: one label a window of the customer, and what became of every millisecond.

    `lanes` say where: the spans of each channel, which follow each other from beginning to end.
    """

    recording: Recording
    roles: tuple[Role, ...]
    labels: tuple[Label, ...]
    fates: tuple[dict[Fate, int], ...]  #: of each channel, ms
    lanes: tuple[tuple[Span, ...], ...]


def timeline(
    recording: Recording,
    roles: tuple[Role, ...],
    bundle: Bundle,
    *,
    use_case: UseCase,
    telling: Telling | None = None,
    on_progress: Callable[[int], None] = lambda _: None,
) -> Timeline:
    """Hear the recording and label the customer's windows; `on_progress` gets the media time (ms) so far.

    Raises RecordingError where the roles do not fit, or the file turns out damaged.
    """
    check_roles(recording, roles, told_apart(roles, use_case.one_channel))
    heard, labels = _silent(roles, use_case, 0 if telling is None else telling.reach_ms), list[Label]()
    heard.lanes = [list[Span]() for _ in roles]
    for at_ms, windows in spoken(recording, heard, telling):
        labels += [
            fitted(each, use_case.asked) for each in label_windows(bundle, windows, recording.path.stem, use_case.name)
        ]
        on_progress(at_ms)
    fates, lanes = map(dict, heard.hearing.fates), map(tuple, heard.lanes)
    return Timeline(recording, roles, tuple(labels), tuple(fates), tuple(lanes))


def _silent(roles: tuple[Role, ...], use_case: UseCase, reach_ms: int) -> Listening:
    try:
        return listening.silent(roles, expecting(VoiceActivity(), use_case, reach_ms))
    except AnnouncementError as error:
        raise RecordingError(str(error)) from error


def check_roles(recording: Recording, roles: Sequence[Role], told: OneChannel | None = None) -> None:
    """Refuse roles that name no customer, or not one for each channel; `told` says how who is who is told on one."""
    if len(roles) != recording.channels:
        held = f"{recording.channels} channel{'s' * (recording.channels > 1)}"
        raise RecordingError(f"{recording.path}: has {held}, {len(roles)} role(s) named; name one for each channel")
    if roles.count(Role.CUSTOMER) != 1 and told is None:
        raise RecordingError(f"{recording.path}: nobody to score; name exactly one channel `customer`")


def episodes(found: Timeline, use_case: UseCase) -> list[tuple[str, Episode]]:
    """The name of each rule that would raise an escalation, with the episode that it would raise it for."""
    return [(rule.name, episode) for rule in use_case.rules for episode in rules.episodes(rule, found.labels)]


def evolved(found: Timeline, use_case: UseCase) -> Evolution | None:
    """What the windows come to; None where the scheme does not tell what is neutral, negative and excited."""
    means = evolution.meaning(use_case.scheme)
    return evolution.evolution(found.labels, means) if means else None


def spoken(
    recording: Recording, heard: Listening, telling: Telling | None = None
) -> Iterator[tuple[int, list[Spoken]]]:
    """The customer's windows as the live stream cuts them, with the media time (ms) that is heard by then."""
    model, at_ms = VoiceActivity(), 0
    for number, audio in enumerate(chunks(recording, _CHUNK_MS)):
        chunk = Listen(at_ms, audio, 0, _START + timedelta(milliseconds=at_ms + audio.duration_ms))
        at_ms += audio.duration_ms
        yield at_ms, listening.hear(model, [(heard, chunk, number)], telling)[0]
    yield at_ms, heard.stop(at_ms)


def label_windows(bundle: Bundle, windows: Sequence[Spoken], call: str, use_case: str) -> list[Label]:
    """What a bundle says of windows of one call, before the use case is asked what it makes of it."""
    judged = judge(bundle, [_samples(window, bundle.manifest.rate) for window in windows])
    return [_label(bundle, judged, row, window, call=call, use_case=use_case) for row, window in enumerate(windows)]


def _label(bundle: Bundle, judged: Judgements, row: int, window: Spoken, *, call: str, use_case: str) -> Label:
    reason, (classes, heads) = judged.reasons[row], names(bundle, judged, row)
    return Label(
        window_id=window_id(call, window.role, window.start_ms),
        call=call,
        use_case=use_case,
        role=window.role,
        start_ms=window.start_ms,
        end_ms=window.end_ms,
        consent_seq=window.consent_seq,
        spoken_at=window.spoken_at,
        outcome=Outcome.LABELLED if classes else outcome_of(reason),
        bundle=bundle.sha256,
        heads=heads,
        reason=reason,
        classes=classes,
    )


def _samples(window: Spoken, rate: int) -> Floats:
    """The window as the bundle takes it, shape (samples,), full scale 1."""
    scaled: Floats = window.samples.astype(np.float32) / _FULL_SCALE
    resampled: Floats = resample(scaled[np.newaxis], window.rate, rate)[0]
    return resampled
