"""The end of a call decides as all of it would."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from streams.domain import rules, tail
from streams.domain.privacy import window_id
from streams.domain.records import Consent, Escalation, Label, Outcome, Purpose, Role
from streams.domain.rules import Condition, Rule, Severity

CALL = "c" * 64
SPOKEN = datetime(2026, 11, 2, 9, 0, tzinfo=UTC)
CONSENT = Consent(Purpose.ALERTING, granted=True, basis="consent", given_at=SPOKEN)
TOLD: dict[str, Any] = {"consent": CONSENT, "reference": None, "at": SPOKEN}
HEADS = {"H": {"mood.full": {"bad": 0.9, "good": 0.1}}, ".": {"mood.full": {"bad": 0.1, "good": 0.9}}}


def rule(name: str, hits: int, of: int, cool_down_ms: int) -> Rule:
    return Rule(name, Severity.HIGH, (Condition("mood.full", any_of=("bad",)),), hits, of, cool_down_ms)


def window(position: int, mark: str) -> Label:
    start_ms = position * 5_000
    return Label(
        window_id=window_id(CALL, Role.CUSTOMER, start_ms),
        call=CALL,
        use_case="demo",
        role=Role.CUSTOMER,
        start_ms=start_ms,
        end_ms=start_ms + 5_000,
        consent_seq=0,
        spoken_at=SPOKEN + timedelta(milliseconds=start_ms),
        outcome=Outcome.ABSTAINED if mark == "a" else Outcome.LABELLED,
        bundle="b" * 64,
        heads=HEADS.get(mark, {}),
        reason="silent" if mark == "a" else None,
    )


class Store:
    """Rows that grow by batches; `length` labelled ones before the new are looked at first."""

    def __init__(self, of: Sequence[Rule], length: int) -> None:
        self.rules, self.length = of, length
        self.rows: dict[str, Label] = {}
        self.raised: list[Escalation] = []
        self.told_by_tail = 0

    def take(self, batch: Sequence[Label]) -> None:
        new = {label.window_id for label in batch if label.outcome is Outcome.LABELLED}
        self.rows |= {label.window_id: label for label in batch}
        rows = sorted(self.rows.values(), key=lambda label: label.start_ms)
        known = {escalation.id for escalation in self.raised}
        limit = self.length + len(new)
        last = [label for label in rows if label.outcome is Outcome.LABELLED][-limit:]
        whole = len(last) < limit
        found = tail.due(self.rules, last, new, known, whole=whole, **TOLD)
        every = rules.escalations(self.rules, rows, known, **TOLD)
        assert found is None or found == every
        self.told_by_tail += found is not None and not whole
        self.raised += every


RULES = st.lists(
    st.tuples(st.integers(1, 4), st.integers(0, 2), st.sampled_from([0, 1, 5_000, 20_000, 45_000])),
    min_size=1,
    max_size=2,
).map(lambda drawn: [rule(f"r{n}", hits, hits + more, cool) for n, (hits, more, cool) in enumerate(drawn)])


@settings(max_examples=100, deadline=None)
@given(RULES, st.integers(1, 20), st.integers(1, 9), st.integers(0, 4), st.randoms(use_true_random=False))
def test_the_tail_tells_what_all_rows_would(of: list[Rule], length: int, calm: int, late: int, drawn: Random) -> None:
    timeline = drawn.choices("H.a_", (3, calm, 1, 1), k=80)
    rows = [window(position, mark) for position, mark in enumerate(timeline) if mark != "_"]
    for _ in range(late):
        rows.insert(drawn.randrange(len(rows)), rows.pop(drawn.randrange(len(rows))))
    store = Store(of, length)
    while rows:
        size = drawn.randint(1, 5)
        store.take(rows[:size])
        rows = rows[size:]


def test_a_long_call_is_told_by_its_tail() -> None:
    store = Store([rule("r", 2, 3, 20_000)], 16)
    for position in range(300):
        store.take([window(position, "HH........"[position % 10])])
    assert len(store.raised) == 30
    assert store.told_by_tail > 270


def test_an_episode_that_began_before_the_tail_asks_for_all_rows() -> None:
    angry = [window(position, "H") for position in range(100)]
    of = [rule("r", 2, 3, 20_000)]
    assert tail.due(of, angry[-20:], {angry[-1].window_id}, (), whole=False, **TOLD) is None


def test_a_late_row_asks_for_all_rows() -> None:
    calm = [window(position, ".") for position in range(30)]
    of = [rule("r", 2, 3, 20_000)]
    assert tail.due(of, calm, {calm[-2].window_id}, (), whole=False, **TOLD) is None
