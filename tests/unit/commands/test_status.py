from dataclasses import replace
from datetime import UTC, datetime, timedelta
from io import StringIO

from rich.console import Console

from services.commands.status import StageStatus, Status, concerns, show
from streams.store.status import StoreStatus

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
STORE = StoreStatus(
    calls=3,
    open_calls=1,
    oldest_open_turn_at=NOW - timedelta(seconds=7),
    oldest_checkpoint_at=NOW - timedelta(seconds=2),
    last_checkpoint_at={3: NOW - timedelta(seconds=2)},
    tombstones=2,
    labels={"labelled": 12, "abstained": 1, "failed": 0},
    escalations=1,
    unsent=0,
    oldest_unsent_at=None,
)
WELL = Status((StageStatus("segment", "calls.v1", 6, 17, (3,)),), (), 4, STORE)
HOUR_AGO = NOW - timedelta(hours=1)


def test_a_stream_that_gets_on_is_no_concern_though_it_is_behind() -> None:
    assert not list(concerns(WELL, NOW))


def test_a_missing_topic_is_named_with_the_command_that_makes_it() -> None:
    (worry,) = concerns(replace(WELL, missing_topics=("labels.v1",)), NOW)
    assert "labels.v1" in worry
    assert "undertone topics apply" in worry


def test_an_escalation_that_waits_for_a_minute_and_a_call_that_stands_still_are_concerns() -> None:
    stuck = replace(STORE, unsent=1, oldest_unsent_at=NOW - timedelta(minutes=3))
    stuck = replace(stuck, oldest_checkpoint_at=HOUR_AGO, last_checkpoint_at={3: HOUR_AGO})
    unsent, still = concerns(replace(WELL, store=stuck), NOW)
    assert "180 s" not in unsent
    assert "3 min" in unsent
    assert "60 min" in still


def test_a_call_whose_state_no_key_opens_is_no_concern() -> None:
    beside_another = replace(STORE, open_calls=2, oldest_checkpoint_at=HOUR_AGO)
    alone = replace(STORE, oldest_checkpoint_at=HOUR_AGO, last_checkpoint_at={2: HOUR_AGO})
    for store in (beside_another, alone):
        assert not list(concerns(replace(WELL, store=store), NOW))


def test_a_person_sees_every_figure() -> None:
    console = Console(file=StringIO(), width=80)
    show(WELL, ["look here"], NOW, console)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    for part in (
        "segment",
        "17",
        "3, 1 open, one of them last checkpointed 2 s ago",
        "open turns    the oldest began 7 s ago",
        "13: 12 labelled",
        "dead letters  4",
        "look here",
    ):
        assert part in text


def test_where_no_turn_is_open_a_person_is_told_so() -> None:
    console = Console(file=StringIO(), width=80)
    show(replace(WELL, store=replace(STORE, oldest_open_turn_at=None)), [], NOW, console)
    assert "open turns    none\n" in console.file.getvalue()  # type: ignore[attr-defined]
