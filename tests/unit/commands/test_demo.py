from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from services.cli import USER_ERROR, run
from services.commands import demo as command
from services.standalone.demo import report
from services.standalone.demo.board import Board, Event, Kept, Played, Row, loudest, speaker, step
from services.standalone.demo.play import fresh
from services.standalone.demo.report import CallReport, Report, document, faults, shares
from services.standalone.demo.screen import Screen
from services.standalone.demo.settled import Settled, missing
from services.standalone.demo.stored import Stored
from services.standalone.demo.view import picture, watched
from services.standalone.errors import StandaloneError
from streams import usecases
from streams.domain.records import Consent, Escalation, Label, Outcome, Purpose, Role, Window
from streams.domain.windows import Fate

AT = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
CALL, OTHER = "a" * 64, "b" * 64
ROLES = (Role.AGENT, Role.CUSTOMER)
LOOKED_FOR = watched(usecases.load(None)["demo"].rules)


def row(name: str = "angry.wav") -> Row:
    return Row(name, ROLES, 52_000, 200, voices=["agent"] * 100 + [""] * 10 + ["customer"] * 150)


def window(start_ms: int, call: str = CALL) -> Window:
    return Window(
        f"w{start_ms}", call, "demo", Role.CUSTOMER, start_ms, start_ms + 5000, 0, AT, 8000, data=b""
    )  # the follower's own decoding is tested elsewhere


def label(start_ms: int, negative: float = 0.9, *, reason: str | None = None) -> Label:
    heads = {
        "valence.full": {"negative": negative, "neutral": 1 - negative},
        "arousal.full": {"excited": negative, "neutral": 1 - negative},
    }
    outcome = Outcome.ABSTAINED if reason else Outcome.LABELLED
    judged = {} if reason else heads
    end_ms = start_ms + 5000
    return Label(
        f"w{start_ms}", CALL, "demo", Role.CUSTOMER, start_ms, end_ms, 0, AT, outcome, "bundle", judged, reason
    )


def escalation() -> Escalation:
    consent = Consent(Purpose.ALERTING, granted=True, basis="demonstration", given_at=AT)
    heads = {"valence.full": {"negative": 0.9, "neutral": 0.1}}
    return Escalation(
        "e1", CALL, "demo", "negative-and-excited", "high", ("w0",), 0, 25_000, heads, consent, "bundle", AT
    )


def after(*events: Event, board: Board | None = None) -> Board:
    found = {CALL: row(), OTHER: row("calm.wav")} if board is None else board
    for event in events:
        found = step(found, event)
    return found


WHOLE = (window(0), label(0), escalation(), Kept(CALL, 52_000, rows=1, over=True), Kept(OTHER, 52_000, 0, over=True))
DONE = Settled(published=True, behind={"label": 0}, unsent=0, escalations=1)


def drawn(board: Board, width: int, *, live: bool = False) -> str:
    console = Console(file=StringIO(), width=width)
    console.print(picture(board, LOOKED_FOR, live=live, width=width))
    return str(console.file.getvalue())  # type: ignore[attr-defined]


def test_what_belongs_to_no_call_of_the_demo_is_passed_over() -> None:
    board = {CALL: row()}
    assert step(board, window(0, call=OTHER)) is board


@given(st.permutations([*WHOLE, *WHOLE]))
def test_records_may_come_twice_and_in_any_order(events: list[Event]) -> None:
    assert after(*events) == after(*WHOLE)


def test_the_louder_channel_has_the_word() -> None:
    loud, soft, silent = (np.full(160, level, np.int16) for level in (4000, 1500, 20))
    assert loudest(np.stack([loud, soft]), ROLES) == "agent"
    assert loudest(np.stack([soft, loud]), ROLES) == "customer"
    assert loudest(np.stack([loud, loud]), ROLES) == "both"
    assert loudest(np.stack([silent, silent]), ROLES) == ""
    assert loudest(np.stack([loud]), (Role.MIXED,)) == "mixed"


def test_the_speaker_is_who_is_heard_at_the_place() -> None:
    assert [speaker(row(), at_ms) for at_ms in (0, 20_000, 20_200, 22_200, 60_000)] == [
        "agent",
        "agent",
        "",
        "customer",
        "",
    ]


def test_a_line_a_call_fits_on_a_narrow_terminal() -> None:
    many = [event for start in range(0, 200_000, 5000) for event in (window(start), label(start))]
    text = drawn(
        after(*many, Played(CALL, 640_000), board={CALL: replace(row("a-very-long-name.wav"), duration_ms=640_000)}), 80
    )
    assert max(len(line) for line in text.splitlines()) <= 80
    assert sum("a-very" in line for line in text.splitlines()) == 1


def test_the_view_tells_place_speaker_course_and_escalations() -> None:
    board = after(window(0), label(0, 0.1), window(17_000), label(17_000, 0.95), Kept(CALL, 22_000, rows=1, over=False))
    (line,) = [line for line in drawn(board, 100).splitlines() if "angry.wav" in line]
    assert line.split() == ["angry.wav", "0:22/0:52", "-", "▁█", "negative", "▁█", "excited", "1/2"]
    assert "no escalation so far" in drawn(board, 100)
    assert "ESCALATION HIGH  angry.wav 0:00-0:25" in drawn(after(*WHOLE), 100)
    assert "over" in drawn(after(*WHOLE), 100)


def test_a_window_without_a_judgement_has_its_place() -> None:
    board = after(window(0), label(0, reason="unvoiced"), window(6000), label(6000, 0.95))
    assert "·█" in drawn(board, 100)


def test_in_real_time_the_place_is_the_player_s() -> None:
    board = after(Played(CALL, 30_000))
    assert "0:30/0:52 customer" in drawn(board, 100, live=True)
    assert "0:00/0:52 agent" in drawn(board, 100)


def test_where_nobody_watches_each_piece_of_news_is_one_line() -> None:
    console = Console(file=StringIO(), width=40)
    screen = Screen(console, LOOKED_FOR, live=False)
    with screen.on(after()):
        for event in (*WHOLE, *WHOLE):
            screen.tell(event)
    assert console.file.getvalue().splitlines() == [  # type: ignore[attr-defined]
        "angry.wav 0:00-0:05  arousal excited 90%, valence negative 90%",
        "ESCALATION HIGH  angry.wav 0:00-0:25  negative-and-excited: valence negative 90%",
        "angry.wav is over",
        "calm.wav is over",
    ]


def test_a_demo_is_over_when_nothing_is_missing() -> None:
    assert missing(after(*WHOLE), DONE) == []


@pytest.mark.parametrize(
    ("events", "settled", "lacking"),
    [
        (WHOLE, replace(DONE, published=False), "audio to be published"),
        (WHOLE[:4], DONE, "the end of calm.wav"),
        ((*WHOLE, window(9000)), DONE, "label rows of angry.wav (1 of 2 windows)"),
        (WHOLE, replace(DONE, behind={"label": 2}), "2 records not taken in by label"),
        (WHOLE, replace(DONE, unsent=1), "escalations to be sent (1 of 1 seen, 1 in the outbox)"),
        (WHOLE, replace(DONE, escalations=2), "escalations to be sent (1 of 2 seen, 0 in the outbox)"),
    ],
)
def test_what_is_missing_is_said(events: tuple[Event, ...], settled: Settled, lacking: str) -> None:
    assert missing(after(*events), settled) == [lacking]


def stored(fates: dict[str, dict[str, int]]) -> Stored:
    return Stored(
        over=frozenset({CALL}),
        fates={CALL: fates},
        outcomes={CALL: {"labelled": 1}},
        escalations={CALL: 1},
        unsent=0,
        last_effect_at=AT + timedelta(seconds=4),
        bundles=("b" * 64,),
        version="18.4",
    )


FATES = {"0 agent": {"agent": 20_000, "silence": 32_000}, "1 customer": {"window": 5000, "silence": 47_000}}


def reported(fates: dict[str, dict[str, int]]) -> Report:
    kept = stored(fates)
    call = report.call_report(after(*WHOLE)[CALL], CALL, kept, published_ms=52_000)
    return Report((call,), 0, report.seconds_between(AT, kept), {"label": 1}, report.versions(kept, "4.4.0"))


def test_fates_that_sum_up_leave_nothing_to_say() -> None:
    assert list(faults(reported(FATES))) == []
    told = document(reported(FATES))
    assert told["fates_sum_up"] is True
    assert told["fates_ms"] == {"agent": FATES["0 agent"], "customer": FATES["1 customer"]}
    assert (told["seconds_from_first_chunk_to_last_effect"], told["times_real_time"]) == (4.0, 13.0)
    assert (told["calls"], told["windows"], told["labels"], told["escalations"], told["abstained"]) == (1, 1, 1, 1, 0)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda fates: fates["0 agent"].pop("agent"), "channel 0 agent: fates tell of 32000 ms, 52000 ms"),
        (lambda fates: fates["1 customer"].update(gap=1), "channel 1 customer: fates tell of 52001 ms"),
        (lambda fates: fates.pop("1 customer"), "channel 1 customer: fates tell of 0 ms"),
    ],
)
def test_a_channel_whose_fates_do_not_sum_up_is_named(
    change: Callable[[dict[str, dict[str, int]]], object], said: str
) -> None:
    fates = {channel: dict(ms) for channel, ms in FATES.items()}
    change(fates)
    (fault,) = faults(reported(fates))
    assert said in fault
    assert document(reported(fates))["fates_sum_up"] is False


@given(st.dictionaries(st.sampled_from([fate.value for fate in Fate]), st.integers(0, 10**6)), st.integers(0, 10**7))
def test_sums_are_held_to_the_millisecond(fates: dict[str, int], published_ms: int) -> None:
    call = CallReport("call.wav", ("customer",), published_ms, 1, 0, {}, (), {"0 customer": fates})
    assert bool(list(faults(Report((call,), 0, 1.0, {}, {})))) == (sum(fates.values()) != published_ms)


def test_shares_are_told_from_the_largest() -> None:
    assert shares({"silence": 1000, "not_speech": 2500, "gap": 0}) == "not speech 2.5 s, silence 1.0 s"


def test_a_demo_leaves_no_recording_behind_and_two_in_one_folder_are_refused(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    (folder / "kafka" / "data").mkdir(parents=True)
    with fresh(folder):
        assert not folder.exists()
        (folder / "kafka" / "data").mkdir(parents=True)
        (folder / "logs").mkdir()
        with pytest.raises(StandaloneError, match="another demo is running"), fresh(folder):
            pass
    assert sorted(path.name for path in folder.rglob("*")) == ["kafka", "logs"]


def test_a_demo_that_fails_leaves_no_figures_of_an_earlier_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async def fails(*_: object) -> Report:
        raise StandaloneError("nothing has moved")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(command, "_play", fails)
    command.RESULT.parent.mkdir()
    command.RESULT.write_text("{}")
    assert run(["demo"]) == USER_ERROR
    assert "nothing has moved" in capsys.readouterr().err
    assert not command.RESULT.exists()
