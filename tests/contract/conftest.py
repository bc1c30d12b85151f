"""One record of every type, told as the domain has it."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from streams.domain.deadletters import DeadLetter, Reason
from streams.domain.records import (
    Audio,
    CallRecord,
    Consent,
    Encoding,
    Ended,
    Escalation,
    Gap,
    Label,
    Notice,
    Outcome,
    Purpose,
    Role,
    Started,
    Window,
)
from streams.domain.unlabelled import Unlabelled

AT = datetime(2026, 1, 31, 12, 0, 0, 250_000, tzinfo=UTC)
CALL = "call-2026-0001"
PSEUDONYM = "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"
WINDOW = "0b7f1f6e-54e5-5c8e-9f3c-8a6d1a1f7f11"
BUNDLE = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
NOTICE = Notice("ivr-17", "3", "de", AT - timedelta(seconds=20))
GRANT = Consent(Purpose.ALERTING, granted=True, basis="consent", given_at=AT, notice=NOTICE)
HEADS = {"category.full": {"anger": 0.75, "neutral": 0.25}, "arousal.full": {"excited": 1.0, "neutral": 0.0}}
CLASSES = {"category.full": "anger", "arousal.full": "excited"}
RAMP = bytes(range(256))


@pytest.fixture(scope="session")
def call() -> list[CallRecord]:
    """A short call with a record of every type."""
    bodies = [
        (0, Started("demo", (Role.CUSTOMER, Role.AGENT), "de", NOTICE, (GRANT,), "T-4711")),
        (0, Consent(Purpose.TRAINING, granted=False, basis="not asked", given_at=AT)),
        (0, Audio(Encoding.PCMU, 8000, 2, RAMP)),
        (16, Audio(Encoding.PCMA, 8000, 2, RAMP)),
        (32, Gap(500, "paused")),
        (532, Audio(Encoding.L16, 16000, 1, RAMP)),
        (540, Ended("hangup")),
    ]
    return [CallRecord(CALL, number, ms, AT, body) for number, (ms, body) in enumerate(bodies)]


@pytest.fixture(scope="session")
def derived() -> Mapping[str, object]:
    """File name -> a record that the project itself writes."""
    label = Label(
        WINDOW, PSEUDONYM, "demo", Role.CUSTOMER, 1000, 1016, 0, AT, Outcome.LABELLED, BUNDLE, HEADS, None, CLASSES
    )
    return {
        "window": Window(WINDOW, PSEUDONYM, "demo", Role.CUSTOMER, 1000, 1016, 0, AT, 8000, RAMP),
        "label": label,
        "label-abstained": replace(label, outcome=Outcome.ABSTAINED, heads={}, reason=Unlabelled.UNVOICED, classes={}),
        "label-marked": replace(label, reason=Unlabelled.DISTANCE),
        "label-uncalibrated": replace(label, heads={"arousal.full": HEADS["arousal.full"]}),
        "escalation": Escalation(
            id="7d9f6f0e-2f3b-5b8a-8a55-0d5c6b7a8f22",
            call=PSEUDONYM,
            use_case="demo",
            rule="negative-and-excited",
            severity="high",
            window_ids=(WINDOW,),
            from_ms=1000,
            to_ms=1016,
            heads=HEADS,
            consent=GRANT,
            bundle=BUNDLE,
            raised_at=AT + timedelta(seconds=2),
            reference="T-4711",
            classes=CLASSES,
        ),
        "deadletter": DeadLetter(
            topic="calls.v1",
            partition=3,
            offset=41,
            reason=Reason.BAD_AUDIO,
            message="payload must be a whole number of milliseconds: a multiple of 16 bytes, not 0",
            type="undertone.call.audio.v1",
            size=0,
            sha256=BUNDLE,
            call=PSEUDONYM,
        ),
    }
