from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from services.standalone.restarts import (
    LONGEST_WAIT_S,
    STALE_S,
    STARTING_S,
    STEADY_S,
    Action,
    Run,
    Seen,
    step,
    wait_s,
)


def test_a_program_is_started_at_once_and_that_is_no_restart() -> None:
    run, action = step(Run(), Seen(0.0, running=False))
    assert action is Action.START
    assert run.restarts == 0


def test_a_program_that_exits_is_started_again_after_a_wait_and_counted() -> None:
    run, action = step(Run(started_at=0.0), Seen(1.0, running=False))
    assert action is Action.NOTHING
    assert step(run, Seen(1.0 + wait_s(1) - 0.01, running=False)) == (run, Action.NOTHING)
    run, action = step(run, Seen(1.0 + wait_s(1), running=False))
    assert (action, run.restarts) == (Action.START, 1)


def test_a_program_whose_liveness_file_is_too_old_is_killed() -> None:
    run = Run(started_at=0.0)
    assert step(run, Seen(100.0, running=True, judged=True, touched_s=STALE_S - 0.1))[1] is Action.NOTHING
    assert step(run, Seen(100.0, running=True, judged=True, touched_s=STALE_S))[1] is Action.KILL


def test_a_program_that_never_touches_its_liveness_file_is_killed_after_a_longer_time() -> None:
    run = Run(started_at=0.0)
    assert step(run, Seen(STARTING_S - 0.1, running=True, judged=True))[1] is Action.NOTHING
    assert step(run, Seen(STARTING_S, running=True, judged=True))[1] is Action.KILL


def test_a_program_without_a_liveness_file_may_be_silent_for_ever() -> None:
    assert step(Run(started_at=0.0), Seen(1e9, running=True))[1] is Action.NOTHING


def test_a_long_run_forgets_earlier_failures() -> None:
    run, _ = step(Run(started_at=0.0, failures=7), Seen(STEADY_S, running=False))
    assert run.failures == 1


@given(st.integers(1, 10_000))
def test_waits_grow_and_are_bounded(failures: int) -> None:
    assert 0 < wait_s(failures) <= wait_s(failures + 1) <= LONGEST_WAIT_S


@given(st.lists(st.tuples(st.floats(0, 100), st.booleans(), st.one_of(st.none(), st.floats(0, 100))), max_size=60))
def test_starts_and_ends_alternate_and_every_start_but_the_first_is_counted(
    steps: list[tuple[float, bool, float | None]],
) -> None:
    run, now, starts, alive = Run(), 0.0, 0, False
    for elapsed, survives, touched_s in steps:
        now += elapsed
        alive = alive and survives
        run, action = step(run, Seen(now, running=alive, judged=True, touched_s=touched_s))
        if action is Action.START:
            assert not alive
            starts, alive = starts + 1, True
        if action is Action.KILL:
            assert alive
            alive = False
        assert alive <= (run.started_at is not None)
    assert run.restarts == max(0, starts - 1)


@given(st.lists(st.floats(0, 5), min_size=1, max_size=200))
def test_a_program_that_always_fails_is_started_ever_less_often(delays: list[float]) -> None:
    run, now, started = Run(), 0.0, []
    for delay in delays:
        now += delay
        run, action = step(run, Seen(now, running=False))
        if action is Action.START:
            started.append(now)
    pauses = [later - earlier for earlier, later in pairwise(started)]
    assert all(pause >= wait_s(number) for number, pause in enumerate(pauses, start=1))
