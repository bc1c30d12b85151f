"""When to start a program again: a fold over what is seen of it. Seconds of any clock that only goes forward."""

from dataclasses import dataclass, replace
from enum import Enum, auto

STALE_S = 30.0  #: a liveness file older than this: the program no longer gets on
STARTING_S = 60.0  #: until a program first touches its liveness file
STEADY_S = 20.0  #: a run this long forgets the failures before it: what dies at its start or at a record dies sooner
FIRST_WAIT_S = 0.5
LONGEST_WAIT_S = 30.0


class Action(Enum):
    """What is to be done now."""

    NOTHING = auto()
    START = auto()
    KILL = auto()  #: and look again


@dataclass(frozen=True, slots=True)
class Seen:
    """What is seen of a program at `now`; `touched_s` is its liveness file's age, None where there is none yet."""

    now: float
    running: bool
    judged: bool = False  #: it has a liveness file to be judged by
    touched_s: float | None = None


@dataclass(frozen=True, slots=True)
class Run:
    """The state over one program."""

    started_at: float | None = None  #: None: it is not running, as far as we know
    due_at: float = 0.0
    failures: int = 0  #: in a row
    restarts: int = 0


def step(run: Run, seen: Seen) -> tuple[Run, Action]:
    """Take in what is seen."""
    if run.started_at is None:
        return _start_when_due(run, seen.now)
    if not seen.running:
        return _ended(run, run.started_at, seen.now), Action.NOTHING
    if _is_stale(seen, seen.now - run.started_at):
        return run, Action.KILL
    return run, Action.NOTHING


def wait_s(failures: int) -> float:
    """How long to wait before the next start: doubled by each failure in a row."""
    return min(LONGEST_WAIT_S, FIRST_WAIT_S * 2.0 ** min(failures - 1, 10))


def _start_when_due(run: Run, now: float) -> tuple[Run, Action]:
    if now < run.due_at:
        return run, Action.NOTHING
    again = run.restarts + (run.failures > 0)
    return replace(run, started_at=now, restarts=again), Action.START


def _ended(run: Run, started_at: float, now: float) -> Run:
    failures = 1 if now - started_at >= STEADY_S else run.failures + 1
    return replace(run, started_at=None, failures=failures, due_at=now + wait_s(failures))


def _is_stale(seen: Seen, age_s: float) -> bool:
    if not seen.judged:
        return False
    return age_s >= STARTING_S if seen.touched_s is None else seen.touched_s >= STALE_S
