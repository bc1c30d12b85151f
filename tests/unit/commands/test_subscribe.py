import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from services.commands.subscribe import print_json, told
from streams.domain.records import Consent, Escalation, Notice, Purpose
from streams.domain.retraction import retraction

AT = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
ESCALATION = Escalation(
    id="cbd17d23-eb2c-5bfa-8dba-7dc67cab9dcf",
    call="d" * 64,
    use_case="demo",
    rule="negative-and-excited",
    severity="high",
    window_ids=("a", "b"),
    from_ms=12_192,
    to_ms=69_920,
    heads={"valence.full": {"negative": 0.74, "neutral": 0.26}, "valence.binary": {"negative": 0.8, "rest": 0.2}},
    consent=Consent(Purpose.ALERTING, True, "consent", AT, notice=Notice("n", "1", "en", AT)),  # noqa: FBT003 - a field
    bundle="b" * 64,
    raised_at=AT,
    reference="CRM-42",
    late=True,
)


def test_a_person_reads_when_where_how_urgent_and_why() -> None:
    text = told(ESCALATION).plain
    when = f"{AT.astimezone():%H:%M:%S}"
    for part in (when, "HIGH", "negative-and-excited", "demo", "0:12-1:09", "CRM-42", "valence negative 74%", "late"):
        assert part in text


def test_what_is_not_so_is_not_said() -> None:
    text = told(replace(ESCALATION, reference=None, late=False)).plain
    assert "ref" not in text
    assert "late" not in text


def test_a_retraction_names_the_escalation_and_nothing_else() -> None:
    text = told(retraction(ESCALATION)).plain
    assert "RETRACTED" in text
    assert ESCALATION.id in text
    assert "negative" not in text


def test_json_is_one_line_with_every_field(capsys: pytest.CaptureFixture[str]) -> None:
    print_json(ESCALATION)
    (line,) = capsys.readouterr().out.splitlines()
    assert json.loads(line)["reference"] == "CRM-42"
    assert json.loads(line)["retracted"] is False
