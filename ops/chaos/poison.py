"""Unusable records, put between the others by seed, each with the reason that its dead letter must name."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from random import Random

from ops.chaos.calls import Kind, Planned, Sending, is_audio
from streams.domain.deadletters import Reason
from streams.domain.records import Role, Started
from streams.kafka.cloudevents import STARTED, partition_of
from streams.kafka.payload import to_json
from streams.ports import Outgoing

Spoil = Callable[[Outgoing, str], Outgoing]  #: a healthy audio record and an id that is free -> an unusable record


def poisoned(random: Random, planned: Planned, share: float, partitions: int) -> Planned:
    """The call with `share` unusable records after each of its audio records (100 back to back at 1 and more)."""
    sendings = list(_between(random, planned.sendings, share, partitions))
    if share and random.random() < 0.5:
        again = replace(planned.sendings[0], kind=Kind.POISON, due_ms=sendings[-1].due_ms, reason=Reason.CALL_ID_REUSED)
        sendings.append(again)
    return replace(planned, sendings=tuple(sendings))


def _between(random: Random, sendings: Sequence[Sending], share: float, partitions: int) -> Iterator[Sending]:
    heard = [place for place, sending in enumerate(sendings) if is_audio(sending)]
    storm_at = random.choice(heard) if share >= 1 else -1
    for place, sending in enumerate(sendings):
        yield sending
        if is_audio(sending):
            count = 100 if place == storm_at else int(random.random() < share)
            yield from (_poison(random, sending, f"{sending.call_id}-{place}-{n}", partitions) for n in range(count))


def _poison(random: Random, sending: Sending, free_id: str, partitions: int) -> Sending:
    reason, spoil = random.choice(_WAYS)
    elsewhere = None
    if reason is Reason.WRONG_PARTITION:
        elsewhere = (partition_of(sending.record.key, partitions) + 1) % partitions
    record = spoil(sending.record, free_id)
    return replace(sending, kind=Kind.POISON, record=record, reason=reason, partition=elsewhere)


def _with(record: Outgoing, **headers: str) -> Outgoing:
    """The record with some headers changed; underscores stand for hyphens in `content_type` alone."""
    changed = {name.replace("content_type", "content-type"): value.encode() for name, value in headers.items()}
    return replace(record, headers=tuple((dict(record.headers) | changed).items()))


def _without(record: Outgoing, name: str) -> Outgoing:
    return replace(record, headers=tuple(header for header in record.headers if header[0] != name))


def _of(record: Outgoing, call_id: str) -> Outgoing:
    """The same record of another call."""
    return replace(_with(record, ce_subject=call_id), key=call_id.encode())


def _starting(record: Outgoing, call_id: str, payload: bytes) -> Outgoing:
    headers = {"ce_type": STARTED, "ce_sequence": "0", "content_type": "application/json"}
    return replace(_with(_of(record, call_id), **headers), value=payload)


def _payload(use_case: str, reference: str | None = None) -> bytes:
    return to_json(Started(use_case, (Role.CUSTOMER,), "en", reference=reference))


_WAYS: Sequence[tuple[Reason, Spoil]] = (
    (Reason.MALFORMED, lambda record, _: _without(record, "ce_sequence")),
    (Reason.MALFORMED, lambda record, _: _with(record, ce_mediatime="soon")),
    (Reason.MALFORMED, lambda record, _: _with(record, ce_subject="somebody else")),
    (Reason.MALFORMED, lambda record, _: replace(record, headers=())),
    (Reason.MALFORMED, lambda record, free: _starting(record, free, _payload("demo")[:40])),
    (Reason.UNKNOWN_TYPE, lambda record, _: _with(record, ce_type="undertone.call.audio.v9")),
    (Reason.BAD_AUDIO, lambda record, _: _with(record, content_type="audio/PCMU;rate=11025;channels=2")),
    (Reason.BAD_AUDIO, lambda record, _: replace(record, value=record.value[:-1])),
    (Reason.BAD_AUDIO, lambda record, _: replace(record, value=b"")),
    (Reason.OVERSIZED, lambda record, _: replace(record, value=record.value * 30)),
    (Reason.NOT_STARTED, _of),
    (Reason.UNKNOWN_USE_CASE, lambda record, free: _starting(record, free, _payload("somebody else's"))),
    (Reason.BAD_REFERENCE, lambda record, free: _starting(record, free, _payload("demo", "0000 00 00 00"))),
    (Reason.WRONG_PARTITION, lambda record, _: record),
)
