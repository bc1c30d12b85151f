from dataclasses import fields
from datetime import UTC, datetime

from streams.domain.records import Consent, Escalation, Purpose
from streams.domain.retraction import retraction

AT = datetime(2026, 11, 27, tzinfo=UTC)
CONSENT = Consent(Purpose.ALERTING, granted=True, basis="consent", given_at=AT)
KEPT = {"id", "call", "use_case", "rule", "severity", "consent", "bundle", "raised_at"}


def test_a_retraction_says_nothing_of_the_speech_the_emotion_or_the_sites_reference() -> None:
    escalation = Escalation(
        id="e1",
        call="c" * 64,
        use_case="demo",
        rule="negative",
        severity="high",
        window_ids=("w1",),
        from_ms=1000,
        to_ms=4000,
        heads={"valence.full": {"negative": 0.9, "neutral": 0.1}},
        consent=CONSENT,
        bundle="b" * 64,
        raised_at=AT,
        reference="T-1",
        late=True,
        classes={"valence.full": "negative"},
    )
    found = retraction(escalation)
    assert found.retracted
    for field in fields(Escalation):
        if field.name in KEPT:
            assert getattr(found, field.name) == getattr(escalation, field.name)
        elif field.name != "retracted":
            assert not getattr(found, field.name), field.name
